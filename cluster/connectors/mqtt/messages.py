"""Messages as records, and records as messages.

| MQTT | record |
|---|---|
| topic | key (all of it, or a level), header `mqtt_topic` |
| payload | value: JSON, text or bytes; empty: empty (a tombstone, where the topic is compacted) |
| "this was retained" | header `mqtt_retain`: it was published some time ago |
| content type | header `content-type` |
| response topic, correlation data | headers `mqtt_response_topic`, `mqtt_correlation` |
| user properties | headers of their names, but for those that begin with `mqtt_` or `rr-` |

A payload that is not what `format` says comes as the bytes that it is, with the header `rr-undecoded` that says why.
On the way out headers become user properties, where they are UTF-8.
"""

from typing import Any

import msgspec
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cluster.connectors.contract import Arrival, Delivery
from cluster.connectors.mqtt.topics import key_of

UNDECODED_HEADER = "rr-undecoded"
TOPIC_HEADER, RETAIN_HEADER = "mqtt_topic", "mqtt_retain"
RESPONSE_HEADER, CORRELATION_HEADER = "mqtt_response_topic", "mqtt_correlation"
CONTENT_TYPE = "content-type"
ID_PROPERTY = "riverrun-id"
OURS = ("mqtt_", "rr-")
PROPERTY_BYTES_MAX = 65535
REASON_CHARS_MAX = 200


def arrival(message: MQTTMessage, key_level: int, written: str) -> Arrival:
    """As what it was published with says; `written` is the options' format."""
    topic = _topic(message)
    headers = [(TOPIC_HEADER, topic.encode())]
    if message.retain:
        headers.append((RETAIN_HEADER, b"1"))
    value: Any = message.payload
    if value:
        try:
            value = _decoded(value, written)
        except (ValueError, RecursionError) as error:
            headers.append((UNDECODED_HEADER, f"not {written}: {error}"[:REASON_CHARS_MAX].encode(errors="replace")))
    if message.properties is not None:
        headers += _headers(message.properties)
    return Arrival(value=value, key=key_of(topic, key_level), headers=tuple(headers))


def _topic(message: MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        # No broker should let it pass; it stops nothing.
        return message._topic.decode(errors="replace")  # noqa: SLF001


def _decoded(payload: bytes, written: str) -> Any:
    if written == "json":
        return msgspec.json.decode(payload)
    return payload.decode() if written == "text" else payload


def _headers(properties: Properties) -> list[tuple[str, bytes]]:
    found = []
    if (content_type := getattr(properties, "ContentType", None)) is not None:
        found.append((CONTENT_TYPE, content_type.encode()))
    if (response := getattr(properties, "ResponseTopic", None)) is not None:
        found.append((RESPONSE_HEADER, response.encode()))
    if (correlation := getattr(properties, "CorrelationData", None)) is not None:
        found.append((CORRELATION_HEADER, bytes(correlation)))
    users = getattr(properties, "UserProperty", [])
    return found + [(name, text.encode()) for name, text in users if not name.startswith(OURS)]


def payload(value: Any) -> bytes:
    """Bytes as they are, a deletion as nothing, else JSON."""
    if value is None:
        return b""
    return value if isinstance(value, bytes) else msgspec.json.encode(value)


def properties(delivery: Delivery) -> Properties:
    """Its id and its headers."""
    made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    users = [(ID_PROPERTY, delivery.id)]
    for name, value in delivery.headers:
        text = _text(value)
        if text is None or name.startswith(OURS):
            continue
        if name == CONTENT_TYPE:
            made.ContentType = text
        else:
            users.append((name, text))
    if delivery.value is not None and not isinstance(delivery.value, bytes):
        made.ContentType = "application/json"
    made.UserProperty = users
    return made


def _text(value: bytes) -> str | None:
    """As a user property may be: UTF-8 without zeros, of two bytes' length."""
    if len(value) > PROPERTY_BYTES_MAX or b"\x00" in value:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
