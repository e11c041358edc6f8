"""What a coordinator says to one member."""

import asyncio

import pytest

from cluster.broker.groups.session import Session
from cluster.types import Index, Offset, PartitionId, TopicId
from cluster.wire.attach import coordinator_pb2, held_to_pb

A = PartitionId(TopicId(b"a" * 16), 0)


async def test_a_member_is_told_only_what_is_new_to_it() -> None:
    """Not each change of its group: with a thousand members most are of others."""
    session = Session(("g", 1), 8)
    session.tell(Index(1), [])
    session.tell(Index(2), [])
    session.tell(Index(3), [held_to_pb(A, 5)])
    session.tell(Index(3), [held_to_pb(A, 5)])
    session.tell(Index(4), [held_to_pb(A, 5, position=Offset(7))])
    session.tell(Index(5), [held_to_pb(A, 5, position=Offset(7), asked_back=True)])
    session.tell(Index(6), [held_to_pb(A, 9)])
    session.end(None)
    said = [coordinator_pb2.AttachResponse.FromString(message).holdings async for message in session.messages()]

    assert [[], [(5, False)], [(5, True)], [(9, False)]] == [
        [(held.generation, held.asked_back) for held in holdings.held] for holdings in said
    ]


async def fail() -> None:
    """As a bug would."""
    raise ZeroDivisionError


async def ended(session: Session) -> list[bytes]:
    """Everything that is said until the end."""
    async with asyncio.timeout(1):
        return [message async for message in session.messages()]


async def test_what_nobody_foresaw_ends_the_stream() -> None:
    """Raised in a callback it would end nothing, and the member would wait for ever."""
    session = Session(("g", 1), 8)
    taking = asyncio.create_task(fail())
    taking.add_done_callback(session.end_with)
    with pytest.raises(ZeroDivisionError):
        await ended(session)


async def test_a_commit_or_release_that_fails_as_nobody_foresaw_ends_the_stream() -> None:
    """The same, where the answer of a replica is awaited."""
    for wait in (
        lambda s, reply: s.answer_when_done(1, reply),
        lambda s, reply: reply.add_done_callback(s.released),
    ):
        session = Session(("g", 1), 8)
        reply = asyncio.get_running_loop().create_future()
        await session.room()
        wait(session, reply)
        reply.set_exception(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            await ended(session)
