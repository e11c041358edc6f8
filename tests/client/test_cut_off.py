"""A client that can reach every node, whose first one is cut off from the others: it gets on with those, in time."""

import asyncio

import pytest

from cluster.sim.cluster import SimCluster
from tests.broker.thin import PARTITIONS, RECORDS, TOPIC, in_a_cluster

pytestmark = pytest.mark.slow
FIRST = 1
"""Who is asked first, and answers all the time."""
PATIENCE_S = 20.0


def cut_off(cluster: SimCluster, node: int) -> None:
    """From every other node, not from clients."""
    for other in cluster.nodes:
        if other != node:
            cluster.cut(node, other)


@in_a_cluster
async def test_records_go_on(cluster: SimCluster) -> None:
    """To every partition, though the node that is asked for leaders knows none, or one that was; and they are read."""
    client = cluster.client("c")
    reader = client.read(TOPIC)
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(RECORDS):
            await anext(reader)
    cut_off(cluster, FIRST)
    async with asyncio.timeout(PATIENCE_S):
        for number in range(PARTITIONS):
            await client.publish(TOPIC, b"through %d" % number, partition=number)
        found = {(await anext(reader)).value for _ in range(PARTITIONS)}

    assert {b"through %d" % number for number in range(PARTITIONS)} == found
    await client.abandon()


@in_a_cluster
async def test_records_of_a_producer_go_on(cluster: SimCluster) -> None:
    """Those that were on their way to the old leader, too: each once, in order."""
    client = cluster.client("c")
    await (await client.produce(TOPIC, b"0", partition=0))
    cut_off(cluster, FIRST)
    async with asyncio.timeout(PATIENCE_S):
        deliveries = [await client.produce(TOPIC, b"%d" % number, partition=0) for number in range(1, 20)]
        receipts = [await delivery for delivery in deliveries]

    assert list(range(receipts[0].offset, receipts[0].offset + 19)) == [receipt.offset for receipt in receipts]
    await client.abandon()


@in_a_cluster
async def test_a_member_of_a_group_goes_on(cluster: SimCluster) -> None:
    """One whose node does not reach the coordinator any more comes back at another one, and commits there."""
    client = cluster.client("c")
    member = client.subscribe(TOPIC, group="g")
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(RECORDS):
            await anext(member)
        await member.commit()
    cut_off(cluster, FIRST)
    writer = cluster.client("w")
    async with asyncio.timeout(2 * PATIENCE_S):
        for number in range(PARTITIONS):
            await writer.publish(TOPIC, b"through %d" % number, partition=number)
        found: set[bytes] = set()
        while len(found) < PARTITIONS:  # what was not committed may come again
            found.add((await anext(member)).value)
        await member.commit()

    assert {b"through %d" % number for number in range(PARTITIONS)} == found
    await client.abandon()
    await writer.abandon()
