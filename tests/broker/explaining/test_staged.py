"""Situations that were staged on whole clusters in virtual time, each named with its numbers."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from chaos.arenas.sim.disks import FullDisk, SlowSync
from cluster.cli.explain import lines_of
from cluster.client.client import Client
from cluster.client.explaining import ExplanationView, Severity
from cluster.errors import InvalidRequest, RiverrunError, UnknownGroup, UnknownPartition, UnknownTopic
from cluster.sim.cluster import SimCluster
from tests.broker.groups.thin_member import ThinMember
from tests.broker.thin import TOPIC, Body, in_a_cluster

pytestmark = pytest.mark.slow


def staged(body: Body) -> Callable[[], None]:
    """On one cluster: see `in_a_cluster`."""
    return in_a_cluster(body, seeds=1)


async def leader_of(client: Client, partition: int = 0) -> int:
    """The node that leads it."""
    leader = (await client.describe_topic(TOPIC)).partitions[partition].leader
    assert leader is not None
    return int(leader)


async def publish(client: Client, seconds: float, *, value: bytes = b"x") -> None:
    """Into partition 0, four times a second, for so long; what is not acknowledged is no failure."""
    for _ in range(int(seconds * 4)):
        await client.produce(TOPIC, value, partition=0)
        await asyncio.sleep(0.25)


async def until_told(ask: Callable[[], Awaitable[ExplanationView]], code: str) -> ExplanationView:
    """Ask until that is among the findings."""
    async with asyncio.timeout(60):
        while True:
            try:
                found = await ask()
            except RiverrunError as error:
                if not error.retry:
                    raise
            else:
                if code in found.codes:
                    return found
            await asyncio.sleep(0.5)


def finding(found: ExplanationView, code: str):
    """The first of that code."""
    print("\n".join(lines_of(found)))
    return next(one for one in found.findings if one.code == code)


@staged
async def test_what_is_healthy_is_told_with_its_numbers(cluster: SimCluster) -> None:
    """Nothing waits: for a partition, a node, and a group whose member goes on; whichever node is asked."""
    client = cluster.client("c")
    await publish(client, 2)
    await asyncio.sleep(2)
    found = await client.explain_partition(TOPIC, 0)
    print("\n".join(lines_of(found)))

    assert (True, ()) == (found.healthy, found.findings)
    assert f"partition {TOPIC}/0: nothing waits" == found.summary
    assert 4 == len(found.state)
    assert 2 == sum("up to date" in line for line in found.state)
    assert [1, 2, 3] == [look["node"] for look in found.looks]
    for node in cluster.nodes:
        told = await client.explain_node(node)
        assert (True, ()) == (told.healthy, told.findings), lines_of(told)
    async with client.subscribe(TOPIC, group="g", name="shop") as subscription:
        for _ in range(60):
            await anext(subscription)
        await subscription.commit()
        told = await client.explain_group("g")
        assert (True, ()) == (told.healthy, told.findings), lines_of(told)
        assert "member 1 (shop): connected" in told.state[1]
    await client.abandon()


@staged
async def test_no_quorum_is_named_with_who_is_missing(cluster: SimCluster) -> None:
    """Two of three nodes are gone: who they are, and that starting one of them is enough."""
    client = cluster.client("c")
    for node in (2, 3):
        cluster.crash(node)
    await asyncio.sleep(5)
    told = finding(await until_told(lambda: client.explain_partition(TOPIC, 0), "NO_QUORUM"), "NO_QUORUM")

    assert Severity.CRITICAL is told.severity
    assert (2, 3) == told.nodes
    assert {"replicas": 3, "replicas_there": 1, "replicas_needed": 2} == told.numbers
    assert "node 2 does not answer and node 3 does not answer" in told.cause
    assert told.advice.startswith("start 1 of nodes 2 and 3 again, whichever is easier: it goes on by itself")
    found = await client.explain_partition(TOPIC, 0)
    assert "NO_QUORUM" == found.codes[0]
    assert {"NODE_DEAD", "NO_CONTROLLER"} <= set(found.codes)
    assert not found.healthy
    await client.abandon()


@staged
async def test_a_slow_disk_is_named_with_how_slow(cluster: SimCluster) -> None:
    """Of a follower: nobody waits; its writes take nearly a second."""
    client = cluster.client("c")
    slow = 1 + await leader_of(client) % 3
    end = SlowSync.slow(cluster.disks[slow], 0.9)
    publishing = asyncio.create_task(publish(client, 60))
    await asyncio.sleep(20)
    found = await until_told(lambda: client.explain_partition(TOPIC, 0), "SLOW_DISK")
    told = finding(found, "SLOW_DISK")
    publishing.cancel()
    end()

    assert (slow,) == told.nodes
    assert 300 <= told.numbers["usual_write_ms"] <= 1_400
    assert f"the disk of node {slow} is slow" in told.cause
    assert {slow} == {node for one in found.findings for node in one.nodes}
    await client.abandon()


@staged
async def test_a_lagging_follower_is_named_with_how_far_it_is_behind(cluster: SimCluster) -> None:
    """Its process stands still: bytes, entries, since when, that it does not get further; then it catches up."""
    client = cluster.client("c")
    leader = await leader_of(client)
    behind = 1 + leader % 3
    cluster.pause(behind, 30)
    await publish(client, 8, value=b"x" * 10_000)
    client.produce_nowait(TOPIC, b"y", partition=0)
    found = await until_told(lambda: client.explain_partition(TOPIC, 0), "LAGGING_FOLLOWER")
    told = finding(found, "LAGGING_FOLLOWER")

    assert (behind,) == told.nodes
    assert told.numbers["behind_entries"] >= 20
    assert told.numbers["behind_bytes"] >= 200_000
    assert told.numbers["behind_ms"] >= 5_000
    assert 0 == told.numbers["moved_entries"]
    assert "it did not get further within" in told.cause
    assert f"node {leader} is not connected with node {behind}" in told.cause
    assert "NODE_DEAD" in found.codes
    node = await client.explain_node(behind)
    assert {"LAGGING_FOLLOWER", "NODE_DEAD"} <= set(node.codes)
    await asyncio.sleep(40)
    found = await client.explain_partition(TOPIC, 0)
    assert (True, ()) == (found.healthy, found.findings), lines_of(found)
    await client.abandon()


@staged
async def test_a_stuck_member_is_named_with_what_it_holds_up(cluster: SimCluster) -> None:
    """It is connected, holds partitions and commits nothing; the other member goes on and is not named."""
    client = cluster.client("c")
    stuck = await ThinMember(cluster, 1, client="stuck-one").open()
    async with client.subscribe(TOPIC, group="g", name="good") as good:
        taking = asyncio.create_task(take_all(good))
        await stuck.take_until_held(3)
        for number in range(80):
            await client.publish(TOPIC, b"more", partition=number % 6)
            await asyncio.sleep(0.25)
        found = await until_told(lambda: client.explain_group("g"), "MEMBER_STUCK")
        told = finding(found, "MEMBER_STUCK")
        taking.cancel()

    assert ("MEMBER_STUCK",) == found.codes
    assert told.cause.startswith(f"member {stuck.joined.member} (stuck-one) is connected and holds")
    assert told.numbers["partitions_stuck"] == told.numbers["partitions_held"] >= 3
    assert told.numbers["quiet_ms"] >= 10_000
    assert told.numbers["lag_records"] >= 30
    assert f"--topic {TOPIC}" in told.advice
    await client.abandon()


async def take_all(subscription: object) -> None:
    """Whatever comes."""
    async for _ in subscription:  # type: ignore[attr-defined]
        pass


@staged
async def test_a_full_disk_is_named_with_what_is_free(cluster: SimCluster) -> None:
    """Of a follower: since when, how much is free; with room again it is healthy."""
    client = cluster.client("c")
    full = 1 + await leader_of(client) % 3
    end = FullDisk.fill(cluster.disks[full], 100)
    publishing = asyncio.create_task(publish(client, 30, value=b"x" * 100_000))
    found = await until_told(lambda: client.explain_partition(TOPIC, 0), "DISK_FULL")
    told = finding(found, "DISK_FULL")

    assert "DISK_FULL" == found.codes[0]
    assert (full,) == told.nodes
    assert told.numbers["free_bytes"] <= 100
    assert f"the disk of node {full} is full" in told.cause
    end()
    await publishing
    await asyncio.sleep(10)
    found = await client.explain_partition(TOPIC, 0)
    assert (True, ()) == (found.healthy, found.findings), lines_of(found)
    await client.abandon()


@staged
async def test_what_is_not_there_is_refused(cluster: SimCluster) -> None:
    """Each kind by its own error, which names what there is."""
    client = cluster.client("c")
    with pytest.raises(UnknownTopic, match="there is no topic 'none'"):
        await client.explain_partition("none", 0)
    with pytest.raises(UnknownPartition, match="numbered from 0; there is no 99"):
        await client.explain_partition(TOPIC, 99)
    with pytest.raises(InvalidRequest, match="numbers from 0"):
        await client.explain_partition(TOPIC, -1)
    with pytest.raises(UnknownGroup):
        await client.explain_group("none")
    with pytest.raises(InvalidRequest, match="there is no node 9; there are 1, 2, 3"):
        await client.explain_node(9)
    await client.abandon()


@staged
async def test_a_node_that_was_added_keeps_nobody_from_being_explained(cluster: SimCluster) -> None:
    """It is no dead one, and is to be started, not started again."""
    client = cluster.client("c")
    added = await client.add_node(client_address="node-4:7171", peer_address="node-4:7271")
    assert 4 == added.node
    there = await client.explain_node(1)
    assert ([], True) == (list(there.codes), there.healthy)
    assert "connected with nodes 2 and 3" in there.state
    told = await client.explain_node(4)
    assert (["NODE_ADDED"], True) == (list(told.codes), told.healthy)
    note = finding(told, "NODE_ADDED")
    assert "node 4 was added, and has not been started yet" == note.cause
    assert "`riverrun node --config FILE`" in note.advice
    assert ("was added, and has not been started yet",) == tuple(told.state)
    await client.abandon()
