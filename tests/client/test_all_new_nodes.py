"""Clients that live on while every node that they were opened with gives way to another one."""

import asyncio
import contextlib

import pytest

from cluster.client.client import Client
from cluster.errors import RiverrunError, UnknownTopic
from cluster.sim.cluster import SimCluster
from tests.broker.thin import PARTITIONS, RECORDS, TOPIC, in_a_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PATIENCE_S = 60.0


async def add(cluster: SimCluster, admin: Client) -> None:
    """One more node, which is alive when this returns."""
    number = cluster.next_node
    client_address, peer_address = cluster.addresses(number)
    await admin.add_node(client_address=client_address, peer_address=peer_address)
    cluster.give_machine(number)
    await cluster.start(number)
    async with asyncio.timeout(PATIENCE_S):
        alive = False
        while not alive:
            await asyncio.sleep(0.5)
            alive = any(node.node == number and node.alive for node in (await admin.cluster_status()).nodes)


async def take_away(cluster: SimCluster, admin: Client, node: int) -> None:
    """One that is there: drained, removed as soon as it may be, and switched off."""
    async with asyncio.timeout(PATIENCE_S):
        await admin.drain_node(node)
        while any(other.node == node for other in (await admin.cluster_status()).nodes):
            await asyncio.sleep(0.5)
            with contextlib.suppress(RiverrunError):  # it holds something still, or its last answer was lost
                await admin.remove_node(node)
    cluster.switch_off(node)


async def _replaced(cluster: SimCluster) -> None:
    client, admin = cluster.client("c"), cluster.client("admin")
    reader, member = client.read(TOPIC), client.subscribe(TOPIC, group="g")
    async with asyncio.timeout(PATIENCE_S):
        before = [await anext(reader) for _ in range(RECORDS)]
        await anext(member)
    for old in (1, 2, 3):
        await add(cluster, admin)
        await take_away(cluster, admin, old)
        async with asyncio.timeout(PATIENCE_S):
            for number in range(PARTITIONS):
                await client.publish(TOPIC, b"without %d" % old, partition=number)
            before += [await anext(reader) for _ in range(PARTITIONS)]
    assert [4, 5, 6] == cluster.nodes
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(RECORDS + 3 * PARTITIONS - 1):
            await anext(member)
        await member.commit()
    assert PARTITIONS == len(await client.offsets(TOPIC))
    await client.abandon()
    await admin.abandon()


@in_a_cluster
async def test_a_client_outlives_the_nodes_that_it_was_opened_with(cluster: SimCluster) -> None:
    """It knew no others but as leaders, and asked none of them for new ones (scenario `operations`, seed 1)."""
    await _replaced(cluster)


@in_a_cluster
async def test_a_client_hears_of_nodes_that_lead_nothing_that_it_writes_to(cluster: SimCluster) -> None:
    """All that it knew may go at a time (scenario `operations`, seed 1, in another order of turns)."""
    client, admin = cluster.client("c"), cluster.client("admin")
    await admin.create_topic("one", partitions=1, replicas=3)
    await client.publish("one", b"before")
    for _ in range(3):
        await add(cluster, admin)
    await asyncio.sleep(client._options.metadata_age_s_max)
    await client.publish("one", b"then", partition=0, expected_end=1)
    assert {cluster.addresses(number)[0] for number in cluster.nodes} == set(client._calls.servers)
    await client.abandon()
    await admin.abandon()


@in_a_cluster
async def test_a_client_forgets_a_node_that_was_removed(cluster: SimCluster) -> None:
    """It is asked nothing any more, and whoever asks for a topic that is not there does not wait for it."""
    client, admin = cluster.client("c"), cluster.client("admin")
    await add(cluster, admin)
    await client.describe_topic(TOPIC)
    new, _ = cluster.addresses(4)
    assert new in client._calls.servers
    await take_away(cluster, admin, 4)
    async with asyncio.timeout(PATIENCE_S):
        while new in client._calls.servers:  # until the node that is asked has heard of it
            await asyncio.sleep(0.1)
            await client.describe_topic(TOPIC)
    start_s = cluster.loop.time()
    with pytest.raises(UnknownTopic):
        await client.describe_topic("nowhere")
    assert cluster.loop.time() - start_s < 1.0
    await client.abandon()
    await admin.abandon()
