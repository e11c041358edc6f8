"""A leader without room, and a follower that is down: nobody else can lead, and reading goes on."""

import asyncio

import pytest

from cluster.client.client import Client
from cluster.errors import RiverrunError
from cluster.sim.cluster import SimCluster
from tests.broker.thin import PARTITIONS, RECORDS, TOPIC, in_a_cluster

pytestmark = pytest.mark.slow


def leaders(cluster: SimCluster) -> dict[int, int]:
    """Node by partition."""
    return {
        partition.number: number
        for number, node in cluster.running.items()
        for partition, run in node.broker.running.items()
        if run.replica.raft.is_leader
    }


async def read_all(client: Client) -> list[int]:
    """Every record there is, each partition to its confirmed end."""
    async with asyncio.timeout(10):
        return sorted([int(record.value) async for record in client.read(TOPIC, start="earliest", until="latest")])


@in_a_cluster
async def test_reading_goes_on_where_nobody_else_could_lead(cluster: SimCluster) -> None:
    """It handed over to one that was elected by nobody: the vote of the one without room waited for room."""
    led = leaders(cluster)
    assert len(led) == PARTITIONS
    full = led[0]
    cluster.crash(next(node for node in cluster.nodes if node != full))
    await asyncio.sleep(10)
    led = leaders(cluster)
    assert len(led) == PARTITIONS
    disk = cluster.disks[full]
    disk.capacity_bytes -= disk.free_bytes()
    client = cluster.client("later")
    published = asyncio.ensure_future(
        asyncio.gather(
            *(client.publish(TOPIC, b"0" + b" " * 200_000, partition=n) for n in led), return_exceptions=True
        )
    )
    await asyncio.sleep(5)
    assert full in leaders(cluster).values()
    assert any(run.replica.log.full for run in cluster.running[full].broker.running.values())
    reader = cluster.client("reader")
    for _ in range(10):
        assert list(range(RECORDS)) == await read_all(reader)
        await asyncio.sleep(1)
    assert led == leaders(cluster)
    disk.capacity_bytes = 1 << 40
    for outcome in await published:
        assert not isinstance(outcome, BaseException) or isinstance(outcome, RiverrunError)
    for node in (client, reader):
        await node.abandon()
