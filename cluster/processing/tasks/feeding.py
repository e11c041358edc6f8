"""What a task reads: each partition of its inputs (`feed`), ready to be handed over in fair turns.

What waits to be tried again (`retrying`) is held, with all that is behind it in its partition.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from cluster.broker.read_service import ReadService
from cluster.errors import RiverrunError, TopicDeleted
from cluster.processing.spec import InputKind
from cluster.processing.tasks.feed import Feed, Source
from cluster.processing.tasks.retrying import Place, Retry
from cluster.processing.work import Batch
from cluster.types import Offset, PartitionId
from cluster.world import Clock


class Feeding:
    """All partitions that a task reads. `held`: see `Retrying`, kept true.

    `failure`: what ended one of the reads, or a bug in it.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        positions: Mapping[PartitionId, Offset],
        *,
        reading: ReadService,
        clock: Clock,
        on_change: Callable[[], None],
        held: Mapping[Place, Retry],
    ) -> None:
        self.failure: BaseException | None = None
        self._held = held
        self.feeds = [
            Feed(source, positions[source.partition], reading=reading, clock=clock, on_change=on_change)
            for source in sources
        ]
        self._on_change = on_change
        self._turn = 0
        self._confirming: asyncio.Task[None] | None = None
        self._tasks = [self._watched(self._read(feed)) for feed in self.feeds]

    async def _read(self, feed: Feed) -> None:
        try:
            await feed.run()
        except TopicDeleted:
            name = feed.source.topic.name
            self.failure = TopicDeleted(
                f"the topic {name!r}, which it reads, was deleted; what it has read stays counted", topic=name
            )
            self._on_change()
        except RiverrunError as error:
            error.metadata.setdefault("topic", feed.source.topic.name)
            self.failure = error
            self._on_change()

    def _watched(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Nobody waits for it, and what it has not foreseen must not be silence."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (bug := task.exception()) is not None:
            self.failure = bug
            self._on_change()

    def take(self, *, records_max: int, bytes_max: int, oldest_first: bool) -> list[Batch]:
        """The next batches, in fair turns, or those with the oldest records first; at least one if there is one."""
        taken: list[Batch] = []
        size = records = 0
        while size < bytes_max and records < records_max:
            feed = self._next(oldest_first=oldest_first)
            batch = feed.take(min(records_max - records, self.room(feed))) if feed is not None else None
            if batch is None:
                break
            taken.append(batch)
            size += len(batch.payload)
            records += batch.end - batch.begin
        return taken

    def _next(self, *, oldest_first: bool) -> Feed | None:
        ready = [feed for feed in self.feeds if feed.oldest_ns is not None and self.room(feed)]
        if not ready:
            return None
        if oldest_first:
            return min(ready, key=lambda feed: feed.oldest_ns or 0)
        self._turn += 1
        return ready[self._turn % len(ready)]

    def room(self, feed: Feed) -> int:
        """So many offsets may be taken there before one that is held."""
        held = self._held.get((feed.source.number, feed.source.partition.number))
        return held.offset - feed.position if held is not None and held.offset >= feed.position else sys.maxsize

    def take_held(self, now_s: float) -> tuple[Batch | None, int]:
        """One that is held and whose turn it is, alone, and how often it has failed; None: there is none."""
        for feed in self.feeds:
            held = self._held.get((feed.source.number, feed.source.partition.number))
            if held is not None and held.offset == feed.position and held.due_s <= now_s:
                batch = feed.take(1)
                if batch is not None:
                    return batch, held.failures
        return None, 0

    def take_letters(
        self, ends: Mapping[PartitionId, Offset], *, records_max: int, now_s: float
    ) -> tuple[Batch | None, int]:
        """The next batch of a redrive that goes up to there, and how often it has failed, if it is tried again."""
        held, failures = self.take_held(now_s)
        if held is not None:
            return held, failures
        for feed in self.feeds:
            left = min(ends.get(feed.source.partition, 0) - feed.position, self.room(feed))
            if left > 0 and (batch := feed.take(min(left, records_max))) is not None:
                return batch, 0
        return None, 0

    def has_taken(self, ends: Mapping[PartitionId, Offset]) -> bool:
        """Whether all up to there was."""
        return all(feed.position >= ends.get(feed.source.partition, 0) for feed in self.feeds)

    @property
    def lag(self) -> int:
        """Records that are there and were not taken."""
        return sum(feed.lag for feed in self.feeds)

    @property
    def finished(self) -> bool:
        """There will never be anything more."""
        streams = [feed for feed in self.feeds if feed.source.spec.kind is InputKind.STREAM]
        return bool(streams) and all(feed.finished for feed in streams)

    def idle(self) -> list[tuple[int, int]]:
        """The (input, partition) pairs that are idle now."""
        return [
            (feed.source.number, feed.source.partition.number) for feed in self.feeds if feed.finished or feed.is_idle
        ]

    def confirm(self, look_s: float) -> None:
        """Ask the leaders of those that are quiet, if nobody is asking; that is done every `look_s`."""
        for feed in self.feeds:
            feed.look_s = look_s
        quiet = [feed for feed in self.feeds if feed.wants_word]
        if quiet and (self._confirming is None or self._confirming.done()):
            self._confirming = self._watched(self._confirm(quiet))

    @staticmethod
    async def _confirm(feeds: Sequence[Feed]) -> None:
        await asyncio.gather(*(feed.confirm() for feed in feeds))

    def skipped(self) -> int:
        """Offsets that were deleted before they were read, since it was last asked."""
        count = sum(feed.skipped for feed in self.feeds)
        for feed in self.feeds:
            feed.skipped = 0
        return count

    def close(self) -> None:
        """Read no more."""
        for task in (*self._tasks, *([self._confirming] if self._confirming is not None else [])):
            task.cancel()
