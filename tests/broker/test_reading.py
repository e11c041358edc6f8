"""One read of many partitions, as a thin client asks for it: whole clusters in virtual time."""

import asyncio

import pytest

from cluster.broker.read_service import READ
from cluster.errors import OffsetOutOfRange, TopicDeleted
from cluster.sim.cluster import SimCluster
from cluster.wire.api import stream_pb2
from cluster.world import Stream
from tests.broker.thin import PARTITIONS, RECORDS, TOPIC, in_a_cluster, thin_channel

pytestmark = pytest.mark.slow


async def read(cluster: SimCluster, node: int, **asked: object) -> Stream:
    """A read of all partitions, at one node."""
    stream = thin_channel(cluster, node).stream(READ)
    await stream.send(stream_pb2.ReadRequest(topic=TOPIC, **asked).SerializeToString())
    await stream.finish()
    return stream


async def values_of(stream: Stream, enough: int) -> list[int]:
    """What comes until the end, or until it is enough."""
    found: list[int] = []
    while len(found) < enough and (data := await stream.receive()) is not None:
        found += [int(record.value) for record in stream_pb2.ReadResponse.FromString(data).records]
    return found


@in_a_cluster
async def test_all_partitions_are_read_to_their_ends(cluster: SimCluster) -> None:
    """Each record once, through a node that leads some of them; then the stream ends."""
    for node in cluster.nodes:
        stream = await read(cluster, node, until=stream_pb2.Position(latest=True))
        assert list(range(RECORDS)) == sorted(await values_of(stream, enough=1 << 30))


@in_a_cluster
async def test_a_wrong_start_is_refused_by_its_name(cluster: SimCluster) -> None:
    """Of all partitions as of one: the error used to come wrapped, and so as an unknown one."""
    for partitions in ([0], range(PARTITIONS)):
        stream = await read(cluster, 1, partitions=partitions, start=stream_pb2.Position(offset=999))
        with pytest.raises(OffsetOutOfRange, match="999 is not between"):
            await values_of(stream, enough=1)


@in_a_cluster
async def test_a_reader_may_leave_at_any_time(cluster: SimCluster) -> None:
    """Its loops end with it."""
    before = len(asyncio.all_tasks())
    for enough in (1, 7, RECORDS):
        stream = await read(cluster, 2)
        assert len(await values_of(stream, enough=enough)) >= enough
        stream.cancel()
        await asyncio.sleep(1)
    assert before == len(asyncio.all_tasks())


@in_a_cluster
async def test_a_read_ends_with_its_topic(cluster: SimCluster) -> None:
    """By its name, at a node that leads and at one that relays; a topic that is made anew is another one."""
    streams = [await read(cluster, node) for node in cluster.nodes]
    for stream in streams:
        await values_of(stream, enough=RECORDS)
    client = cluster.client("admin")
    await client.delete_topic(TOPIC)
    await client.create_topic(TOPIC, partitions=PARTITIONS)
    for stream in streams:
        with pytest.raises(TopicDeleted):
            await values_of(stream, enough=1)
    await client.abandon()


@in_a_cluster
async def test_a_read_outlives_the_leaders_behind_it(cluster: SimCluster) -> None:
    """The node that it talks to goes on with the next leader, where it was; nothing comes twice."""
    stream = await read(cluster, 1)
    found = await values_of(stream, enough=RECORDS)
    cluster.crash(3)
    client = cluster.client("later")
    for number in range(RECORDS, 2 * RECORDS):
        await client.publish(TOPIC, b"%d" % number, key=b"%d" % number)
    found += await values_of(stream, enough=RECORDS)
    stream.cancel()
    await client.abandon()

    assert list(range(2 * RECORDS)) == sorted(found)


@in_a_cluster
async def test_a_reader_at_the_end_follows_its_partition_away_from_a_full_disk(cluster: SimCluster) -> None:
    """The node that has no room takes no entries, and so hears of no commit: who waited there waited for room."""

    def leader() -> int | None:
        led = (
            number
            for number, node in cluster.running.items()
            for partition, run in node.broker.running.items()
            if partition.number == 0 and run.replica.raft.is_leader
        )
        return next(led, None)

    full = leader()
    assert full is not None
    stream = await read(cluster, full, partitions=[0], start=stream_pb2.Position(latest=True))
    await stream.receive()  # it stands at the end
    disk = cluster.disks[full]
    disk.capacity_bytes -= disk.free_bytes()
    client = cluster.client("later")
    published = 0
    while leader() in {full, None} or published < 20:
        await client.publish(TOPIC, b"%d" % published + b" " * 30_000, partition=0)
        published += 1
    for _ in range(10):
        await client.publish(TOPIC, b"%d" % published + b" " * 30_000, partition=0)
        published += 1
    async with asyncio.timeout(10):
        found = await values_of(stream, enough=published)
    assert list(range(published)) == found
    assert disk.free_bytes() < 100_000
    stream.cancel()
    await client.abandon()
