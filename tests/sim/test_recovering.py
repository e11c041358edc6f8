"""Three of five nodes are gone for good: the cluster goes on with what the two others have."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

import pytest

from cluster.client.client import Client
from cluster.errors import OutcomeUnknown, RiverrunError, Unavailable
from cluster.node.recovery import Plan, Survey, apply_plan, decode_plan, decode_survey, make_plan, survey
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.sim.disk import SimCrash

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

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


def _apply_with_crashes(cluster: SimCluster, plan: Plan, left: Sequence[int]) -> int:
    """Each node's power goes in the middle, again and again, a bit later each time; how often."""
    crashes = 0
    for node in left:
        disk = cluster.disks[node]
        for operations in (1, 4, 9, 16, 25, 40, 60, None):
            disk.crash_at_operation = None if operations is None else disk.operations + operations
            try:
                apply_plan(disk, plan)
            except SimCrash:
                crashes += 1
                disk.crash()
        disk.crash_at_operation = None
        assert not apply_plan(disk, plan), "it was done to its end"
    return crashes


def _present(surveys: list[Survey], topic: bytes) -> dict[int, int]:
    """Where the furthest log of each partition ends, of those that are left."""
    ends: dict[int, int] = {}
    for one in surveys:
        for item in one.replicas:
            if item.topic == topic:
                ends[item.number] = max(ends.get(item.number, 0), item.end_offset)
    return ends


async def _lose(seed: int, left: Sequence[int], gone: Sequence[int]) -> None:
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
    for node in gone:
        cluster.crash(node)
    await writing
    if len(gone) > len(left):
        await _says_what_cannot_be_done(client)
    await client.abandon()
    topic = next(iter(cluster.running[1].broker.directory.topics.values()))
    lives = {p.number for p in topic.partitions if sum(replica.node in left for replica in p.replicas) >= 2}
    lost = {p.number for p in topic.partitions if all(replica.node in gone for replica in p.replicas)}
    for node in left:
        cluster.crash(node)

    surveys = [decode_survey(survey(cluster.disks[node]).encode()) for node in left]
    plan = make_plan(surveys, at_ns=cluster.clocks[1].wall_ns(), plan_id=bytes(8))
    plan = decode_plan(plan.encode())
    assert (list(gone), 1_000_000) == (sorted(plan.lost), plan.configuration.number)
    assert PARTITIONS - len(lives) - len(lost) == len(plan.forced)
    assert (len(gone) < len(left)) == any("no decision is lost" in line for line in plan.account)
    assert _apply_with_crashes(cluster, plan, left) > 4

    for node in left:
        await cluster.start(node)
    reader = cluster.client("reader")
    present = _present(surveys, topic.id)
    for partition in sorted(set(range(PARTITIONS)) - lost):
        found = await asyncio.wait_for(_values(reader, partition), 20)
        kept = {
            offset: value
            for offset, value in acknowledged.get(partition, {}).items()
            if partition in lives or offset < present[partition]
        }
        assert kept == {offset: found.get(offset) for offset in kept}, f"partition {partition}"
        receipt = await reader.publish("t", b"after", partition=partition)
        assert receipt.offset >= len(kept)
    await reader.create_topic("new", partitions=2, replicas=2)

    await cluster.start(gone[0])
    await asyncio.sleep(5)
    assert ([gone[0]], []) == (cluster.removed, cluster.fatal), "it was told that it is none of the cluster"
    assert gone[0] not in cluster.running

    for _ in range(5 - len(left)):
        await cluster.add()
    await _until_replicated(cluster, lost, gone)
    await asyncio.sleep(5)
    state = cluster.running[1].controller.state
    assert [tuple(gone)] == [tuple(one.nodes) for one in (await reader.cluster_status()).recoveries]
    assert 1 == len({node.controller.state.version for node in cluster.running.values()})
    assert 5 == len(state.quorum.members)
    for partition in sorted(set(range(PARTITIONS)) - lost):
        assert b"after" in (await asyncio.wait_for(_values(reader, partition), 20)).values()
    await _lost_until_deleted(reader, lost)
    await reader.abandon()


