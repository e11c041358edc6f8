"""Records become batches, partition by partition. Pure: time is handed in.

A batch is closed when the first of these is true:

1. It is full: the next record would take it over the size, or it has reached the count.
2. It has been open for `linger_s`, and its partition is not busy: what is under way sets the pace, so that batches grow
   with the load instead of multiplying. While the partition is busy the batch is *overdue*, and closed as soon as it
   is not busy any more.
3. Somebody waits for one of its records and nothing of its partition is under way: there is no company to wait for.
   (Nagle's idea, RFC 896: what is under way collects the next batch.)
4. The producer flushes.

"Busy" is for the caller to say: `BUSY_BATCHES` of the partition sent and not acknowledged, as the producer has it.
A record larger than a whole batch gets one of its own. Memory is counted from `add` until the batch is settled.
"""

from collections import deque
from collections.abc import Callable

from cluster.client.outgoing import OutgoingBatch
from cluster.config import ClientOptions
from cluster.types import Codec
from cluster.wire.encoding import Headers

BUSY_BATCHES = 2
"""So many batches under way keep a partition's leader at work while the next one fills."""


class PartitionBuffer:
    """The open batch of one partition, if any, and the closed ones that wait for their turn, oldest first."""

    __slots__ = ("closed", "open", "partition", "topic")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.open: OutgoingBatch | None = None
        self.closed: deque[OutgoingBatch] = deque()


class Accumulator:
    """The batches of one producer that were not handed to a partition's window yet."""

    def __init__(self, options: ClientOptions, codec: Codec) -> None:
        self._linger_s = options.linger_s
        self._bytes_max = options.batch_bytes_max
        self._count_max = options.records_per_batch_max
        self._delivery_timeout_s = options.delivery_timeout_s
        self._codec = codec
        self._lingering: dict[PartitionBuffer, None] = {}
        self._overdue: dict[PartitionBuffer, None] = {}
        self.ready: dict[PartitionBuffer, None] = {}
        """Partitions that got a closed batch since they were last taken from here; the producer empties it."""
        self.buffered_bytes = 0

    def add(
        self,
        buffer: PartitionBuffer,
        value: bytes,
        key: bytes | None,
        headers: Headers,
        timestamp_ns: int,
        size_bytes: int,
        now_s: Callable[[], float],
    ) -> OutgoingBatch:
        """Put one record into the partition's open batch, which is returned; the record is its last."""
        batch = buffer.open
        if batch is None or batch.size_bytes + size_bytes > self._bytes_max:
            batch = self._next_batch(buffer, now_s())
        batch.add(value, key, headers, timestamp_ns, size_bytes)
        self.buffered_bytes += size_bytes
        if batch.count >= self._count_max or batch.size_bytes >= self._bytes_max:
            self.close(buffer)
        return batch

    def _next_batch(self, buffer: PartitionBuffer, now_s: float) -> OutgoingBatch:
        if buffer.open is not None:
            self.close(buffer)
        batch = OutgoingBatch(
            buffer.topic, buffer.partition, opened_s=now_s, deadline_s=now_s + self._delivery_timeout_s
        )
        buffer.open = batch
        self._lingering[buffer] = None
        return batch

    def close(self, buffer: PartitionBuffer) -> None:
        """Close the partition's open batch, if there is one."""
        batch = buffer.open
        if batch is None:
            return
        buffer.open = None
        self._lingering.pop(buffer, None)
        self._overdue.pop(buffer, None)
        if batch.count > 0:  # it is 0 if the only record that it was opened for was refused
            batch.close(self._codec)
            buffer.closed.append(batch)
            self.ready[buffer] = None

    def close_due(self, now_s: float, is_busy: Callable[[PartitionBuffer], bool]) -> None:
        """Close what has lingered long enough. Batches open in their order of time, so the look is short."""
        while self._lingering:
            buffer = next(iter(self._lingering))
            assert buffer.open is not None
            if buffer.open.opened_s + self._linger_s > now_s:
                return
            if is_busy(buffer):
                del self._lingering[buffer]
                self._overdue[buffer] = None
            else:
                self.close(buffer)

    def is_overdue(self, buffer: PartitionBuffer) -> bool:
        """Its batch is only waiting for the partition to be less busy."""
        return buffer in self._overdue

    def close_all(self) -> None:
        """Close every open batch."""
        for buffer in [*self._overdue, *self._lingering]:
            self.close(buffer)

    def next_due_s(self) -> float | None:
        """When `close_due` will have something to do."""
        if not self._lingering:
            return None
        batch = next(iter(self._lingering)).open
        assert batch is not None
        return batch.opened_s + self._linger_s

    def release(self, batch: OutgoingBatch) -> None:
        """The batch is settled: its memory counts no more."""
        self.buffered_bytes -= batch.size_bytes
        assert self.buffered_bytes >= 0
