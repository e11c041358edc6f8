"""A record in JSON, as it is published and as it is read. Pure.

    {"value": {"any": "JSON"}, "key": "alice", "headers": {"source": "till 7"}, "timestamp": "2026-01-31T08:00:00Z"}

`value` is any JSON: its text without white space is what is stored, with the header `content-type: application/json`
unless another one is given. `value_text` is stored as its UTF-8, `value_base64` as the bytes that it encodes; neither
adds a header. One of the three must be there; an empty value (of a tombstone) is `"value_text": ""`. A key is `key` or
`key_base64`. A header is text, `{"base64": …}`, or a list of them where its name repeats. A timestamp is RFC 3339 or a
number of nanoseconds. What is read has the same fields, and so can be published again.
"""

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from cluster.broker.web.content import as_text, compact, is_json, json_text
from cluster.broker.web.times import RANGE_NS, parse_time, time_text
from cluster.errors import InvalidRequest
from cluster.wire.api import records_pb2

CONTENT_TYPE = "content-type"
JSON_TYPE = b"application/json"
ABSENT = msgspec.Raw(b"")


class Base64(msgspec.Struct, forbid_unknown_fields=True):
    """Bytes that are no text."""

    base64: bytes


class JsonRecord(msgspec.Struct, forbid_unknown_fields=True):
    """What one object of a publish may hold."""

    value: msgspec.Raw = ABSENT
    value_text: str | None = None
    value_base64: bytes | None = None
    key: str | None = None
    key_base64: bytes | None = None
    headers: dict[str, str | Base64 | list[str | Base64]] = {}
    timestamp: str | int | None = None
    partition: int | None = None
    offset: int | None = None
    """Ignored, so that what was read can be published."""


def to_record(item: JsonRecord) -> records_pb2.Record:
    """The record that the object describes; InvalidRequest if it contradicts itself."""
    raw = bytes(item.value)
    if bool(raw) + (item.value_text is not None) + (item.value_base64 is not None) != 1:
        raise InvalidRequest("a record has one of value, value_text and value_base64")
    if item.key is not None and item.key_base64 is not None:
        raise InvalidRequest("a record has one of key and key_base64, or no key")
    record = records_pb2.Record()
    if raw:
        record.value = compact(raw)
        if not any(name.lower() == CONTENT_TYPE for name in item.headers):
            record.headers.add(name=CONTENT_TYPE, value=JSON_TYPE)
    elif item.value_text is not None:
        record.value = item.value_text.encode()
    else:
        assert item.value_base64 is not None
        record.value = item.value_base64
    if item.key is not None:
        record.key = item.key.encode()
    elif item.key_base64 is not None:
        record.key = item.key_base64
    for name, content in item.headers.items():
        for one in content if isinstance(content, list) else [content]:
            record.headers.add(name=name, value=one.encode() if isinstance(one, str) else one.base64)
    record.timestamp_ns = _timestamp_ns(item.timestamp)
    return record


def from_record(record: records_pb2.Record, partition: int) -> dict[str, Any]:
    """The object that describes a record that was read; its value is spliced in as it is stored, if it is JSON."""
    found: dict[str, Any] = {
        "partition": partition,
        "offset": record.offset,
        "timestamp": time_text(record.timestamp_ns),
    }
    if record.HasField("key"):
        found |= _text_or_base64("key", "key_base64", record.key)
    content_type = header_of(record, CONTENT_TYPE)
    json_value = json_text(record.value) if content_type is not None and is_json(content_type) else None
    if json_value is not None:
        found["value"] = msgspec.Raw(json_value)
    else:
        found |= _text_or_base64("value_text", "value_base64", record.value)
    if record.headers:
        found["headers"] = _headers(record.headers)
    return found


def header_of(record: records_pb2.Record, name: str) -> str | None:
    """The first header of that name, if it is there and is text."""
    for header in record.headers:
        if header.name.lower() == name:
            return as_text(header.value)
    return None


def _timestamp_ns(given: str | int | None) -> int:
    match given:
        case None:
            return 0
        case str():
            return parse_time(given, "the timestamp")
        case _:
            if not -RANGE_NS <= given < RANGE_NS:
                raise InvalidRequest("a timestamp is a number of nanoseconds in 64 bits")
            return given


def _text_or_base64(name: str, other_name: str, content: bytes) -> dict[str, str]:
    text = as_text(content)
    return {name: text} if text is not None else {other_name: base64.b64encode(content).decode()}


def _headers(headers: Sequence[records_pb2.Header]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for header in headers:
        text = as_text(header.value)
        value: Any = text if text is not None else {"base64": base64.b64encode(header.value).decode()}
        if header.name not in found:
            found[header.name] = value
        elif isinstance(found[header.name], list):
            found[header.name].append(value)
        else:
            found[header.name] = [found[header.name], value]
    return found
