"""Reading a topic: the records of its partitions, each partition in its order, partitions as they arrive.

Nothing is read ahead of the application beyond `read_window_bytes_max` and one message for each partition: who reads
slowly slows the nodes' streams down, and nothing else.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Self

from cluster.client.calls import Calls
from cluster.client.decoding import ReadBatch, ReadRecord
from cluster.client.directory import Directory
from cluster.client.offsets import resolve
from cluster.client.partition_reader import PASSED_BY, PartitionReader
from cluster.client.positions import Places
from cluster.config import KIB, ClientOptions
from cluster.errors import Closed
from cluster.types import Offset

Arrived = tuple[PartitionReader, ReadBatch | Exception | None]


class Reader:
    """Made by `Client.read`. Iterate over records, or over `batches()` for speed; not both at once.

    Ends at `until`, or never. An error of `PASSED_BY` (a batch that cannot be decoded) names partition, offset and
    the next offset in its metadata, and iterating again goes on behind that batch; after any other error the reader
    is over, and `positions` says where another one may go on. Closed by `close`, by `async with`, at its end, and
    with the client.
    """

    def __init__(
        self,
        topic: str,
        *,
        partitions: Sequence[int] | None,
        start: Places,
        until: Places | None,
        calls: Calls,
        directory: Directory,
        options: ClientOptions,
    ) -> None:
        self.topic = topic
        self._asked_partitions = partitions
        self._start = start
        self._until = until
        self._calls = calls
        self._directory = directory
        self._options = options
        self._readers: dict[int, PartitionReader] = {}
        self._positions: dict[int, Offset] = {}
        self._pumps: list[asyncio.Task[None]] = []
        self._arrived: asyncio.Queue[Arrived] = asyncio.Queue(maxsize=1)
        self._left = 0
        self._opened = False
        self._closed = False
        self._over = False
        self._batch: ReadBatch | None = None
        self._records: Sequence[ReadRecord] = ()
        self._next = 0

    # --- what the application sees

    @property
    def positions(self) -> dict[int, Offset]:
        """By partition, the offset after the last record that the application was given: pass it as `start`."""
        positions = dict(self._positions)
        if self._batch is not None:
            at_end = self._next >= len(self._records)
            positions[self._batch.partition] = self._batch.position if at_end else self._records[self._next].offset
        return positions

    @property
    def lag_records(self) -> int:
        """How many committed records are known of and were not given to the application yet."""
        positions = self.positions
        return sum(max(reader.end - positions[number], 0) for number, reader in self._readers.items())

    @property
    def is_over(self) -> bool:
        """Nothing more will come and nothing is held open."""
        return self._closed or (self._opened and (self._left == 0 or self._over))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ReadRecord:
        while self._next >= len(self._records):
            batch = await self._next_batch()
            if batch is None:
                raise StopAsyncIteration
            self._batch, self._records, self._next = batch, batch.records, 0
        record = self._records[self._next]
        self._next += 1
        return record

    async def batches(self) -> AsyncGenerator[ReadBatch, None]:
        """The records in lists, as they arrived: several times as fast as one by one."""
        while (batch := await self._next_batch()) is not None:
            self._positions[batch.partition] = batch.position
            yield batch

    async def open(self) -> Self:
        """Find out where to begin and to stop, now instead of with the first record.

        Errors: UnknownTopic, UnknownPartition, OffsetOutOfRange, InvalidRequest, Unavailable.
        """
        if self._opened:
            return self
        route = await self._directory.route(self.topic)
        numbers = list(dict.fromkeys(self._asked_partitions or range(route.partitions)))
        for number in numbers:
            route.check_partition(number)
        spans = await resolve(self._calls, self.topic, numbers, self._start, self._until)
        self._opened = True
        window_bytes = max(self._options.read_window_bytes_max // len(numbers), 64 * KIB)
        for number, span in spans.items():
            reader = PartitionReader(
                route,
                number,
                span,
                calls=self._calls,
                directory=self._directory,
                options=self._options,
                window_bytes=window_bytes,
            )
            self._readers[number] = reader
            self._positions[number] = span.begin
            self._pumps.append(asyncio.create_task(self._pump(reader), name=f"read {self.topic}/{number}"))
        self._left = len(self._readers)
        return self

    async def close(self) -> None:
        """Stop reading; whoever waits for a record gets Closed."""
        self._closed = True
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for reader in self._readers.values():
            reader.close()
        if self._arrived.empty() and self._readers:
            self._arrived.put_nowait((next(iter(self._readers.values())), Closed("the reader was closed")))

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self.close()

    # --- merging

    async def _next_batch(self) -> ReadBatch | None:
        if self._batch is not None:
            self._positions[self._batch.partition] = self._batch.position
            self._batch, self._records, self._next = None, (), 0
        if self._closed:
            raise Closed("the reader was closed")
        await self.open()
        while self._left and not self._over:
            reader, item = await self._arrived.get()
            if isinstance(item, ReadBatch):
                return item
            if item is None:
                self._positions[reader.partition] = reader.position
                self._left -= 1
                continue
            if isinstance(item, PASSED_BY):
                self._positions[reader.partition] = Offset(int(item.metadata["next"]))
            else:
                self._over = True
            raise item
        return None

    async def _pump(self, reader: PartitionReader) -> None:
        while True:
            item: ReadBatch | Exception | None
            try:
                item = await reader.next()
            except Exception as error:  # noqa: BLE001  the application waits for it, whatever it is
                item = error
            await self._arrived.put((reader, item))
            if item is None or (isinstance(item, Exception) and not isinstance(item, PASSED_BY)):
                return
