"""Records of a member's partitions on their way to it: each partition in its order, and never more than a few messages.

A member that reads slowly holds up its own partitions' loops and nothing else.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from cluster.broker.read_service import PartitionRead
from cluster.errors import OffsetOutOfRange, RiverrunError
from cluster.types import Offset, PartitionId


class Delivering:
    """Loops by partition. `on_filled` is called when there is something to take; a failure ends everything."""

    def __init__(
        self,
        *,
        messages_max: int,
        on_filled: Callable[[], None],
        on_skipped: Callable[[PartitionId, Offset, Offset], None],
    ) -> None:
        self.failure: RiverrunError | None = None
        self._on_filled = on_filled
        self._on_skipped = on_skipped
        self._room = asyncio.Semaphore(messages_max)
        self._loops: dict[PartitionId, asyncio.Task[None]] = {}
        self._ready: deque[tuple[PartitionId, Offset, Offset, bytes]] = deque()

    def start(self, partition: PartitionId, begin: Offset, read_from: Callable[[Offset], PartitionRead]) -> None:
        """Deliver from a partition, from `begin` on."""
        assert partition not in self._loops
        self._loops[partition] = asyncio.create_task(self._deliver(partition, begin, read_from))

    def stop(self, partition: PartitionId) -> None:
        """Deliver nothing more of it, not even what is ready."""
        loop = self._loops.pop(partition, None)
        if loop is not None:
            loop.cancel()
        for item in [item for item in self._ready if item[0] == partition]:
            self._ready.remove(item)
            self._room.release()

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
        self, partition: PartitionId, begin: Offset, read_from: Callable[[Offset], PartitionRead]
    ) -> None:
        position: Offset | None = begin
        try:
            while position is not None:
                position = await self._deliver_from(partition, position, read_from(position))
        except RiverrunError as error:
            error.metadata.setdefault("partition", str(partition.number))
            self.failure = error
            self._on_filled()

    async def _deliver_from(self, partition: PartitionId, begin: Offset, read: PartitionRead) -> Offset | None:
        """Until nothing more comes; where to go on if what comes next was deleted."""
        messages: AsyncIterator[bytes] = read.messages()
        try:
            async for message in messages:
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
