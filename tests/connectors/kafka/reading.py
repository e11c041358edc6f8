"""What is in a topic, as any other program sees it."""

from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from tests.servers.kafka import KafkaServer


class Found(NamedTuple):
    """A record."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


def everything(server: KafkaServer, topic: str) -> list[Found]:
    """All of it, partition by partition."""
    reader = Consumer({"bootstrap.servers": server.servers, "group.id": "tests", "log_level": 0})
    found: list[Found] = []
    try:
        for number, end in sorted(server.ends(topic).items()):
            reader.assign([TopicPartition(topic, number, 0)])
            while reader.position([TopicPartition(topic, number)])[0].offset < end:
                for message in reader.consume(1000, 0.5):
                    assert message.error() is None, message.error()
                    found.append(Found(number, message.key(), message.value(), dict(message.headers() or ())))
    finally:
        reader.close()
    return found
