"""`POST /riverrun.v1.<Service>/<Method>`: every public method of one request and one answer, in proto3 JSON.

The unary half of the Connect protocol (https://connectrpc.com/docs/protocol), so that its clients in any language work,
and curl does. The methods are those that the gRPC listener serves, found by their descriptors: a new one is here by
itself. Methods that stream are refused; publishing and reading streams has URLs of its own.
"""

import re

from google.protobuf import json_format
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import Request
from starlette.responses import Response

from cluster.broker.web.body import read_body
from cluster.broker.web.calls import Handlers, WebCall
from cluster.broker.web.content import media_type, parse_json
from cluster.broker.web.failures import Refused, connect_failed
from cluster.config import HttpOptions
from cluster.errors import InvalidRequest, RiverrunError, Unsupported

JSON = "application/json"
TIMEOUT = re.compile(r"\d{1,10}", re.ASCII)


class Connect:
    """Answers calls of public methods."""

    def __init__(self, handlers: Handlers, options: HttpOptions) -> None:
        self._handlers = handlers
        self._options = options
        self._messages: dict[str, tuple[type[Message], type[Message]]] = {}
        for method in handlers.routes:
            service, name = method.strip("/").split("/")
            found = Default().FindServiceByName(service).methods_by_name[name]
            self._messages[method] = (GetMessageClass(found.input_type), GetMessageClass(found.output_type))

    async def answer(self, request: Request, peer: str) -> Response:
        """The method's answer, or its error, both as Connect has them."""
        try:
            return await self._answer(request, peer)
        except RiverrunError as error:
            return connect_failed(error)
        except Refused as refused:
            return connect_failed(refused.error, status=refused.status, headers=refused.headers)

    async def _answer(self, request: Request, peer: str) -> Response:
        method = request.url.path
        route = self._handlers.routes.get(method)
        if route is None:
            raise Refused(Unsupported(f"there is no method {method[:128]}"), status=404)
        kind = media_type(request.headers.get("content-type", ""))
        if kind != JSON:
            raise Refused(
                InvalidRequest(f"a call's Content-Type is {JSON}, not {kind or 'absent'}"),
                status=415,
                headers={"Accept-Post": JSON},
            )
        if route.unary is None:
            raise Unsupported(
                f"{method} streams: over HTTP there are POST and GET /topics/TOPIC/records and GET /topics/TOPIC/events"
            )
        call = WebCall(peer, headers=request.headers, timeout_s=_timeout_s(request))
        asked, told = self._messages[method]
        body = await read_body(request, self._options)
        answer = told.FromString(await self._handlers.unary(method, _message(body, asked), call))
        return Response(json_format.MessageToJson(answer, indent=None), 200, None, JSON)


def _message(body: bytes, shape: type[Message]) -> bytes:
    """The encoded message that the body is in JSON; InvalidRequest with the field, or the line, if it is none."""
    fields = parse_json(body, dict[str, object])
    message = shape()
    try:
        json_format.ParseDict(fields, message)
    except (json_format.ParseError, ValueError, TypeError) as error:
        raise InvalidRequest(f"the body is not a {shape.DESCRIPTOR.full_name}: {error}") from None
    return message.SerializeToString()


def _timeout_s(request: Request) -> float | None:
    version = request.headers.get("connect-protocol-version")
    if version not in {None, "1"}:
        raise InvalidRequest(f"version 1 of the Connect protocol is spoken here, not {version!r}")
    text = request.headers.get("connect-timeout-ms")
    if text is None:
        return None
    if not TIMEOUT.fullmatch(text):
        raise InvalidRequest(f"Connect-Timeout-Ms is a number of at most 10 digits, not {text[:64]!r}")
    return int(text) / 1_000
