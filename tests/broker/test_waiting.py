"""Readers and publishers wait for an offset or an index, and nobody waits in vain."""

import asyncio

import pytest

from cluster.broker.pending import Pending, Waiter
from cluster.broker.readers import Readers
from cluster.errors import NotLeader, OutcomeUnknown, Unavailable
from cluster.records import Receipt
from cluster.types import Durability, Index, Offset


async def test_a_reader_wakes_when_its_record_is_committed() -> None:
    """Waiting beyond offset 4 ends when the committed end is 5, not before."""
    readers = Readers()
    waiting = asyncio.ensure_future(readers.wait_beyond(Offset(4)))
    await asyncio.sleep(0)

    readers.advance(Offset(4))
    await asyncio.sleep(0)
    assert not waiting.done()

    readers.advance(Offset(5))
    await waiting


async def test_a_reader_behind_the_end_does_not_wait() -> None:
    """What is committed can be read at once."""
    readers = Readers()
    readers.advance(Offset(3))

    await readers.wait_beyond(Offset(2))


async def test_a_replica_that_begins_anew_keeps_its_readers_waiting() -> None:
    """Its committed end falls once; whoever waits hears of it when it has passed what they wait for."""
    readers = Readers()
    readers.advance(Offset(5))
    waiting = asyncio.ensure_future(readers.wait_beyond(Offset(5)))
    await asyncio.sleep(0)

    readers.begin_anew()
    readers.advance(Offset(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert 2 == readers.end

    readers.advance(Offset(6))
    await waiting


async def test_readers_of_a_replica_that_stops_are_told() -> None:
    """Those who wait and those who come later get the error."""
    readers = Readers()
    waiting = asyncio.ensure_future(readers.wait_beyond(Offset(0)))
    await asyncio.sleep(0)

    readers.fail(Unavailable("stopping"))
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await readers.wait_beyond(Offset(0))


async def test_a_reader_that_left_disturbs_nobody() -> None:
    """A cancelled wait is passed over."""
    readers = Readers()
    gone = asyncio.ensure_future(readers.wait_beyond(Offset(0)))
    stays = asyncio.ensure_future(readers.wait_beyond(Offset(0)))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)

    readers.advance(Offset(1))
    await stays


async def test_readers_that_left_are_forgotten_though_nothing_is_committed() -> None:
    """On a partition that nobody writes to they had stayed for ever."""
    readers = Readers()
    stays = [asyncio.ensure_future(readers.wait_beyond(Offset(n))) for n in range(50)]
    for _ in range(100):
        gone = [asyncio.ensure_future(readers.wait_beyond(Offset(7))) for _ in range(100)]
        await asyncio.sleep(0)
        for waiting in gone:
            waiting.cancel()
        await asyncio.wait(gone)
        assert len(readers) <= 2 * (len(stays) + len(gone))
    assert len(readers) <= 2 * len(stays)

    for end in range(1, 51):
        readers.advance(Offset(end))
        await stays[end - 1]
        await asyncio.sleep(0)
        assert [False] * (50 - end) == [waiting.done() for waiting in stays[end:]]
    assert 0 == len(readers)


async def test_readers_of_a_replica_that_leads_no_more_are_told() -> None:
    """Its end may stand still from here on. Whoever comes later waits."""
    readers = Readers()
    waiting = asyncio.ensure_future(readers.wait_beyond(Offset(0)))
    await asyncio.sleep(0)

    readers.leader_lost(NotLeader("another one leads"))
    with pytest.raises(NotLeader):
        await waiting
    later = asyncio.ensure_future(readers.wait_beyond(Offset(0)))
    await asyncio.sleep(0)
    readers.advance(Offset(1))
    await later


def _waiter(index: int, *, duplicate: bool = False) -> Waiter:
    reply: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
    return Waiter(
        index=Index(index),
        offset=Offset(index),
        record_count=1,
        append_time_ns=0,
        size_bytes=0 if duplicate else 10,
        duplicate=duplicate,
        reply=reply,
    )


async def test_publishers_are_taken_in_the_order_of_their_indices() -> None:
    """A duplicate of an entry under way goes in its place, behind the one that came first."""
    pending = Pending()
    first, second, third, again = _waiter(1), _waiter(2), _waiter(3), _waiter(2, duplicate=True)
    for waiter in (first, second, third, again):
        pending.add(waiter, Durability.MAJORITY_SYNCED)

    assert [first, second, again] == pending.take(Durability.MAJORITY_SYNCED, Index(2))
    assert 1 == len(pending)


async def test_each_durability_is_waited_for_apart() -> None:
    """Who wants the leader's disk only does not wait for the majority."""
    pending = Pending()
    quick, safe = _waiter(1), _waiter(1)
    pending.add(quick, Durability.LEADER_SYNCED)
    pending.add(safe, Durability.MAJORITY_SYNCED)

    assert [quick] == pending.take(Durability.LEADER_SYNCED, Index(5))
    assert [safe] == pending.take(Durability.MAJORITY_SYNCED, Index(5))


async def test_bytes_under_way_are_counted_and_room_is_announced() -> None:
    """Whoever waits for room wakes when something was answered."""
    pending = Pending()
    pending.add(_waiter(1), Durability.MAJORITY_SYNCED)
    waiting = asyncio.ensure_future(pending.wait_less())
    await asyncio.sleep(0)
    assert 10 == pending.bytes

    pending.take(Durability.MAJORITY_SYNCED, Index(1))
    await waiting
    assert 0 == pending.bytes


async def test_lost_leadership_leaves_the_outcome_unknown() -> None:
    """Everyone who waits is told, once."""
    pending = Pending()
    waiter = _waiter(1)
    pending.add(waiter, Durability.MAJORITY_SYNCED)

    pending.fail_all(OutcomeUnknown())
    with pytest.raises(OutcomeUnknown):
        await waiter.reply
    assert (0, 0) == (len(pending), pending.bytes)
