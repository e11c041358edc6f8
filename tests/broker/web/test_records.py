"""Records in JSON: what goes in, what comes out, and that what came out can go in again."""

import json

import msgspec
import pytest

from cluster.broker.web.content import parse_json
from cluster.broker.web.records import JsonRecord, from_record, to_record
from cluster.errors import InvalidRequest
from cluster.wire.api import records_pb2

Record = records_pb2.Record
JSON_HEADER = records_pb2.Header(name="content-type", value=b"application/json")


def taken(text: str) -> records_pb2.Record:
    """The record of this JSON."""
    return to_record(parse_json(text.encode(), JsonRecord))


def given(record: records_pb2.Record) -> dict[str, object]:
    """What a reader gets, as a reader parses it."""
    return json.loads(msgspec.json.encode(from_record(record, 2)))


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ('{"value": {"a": [1, 2.50]}}', Record(value=b'{"a":[1,2.50]}', headers=[JSON_HEADER])),
        ('{"value": null}', Record(value=b"null", headers=[JSON_HEADER])),
        ('{"value": "text"}', Record(value=b'"text"', headers=[JSON_HEADER])),
        ('{"value": 1e999, "key": "ä"}', Record(value=b"1e999", key="ä".encode(), headers=[JSON_HEADER])),
        ('{"value_text": "three apples"}', Record(value=b"three apples")),
        ('{"value_text": "", "key": "gone"}', Record(value=b"", key=b"gone")),
        ('{"value_base64": "/wA=", "key_base64": "/w=="}', Record(value=b"\xff\x00", key=b"\xff")),
        ('{"value_text": "x", "key": ""}', Record(value=b"x", key=b"")),
        (
            '{"value": 1, "headers": {"Content-Type": "application/problem+json"}}',
            Record(value=b"1", headers=[records_pb2.Header(name="Content-Type", value=b"application/problem+json")]),
        ),
        (
            '{"value_text": "x", "headers": {"a": ["1", {"base64": "/w=="}]}}',
            Record(
                value=b"x",
                headers=[records_pb2.Header(name="a", value=b"1"), records_pb2.Header(name="a", value=b"\xff")],
            ),
        ),
        ('{"value_text": "x", "timestamp": 1700000000123456789}', Record(value=b"x", timestamp_ns=1700000000123456789)),
        ('{"value_text": "x", "timestamp": "1970-01-01T00:00:01.5Z"}', Record(value=b"x", timestamp_ns=1_500_000_000)),
    ],
)
def test_what_goes_in(text: str, record: records_pb2.Record) -> None:
    """JSON is stored as its own text without white space: no number is rounded on the way."""
    assert record == taken(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "one of value, value_text and value_base64"),
        ('{"value": 1, "value_text": "x"}', "one of value"),
        ('{"value_text": "x", "key": "a", "key_base64": "YQ=="}', "one of key"),
        ('{"value_base64": "?"}', r"Invalid base64 encoded string - at `\$.value_base64`"),
        ('{"value_text": 5}', r"Expected `str \| null`, got `int` - at `\$.value_text`"),
        ('{"value_text": "x", "headers": {"a": 5}}', "got `int`"),
        ('{"value_text": "x", "extra": 5}', "unknown field `extra`"),
        ('{"value_text": "x", "timestamp": 9223372036854775808}', "64 bits"),
        ('{"value_text": "x", "timestamp": "yesterday"}', "RFC 3339"),
        ('{"value_text": "x", "timestamp": 1.5}', "timestamp"),
        ('{"value": }', "not JSON: invalid character at line 1, column 11"),
        ('{"value": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    ],
)
def test_what_does_not_go_in(text: str, says: str) -> None:
    """The message names the field or the place."""
    with pytest.raises(InvalidRequest, match=says):
        taken(text)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Record(value=b'{ "a":\n1.0 }', headers=[JSON_HEADER]), {"value": {"a": 1.0}}),
        (Record(value=b"{broken", headers=[JSON_HEADER]), {"value_text": "{broken"}),
        (Record(value=b"", headers=[JSON_HEADER]), {"value_text": ""}),
        (Record(value=b'"\xff"', headers=[JSON_HEADER]), {"value_base64": "Iv8i"}),
        (Record(value=b'{"a":1}'), {"value_text": '{"a":1}'}),
        (Record(value=b"\xff", key=b"\xfe"), {"value_base64": "/w==", "key_base64": "/g=="}),
        (Record(value=b"x", key=b"k", timestamp_ns=1), {"value_text": "x", "key": "k"}),
    ],
)
def test_what_comes_out(record: records_pb2.Record, expected: dict[str, object]) -> None:
    """JSON where the record says so and it is; text where it is UTF-8; base64 otherwise."""
    found = given(record)
    assert (2, 0) == (found.pop("partition"), found.pop("offset"))
    found.pop("timestamp")
    found.pop("headers", None)
    assert expected == found


def test_what_came_out_can_go_in_again() -> None:
    """All of it: times, repeated headers, bytes that are no text."""
    headers = [("a", b"1"), ("a", b"\xff"), ("b", b"2"), ("content-type", b"application/json")]
    record = Record(value=b"[1]", key=b"\xff", timestamp_ns=1_700_000_000_000_000_001)
    for name, value in headers:
        record.headers.add(name=name, value=value)
    assert record == taken(msgspec.json.encode(from_record(record, 0)).decode())


def test_no_line_of_a_value_ends_an_event() -> None:
    """Whatever is in it, a record is one line: server-sent events depend on that."""
    for value in (b'{\n"a":\r"\\n"}', b'"a\r\nb"', b"a\nb\r\n"):
        for headers in ([], [JSON_HEADER]):
            encoded = msgspec.json.encode(from_record(Record(value=value, headers=headers, key=b"\n"), 0))
            assert 1 == len(encoded.splitlines())
