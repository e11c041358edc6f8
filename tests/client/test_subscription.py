"""The Python member of a group: what counts as processed, and what happens to it when partitions and nodes go."""

import asyncio

import pytest

from cluster.client.client import Client
from cluster.client.subscription import Subscription
from cluster.config import ClientOptions
from cluster.errors import Closed, InvalidRequest, OffsetOutOfRange, UnknownTopic
from cluster.sim.cluster import SimCluster
from tests.broker.thin import PARTITIONS, RECORDS, TOPIC, in_a_cluster

pytestmark = pytest.mark.slow
BY_HAND = ClientOptions(commit_interval_s=3600.0)
GRACE_S = 5.0


def member(client: Client, **options: object) -> Subscription:
    """Of the group that all tests use; it commits when it is told to."""
    return client.subscribe(TOPIC, group="g", options=BY_HAND, **options)  # type: ignore[arg-type]


async def take(subscription: Subscription, count: int) -> list[tuple[int, int]]:
    """So many records, by partition and offset."""
    taken = []
    async for record in subscription:
        assert TOPIC == record.topic
        taken.append((record.partition, record.offset))
        if len(taken) == count:
            break
    return taken


@in_a_cluster
async def test_what_was_given_before_a_clean_end_is_processed(cluster: SimCluster) -> None:
    """The next member begins behind it."""
    client = cluster.client("c")
    async with member(client) as first:
        taken = await take(first, RECORDS // 2)
    async with member(client) as second:
        taken += await take(second, RECORDS - RECORDS // 2)

    assert RECORDS == len(set(taken))
    await client.close()


@in_a_cluster
async def test_the_record_that_an_exception_was_raised_over_comes_again(cluster: SimCluster) -> None:
    """And nothing before it."""
    client = cluster.client("c")
    failed: list[tuple[int, int]] = []

    async def work() -> None:
        async with member(client) as first:
            failed.extend(await take(first, 10))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    async with member(client) as second:
        again = await take(second, RECORDS - 9)

    assert {failed[-1]} == set(failed) & set(again)
    await client.close()


@in_a_cluster
async def test_a_partition_is_not_handed_over_while_its_record_is_worked_on(cluster: SimCluster) -> None:
    """The newcomer gets it when the application asks for its next record; none is given twice."""
    one, other = cluster.client("one"), cluster.client("other")
    moved: list[tuple[str, int]] = []
    first = member(one, on_taken=moved.extend)
    taken = await take(first, 1)
    working_on = taken[0][0]
    second = member(other)
    await second.open()
    await asyncio.sleep(2)
    assert (TOPIC, working_on) in first.positions
    more = asyncio.create_task(take(first, RECORDS))
    taking = asyncio.create_task(take(second, RECORDS))
    await asyncio.sleep(2)
    for task in (more, taking):
        task.cancel()
    await asyncio.gather(more, taking, return_exceptions=True)

    assert PARTITIONS // 2 == len(first.assignment) == len(second.assignment) == len(moved)
    assert not first.assignment & second.assignment
    await one.abandon()
    await other.abandon()


@in_a_cluster
async def test_the_node_that_a_member_talks_to_dies(cluster: SimCluster) -> None:
    """It is the same member at another node, and nothing comes twice."""
    client = cluster.client("c")
    subscription = member(client)
    taken = await take(subscription, 20)
    generations = {number: subscription.generation_of(TOPIC, number) for number in range(PARTITIONS)}
    cluster.crash(1)
    taken += await take(subscription, RECORDS - 20)
    await subscription.commit()

    assert RECORDS == len(set(taken))
    assert generations == {number: subscription.generation_of(TOPIC, number) for number in range(PARTITIONS)}
    await client.abandon()


@in_a_cluster
async def test_a_vanished_member_is_replaced_after_its_grace(cluster: SimCluster) -> None:
    """What it had committed stays committed."""
    one, other = cluster.client("one"), cluster.client("other")
    first = member(one)
    done = await take(first, 30)
    await first.commit()
    await one.abandon()
    second = member(other)
    begin_s = cluster.loop.now_s
    rest = await take(second, RECORDS - 30)

    assert RECORDS == len({*done, *rest})
    assert GRACE_S <= cluster.loop.now_s - begin_s < 2 * GRACE_S
    with pytest.raises(Closed):
        await take(first, 1)
    await other.close()


@in_a_cluster
async def test_records_that_were_deleted_are_told_of_and_passed_by(cluster: SimCluster) -> None:
    """One error names where it goes on."""
    client = cluster.client("c")
    async with member(client) as first:
        await first.open()
        while len(first.assignment) < PARTITIONS:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await client.delete_records(TOPIC, 0, before=2)
    left = sum(offsets.end - offsets.first for offsets in (await client.offsets(TOPIC)).values())
    second = member(client)
    taken: list[tuple[int, int]] = []
    passed: list[tuple[str, str]] = []
    while len(taken) < left:
        try:
            taken += await take(second, 1)
        except OffsetOutOfRange as error:
            passed.append((error.metadata["partition"], error.metadata["next"]))

    assert ([("0", "2")], left) == (passed, len(set(taken)))
    await client.close()


@in_a_cluster
async def test_what_cannot_be_joined_is_told_with_the_first_record(cluster: SimCluster) -> None:
    """A topic that is not there, a name that is none."""
    client = cluster.client("c")
    with pytest.raises(UnknownTopic):
        await take(client.subscribe("nowhere", group="g"), 1)
    with pytest.raises(InvalidRequest):
        await take(client.subscribe(TOPIC, group="no name"), 1)
    with pytest.raises(InvalidRequest):
        client.subscribe([], group="g")
    await client.close()


@in_a_cluster
async def test_an_application_that_fails_when_it_is_told_ends_the_subscription(cluster: SimCluster) -> None:
    """Its own exception comes with the next record; it used to wait for ever."""
    client = cluster.client("c")

    def fail(_: object) -> None:
        raise ZeroDivisionError

    subscription = member(client, on_assigned=fail)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(take(subscription, 1), 10)
    await subscription.abandon()

    one, two = member(client, on_taken=fail), member(client)
    taken = await take(one, 1)
    await two.open()
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(take(one, RECORDS), 10)
    await one.abandon()
    await two.abandon()
    assert 1 == len(taken)
    await client.abandon()
