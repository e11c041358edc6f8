"""A topic of an Apache Kafka written to: what is there, what is refused, who is away."""

import json
from typing import Any

import pytest

from cluster.connectors.contract import Delivery, Position, Sink
from cluster.connectors.kafka.options import KafkaSink
from cluster.errors import InvalidRoute, RecordRefused, Unreachable
from tests.connectors.kafka.reading import everything
from tests.servers.kafka import KafkaServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
LANE = "here/topic/0"


def opened(server: KafkaServer, topic: str, **more: Any) -> Sink:
    """A sink there."""
    options = {"bootstrap_servers": server.servers} | more
    return KafkaSink(topic=topic, **options).open("tests")


def delivery(number: int, value: Any, key: bytes | None = b"k") -> Delivery:
    """One of those that the tests deliver."""
    return Delivery(
        value=value, key=key, timestamp_ns=5_000_000, headers=(("h", b"1"),), offset=number, id=f"{LANE}@{number}"
    )


def position(begin: int, end: int) -> Position:
    """Of the one lane."""
    return Position(lane=LANE, begin=begin, end=end)


async def test_what_is_delivered_is_there(server: KafkaServer) -> None:
    """With key, headers and id; bytes as they are, else JSON; a deletion is a tombstone."""
    topic = server.topic("delivered", 3)
    sink = opened(server, topic)
    assert await sink.last_position(LANE) is None
    assert await sink.write([delivery(0, {"n": 1}), delivery(1, b"\x00"), delivery(2, None)], position(0, 3))
    assert await sink.write([], position(3, 4))
    await sink.close()
    found = everything(server, topic)
    assert [b'{"n":1}', b"\x00", None] == [record.value for record in found]
    assert {(b"k", b"1")} == {(record.key, record.headers["h"]) for record in found}
    assert [f"{LANE}@{number}".encode() for number in range(3)] == [record.headers["riverrun-id"] for record in found]


async def test_a_key_goes_where_kafkas_own_clients_put_it(server: KafkaServer) -> None:
    """murmur2: the partitions that the Java client's hash gives (its own test has these hashes)."""
    topic = server.topic("places", 97)
    sink = opened(server, topic)
    hashes = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    await sink.write([delivery(n, n, key) for n, key in enumerate(hashes)], position(0, 3))
    await sink.close()
    expected = {key: (value & 0x7FFFFFFF) % 97 for key, value in hashes.items()}
    found = server.ends(topic)
    assert dict.fromkeys(expected.values(), 1) == found


async def test_one_that_is_too_large_is_named(server: KafkaServer) -> None:
    """By its place; those beside it may be there, with their ids, and the next piece is taken."""
    topic = server.topic("narrow", max_message_bytes="2000")
    sink = opened(server, topic, compression_type="none")
    batch = [delivery(number, {"n": number, "x": "x" * (5000 if number == 2 else 1)}) for number in range(4)]
    with pytest.raises(RecordRefused, match=f"kafka {server.servers}, topic narrow: .*large") as told:
        await sink.write(batch, position(0, 4))
    assert told.value.place == 2
    del batch[2]
    assert await sink.write(batch, position(0, 4))
    await sink.close()
    assert {0, 1, 3} == {json.loads(record.value or b"")["n"] for record in everything(server, topic)}


async def test_small_ones_that_are_too_large_together_are_written(server: KafkaServer) -> None:
    """What Kafka refuses together it takes one by one."""
    topic = server.topic("narrow-too", max_message_bytes="2000")
    sink = opened(server, topic, compression_type="none")
    batch = [delivery(number, b"x" * 500, b"k%d" % number) for number in range(30)]
    assert await sink.write(batch, position(0, 30))
    await sink.close()
    assert {delivery.key for delivery in batch} == {record.key for record in everything(server, topic)}


async def test_a_compacted_topic_refuses_what_has_no_key(server: KafkaServer) -> None:
    """By its place."""
    topic = server.topic("compacted", cleanup_policy="compact")
    sink = opened(server, topic)
    batch = [delivery(0, b"a"), delivery(1, b"b", None), delivery(2, b"c")]
    with pytest.raises(RecordRefused) as told:
        await sink.write(batch, position(0, 3))
    await sink.close()
    assert told.value.place == 1


async def test_a_topic_that_is_not_there_is_said(server: KafkaServer) -> None:
    """Topics are not made there by being written to."""
    sink = opened(server, "absent")
    with pytest.raises(InvalidRoute, match=f"kafka {server.servers}, topic absent: it has no such topic"):
        await sink.write([delivery(0, 1)], position(0, 1))
    await sink.close()


async def test_a_password_that_is_wrong_is_said(server: KafkaServer) -> None:
    """Without saying it."""
    sink = opened(
        server,
        "any",
        bootstrap_servers=f"127.0.0.1:{server.sasl_port}",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="alice",
        sasl_password="wr0ng",
    )
    with pytest.raises(InvalidRoute, match="refuses us: ") as told:
        await sink.write([delivery(0, 1)], position(0, 1))
    await sink.close()
    assert "wr0ng" not in str(told.value)


async def test_one_that_is_away_is_waited_for() -> None:
    """And says where."""
    sink = KafkaSink(bootstrap_servers="127.0.0.1:9", topic="x", timeout="2s").open("tests")
    with pytest.raises(Unreachable, match=r"kafka 127\.0\.0\.1:9, topic x"):
        await sink.write([delivery(0, 1)], position(0, 1))
    await sink.close()


async def test_one_that_hangs_is_told_of_and_goes_on(server: KafkaServer) -> None:
    """In doubt is written again. Only what has to run out of time is given little: a loaded machine answers late."""
    topic = server.topic("hung")
    patient = opened(server, topic)
    assert await patient.write([delivery(0, 0)], position(0, 1))
    await patient.close()
    sink = opened(server, topic, timeout="2s")
    with server.frozen(), pytest.raises(Unreachable, match="topic hung"):
        await sink.write([delivery(1, 1)], position(1, 2))
    await sink.close()
    again = opened(server, topic)
    assert await again.write([delivery(1, 1)], position(1, 2))
    await again.close()
    ids = [record.headers["riverrun-id"] for record in everything(server, topic)]
    assert [f"{LANE}@{number}".encode() for number in (0, 1)] == list(dict.fromkeys(ids))
