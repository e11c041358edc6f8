"""Three of five nodes are gone for good: with what the two others have the cluster goes on, and what they had is there."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from cluster.broker.groups.state import Groups
from cluster.client.client import Client
from cluster.errors import RiverrunError
from cluster.node.recovery import Plan, Survey, apply_plan, make_plan, survey
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.sim.disk import SimCrash

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

LEFT, GONE = (1, 2), (3, 4, 5)
PARTITIONS = 10
Acknowledged = dict[int, dict[int, bytes]]
"""Values by partition and offset."""


async def _publish(client: Client, acknowledged: Acknowledged, partition: int, seconds: float) -> None:
    with contextlib.suppress(TimeoutError, RiverrunError):
        async with asyncio.timeout(seconds):
            for number in range(10_000):
                value = f"{partition}/{number}".encode()
                receipt = await client.publish("t", value, partition=partition)
                acknowledged.setdefault(partition, {})[receipt.offset] = value


async def _values(client: Client, partition: int) -> dict[int, bytes]:
    found = {}
    async with client.read("t", partitions=[partition], start="earliest", until="latest") as reader:
        async for record in reader:
            found[record.offset] = record.value
    return found


def _surveys(cluster: SimCluster) -> list[Survey]:
    return [survey(cluster.disks[node]) for node in LEFT]


def _apply_with_crashes(cluster: SimCluster, plan: Plan) -> int:
    """Each node's power goes in the middle, again and again, a bit later each time; how often."""
    crashes = 0
    for node in LEFT:
        disk = cluster.disks[node]
        for operations in (1, 4, 9, 16, 25, 40, 60, None):
            disk.crash_at_operation = None if operations is None else disk.operations + operations
            try:
                apply_plan(disk, plan, lambda name: Groups if name == "__groups" else None)
            except SimCrash:
                crashes += 1
                disk.crash()
        disk.crash_at_operation = None
        assert not apply_plan(disk, plan, lambda _: None), "it was done to its end"
    return crashes


def _present(surveys: list[Survey], topic: bytes) -> dict[int, int]:
    """Where the furthest log of each partition ends, of those that are left."""
    ends: dict[int, int] = {}
    for one in surveys:
        for item in one.replicas:
            if item.topic == topic:
                ends[item.number] = max(ends.get(item.number, 0), item.end_offset)
    return ends


async def _lose_three(seed: int) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    cluster = SimCluster(loop, nodes=5)
    await cluster.start_all()
    await asyncio.sleep(3)
    client = cluster.client("writer")
    await client.create_topic("t", partitions=PARTITIONS, replicas=3)
    acknowledged: Acknowledged = {}
    writing = asyncio.gather(*(_publish(client, acknowledged, partition, 6) for partition in range(PARTITIONS)))
    await asyncio.sleep(1 + seed / 7)
    for node in GONE:
        cluster.crash(node)
    await writing
    await client.abandon()
    topic = next(iter(cluster.running[1].broker.directory.topics.values()))
    led = {
        placement.number
        for placement in topic.partitions
        if sum(replica.node in LEFT for replica in placement.replicas) == 2
    }
    for node in LEFT:
        cluster.crash(node)

    surveys = _surveys(cluster)
    plan = make_plan(surveys, at_ns=loop_wall(cluster), plan_id=bytes(8))
    assert [3, 4, 5] == sorted(plan.lost)
    assert 1_000_000 == plan.configuration.number
    lost = {placement.number for placement in topic.partitions if all(r.node in GONE for r in placement.replicas)}
    assert PARTITIONS - len(led) - len(lost) == len(plan.forced)
    assert _apply_with_crashes(cluster, plan) > 4

    for node in LEFT:
        await cluster.start(node)
    reader = cluster.client("reader")
    present = _present(surveys, topic.id)
    for partition in sorted(set(range(PARTITIONS)) - lost):
        found = await asyncio.wait_for(_values(reader, partition), 20)
        kept = {
            offset: value
            for offset, value in acknowledged.get(partition, {}).items()
            if partition in led or offset < present[partition]
        }
        assert kept == {offset: found.get(offset) for offset in kept}, f"partition {partition}"
        receipt = await reader.publish("t", b"after", partition=partition)
        assert receipt.offset >= len(kept)
    await reader.create_topic("new", partitions=2, replicas=2)

    await cluster.start(3)
    await asyncio.sleep(5)
    assert [3] == [node for node, _ in cluster.fatal]
    assert "was removed from this cluster" in str(cluster.fatal[0][1])
    cluster.kill(3)

    for _ in range(2):
        await cluster.add()
    await _until_replicated(cluster, lost)
    state = cluster.running[1].controller.state
    assert [(3, 4, 5)] == [tuple(one.nodes) for one in state.recoveries]
    assert 1 == len({node.controller.state.version for node in cluster.running.values()})
    assert 3 == len(state.quorum.members)
    for partition in sorted(set(range(PARTITIONS)) - lost):
        assert b"after" in (await asyncio.wait_for(_values(reader, partition), 20)).values()
    await reader.abandon()


def loop_wall(cluster: SimCluster) -> int:
    """The time that it is."""
    return cluster.clocks[1].wall_ns()


async def _until_replicated(cluster: SimCluster, lost: set[int]) -> None:
    for _ in range(600):
        if not list(_lacking(cluster, lost)):
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"lacking: {list(_lacking(cluster, lost))}")


def _lacking(cluster: SimCluster, lost: set[int]) -> Iterator[str]:
    state = next(iter(cluster.running.values())).controller.state
    for topic in state.topics.values():
        for placement in topic.partitions:
            nodes = {item.node for item in placement.replicas if item.initialised}
            if topic.name == "t" and placement.number in lost:
                assert placement.lost
            elif len(nodes) < topic.replicas or placement.target or nodes & set(GONE):
                yield f"{topic.name}/{placement.number} on {nodes}"


@pytest.mark.parametrize("seed", range(1, 5))
def test_what_two_of_five_nodes_have_is_there_after_a_recovery(seed: int) -> None:
    """The power goes in mid-recovery; who comes back is refused; new nodes take the places of those that were given up."""
    simulate(_lose_three(seed), seed)
