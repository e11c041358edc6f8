"""CloudEvents 1.0 against its specification: what is required, what is refused, and how the Kafka binding maps it."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.broker.web.cloud_events import from_binary, from_structured, is_event, to_structured
from cluster.broker.web.content import parse_json
from cluster.errors import InvalidRequest
from cluster.wire.api import records_pb2

BASE = {"specversion": "1.0", "id": "1", "source": "/till/7", "type": "example.sold"}


def structured(event: dict[str, Any]) -> records_pb2.Record:
    """The record of an event in the JSON format."""
    return from_structured(parse_json(json.dumps(event).encode(), dict[str, msgspec.Raw]))


def binary(attributes: dict[str, str], content_type: str | None = None, body: bytes = b"") -> records_pb2.Record:
    """The record of an event whose attributes are HTTP headers."""
    return from_binary([(f"ce-{name}", text) for name, text in attributes.items()], content_type, body)


def headers_of(record: records_pb2.Record) -> dict[str, str]:
    """Names and text; no name repeats in these tests."""
    return {header.name: header.value.decode() for header in record.headers}


def test_attributes_become_headers() -> None:
    """`ce_` before each, the data's type as content-type; the key and the time are taken from theirs, too."""
    extras = {"subject": "apple", "time": "2026-01-31T08:00:00.5Z", "partitionkey": "alice"}
    record = structured(BASE | extras | {"datacontenttype": "application/json", "data": {"n": 3}})
    assert {f"ce_{name}": text for name, text in (BASE | extras).items()} | {
        "content-type": "application/json"
    } == headers_of(record)
    assert (b'{"n":3}', b"alice", 1_769_846_400_500_000_000) == (record.value, record.key, record.timestamp_ns)
    assert is_event(record)


@pytest.mark.parametrize(
    ("event", "value", "content_type"),
    [
        ({}, b"", None),
        ({"data": {"a": 1.10}}, b'{"a":1.1}', "application/json"),
        ({"data": None}, b"null", "application/json"),
        ({"data": "text"}, b'"text"', "application/json"),
        ({"data": [1], "datacontenttype": "application/x+json"}, b"[1]", "application/x+json"),
        ({"data": "<a/>", "datacontenttype": "application/xml"}, b"<a/>", "application/xml"),
        ({"data_base64": "/wA="}, b"\xff\x00", None),
        ({"data_base64": "/wA=", "datacontenttype": "image/png"}, b"\xff\x00", "image/png"),
        ({"data_base64": None, "data": 1}, b"1", "application/json"),
    ],
)
def test_data_becomes_the_value(event: dict[str, Any], value: bytes, content_type: str | None) -> None:
    """JSON as its text, text as its UTF-8, data_base64 as its bytes."""
    record = structured(BASE | event)
    assert (value, content_type) == (record.value, headers_of(record).get("content-type"))


def test_extensions_become_text() -> None:
    """As their canonical text; null is the same as absent."""
    record = structured(BASE | {"count": -3, "late": True, "nothing": None, "empty": ""})
    assert ("-3", "true", None, "") == tuple(
        headers_of(record).get(name) for name in ("ce_count", "ce_late", "ce_nothing", "ce_empty")
    )


WRONG = [
    ({"id": None}, "has no id"),
    ({"id": None, "type": None}, "has no id and no type"),
    ({"id": ""}, "id is empty"),
    ({"source": ""}, "source is empty"),
    ({"type": ""}, "type is empty"),
    ({"subject": ""}, "subject is empty"),
    ({"source": "a b"}, "source is no URI"),
    ({"specversion": "0.3"}, "specversion is '0.3'"),
    ({"time": "yesterday"}, "the event's time 'yesterday' is not RFC 3339"),
    ({"dataschema": ""}, "dataschema is empty"),
    ({"my_name": "x"}, "'my_name' is no name of an attribute"),
    ({"myName": "x"}, "'myName' is no name of an attribute"),
    ({"subject": "a\x07b"}, "subject has a control character"),
]
STRUCTURED_WRONG = [
    ({"id": 1.5}, "id is neither text nor integer nor boolean"),
    ({"extra": {"a": 1}}, "extra is neither text"),
    ({"extra": 1 << 31}, "extra is beyond a CloudEvents integer"),
    ({"data": 1, "data_base64": "YQ=="}, "both data and data_base64"),
    ({"data_base64": "?"}, "data_base64 is not base64"),
    ({"data_base64": 5}, "data_base64 is not base64"),
    ({"datacontenttype": "json"}, "datacontenttype 'json' is no media type"),
    ({"datacontenttype": "text/plain", "data": {}}, "data is of type text/plain, and so text"),
]


@pytest.mark.parametrize(("event", "says"), WRONG + STRUCTURED_WRONG)
def test_a_wrong_event_is_told_what_is_wrong(event: dict[str, Any], says: str) -> None:
    """By the name of the attribute."""
    with pytest.raises(InvalidRequest, match=says):
        structured({name: value for name, value in (BASE | event).items() if value is not None})


