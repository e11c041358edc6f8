"""What becomes of a message: values, keys, headers, and of what does not decode."""

from typing import Any

import pytest
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cluster.connectors.contract import Delivery
from cluster.connectors.mqtt.messages import arrival, payload, properties


def message(content: bytes, *, topic: bytes = b"site/p1/t", retain: bool = False, **more: Any) -> MQTTMessage:
    """As paho has it; more are properties of MQTT 5."""
    found = MQTTMessage(1, topic)
    found.payload, found.retain = content, retain
    found.properties = Properties(PacketTypes.PUBLISH) if more else None
    for name, value in more.items():
        setattr(found.properties, name, value)
    return found


@pytest.mark.parametrize(
    ("written", "content", "expected"),
    [
        ("json", b'{"t": 21.5, "big": 12345678901234567890}', {"t": 21.5, "big": 12345678901234567890}),
        ("json", b" 3 ", 3),
        ("json", b"null", None),
        ("text", "21 °C".encode(), "21 °C"),
        ("bytes", b"\x00\xff", b"\x00\xff"),
        ("json", b"", b""),
        ("text", b"", b""),
    ],
)
def test_values(written: str, content: bytes, expected: Any) -> None:
    """By format; nothing is nothing in all of them."""
    found = arrival(message(content), 2, written)

    assert (expected, b"p1", (("mqtt_topic", b"site/p1/t"),)) == (found.value, found.key, found.headers)


@pytest.mark.parametrize(
    ("written", "content"),
    [
        ("json", b"21,5"),
        ("json", b'{"t": 21'),
        ("json", b'{"t": NaN}'),
        ("json", b"\xff\xfe\x00"),
        ("json", b'"\xc3\x28"'),
        ("json", b"[" * 100_000),
        ("text", b"\x80abc"),
    ],
)
def test_garbage_stays_what_it_is(written: str, content: bytes) -> None:
    """As bytes, with a header that says why they are that."""
    found = arrival(message(content), 0, written)

    assert content == found.value
    reason = dict(found.headers)["rr-undecoded"].decode()
    assert reason.startswith(f"not {written}: ")
    assert len(reason) <= 200


def test_a_topic_that_no_broker_should_let_pass() -> None:
    """Stops nothing."""
    assert "a/\ufffd".encode() == arrival(message(b"1", topic=b"a/\xff"), 0, "json").key


def test_properties_are_headers() -> None:
    """Those of MQTT by names of their own, those of the sender by his, unless they pretend to be ours."""
    given = message(
        b"{}",
        retain=True,
        ContentType="application/json",
        ResponseTopic="answers",
        CorrelationData=b"\x01\x02",
        UserProperty=[("unit", "C"), ("unit", "F"), ("rr-undecoded", "lie"), ("mqtt_topic", "lie")],
    )
    expected = [
        ("mqtt_topic", b"site/p1/t"),
        ("mqtt_retain", b"1"),
        ("content-type", b"application/json"),
        ("mqtt_response_topic", b"answers"),
        ("mqtt_correlation", b"\x01\x02"),
        ("unit", b"C"),
        ("unit", b"F"),
    ]

    assert expected == list(arrival(given, 0, "json").headers)


def test_headers_are_properties() -> None:
    """Where they are text; the id is one of them."""
    headers = (("unit", b"C"), ("raw", b"\xff"), ("mqtt_topic", b"x"), ("content-type", b"text/plain"))
    delivery = Delivery(value=b"21", key=None, timestamp_ns=0, headers=headers, offset=7, id="orders/0/7")
    made = properties(delivery)

    assert ([("riverrun-id", "orders/0/7"), ("unit", "C")], "text/plain") == (made.UserProperty, made.ContentType)


def test_payloads() -> None:
    """Bytes, nothing, or JSON."""
    assert [b"\xff", b"", b'{"a":[1,null]}', b'"x"'] == [payload(v) for v in (b"\xff", None, {"a": [1, None]}, "x")]
