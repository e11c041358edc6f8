"""A replica that ends below its leader's floor begins anew, through power losses: clusters in virtual time."""

import asyncio

import pytest
from structlog.testing import capture_logs

from cluster.broker.replica import Replica
from cluster.client.client import Client
from cluster.log.mark import MARK_FILE
from cluster.types import Index
from tests.broker.test_trimming import Trims, fill, read_all, with_topic

pytestmark = pytest.mark.slow


def replica_on(cluster: Trims, node: int) -> Replica:
    """The only partition's replica there."""
    return next(run.replica for run in cluster.running[node].broker.running.values())


async def lagging(cluster: Trims, client: Client) -> int:
    """A node that was away, and ends below the floor that its leader has since; it is started again."""
    away = next(node for node in cluster.nodes if node != cluster.leader())
    await fill(client, 0, 20)
    cluster.crash(away)
    await fill(client, 20, 80)
    leader = replica_on(cluster, cluster.leader())
    leader.log.fold.tombstones_upto = Index(leader.raft.commit - 10)
    return away


async def until_equal(cluster: Trims, client: Client, first: int) -> None:
    """All have everything, and nobody recovers."""
    async with asyncio.timeout(30):
        while True:
            await fill(client, first, first + 1)
            await asyncio.sleep(0.5)
            first += 1
            replicas = cluster.replicas()
            ends = {(replica.raft.commit, replica.log.last_index, replica.readers.end) for replica in replicas}
            if len(replicas) == 3 and len(ends) == 1 and not any(replica.raft.recovering for replica in replicas):
                break
    await asyncio.sleep(1)
    logs = [
        replica.log.entries(Index(1), last=replica.log.last_index, bytes_max=1 << 40, count_max=1 << 40)
        for replica in replicas
    ]
    assert logs[0] == logs[1] == logs[2]
    assert [] == [path for node in cluster.nodes for path in cluster.disks[node].paths() if path.endswith(MARK_FILE)]
    assert list(range(first)) == await read_all(client)


@with_topic()
async def test_a_replica_below_the_floor_begins_anew(cluster: Trims, client: Client) -> None:
    """It throws its log away, says so, and has all of its leader's in the end."""
    away = await lagging(cluster, client)
    with capture_logs() as logs:
        await cluster.start(away)
        await until_equal(cluster, client, 80)
    told = [(event["side"], event["below_floor"]) for event in logs if event["event"] == "follower_reinstalled"]
    assert [("leader", True), ("follower", True)] == told
    assert 1 == replica_on(cluster, away).raft.beginning
    assert not replica_on(cluster, cluster.leader()).raft.catching_up


@with_topic()
async def test_a_replica_that_has_the_floor_keeps_its_log(cluster: Trims, client: Client) -> None:
    """It only lags: what it needs lies above."""
    away = await lagging(cluster, client)
    leader = replica_on(cluster, cluster.leader())
    leader.log.fold.tombstones_upto = Index(10)
    with capture_logs() as logs:
        await cluster.start(away)
        await until_equal(cluster, client, 80)
    assert [] == [event for event in logs if event["event"] == "follower_reinstalled"]


@with_topic()
async def test_power_losses_while_it_begins_anew(cluster: Trims, client: Client) -> None:
    """It is started again as one that recovers, and begins anew until nothing comes between."""
    away = await lagging(cluster, client)
    disk, marked = cluster.disks[away], 0
    for operations in range(8, 60, 4):
        cluster.crash_in_mid_write(away, operations)
        await cluster.start(away)
        await asyncio.sleep(2)
        disk.crash_at_operation = None
        if away in cluster.running:
            cluster.crash(away)
        marked += any(path.endswith(MARK_FILE) for path in disk.paths())
        leader = replica_on(cluster, cluster.leader())
        leader.log.fold.tombstones_upto = Index(leader.raft.commit - 10)
    assert marked > 2, "some came between its mark and its end"
    await cluster.start(away)
    await until_equal(cluster, client, 80)
