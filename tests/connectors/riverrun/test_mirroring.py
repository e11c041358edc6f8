"""Another cluster as a source and as a sink: each record once, whoever is killed; what is wrong is one sentence."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.arenas.processes.ports import claimed_ports
from cluster import Record, connect, connect_blocking
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.connectors.contract import Arrival, Delivery, Position
from cluster.connectors.riverrun.options import RiverrunTopic, RiverrunTopicSink
from cluster.errors import InvalidRoute, RiverrunError, Unreachable
from tests.connectors.kills import kill_sink, kill_source

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(180)]
LANE = "there/topic/0"


class Peer:
    """A cluster of one node; see Killable."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.servers = cluster.addresses[0]

    def kill(self) -> None:
        """SIGKILL."""
        self.cluster.kill(1)

    def start(self) -> None:
        """Until it answers."""
        self.cluster.start(1)
        asyncio.run(wait_ready(self.cluster))


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    """It runs, and ends with the test."""
    with claimed_ports(1) as port:
        found = Peer(LocalCluster(tmp_path / "peer", nodes=1, port=port))
        try:
            found.start()
            yield found
        finally:
            found.cluster.stop()


async def values(servers: str, topic: str) -> dict[int, list[bytes]]:
    """All that is in a topic, by partition."""
    found: dict[int, list[bytes]] = {}
    async with connect(servers) as client:
        async for record in client.read(topic, until="latest"):
            found.setdefault(record.partition, []).append(record.value)
    return found


def topic(servers: str, name: str, partitions: int = 2) -> None:
    """It is there."""
    with connect_blocking(servers) as client:
        client.create_topic(name, partitions=partitions, replicas=1)


def delivery(number: int, value: bytes | None = None) -> Delivery:
    """One of those that the tests deliver."""
    return Delivery(
        value={"number": number} if value is None else value,
        key=b"k%d" % (number % 5),
        timestamp_ns=number + 1,
        headers=(("h", b"x"),),
        offset=number,
        id=f"{LANE}@{number}",
    )


@pytest.mark.parametrize("points", [4, pytest.param(20, marks=pytest.mark.long)])
def test_what_is_delivered_is_there_once_though_both_sides_are_killed(peer: Peer, points: int) -> None:
    """In the order of each lane; some of those who deliver are frozen, and go on when they were replaced."""
    topic(peer.servers, "copy")
    deliveries = [delivery(number) for number in range(600)]
    kill_sink(
        RiverrunTopicSink(servers=peer.servers, topic="copy"),
        deliveries,
        peer=peer,
        points=points,
        seed=3,
        lanes=2,
        zombies=True,
    )
    found = asyncio.run(values(peer.servers, "copy"))
    numbers = [[json.loads(value)["number"] for value in found[partition]] for partition in sorted(found)]
    assert list(range(600)) == sorted(number for part in numbers for number in part)
    assert all(part == sorted(part) for part in numbers)


@pytest.mark.parametrize("points", [4, pytest.param(20, marks=pytest.mark.long)])
def test_what_is_captured_comes_once_though_both_sides_are_killed(peer: Peer, points: int) -> None:
    """With its key and time, and where it stood."""
    topic(peer.servers, "tills")
    tried: list[int] = []
    sent: list[int] = []
    client = connect_blocking(peer.servers)

    def feed() -> None:
        number = len(tried)
        tried.append(number)
        with contextlib.suppress(RiverrunError):  # what became of it may be unknown
            client.publish("tills", b"%d" % number, key=b"k%d" % (number % 5), timestamp_ns=number + 1)
            sent.append(number)

    def done(records: list[Arrival]) -> bool:
        return set(sent) <= {int(record.value) for record in records}

    with client:
        found = kill_source(
            RiverrunTopic(servers=peer.servers, topic="tills"),
            truth_done=done,
            peer=peer,
            points=points,
            seed=5,
            feed=feed,
            share="0",
            zombies=True,
        )
    numbers = [int(arrival.value) for arrival in found]
    assert len(numbers) == len(set(numbers))
    assert set(sent) <= set(numbers) <= set(tried)
    first = next(arrival for arrival in found if arrival.value == b"0")
    assert (b"k0", 1) == (first.key, first.timestamp_ns)
    assert ["mirror-topic", "mirror-partition", "mirror-offset"] == [name for name, _ in first.headers]


async def test_a_topic_that_somebody_else_writes_to_is_not_written(peer: Peer) -> None:
    """And one that has too few partitions, or is not there, says so."""
    async with connect(peer.servers) as client:
        await client.create_topic("shared", partitions=1, replicas=1)
        sink = RiverrunTopicSink(servers=peer.servers, topic="shared").open("there")
        assert await sink.last_position(LANE) is None
        assert await sink.write([delivery(0)], Position(lane=LANE, begin=0, end=7))
        assert 7 == await sink.last_position(LANE)
        await client.append("shared", 0, [Record(value=b"mine")])
        with pytest.raises(Unreachable, match="partition 0 does not end where this route left it"):
            await sink.write([delivery(1)], Position(lane=LANE, begin=7, end=8))
        with pytest.raises(InvalidRoute, match="it has 1 partitions, and there is something for partition 3"):
            await sink.last_position("there/topic/3")
        await sink.close()
        absent = RiverrunTopicSink(servers=peer.servers, topic="absent").open("there")
        with pytest.raises(InvalidRoute, match="topic 'absent' at"):
            await absent.last_position(LANE)
        await absent.close()


async def test_latest_is_where_it_was_first_looked_at_and_what_was_deleted_is_said(peer: Peer) -> None:
    """The place is in the first cursor, before anything came."""
    async with connect(peer.servers) as client:
        await client.create_topic("old", partitions=1, replicas=1)
        for number in range(5):
            await client.publish("old", b"%d" % number)
        source = RiverrunTopic(servers=peer.servers, topic="old", start="latest").open("0", "there")
        first = await source.read(None)
        assert ([], b'{"0":5}') == (list(first.records), first.cursor)
        await source.close()
        await client.publish("old", b"5")
        again = RiverrunTopic(servers=peer.servers, topic="old", start="latest").open("0", "there")
        assert [b"5"] == [record.value for record in (await again.read(first.cursor)).records]
        await again.close()
        await client.delete_records("old", 0, before=6)
        late = RiverrunTopic(servers=peer.servers, topic="old").open("0", "there")
        with pytest.raises(InvalidRoute, match="was deleted there before it was captured"):
            await late.read(b'{"0":2}')
        await late.close()


async def test_a_cluster_that_is_away_is_waited_for(peer: Peer) -> None:
    """Each says where."""
    away = "127.0.0.1:9"
    source = RiverrunTopic(servers=away, topic="tills").open("0", "there")
    with pytest.raises(Unreachable, match=r"topic 'tills' at 127\.0\.0\.1:9"):
        await source.read(None)
    sink = RiverrunTopicSink(servers=away, topic="tills").open("there")
    with pytest.raises(Unreachable, match=r"topic 'tills' at 127\.0\.0\.1:9"):
        await sink.last_position(LANE)
    await source.close()
    await sink.close()
    assert peer.servers != away
