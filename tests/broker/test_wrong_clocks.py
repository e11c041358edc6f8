"""Clocks that are wrong: what is old goes by the time that a majority of nodes agrees on."""

import asyncio

from cluster.client.client import Client
from cluster.sim.cluster import SimCluster
from tests.broker.test_trimming import Trims, fill, first_of, read_all, with_topic

HOUR_NS = 3600 * 1_000_000_000


async def have_lead(cluster: Trims, wanted: int) -> None:
    """End the leader, again and again, until that node leads."""
    while (leader := cluster.leader()) != wanted:
        cluster.kill(leader)
        await asyncio.sleep(3)
        await cluster.start(leader)
        await asyncio.sleep(3)


def set_clock(cluster: SimCluster, node: int, by_ns: int) -> None:
    """For as long as it runs, and behind its back."""
    cluster.clocks[node].offset_ns += by_ns


@with_topic(retention_ms=60_000)
async def test_whoever_comes_to_lead_with_a_clock_that_is_ahead_deletes_nothing(cluster: Trims, client: Client) -> None:
    """What is young for the other two is young; what is old for all of them goes, though one clock is wrong."""
    ahead = next(node for node in cluster.nodes if node != cluster.leader())
    await fill(client, 0, 50)
    set_clock(cluster, ahead, HOUR_NS)
    await have_lead(cluster, ahead)
    await asyncio.sleep(20)
    assert 0 == await first_of(client)
    assert list(range(50)) == await read_all(client)
    await asyncio.sleep(60)
    assert 50 == await first_of(client)


@with_topic(retention_ms=60_000)
async def test_a_follower_whose_clock_is_behind_keeps_nothing_from_going(cluster: Trims, client: Client) -> None:
    """Nor does one that is away: the other two agree."""
    behind = next(node for node in cluster.nodes if node != cluster.leader())
    await fill(client, 0, 50)
    set_clock(cluster, behind, -HOUR_NS)
    await asyncio.sleep(70)
    assert 50 == await first_of(client)
    await fill(client, 50, 60)
    cluster.kill(behind)
    await asyncio.sleep(70)
    assert 60 == await first_of(client)


@with_topic(retention_ms=60_000)
async def test_nodes_that_were_never_started_keep_nothing_from_going(cluster: Trims, client: Client) -> None:
    """Added ones have no clock, however many they are."""
    assert 3 == len(cluster.running)
    for number in range(4, 8):
        await client.add_node(client_address=f"node-{number}:1", peer_address=f"node-{number}:2")
    await fill(client, 0, 10)
    await asyncio.sleep(70)
    assert 10 == await first_of(client)