async def _says_what_cannot_be_done(client: Client) -> None:
    told = "of its members 1, 2, 3, 4 and 5, nodes 3, 4 and 5 are not heard. Until 1 more of them runs"
    view = await client.cluster_status()
    assert told in view.trouble
    assert (None, (3, 4, 5)) == (view.controller, view.quorum_silent)
    assert [3, 4, 5] == [node.node for node in view.nodes if node.silent]
    with pytest.raises((Unavailable, OutcomeUnknown), match=told):
        await client.create_topic("no", partitions=1, replicas=1)
    found = await client.explain_node(1)
    (cause,) = [one.cause for one in found.findings if one.code == "NO_CONTROLLER"]
    assert "nodes 3, 4 and 5 are not heard by any node that answers" in cause


async def _lost_until_deleted(client: Client, lost: set[int]) -> None:
    for partition in lost:
        found = await client.explain_partition("t", partition)
        assert "PARTITION_LOST" in [one.code for one in found.findings]
    if lost:
        view = await client.cluster_status()
        assert len(lost) == len(view.under_replicated)
        assert all("a recovery found no copy of it" in item.why for item in view.under_replicated)
    await client.delete_topic("t")
    assert 0 == (await client.cluster_status()).partitions_under_replicated


async def _until_replicated(cluster: SimCluster, lost: set[int], gone: Sequence[int]) -> None:
    for _ in range(600):
        if not list(_lacking(cluster, lost, gone)):
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"lacking: {list(_lacking(cluster, lost, gone))}")


def _lacking(cluster: SimCluster, lost: set[int], gone: Sequence[int]) -> Iterator[str]:
    state = next(iter(cluster.running.values())).controller.state
    for topic in state.topics.values():
        for placement in topic.partitions:
            nodes = {item.node for item in placement.replicas if item.initialised}
            if topic.name == "t" and placement.number in lost:
                assert placement.lost
            elif len(nodes) < topic.replicas or placement.target or nodes & set(gone):
                yield f"{topic.name}/{placement.number} on {nodes}"


@pytest.mark.parametrize("seed", range(1, 4))
def test_what_two_of_five_nodes_have_is_there_after_a_recovery(seed: int) -> None:
    """The power goes in mid-recovery; who comes back is refused; new nodes take the places of those that are gone."""
    simulate(_lose(seed, (1, 2), (3, 4, 5)), seed)


@pytest.mark.parametrize("seed", range(5, 7))
def test_a_partition_may_lose_its_majority_where_the_controller_has_one(seed: int) -> None:
    """Then no decision is lost, and the same is done."""
    simulate(_lose(seed, (1, 2, 3), (4, 5)), seed)


async def _only_what_was_to_go_is_left() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    cluster = SimCluster(loop, nodes=5)
    await cluster.start_all()
    await asyncio.sleep(3)
    client = cluster.client("writer")
    topic = await client.create_topic("t", partitions=1, replicas=3)
    for number in range(50):
        await client.publish("t", b"%d" % number, partition=0)
    old, *others = (int(item.node) for item in topic.partitions[0].replicas)
    new, witness = sorted(set(cluster.nodes) - {old, *others})
    for node in set(cluster.nodes) - {old}:
        cluster.cut(old, node)
    await client.reassign_partitions("t", {0: [*others, new]})
    state = cluster.running[witness].controller.state
    async with asyncio.timeout(60):
        while not state.topics[topic.id].partitions[0].removed:  # noqa: ASYNC110  of virtual time
            await asyncio.sleep(0.1)
    await client.abandon()
    for node in cluster.nodes:
        cluster.crash(node)
    cluster.fabric.heal()

    plan = make_plan([survey(cluster.disks[node]) for node in (old, witness)], at_ns=1, plan_id=bytes(8))
    assert [("t", old)] == [(forced.name, forced.node) for forced in plan.forced]
    for node in (old, witness):
        apply_plan(cluster.disks[node], plan)
    for node in (old, witness):
        await cluster.start(node)
    reader = cluster.client("reader")
    found = await asyncio.wait_for(_values(reader, 0), 30)
    assert [b"%d" % number for number in range(50)] == list(found.values())
    await reader.abandon()
    assert [] == cluster.fatal


def test_the_replica_that_a_move_left_over_is_kept_if_it_is_the_last() -> None:
    """It was cut off when it was to drop its files, and has all that was published before; its successors are gone."""
    simulate(_only_what_was_to_go_is_left(), 1)
