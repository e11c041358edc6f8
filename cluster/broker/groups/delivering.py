"""Records of a member's partitions on their way to it: each partition in its order, and never more than a few messages.

A member that reads slowly holds up its own partitions' loops and nothing else; one that does not commit, those of the
partitions that it does not commit.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from cluster.broker.read_service import PartitionRead
from cluster.errors import OffsetOutOfRange, RiverrunError
from cluster.types import Offset, PartitionId
from cluster.wire.api import stream_pb2


@dataclass(frozen=True, slots=True)
class Extent:
    """What one message has: at most so many records, and the offset behind the last of them lies between these."""

    records: int
    end_min: Offset
    end_max: Offset


class Outstanding:
    """What of one partition was delivered and is not committed: at most `records_max`, or one message with more.

    Records are counted, not offsets: between them may lie what was compacted or deleted, and nobody commits that.
    """

    def __init__(self, records_max: int) -> None:
        self._records_max = records_max
        self._committed = Offset(0)
        self._messages: deque[Extent] = deque()
        self._records = 0
        self._changed = asyncio.Event()

    async def deliver(self, message: Extent) -> None:
        """Return when it may be delivered, too: then it is."""
        while message.records and self._messages and self._count() + message.records > self._records_max:
            self._changed.clear()
            await self._changed.wait()
        if message.records and message.end_min > self._committed:
            self._messages.append(message)
            self._records += message.records

    def commit(self, position: Offset) -> None:
        """The member has committed this, or less than before: that is an older answer."""
        self._committed = max(self._committed, position)
        while self._messages and self._messages[0].end_min <= self._committed:
            self._records -= self._messages.popleft().records
        self._changed.set()

    def _count(self) -> int:
        oldest = self._messages[0]
        return self._records - oldest.records + min(oldest.records, oldest.end_max - self._committed)


class Delivering:
    """Loops by partition. `on_filled` is called when there is something to take; a failure ends everything."""

    def __init__(
        self,
        *,
        messages_max: int,
        uncommitted_records_max: int,
        on_filled: Callable[[], None],
        on_skipped: Callable[[PartitionId, Offset, Offset], None],
    ) -> None:
        self.failure: RiverrunError | None = None
        self._on_filled = on_filled
        self._on_skipped = on_skipped
        self._room = asyncio.Semaphore(messages_max)
        self._uncommitted_records_max = uncommitted_records_max
        self._outstanding: dict[PartitionId, Outstanding] = {}
        self._loops: dict[PartitionId, asyncio.Task[None]] = {}
        self._ready: deque[tuple[PartitionId, Offset, Offset, bytes]] = deque()

    def start(self, partition: PartitionId, begin: Offset, read_from: Callable[[Offset], PartitionRead]) -> None:
        """Deliver from a partition, from `begin` on."""
        assert partition not in self._loops
        outstanding = self._outstanding[partition] = Outstanding(self._uncommitted_records_max)
        self._loops[partition] = asyncio.create_task(self._deliver(partition, begin, read_from, outstanding))

    def stop(self, partition: PartitionId) -> None:
        """Deliver nothing more of it, not even what is ready."""
        loop = self._loops.pop(partition, None)
        if loop is not None:
            loop.cancel()
            del self._outstanding[partition]
        for item in [item for item in self._ready if item[0] == partition]:
            self._ready.remove(item)
            self._room.release()

    def committed(self, partition: PartitionId, position: Offset) -> None:
        """The member has committed so much of what it holds."""
        if partition in self._outstanding:
            self._outstanding[partition].commit(position)

    def take(self) -> tuple[PartitionId, Offset, Offset, bytes] | None:
        """The next message: whose, the position behind it, the partition's end, and an encoded ReadResponse."""
        if not self._ready:
            return None
        self._room.release()
        return self._ready.popleft()

    async def close(self) -> None:
        """Stop all loops."""
        loops = list(self._loops.values())
        self._loops.clear()
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    async def _deliver(
        self,
        partition: PartitionId,
        begin: Offset,
        read_from: Callable[[Offset], PartitionRead],
        outstanding: Outstanding,
    ) -> None:
        position: Offset | None = begin
        try:
            while position is not None:
                position = await self._deliver_from(partition, position, read_from(position), outstanding)
        except RiverrunError as error:
            error.metadata.setdefault("partition", str(partition.number))
            self.failure = error
            self._on_filled()

    async def _deliver_from(
        self, partition: PartitionId, begin: Offset, read: PartitionRead, outstanding: Outstanding
    ) -> Offset | None:
        """Until nothing more comes; where to go on if what comes next was deleted."""
        messages: AsyncIterator[bytes] = read.messages()
        try:
            async for message in messages:
                await outstanding.deliver(_extent(read.part))
                await self._room.acquire()
                self._ready.append((partition, read.position, read.end, message))
                self._on_filled()
        except OffsetOutOfRange as error:
            position, first = max(begin, read.position), Offset(int(error.metadata.get("first", 0)))
            if first <= position:
                raise
            self._on_skipped(partition, position, first)
            return first
        return None


def _extent(part: stream_pb2.ReadResponse) -> Extent:
    if not part.batches:
        end = Offset(part.records[-1].offset + 1 if part.records else part.position)
        return Extent(len(part.records), end, end)
    last = part.batches[-1]
    end = Offset(last.base_offset + last.batch.record_count)
    # What compaction has left in it is not known here: its first record may be the last one.
    end_min = Offset(last.base_offset + 1) if last.batch.compacted else end
    return Extent(sum(stored.batch.record_count for stored in part.batches), end_min, end)
