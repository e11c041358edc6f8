"""What a client sees that has nothing but the .proto files, on whole clusters in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

from cluster.sim.clock import Host, SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.sim.network import SimNetwork
from cluster.world import Channel

TOPIC = "t"
PARTITIONS = 6
RECORDS = 60
Body = Callable[[SimCluster], Awaitable[None]]


def in_a_cluster(body: Body, *, seeds: int = 3) -> Callable[[], None]:
    """A test on three nodes with a topic of some records, for several seeds; no handler may break on the way."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        cluster = SimCluster(loop)
        await cluster.start_all()
        client = cluster.client("writer")
        await asyncio.sleep(3)  # of virtual time: they choose a controller
        await client.create_topic(TOPIC, partitions=PARTITIONS, replicas=3)
        for number in range(RECORDS):
            await client.publish(TOPIC, b"%d" % number, key=b"%d" % number)
        await body(cluster)
        await client.abandon()
        assert [] == cluster.fabric.failed

    def test() -> None:
        for seed in range(1, seeds + 1):
            simulate(run(), seed)

    test.__doc__ = body.__doc__
    return test


def thin_channel(cluster: SimCluster, node: int) -> Channel:
    """To one node, from a host of its own."""
    return SimNetwork(cluster.fabric, Host("thin")).channel(f"node-{node}:7171")
