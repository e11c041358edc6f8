"""Records of a member's partitions on their way to it: each partition in its order, and never more than a few messages.

A member that reads slowly holds up its own partitions' loops and nothing else; one that does not commit, those of the
partitions that it does not commit.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from cluster.broker.read_service import PartitionRead
from cluster.errors import OffsetOutOfRange, RiverrunError
from cluster.types import Offset, PartitionId


class Outstanding:
    """How much of one partition was delivered and is not committed: at most `records_max`, or one message with more."""

    def __init__(self, begin: Offset, records_max: int) -> None:
        self._records_max = records_max
        self._delivered = self._committed = begin
        self._skips: deque[tuple[Offset, Offset]] = deque()
        """What was passed over beyond the committed position, by its first offset and the next one."""
        self._changed = asyncio.Event()

    async def deliver(self, position: Offset) -> None:
        """Return when what lies before `position` may be delivered, too: then it is."""
        while not self._has_room(position):
            self._changed.clear()
            await self._changed.wait()
        self._delivered = max(self._delivered, position)

    def skip(self, first: Offset, following: Offset) -> None:
        """What lies between these will not be delivered."""
        self._skips.append((first, following))
        self._delivered = following
        self.commit(self._committed)

    def commit(self, position: Offset) -> None:
        """The member has committed this, or less than before: that is an older answer."""
        self._committed = max(self._committed, position)
        while self._skips and self._skips[0][0] <= self._committed:
            self._committed = max(self._committed, self._skips.popleft()[1])
        self._changed.set()

    def _has_room(self, position: Offset) -> bool:
        if self._delivered <= self._committed or position <= self._delivered:
            return True
        skipped = sum(following - first for first, following in self._skips)
        return position - self._committed - skipped <= self._records_max


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
        outstanding = self._outstanding[partition] = Outstanding(begin, self._uncommitted_records_max)
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
                await outstanding.deliver(read.position)
                await self._room.acquire()
                self._ready.append((partition, read.position, read.end, message))
                self._on_filled()
        except OffsetOutOfRange as error:
            position, first = max(begin, read.position), Offset(int(error.metadata.get("first", 0)))
            if first <= position:
                raise
            outstanding.skip(position, first)
            self._on_skipped(partition, position, first)
            return first
        return None
