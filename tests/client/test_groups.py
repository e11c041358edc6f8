"""The client's calls for people's requests on groups, on whole clusters in virtual time."""

import asyncio

import pytest

from cluster.client.group_views import GroupPartitionView, GroupView
from cluster.client.subscription import Subscription
from cluster.errors import (
    Closed,
    DeadlineExceeded,
    GroupNotEmpty,
    InvalidRequest,
    UnknownGroup,
    UnknownPartition,
    UnknownTopic,
)
from cluster.sim.cluster import SimCluster
from tests.broker.thin import PARTITIONS, RECORDS, TOPIC, in_a_cluster

GROUPS = 3


def part(number: int, position: int | None, end: int | None, lag_ms: int | None = None) -> GroupPartitionView:
    """A partition of a group."""
    return GroupPartitionView(
        topic="t", partition=number, member=None, generation=1, position=position, end=end, lag_ms=lag_ms
    )


async def take(subscription: Subscription, count: int) -> list[bytes]:
    """The values of so many records."""
    return [(await anext(subscription)).value for _ in range(count)]


def test_lag_is_what_is_known_of_it():
    """In records end minus position, in time that of the partition which is furthest behind; unknown is said so."""
    parts = (part(0, 3, 10, 700), part(1, 5, 5, 0), part(2, None, 4), part(3, 1, None))
    group = GroupView(name="g", members=(), partitions=parts, coordinator=1, generation=1)

    assert [7, 0, None, None] == [one.lag_records for one in parts]
    assert (7, 700, 2) == (group.lag_records, group.lag_ms, group.lag_unknown)


@pytest.mark.slow
@in_a_cluster
async def test_a_group_is_described(cluster: SimCluster) -> None:
    """Who is in it, who holds what, and how far it is: in records and in time."""
    client = cluster.client("reader")
    subscription = client.subscribe(TOPIC, group="g", name="tester")
    assert RECORDS == len(set(await take(subscription, RECORDS)))
    await subscription.commit()
    await client.publish(TOPIC, b"one more", partition=2)
    await subscription.close()
    await asyncio.sleep(7)
    behind = await client.describe_group("g")

    assert ((), PARTITIONS, 1, 0) == (behind.members, len(behind.partitions), behind.lag_records, behind.lag_unknown)
    assert [1 if number == 2 else 0 for number in range(PARTITIONS)] == [p.lag_records for p in behind.partitions]
    assert 7_000 <= behind.lag_ms == behind.partitions[2].lag_ms < 9_000
    assert {None} == {one.member for one in behind.partitions}

    async with client.subscribe(TOPIC, group="g", name="tester") as again:
        assert [b"one more"] == await take(again, 1)
        await again.commit()
        group = await client.describe_group("g")
    (member,) = group.members
    assert ("tester", (TOPIC,), True) == (member.client, member.topics, member.connected)
    assert {member.id} == {one.member for one in group.partitions}
    assert (0, 0) == (group.lag_records, group.lag_ms)
    assert group.generation > behind.generation
    await client.close()


@pytest.mark.slow
@in_a_cluster
async def test_groups_are_listed_by_name(cluster: SimCluster) -> None:
    """All of them, with their members; none before the first."""
    client = cluster.client("reader")
    assert () == await client.list_groups()
    subscriptions = [client.subscribe(TOPIC, group=f"g{number}") for number in reversed(range(GROUPS))]
    for subscription in subscriptions:
        await take(subscription, 1)
    groups = await client.list_groups()

    assert [f"g{number}" for number in range(GROUPS)] == [group.name for group in groups]
    assert [1] * GROUPS == [len(group.members) for group in groups]
    await client.close()


@pytest.mark.slow
@in_a_cluster
async def test_a_group_begins_anew_where_it_is_told(cluster: SimCluster) -> None:
    """Every place that a reader may begin at; only the partitions that are named; and then that is delivered again."""
    client = cluster.client("reader")
    async with client.subscribe(TOPIC, group="g") as subscription:
        first = await take(subscription, RECORDS)
    ends = {number: known.end for number, known in (await client.offsets(TOPIC)).items()}

    assert ends == {one.partition: one.position for one in await client.reset_group("g", TOPIC, "latest")}
    (only,) = await client.reset_group("g", TOPIC, 1, partitions=[3])
    assert (3, 1, ends[3] - 1) == (only.partition, only.position, only.lag_records)
    described = await client.describe_group("g")
    assert ends | {3: 1} == {one.partition: one.position for one in described.partitions}
    assert ends == {one.partition: one.position for one in await client.reset_group("g", TOPIC, 10_000)}
    assert [0] * PARTITIONS == [one.position for one in await client.reset_group("g", TOPIC, "earliest")]
    async with client.subscribe(TOPIC, group="g") as subscription:
        assert sorted(first) == sorted(await take(subscription, RECORDS))
    await client.close()


@pytest.mark.slow
@in_a_cluster
async def test_what_cannot_be_done_with_a_group_has_its_error(cluster: SimCluster) -> None:
    """Unknown, not empty, or nonsense; a group that was deleted is unknown."""
    client = cluster.client("reader")
    for call in (
        lambda: client.describe_group("absent"),
        lambda: client.reset_group("absent", TOPIC, "earliest"),
        lambda: client.delete_group("absent"),
    ):
        with pytest.raises(UnknownGroup):
            await call()
    with pytest.raises(InvalidRequest, match="is no group name"):
        await client.describe_group("a b")
    subscription = client.subscribe(TOPIC, group="g")
    await take(subscription, 1)
    with pytest.raises(GroupNotEmpty, match="stop them first"):
        await client.reset_group("g", TOPIC, "earliest")
    with pytest.raises(GroupNotEmpty):
        await client.delete_group("g")
    await subscription.close()
    for to, partitions, error in (
        ("yesterday", (), InvalidRequest),
        (1 << 70, (), InvalidRequest),
        (0, (-1,), InvalidRequest),
        (0, (99,), UnknownPartition),
    ):
        with pytest.raises(error):
            await client.reset_group("g", TOPIC, to, partitions=partitions)
    with pytest.raises(UnknownTopic):
        await client.reset_group("g", "nowhere", "earliest")
    await client.delete_group("g")
    with pytest.raises(UnknownGroup):
        await client.describe_group("g")
    await client.close()


@pytest.mark.slow
@in_a_cluster
async def test_a_commit_that_nobody_answers_says_so(cluster: SimCluster) -> None:
    """In its time, as an error that leaves the outcome open; and the record that was given last can be left out."""
    client = cluster.client("reader")
    subscription = client.subscribe(TOPIC, group="g")
    record = await anext(subscription)
    await subscription.commit(processed=False)
    assert 0 == subscription.positions[TOPIC, record.partition] == subscription.committed[TOPIC, record.partition]
    for node in (1, 2, 3):
        cluster.crash(node)
    with pytest.raises(DeadlineExceeded, match="may still count"):
        await subscription.commit(timeout_s=0.5)
    await subscription.abandon()
    with pytest.raises(Closed):
        await anext(subscription)
    await client.abandon()
