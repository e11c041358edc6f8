"""Failures as HTTP answers: the errors that gRPC tells, in JSON, with the statuses that the Connect protocol names.

    {"code": "not_found", "reason": "UNKNOWN_TOPIC", "message": "…", "metadata": {…}, "retry": false}

Source of the statuses: https://connectrpc.com/docs/protocol ("Error Codes").
"""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2  # noqa: F401  JSON of details needs their classes to be known
from starlette.responses import Response

from cluster.errors import RiverrunError
from cluster.wire.status import status_of

STATUSES = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
RETRY_AFTER_S = "1"
"""Whole seconds are the smallest that the header can say."""


class Refused(Exception):
    """A failure with a status of HTTP's own (413, 415, …) or headers that say what would do."""

    def __init__(self, error: RiverrunError, *, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.status = status
        self.headers = dict(headers or {})


def code_of(error: RiverrunError) -> str:
    """The code as Connect spells it: one l in "canceled"."""
    return {"CANCELLED": "canceled"}.get(error.code, error.code.lower())


def error_object(error: RiverrunError) -> dict[str, Any]:
    """The error as our own URLs tell it."""
    return {
        "code": code_of(error),
        "reason": error.reason,
        "message": error.message,
        "metadata": error.metadata,
        "retry": error.retry,
    }


def failed(error: RiverrunError, *, status: int = 0, headers: Mapping[str, str] | None = None) -> Response:
    """The answer of one of our own URLs."""
    return _answer(error, error_object(error), status, headers)


def connect_failed(error: RiverrunError, *, status: int = 0, headers: Mapping[str, str] | None = None) -> Response:
    """The answer of a method called after the Connect protocol: the details of gRPC's status, encoded and readable."""
    told = status_of(error)
    details = [
        {
            "type": detail.type_url.rsplit("/", 1)[-1],
            "value": base64.b64encode(detail.value).decode().rstrip("="),
            "debug": _readable(detail),
        }
        for detail in told.details
    ]
    return _answer(error, {"code": code_of(error), "message": told.message, "details": details}, status, headers)


def _readable(detail: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json_format.MessageToDict(detail)
    fields.pop("@type", None)
    return fields


def _answer(error: RiverrunError, body: Any, status: int, headers: Mapping[str, str] | None) -> Response:
    status = status or STATUSES[error.code]
    all_headers = dict(headers or {})
    if error.retry and status in {429, 503}:
        all_headers["Retry-After"] = RETRY_AFTER_S
    return Response(msgspec.json.encode(body), status, all_headers, "application/json")
