"""Publishers that wait for their entry: by index, until it is synced here or committed, or leadership is lost."""

import asyncio
from collections import deque
from dataclasses import dataclass

from cluster.errors import RiverrunError
from cluster.records import Receipt
from cluster.types import Durability, Index, Offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """One publisher. Several may wait for one index: the first one and its duplicates.

    `refusal`: what it is told then, instead of a receipt.
    """

    index: Index
    offset: Offset
    record_count: int
    append_time_ns: int
    size_bytes: int
    duplicate: bool
    reply: "asyncio.Future[Receipt]"
    refusal: RiverrunError | None = None


class Pending:
    """Waiters in the order of their indices, one queue for each durability that has to be waited for."""

    def __init__(self) -> None:
        self._queues: dict[Durability, deque[Waiter]] = {
            Durability.LEADER_SYNCED: deque(),
            Durability.MAJORITY_SYNCED: deque(),
        }
        self.bytes = 0
        """Content that is waited for."""
        self._less = asyncio.Event()

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def add(self, waiter: Waiter, durability: Durability) -> None:
        """Wait. A duplicate of an entry under way has an index lower than the newest: it goes in its place."""
        queue = self._queues[durability]
        self.bytes += waiter.size_bytes
        place = len(queue)
        while place and queue[place - 1].index > waiter.index:
            place -= 1
        queue.insert(place, waiter)

    def take(self, durability: Durability, upto: Index) -> list[Waiter]:
        """Those who wait for `durability` of an index up to `upto`; they are forgotten here."""
        queue = self._queues[durability]
        taken = []
        while queue and queue[0].index <= upto:
            waiter = queue.popleft()
            self.bytes -= waiter.size_bytes
            taken.append(waiter)
        if taken:
            self._less.set()
        return taken

    async def wait_less(self) -> None:
        """Return when some of what is waited for was answered."""
        self._less.clear()
        await self._less.wait()

    def fail_all(self, error: RiverrunError) -> None:
        """Leadership is lost or the replica stops: nobody here can tell what becomes of their entries."""
        for queue in self._queues.values():
            for waiter in queue:
                if not waiter.reply.done():
                    waiter.reply.set_exception(error)
                    waiter.reply.exception()  # whoever asked may have left: then nobody needs to be told of it
            queue.clear()
        self.bytes = 0
        self._less.set()
