"""A partition in the hands of a group's member: read from its leader, with what of it was processed and committed."""

import asyncio
from typing import TypeGuard

from cluster.client.calls import Calls
from cluster.client.decoding import ReadBatch
from cluster.client.directory import Directory
from cluster.client.membership import Held
from cluster.client.offsets import Range
from cluster.client.partition_reader import PASSED_BY, PartitionReader
from cluster.config import KIB, ClientOptions
from cluster.errors import OffsetOutOfRange, RiverrunError
from cluster.types import Offset

PARTS_ASSUMED = 12
"""Among so many partitions the read window is shared before it is known how many there will be."""


class Part:
    """`processed` and `committed` are positions. What arrives goes into the queue that `start` was given."""

    __slots__ = ("_pump", "_reader", "asked_back", "committed", "held", "processed")

    def __init__(self, held: Held, position: Offset) -> None:
        self.held = held
        self.processed = self.committed = position
        self.asked_back = False
        self._reader: PartitionReader | None = None
        self._pump: asyncio.Task[None] | None = None

    def start(
        self, arrived: "asyncio.Queue[Arrived]", *, calls: Calls, directory: Directory, options: ClientOptions
    ) -> None:
        """Read from `processed` on."""
        reading = self._read(arrived, calls, directory, options)
        self._pump = asyncio.create_task(reading, name=f"read {self.held[0]}/{self.held[1]} as a member")

    def stop(self) -> None:
        """Read no more."""
        if self._pump is not None:
            self._pump.cancel()
        if self._reader is not None:
            self._reader.close()

    async def _read(
        self, arrived: "asyncio.Queue[Arrived]", calls: Calls, directory: Directory, options: ClientOptions
    ) -> None:
        topic, number, _ = self.held
        try:
            route = await directory.route(topic)
        except RiverrunError as error:
            await arrived.put((self, error))
            return
        self._reader = PartitionReader(
            route,
            number,
            Range(begin=self.processed, stop=None, end=self.processed),
            calls=calls,
            directory=directory,
            options=options,
            window_bytes=max(options.read_window_bytes_max // PARTS_ASSUMED, 64 * KIB),
            tell_holes=True,
        )
        await self._pump_all(arrived, self._reader)

    async def _pump_all(self, arrived: "asyncio.Queue[Arrived]", reader: PartitionReader) -> None:
        while True:
            item: ReadBatch | Exception | None
            try:
                item = await reader.next()
            except Exception as error:  # noqa: BLE001  the application waits for it, whatever it is
                item = error
            assert item is not None, "a member's partition has no end"
            if isinstance(item, OffsetOutOfRange) and int(item.metadata.get("first", 0)) > reader.position:
                reader.skip_to(Offset(int(item.metadata["first"])))
                item.metadata |= {"topic": self.held[0], "partition": str(self.held[1]), "next": item.metadata["first"]}
            await arrived.put((self, item))
            if isinstance(item, Exception) and not goes_on(item):
                return


Arrived = tuple[Part, ReadBatch | Exception]


def goes_on(error: Exception) -> TypeGuard[RiverrunError]:
    """Whether iterating again goes on behind what the error stands for."""
    return isinstance(error, (*PASSED_BY, OffsetOutOfRange)) and "next" in error.metadata
