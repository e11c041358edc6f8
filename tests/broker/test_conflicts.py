"""When a replica says that the expected end is not the end: a leader, a log and a majority as they are told to be."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.broker.barriers import Barriers
from cluster.broker.publishing import Publishing
from cluster.broker.requests import Publish
from cluster.errors import NotLeader, OffsetConflict, OutcomeUnknown, RiverrunError
from cluster.records import Record
from cluster.types import Durability, Index, Offset
from cluster.wire.records import make_batch

BATCH = make_batch([Record(value=b"v", timestamp_ns=1)])


class Leading:
    """A leader whose log ends at offset 7 with entry 4, of which 3 is committed."""

    def __init__(self) -> None:
        self.is_leader = True
        self.commit = Index(3)
        log: Any = SimpleNamespace(
            full=False, end_offset=Offset(7), last_index=Index(4), fold=SimpleNamespace(producers={})
        )
        raft: Any = self
        self.barriers = Barriers(raft)
        clock: Any = None
        self.publishing = Publishing(raft=raft, log=log, barriers=self.barriers, clock=clock, not_leader=NotLeader)

    def read_barrier(self) -> int:
        """Each has the same number."""
        return 1

    def publish(self, expected_end: int) -> "asyncio.Future[Any]":
        """Ask; what comes of it."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        assert self.publishing.propose(Publish(BATCH, Durability.MAJORITY_SYNCED, reply, Offset(expected_end))) is None
        return reply


async def test_a_conflict_is_told_when_what_stands_there_is_committed() -> None:
    """Behind the barrier, and not before entry 4 is."""
    leading = Leading()
    reply = leading.publish(6)
    assert not reply.done()
    leading.barriers.confirmed((1,))
    assert not reply.done()
    leading.commit = Index(4)
    leading.publishing.committed()

    error = reply.exception()
    assert isinstance(error, OffsetConflict)
    assert {"end": "7"} == error.metadata


async def test_a_conflict_with_what_is_committed_waits_for_the_barrier_only() -> None:
    """As every refusal does."""
    leading = Leading()
    leading.commit = Index(4)
    reply = leading.publish(6)
    assert not reply.done()
    leading.barriers.confirmed((1,))

    assert isinstance(reply.exception(), OffsetConflict)


@pytest.mark.parametrize(("barriers", "error"), [((1,), OutcomeUnknown), ((), NotLeader)])
async def test_a_leader_that_is_replaced_does_not_say_no(barriers: tuple[int, ...], error: type[RiverrunError]) -> None:
    """Another one knows better."""
    leading = Leading()
    reply = leading.publish(6)
    leading.barriers.confirmed(barriers)
    leading.is_leader = False
    leading.publishing.leadership_changed()
    leading.barriers.confirmed((1,))

    assert isinstance(reply.exception(), error)
