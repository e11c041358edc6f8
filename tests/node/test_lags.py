"""How far a group is behind, found out where a replica gets its log again: clusters in virtual time."""

import asyncio

import pytest

from cluster.client.client import Client
from cluster.node.metrics.lags import Lag, Lags
from cluster.sim.cluster import SimCluster
from cluster.types import Offset, PartitionId
from tests.broker.test_trimming import TOPIC, Trims, fill, with_topic

pytestmark = pytest.mark.slow


def partition_of(cluster: SimCluster) -> PartitionId:
    """The only one there is."""
    return next(iter(next(iter(cluster.running.values())).broker.running))


async def told_while_it_returns(cluster: Trims, away: int, position: int) -> list[Lag | None]:
    """What a node says of a position, every moment from its start on until it has had all of the log for a while."""
    partition, told = partition_of(cluster), list[Lag | None]()
    await cluster.start(away)
    lags = Lags(cluster.running[away])
    end = next(iter(cluster.running[cluster.leader()].broker.running.values())).replica.readers.end
    running = cluster.running[away].broker.running
    async with asyncio.timeout(10):
        while partition not in running or running[partition].replica.readers.end < end or not told[-1]:
            told.append(await lags._lag(partition, Offset(position)))
            await asyncio.sleep(0.001)
    for _ in range(50):
        told.append(await lags._lag(partition, Offset(position)))
        await asyncio.sleep(0.001)
    return told


@with_topic()
async def test_a_log_that_is_only_a_fold_has_no_record_to_ask_for_its_age(cluster: Trims, client: Client) -> None:
    """A node that gets a trimmed partition anew goes on, and never says less than what is left."""
    await fill(client, 0, 10)
    away = next(node for node in cluster.nodes if node != cluster.leader())
    cluster.crash(away)
    await fill(client, 10, 100)
    await client.delete_records(TOPIC, 0, before=100)
    await asyncio.sleep(2)
    told = await told_while_it_returns(cluster, away, 50)
    assert {50} == {lag.records for lag in told if lag is not None}


@with_topic()
async def test_a_replica_that_is_behind_does_not_say_how_far_a_group_is(cluster: Trims, client: Client) -> None:
    """Its leader does: else a group with 60 records to go was told to have none."""
    await fill(client, 0, 10)
    away = next(node for node in cluster.nodes if node != cluster.leader())
    cluster.crash(away)
    await fill(client, 10, 80)
    told = await told_while_it_returns(cluster, away, 20)
    assert {60} == {lag.records for lag in told if lag is not None}


@with_topic()
async def test_what_was_deleted_has_no_age(cluster: Trims, client: Client) -> None:
    """All behind a position is gone: nothing waits there."""
    await fill(client, 0, 20)
    await client.delete_records(TOPIC, 0, before=20)
    await asyncio.sleep(5)
    told = [await Lags(node)._lag(partition_of(cluster), Offset(5)) for node in cluster.running.values()]
    assert [Lag(15, 0.0)] * 3 == told