@pytest.mark.parametrize(("event", "says"), [(event, says) for event, says in WRONG if "myName" not in event])
def test_a_wrong_event_in_headers_is_told_the_same(event: dict[str, Any], says: str) -> None:
    """Names of headers have no case."""
    with pytest.raises(InvalidRequest, match=says):
        binary({name: value for name, value in (BASE | event).items() if value is not None})


def test_numbers_beyond_every_type_are_refused() -> None:
    """They are JSON, and as data they are kept as they are; as text, or as an attribute, they are nothing."""
    base = json.dumps(BASE)[:-1]
    data = parse_json(f'{base}, "data": 1e999}}'.encode(), dict[str, msgspec.Raw])
    assert b"1e999" == from_structured(data).value
    for rest in ('"extra": 1e999', '"data": 1e999, "datacontenttype": "text/plain"', '"data_base64": 1e999'):
        event = parse_json(f"{base}, {rest}}}".encode(), dict[str, msgspec.Raw])
        with pytest.raises(InvalidRequest, match="cannot be read"):
            from_structured(event)


TEXTS = st.text('a1/:=é€ \x00"\\', max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from([*BASE, "data", "data_base64", "time", "datacontenttype", "x"]), VALUES))
def test_whatever_is_no_event_is_told_so(event: dict[str, Any]) -> None:
    """An event, or InvalidRequest: nothing else comes of any JSON object; and what is taken survives the way back."""
    try:
        record = structured(event)
    except InvalidRequest:
        return
    assert record == structured(json.loads(msgspec.json.encode(to_structured(record))))


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(["subject", "time", "x", "partitionkey"]), TEXTS, max_size=2), st.binary())
def test_what_is_taken_comes_back(extras: dict[str, str], data: bytes) -> None:
    """Of any text and any bytes."""
    try:
        record = structured(BASE | extras | {"data_base64": base64.b64encode(data).decode()})
    except InvalidRequest:
        return
    assert data == record.value
    assert record == structured(json.loads(msgspec.json.encode(to_structured(record))))


def test_binary_data_is_the_body_as_it_is() -> None:
    """Of any type, or of none."""
    record = from_binary([("CE-" + name.title(), text) for name, text in BASE.items()], "text/plain", b"\xff\x00")
    assert (b"\xff\x00", "text/plain", "1") == (
        record.value,
        headers_of(record)["content-type"],
        headers_of(record)["ce_id"],
    )
    assert "content-type" not in headers_of(binary(BASE, None, b"x"))


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("100%25", "100%"),
        ('"quoted \\"text\\""', 'quoted "text"'),
        ("€".encode().decode("latin-1"), "€"),
        ("a%zz", "a%zz"),
    ],
)
def test_headers_are_decoded(sent: str, text: str) -> None:
    """HTTP binding §3.1.3.2: quotes off, then percent-decoded."""
    assert text == headers_of(binary(BASE | {"subject": sent}))["ce_subject"]


@pytest.mark.parametrize(
    ("name", "says"), [("data", "the body"), ("datacontenttype", "Content-Type"), ("subject", "percent-encoded UTF-8")]
)
def test_headers_that_cannot_be(name: str, says: str) -> None:
    """Data has its own places, and text is UTF-8."""
    with pytest.raises(InvalidRequest, match=says):
        binary(BASE | {name: "%FF"})
    with pytest.raises(InvalidRequest, match="twice"):
        from_binary([("ce-id", "1"), ("CE-ID", "2")], None, b"")


@pytest.mark.parametrize(
    "event",
    [
        BASE,
        BASE | {"data": {"a": [1, None]}, "datacontenttype": "application/json"},
        BASE | {"data": "<a/>", "datacontenttype": "application/xml; charset=utf-8", "subject": "€"},
        BASE | {"data_base64": "/wA=", "datacontenttype": "image/png", "partitionkey": "k"},
        BASE | {"data_base64": "/wA="},
        BASE | {"data_base64": "MA=="},  # the text of a number, and of no type: no JSON is made of it
        BASE | {"time": "2026-01-31T08:00:00.123456789+01:00", "extension": "x", "dataschema": "https://example.com/s"},
    ],
)
def test_an_event_comes_out_as_it_went_in(event: dict[str, Any]) -> None:
    """Attribute by attribute, the time with its own offset, too."""
    assert event == json.loads(msgspec.json.encode(to_structured(structured(event))))


def test_what_was_published_by_others_is_an_event_all_the_same() -> None:
    """A producer that knows only the Kafka binding wrote this record."""
    record = records_pb2.Record(value=b"not JSON")
    for name, text in BASE.items():
        record.headers.add(name=f"ce_{name}", value=text.encode())
    assert BASE | {"data_base64": "bm90IEpTT04="} == to_structured(record)
    assert not is_event(records_pb2.Record(value=b"x"))
