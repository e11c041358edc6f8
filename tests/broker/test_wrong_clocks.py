"""Clocks that are wrong: what is old goes by the time that a majority of nodes agrees on."""

import asyncio

from cluster.client.client import Client
from cluster.sim.cluster import SimCluster
from cluster.types import Offset
from tests.broker.test_trimming import TOPIC, Trims, fill, first_of, read_all, with_topic

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


@with_topic(retention_ms=60_000, lagging_bytes_max=1)
async def test_a_clock_of_a_node_that_is_away_has_no_say(cluster: Trims, client: Client) -> None:
    """It was ahead when it went; the one that leads later and is ahead as well is alone with that."""
    gone, leads = sorted(node for node in cluster.nodes if node != cluster.leader())
    set_clock(cluster, gone, HOUR_NS)
    await fill(client, 0, 20)
    await asyncio.sleep(5)
    cluster.kill(gone)
    await asyncio.sleep(5)
    set_clock(cluster, leads, HOUR_NS)
    await have_lead(cluster, leads)
    await asyncio.sleep(10)
    assert 0 == await first_of(client)
    await asyncio.sleep(60)
    assert 20 == await first_of(client)


@with_topic(retention_ms=60_000)
async def test_a_leader_whose_clock_is_behind_stamps_as_the_others_do(cluster: Trims, client: Client) -> None:
    """What it took is as young for the next one as it is."""
    behind = cluster.leader()
    set_clock(cluster, behind, -HOUR_NS)
    await asyncio.sleep(55)
    await fill(client, 0, 20)
    cluster.kill(behind)
    await asyncio.sleep(10)
    await cluster.start(behind)
    await asyncio.sleep(10)
    assert 0 == await first_of(client)
    await asyncio.sleep(60)
    assert 20 == await first_of(client)


@with_topic(retention_ms=60_000)
async def test_clocks_that_are_set_right_while_a_node_leads_are_right_from_then_on(
    cluster: Trims, client: Client
) -> None:
    """They were all behind when it came to lead, as on machines that do not keep time while they are off."""
    for node in cluster.nodes:
        set_clock(cluster, node, -HOUR_NS)
    first = cluster.leader()
    cluster.kill(first)
    await asyncio.sleep(5)
    await cluster.start(first)
    set_clock(cluster, first, -HOUR_NS)
    await asyncio.sleep(20)  # it is preferred, and leads again
    await fill(client, 0, 20)
    for node in cluster.nodes:
        set_clock(cluster, node, HOUR_NS)
    await fill(client, 20, 40)
    await asyncio.sleep(80)
    assert 40 == await first_of(client)


@with_topic()
async def test_what_is_said_to_be_whole_is_whole_for_the_next_leader_too(cluster: Trims, client: Client) -> None:
    """A leader that is ahead does not say so of a time that others are still to stamp."""
    ahead = cluster.leader()
    set_clock(cluster, ahead, HOUR_NS)
    await fill(client, 0, 5)
    node = cluster.running[ahead]
    topic = node.broker.directory.topic(TOPIC)
    stamped_ns = node.broker.running[node.broker.directory.partition(topic, 0)].replica.log.append_time_ns(Offset(4))
    assert stamped_ns == (await node.reading.offsets_of(topic, 0)).whole_before_ns
    await asyncio.sleep(20)
    assert stamped_ns == (await node.reading.offsets_of(topic, 0)).whole_before_ns
    cluster.clocks[ahead].offset_ns = 0
