"""Apache Kafka and our process killed at random moments: captured once; written at least once, in order by key."""

import json
from collections import defaultdict
from collections.abc import Iterator

import pytest

from cluster.connectors.contract import Arrival, Delivery
from cluster.connectors.kafka.options import KafkaSink, KafkaSource
from tests.connectors.kafka.reading import everything
from tests.connectors.kills import kill_sink, kill_source
from tests.servers.kafka import KafkaServer

pytestmark = [pytest.mark.slow, pytest.mark.processes, pytest.mark.timeout(600)]
SEED = 29
RECORDS = 1200
POINTS = [2, pytest.param(20, marks=pytest.mark.long)]
"""Kafka takes some seconds to start again."""


@pytest.fixture
def fresh() -> Iterator[KafkaServer]:
    """One that may be killed."""
    found = KafkaServer()
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.mark.parametrize("points", POINTS)
def test_what_is_captured_comes_once(fresh: KafkaServer, points: int) -> None:
    """All of what was acknowledged to its producer, partition by partition in its order."""
    topic = fresh.topic("tills", 2)
    tried: list[int] = []
    sent: set[int] = set()
    producer = fresh.producer(linger_ms=0)

    def settled(number: int, error: object) -> None:
        if error is None:
            sent.add(number)

    def feed() -> None:
        if len(producer) < 100:
            number = len(tried)
            tried.append(number)
            producer.produce(
                topic, b"%d" % number, key=b"k%d" % (number % 9), on_delivery=lambda error, _: settled(number, error)
            )
        producer.poll(0.002)

    def done(records: list[Arrival]) -> bool:
        producer.flush(0.1)
        return not len(producer) and sent <= {int(record.value) for record in records}

    options = KafkaSource(bootstrap_servers=fresh.servers, topics=(topic,), format="text")
    found = kill_source(
        options, truth_done=done, peer=fresh, points=points, seed=SEED, feed=feed, share="0", zombies=True
    )
    numbers = [int(record.value) for record in found]
    assert len(sent) > 20
    assert len(set(numbers)) == len(numbers)
    assert sent <= set(numbers) <= set(tried)
    places = defaultdict(list)
    for record in found:
        headers = dict(record.headers)
        places[headers["kafka_partition"]].append(int(headers["kafka_offset"]))
    assert {b"0", b"1"} == set(places)
    assert all(offsets == sorted(set(offsets)) for offsets in places.values())


@pytest.mark.parametrize("points", POINTS)
def test_what_is_delivered_is_there_at_least_once(fresh: KafkaServer, points: int) -> None:
    """With its id, by which it is once; a key's records are in their order wherever each comes for the first time."""
    topic = fresh.topic("copies", 3)
    given = [
        Delivery(
            value={"n": n}, key=b"k%d" % (n % 7), timestamp_ns=1, headers=(), offset=n, id=f"kills/topic/{n % 7}@{n}"
        )
        for n in range(RECORDS)
    ]
    options = KafkaSink(bootstrap_servers=fresh.servers, topic=topic)
    kill_sink(options, given, peer=fresh, points=points, seed=SEED, lanes=3, wait_s=60)
    first: dict[bytes, dict[bytes, int]] = defaultdict(dict)
    for record in everything(fresh, topic):
        assert record.key is not None
        assert record.value is not None
        first[record.key].setdefault(record.headers["riverrun-id"], json.loads(record.value)["n"])
    for key, numbers in first.items():
        assert [delivery.offset for delivery in given if delivery.key == key] == list(numbers.values())
    assert {delivery.id.encode() for delivery in given} == {name for ids in first.values() for name in ids}
