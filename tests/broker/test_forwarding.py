"""Where a node passes requests on to: over its own way to the other nodes, which is not the one that clients take."""

import asyncio
import dataclasses

import pytest

from cluster.broker.publish_service import PUBLISH
from cluster.broker.verify_service import VERIFY
from cluster.config import NodeConfig
from cluster.errors import Unavailable
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.wire.api import records_pb2, stream_pb2
from tests.broker.thin import thin_channel

pytestmark = pytest.mark.slow
TOPIC = "t"
PARTITIONS = 6


class Proxied(SimCluster):
    """Nodes that tell clients of addresses where, for now, nobody listens."""

    own_way = True
    """Whether the nodes are told of another way to each other."""

    def _config(self, number: int) -> NodeConfig:
        config = super()._config(number)
        return dataclasses.replace(
            config,
            client=dataclasses.replace(config.client, advertise=f"proxy-{number}:1"),
            peers=tuple(peer if self.own_way else dataclasses.replace(peer, client="") for peer in config.peers),
        )


class OnlyAdvertised(Proxied):
    """… and who know of no other way."""

    own_way = False


async def _started(kind: type[Proxied]) -> Proxied:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    cluster = kind(loop)
    await cluster.start_all()
    client = cluster.client("c")
    await asyncio.sleep(3)
    await client.create_topic(TOPIC, partitions=PARTITIONS, replicas=3)
    await client.abandon()
    await asyncio.sleep(1)
    return cluster


def _publish(partition: int) -> bytes:
    record = records_pb2.Record(value=b"v")
    return stream_pb2.PublishRequest(topic=TOPIC, partition=partition, records=[record]).SerializeToString()


def test_requests_take_the_nodes_own_way() -> None:
    """A thin client's records get to every leader through any node, and each replica can be asked what it has."""

    async def run() -> None:
        cluster = await _started(Proxied)
        channel = thin_channel(cluster, 1)
        receipts = [
            stream_pb2.PublishResponse.FromString(await channel.call(PUBLISH, _publish(partition), timeout_s=5))
            for partition in range(PARTITIONS)
        ]
        await asyncio.sleep(1)
        verify = stream_pb2.VerifyRequest(topic=TOPIC, partition=0, offset=0).SerializeToString()
        copies = stream_pb2.VerifyResponse.FromString(await channel.call(VERIFY, verify, timeout_s=5)).copies

        assert [0] * PARTITIONS == [receipt.receipts[0].offset for receipt in receipts]
        assert [stream_pb2.COPY_STATE_HELD] * 3 == [copy.state for copy in copies]

    simulate(run(), 1)


def test_clients_are_told_what_nodes_advertise() -> None:
    """Whoever is told of a leader is told where clients reach it."""

    async def run() -> None:
        cluster = await _started(Proxied)
        client = cluster.client("c")
        topic = await client.describe_topic(TOPIC)
        status = await client.cluster_status()

        assert [f"proxy-{partition.leader}:1" for partition in topic.partitions] == [
            partition.leader_address for partition in topic.partitions
        ]
        assert ["proxy-1:1", "proxy-2:1", "proxy-3:1"] == [node.client_address for node in status.nodes]
        await client.abandon()

    simulate(run(), 1)


def test_without_a_way_of_their_own_they_take_the_clients() -> None:
    """Where nobody listens at what a node advertises, what it leads is not reached through others."""

    async def run() -> None:
        cluster = await _started(OnlyAdvertised)
        client = cluster.client("c")
        led_elsewhere = next(
            partition.number for partition in (await client.describe_topic(TOPIC)).partitions if partition.leader != 1
        )
        with pytest.raises(Unavailable):
            await thin_channel(cluster, 1).call(PUBLISH, _publish(led_elsewhere), timeout_s=5)
        await client.abandon()

    simulate(run(), 1)
