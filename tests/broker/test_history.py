"""A node that starts acts on what is, not on what was: it does not live through the controller's history again."""

import asyncio
from typing import ClassVar

import pytest

from cluster.broker.replica import Replica
from cluster.errors import UnknownTopic
from cluster.metadata import TopicConfig
from cluster.node import Node
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster

pytestmark = pytest.mark.slow


async def restart_all(cluster: SimCluster) -> None:
    """All nodes at once, as after a power failure."""
    for node in cluster.nodes:
        cluster.crash(node)
    await cluster.start_all()


class Configured(Replica):
    """A replica of which is known what it was told to keep."""

    seen: ClassVar[list[int | None]] = []

    def configure(self, config: TopicConfig) -> None:
        """See Replica."""
        self.seen.append(config.retention_ms)
        super().configure(config)


class ConfiguredNode(Node):
    """A node with such replicas."""

    replica_class = Configured


def on_three_nodes(work) -> None:
    """In virtual time."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        cluster = SimCluster(loop)
        cluster.node_class = ConfiguredNode
        await cluster.start_all()
        client = cluster.client("admin")
        await asyncio.sleep(3)
        await work(cluster, client)
        await client.abandon()
        assert [] == cluster.fatal

    simulate(run(), 1)


def test_a_deleted_topic_is_not_made_again() -> None:
    """Cluster seed 125: one of three replicas was away when its topic was deleted, and led the other two, made anew."""

    async def work(cluster: SimCluster, client) -> None:
        await client.create_topic("t", partitions=2, replicas=3)
        topic = cluster.running[1].broker.directory.by_name["t"].id
        await client.publish("t", b"v", key=b"k")
        cluster.crash(3)
        await client.delete_topic("t")
        await asyncio.sleep(2)
        await restart_all(cluster)
        for _ in range(1_000):
            for node, running in cluster.running.items():
                assert not any(partition.topic == topic for partition in running.broker.running), f"on node {node}"
            await asyncio.sleep(0.01)
        with pytest.raises(UnknownTopic):
            await client.describe_topic("t")
        assert [] == [node for node, disk in cluster.disks.items() if disk.list(f"replicas/{topic.hex()}")]

    on_three_nodes(work)


def test_a_limit_that_is_no_more_deletes_nothing() -> None:
    """It was one second, for a moment; what was kept since then stays."""

    async def work(cluster: SimCluster, client) -> None:
        await client.create_topic("t", partitions=1, replicas=3)
        await client.alter_topic("t", TopicConfig(retention_ms=1_000))
        await client.alter_topic("t", unset=["retention_ms"])
        await client.publish("t", b"v", key=b"k")
        Configured.seen.clear()
        await restart_all(cluster)
        await asyncio.sleep(10)
        assert {None} == set(Configured.seen)

    on_three_nodes(work)
