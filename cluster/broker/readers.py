"""Who waits for which offset of a partition, and what they may see: everything up to the committed end."""

import asyncio
import heapq
from itertools import count

from cluster.errors import RiverrunError
from cluster.types import Offset


class Readers:
    """The committed end of one replica, and those who wait for it to pass an offset.

    `end` is the offset after the last committed record as this replica knows it; it never falls while the replica
    runs, unless its log begins anew. Waiting costs one future and no timer; a replica that leads no more, or stops,
    fails them all. Those who left stay in the heap until they are half of it.
    """

    def __init__(self) -> None:
        self.end = Offset(0)
        self._waiting: list[tuple[Offset, int, asyncio.Future[None]]] = []
        self._left = 0
        """Who has left since the heap was last rid of them: at least as many as are in it."""
        self._order = count()
        self._failed: RiverrunError | None = None

    def __len__(self) -> int:
        """Places in the heap."""
        return len(self._waiting)

    def advance(self, end: Offset) -> None:
        """The committed end is now `end`; wake whoever waited for less."""
        assert end >= self.end, "a committed end never falls"
        self.end = end
        while self._waiting and self._waiting[0][0] < end:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)

    def begin_anew(self) -> None:
        """The replica's log was replaced by a fold: nothing is committed that it has. Who waits goes on waiting."""
        self.end = Offset(0)

    async def wait_beyond(self, offset: Offset) -> None:
        """Return when the record at `offset` is committed here."""
        if self._failed is not None:
            raise self._failed
        if self.end > offset:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (offset, next(self._order), future))
        try:
            await future
        except asyncio.CancelledError:
            self._left += 1
            if 2 * self._left > len(self._waiting):
                self._forget_who_left()
            raise

    def leader_lost(self, error: RiverrunError) -> None:
        """The replica leads no more, and hears of commits late, or not at all: everyone who waits gets `error`."""
        for _, _, future in self._waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # who waited may leave before it is told
        self._waiting.clear()

    def fail(self, error: RiverrunError) -> None:
        """The replica stops: everyone who waits, and whoever comes later, gets `error`."""
        self._failed = error
        self.leader_lost(error)

    def _forget_who_left(self) -> None:
        self._waiting = [place for place in self._waiting if not place[2].done()]
        heapq.heapify(self._waiting)
        self._left = 0
