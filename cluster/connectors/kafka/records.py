"""Kafka's records as ours, and ours as Kafka's.

| Kafka | record |
|---|---|
| key, timestamp | the same; a record without a time has the time at which it came |
| value | JSON, text or bytes; a tombstone: empty (a deletion, where the topic is compacted) |
| headers | the same, but for those that begin with `kafka_` or `rr-` |
| topic, partition, offset | headers `kafka_topic`, `kafka_partition`, `kafka_offset` |

A value that is not what `format` says comes as the bytes that it is, with the header `rr-undecoded` that says why.
"""

from typing import Any

import msgspec
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from cluster.connectors.contract import Arrival, Delivery
from cluster.connectors.kafka import ID_HEADER, OFFSET_HEADER, OURS, PARTITION_HEADER, TOPIC_HEADER
from cluster.connectors.lines import UNDECODED

NS_PER_MS = 1_000_000
REASON_CHARS_MAX = 200


def arrival(message: Message, written: str) -> Arrival:
    """A record that was read; `written` is the options' format."""
    kind, ms = message.timestamp()
    value: Any = message.value() or b""
    had: Any = message.headers() or ()
    headers = [
        (name, content.encode() if isinstance(content, str) else content or b"")
        for name, content in had
        if not name.startswith(OURS)
    ]
    if value and written != "bytes":
        try:
            value = msgspec.json.decode(value) if written == "json" else value.decode()
        except (ValueError, RecursionError) as error:
            headers.append((UNDECODED, f"not {written}: {error}"[:REASON_CHARS_MAX].encode(errors="replace")))
    said = (
        (TOPIC_HEADER, f"{message.topic()}".encode()),
        (PARTITION_HEADER, f"{message.partition()}".encode()),
        (OFFSET_HEADER, f"{message.offset()}".encode()),
    )
    key = message.key()
    return Arrival(
        value=value,
        key=key.encode() if isinstance(key, str) else key,
        timestamp_ns=0 if kind == TIMESTAMP_NOT_AVAILABLE else max(0, ms * NS_PER_MS),
        headers=(*headers, *said),
    )


def size(message: Message) -> int:
    """Bytes of it that are to be kept."""
    return len(message) + len(message.key() or b"")


def produced(delivery: Delivery) -> dict[str, Any]:
    """As a producer takes it: with its id, and the headers that it has."""
    value = delivery.value
    return {
        "key": delivery.key,
        "value": value if value is None or isinstance(value, bytes) else msgspec.json.encode(value),
        "timestamp": delivery.timestamp_ns // NS_PER_MS,
        "headers": [*delivery.headers, (ID_HEADER, delivery.id.encode())],
    }
