"""CloudEvents 1.0 to records and back, as in its Kafka binding. Pure.

Each attribute becomes a header of the record (`ce_id`, `ce_source`, …; text in UTF-8), `datacontenttype` the header
`content-type`, data the value, the extension `partitionkey` the key as well, and `time` the record's timestamp as well.
So a consumer that knows the Kafka binding reads these records, and an event comes out as it went in, but for the type
of an extension that was a number or a boolean: it comes out as text, as it does from Kafka.

The extension of distributed tracing (`traceparent`, `tracestate`) is the record's trace as well, under those names, as
for every record; and a trace that a record got otherwise (from its request, from a processor) is told as the extension.

Sources: CloudEvents 1.0.2 core, JSON event format, HTTP and Kafka protocol bindings (https://github.com/cloudevents/spec).
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from cluster.broker.web.content import as_text, compact, is_json, json_text, media_type
from cluster.broker.web.records import CONTENT_TYPE
from cluster.broker.web.times import parse_time
from cluster.errors import InvalidRequest
from cluster.trace import PARENT, STATE, trace_headers
from cluster.wire.api import records_pb2

VERSION = "1.0"
REQUIRED = ("id", "source", "specversion", "type")
NEVER_EMPTY = {*REQUIRED, "subject", "dataschema"}
KEY = "partitionkey"
HEADER_PREFIX = "ce_"
HTTP_PREFIX = "ce-"
NAME = re.compile(r"[a-z0-9]+", re.ASCII)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*(;.*)?", re.ASCII)
INTEGER_MAX = 1 << 31


def from_structured(event: Mapping[str, msgspec.Raw]) -> records_pb2.Record:
    """The record of one event in the JSON event format; InvalidRequest names what is wrong with it."""
    attributes: dict[str, str] = {}
    for name, raw in event.items():
        if name not in {"data", "data_base64"}:
            text = _attribute_text(name, _decoded(name, raw))
            if text is not None:
                attributes[name] = text
    content_type = attributes.pop("datacontenttype", None)
    if content_type is not None and not MEDIA_TYPE.fullmatch(content_type):
        raise InvalidRequest(f"the event's datacontenttype {content_type[:64]!r} is no media type")
    value = _structured_data(event, content_type)
    if content_type is None and "data" in event and value:
        content_type = "application/json"
    return _record(attributes, content_type, value)


def from_binary(headers: Iterable[tuple[str, str]], content_type: str | None, body: bytes) -> records_pb2.Record:
    """The record of one event whose attributes came as HTTP's `ce-` headers and whose data is the body."""
    attributes: dict[str, str] = {}
    for header, text in headers:
        name = header.lower()
        if name.startswith(HTTP_PREFIX):
            name = name.removeprefix(HTTP_PREFIX)
            if name in {"data", "datacontenttype"}:
                raise InvalidRequest(f"{header} is no attribute's header: data is the body, its type Content-Type")
            if name in attributes:
                raise InvalidRequest(f"the header {header} is there twice")
            attributes[name] = _unquoted(header, text)
    return _record(attributes, content_type, body)


def is_event(record: records_pb2.Record) -> bool:
    """Whether the record was published as an event."""
    return any(header.name == "ce_specversion" for header in record.headers)


def to_structured(record: records_pb2.Record) -> dict[str, Any]:
    """The event of such a record, in the JSON event format."""
    event: dict[str, Any] = {}
    content_type = None
    for header in record.headers:
        text = as_text(header.value)
        if text is not None and header.name.startswith(HEADER_PREFIX):
            event[header.name.removeprefix(HEADER_PREFIX)] = text
        elif text is not None and header.name.lower() == CONTENT_TYPE:
            content_type = event["datacontenttype"] = text
        elif text is not None and header.name in {PARENT, STATE}:
            event.setdefault(header.name, text)
    if not record.value:
        return event
    says_json = content_type is not None and is_json(content_type)
    data = json_text(record.value) if says_json else None
    text = as_text(record.value) if content_type is not None and not says_json else None
    if data is not None:
        event["data"] = msgspec.Raw(data)
    elif text is not None:
        event["data"] = text
    else:  # of no type, too: `data` would make it JSON for whoever reads it
        event["data_base64"] = base64.b64encode(record.value).decode()
    return event


def _record(attributes: Mapping[str, str], content_type: str | None, value: bytes) -> records_pb2.Record:
    time_ns = _checked(attributes)
    record = records_pb2.Record(value=value, timestamp_ns=time_ns)
    for name, text in attributes.items():
        record.headers.add(name=HEADER_PREFIX + name, value=text.encode())
    for header in trace_headers(attributes):
        record.headers.add(name=header.name, value=header.value)
    if content_type is not None:
        record.headers.add(name=CONTENT_TYPE, value=content_type.encode())
    if KEY in attributes:
        record.key = attributes[KEY].encode()
    return record


def _checked(attributes: Mapping[str, str]) -> int:
    """The event's time in nanoseconds, 0 if it has none; InvalidRequest for what the specification does not allow."""
    missing = [name for name in REQUIRED if name not in attributes]
    if missing:
        raise InvalidRequest(f"the event has no {' and no '.join(missing)}")
    for name, text in attributes.items():
        if not NAME.fullmatch(name):
            raise InvalidRequest(f"{name[:64]!r} is no name of an attribute: those are lower-case letters and digits")
        if not text and name in NEVER_EMPTY:
            raise InvalidRequest(f"the event's {name} is empty")
        if CONTROL.search(text):
            raise InvalidRequest(f"the event's {name} has a control character in it")
    if attributes["specversion"] != VERSION:
        raise InvalidRequest(
            f"the event's specversion is {attributes['specversion'][:64]!r}; only {VERSION!r} is known"
        )
    for name in ("source", "dataschema"):
        if re.search(r"\s", attributes.get(name, "")):
            raise InvalidRequest(f"the event's {name} is no URI: there is a space in it")
    return parse_time(attributes["time"], "the event's time") if "time" in attributes else 0


def _attribute_text(name: str, value: Any) -> str | None:
    """An attribute's canonical text; None for null, which is the same as absent."""
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case int() if -INTEGER_MAX <= value < INTEGER_MAX:
            return str(value)
        case int():
            raise InvalidRequest(f"the event's {name[:64]} is beyond a CloudEvents integer, which has 32 bits")
        case _:
            raise InvalidRequest(f"the event's {name[:64]} is neither text nor integer nor boolean")


def _decoded(name: str, raw: msgspec.Raw) -> Any:
    """A value whose JSON was looked at only in passing until now."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"the event's {name[:64]} cannot be read: {error}") from None


def _structured_data(event: Mapping[str, msgspec.Raw], content_type: str | None) -> bytes:
    encoded = _decoded("data_base64", event["data_base64"]) if "data_base64" in event else None
    if encoded is not None:
        if "data" in event:
            raise InvalidRequest("the event has both data and data_base64")
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise InvalidRequest("the event's data_base64 is not base64") from None
    if "data" not in event:
        return b""
    if content_type is None or is_json(content_type):
        return compact(event["data"])
    text = _decoded("data", event["data"])
    if not isinstance(text, str):
        raise InvalidRequest(f"the event's data is of type {media_type(content_type)}, and so text or data_base64")
    return text.encode()


def _unquoted(header: str, text: str) -> str:
    """An attribute's text from its header: quotes taken off, then percent-decoded (HTTP binding §3.1.3.2)."""
    if len(text) >= 2 and text.startswith('"') and text.endswith('"'):
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"the header {header} is not percent-encoded UTF-8") from None
