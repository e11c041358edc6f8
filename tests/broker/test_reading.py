"""One read of many partitions, as a thin client asks for it: whole clusters in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cluster.broker.read_service import READ
from cluster.errors import OffsetOutOfRange
from cluster.sim.clock import Host, SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.sim.network import SimNetwork
from cluster.wire.api import stream_pb2
from cluster.world import Stream

PARTITIONS = 6
pytestmark = pytest.mark.slow
RECORDS = 60
Body = Callable[[SimCluster], Awaitable[None]]


def in_a_cluster(body: Body) -> Callable[[], None]:
    """A test on three nodes with a topic of some records, for several seeds; no handler may break on the way."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        cluster = SimCluster(loop)
        await cluster.start_all()
        client = cluster.client("writer")
        await asyncio.sleep(3)  # of virtual time: they choose a controller
        await client.create_topic("t", partitions=PARTITIONS, replicas=3)
        for number in range(RECORDS):
            await client.publish("t", b"%d" % number, key=b"%d" % number)
        await body(cluster)
        await client.abandon()
        assert [] == cluster.fabric.failed

    def test() -> None:
        for seed in range(1, 4):
            simulate(run(), seed)

    test.__doc__ = body.__doc__
    return test


async def read(cluster: SimCluster, node: int, **asked: object) -> Stream:
    """A read of all partitions, at one node."""
    stream = SimNetwork(cluster.fabric, Host("thin")).channel(f"node-{node}:7171").stream(READ)
    await stream.send(stream_pb2.ReadRequest(topic="t", **asked).SerializeToString())
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
async def test_a_read_outlives_the_leaders_behind_it(cluster: SimCluster) -> None:
    """The node that it talks to goes on with the next leader, where it was; nothing comes twice."""
    stream = await read(cluster, 1)
    found = await values_of(stream, enough=RECORDS)
    cluster.crash(3)
    client = cluster.client("later")
    for number in range(RECORDS, 2 * RECORDS):
        await client.publish("t", b"%d" % number, key=b"%d" % number)
    found += await values_of(stream, enough=RECORDS)
    stream.cancel()
    await client.abandon()

    assert list(range(2 * RECORDS)) == sorted(found)
