"""Records become batches, partition by partition. Pure: time is handed in.

A batch is closed when the first of these is true:

1. It is full: the next record would take it over the size, or it has reached the count.
2. It has been open for `linger_s`.
3. Somebody waits for one of its records and nothing of its partition is under way: there is no company to wait for.
   (Nagle's idea, RFC 896: what is under way collects the next batch.)
4. The producer flushes.

A record larger than a whole batch gets one of its own. Memory is counted from `add` until the batch is settled.
"""

from collections import deque
from collections.abc import Callable

from cluster.client.outgoing import Headers, OutgoingBatch
from cluster.config import ClientOptions
from cluster.types import Codec


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
        self._open: dict[PartitionBuffer, None] = {}
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
        self._open[buffer] = None
        return batch

    def close(self, buffer: PartitionBuffer) -> None:
        """Close the partition's open batch, if there is one."""
        batch = buffer.open
        if batch is None:
            return
        if batch.count == 0:  # its first record could not be encoded, and was refused
            buffer.open = None
            del self._open[buffer]
            return
        batch.close(self._codec)
        buffer.open = None
        del self._open[buffer]
        buffer.closed.append(batch)
        self.ready[buffer] = None

    def close_due(self, now_s: float) -> None:
        """Close what has lingered long enough. Batches open in their order of time, so the look is short."""
        while self._open:
            buffer = next(iter(self._open))
            assert buffer.open is not None
            if buffer.open.opened_s + self._linger_s > now_s:
                return
            self.close(buffer)

    def close_all(self) -> None:
        """Close every open batch."""
        for buffer in list(self._open):
            self.close(buffer)

    def next_due_s(self) -> float | None:
        """When `close_due` will have something to do."""
        if not self._open:
            return None
        batch = next(iter(self._open)).open
        assert batch is not None
        return batch.opened_s + self._linger_s

    def release(self, batch: OutgoingBatch) -> None:
        """The batch is settled: its memory counts no more."""
        self.buffered_bytes -= batch.size_bytes
        assert self.buffered_bytes >= 0
