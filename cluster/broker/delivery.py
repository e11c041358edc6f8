"""Entries of a partition as a reader asked for them: decoded records, or batches as their producer sealed them.

Rules:
1. A message holds at most `read_message_bytes_max`, so that a client takes it whose gRPC is as it came (4 MiB), and as
   many records as its reader wants at most. A larger record, or batch as it was published, comes alone.
2. So a batch that grows when it is decoded, or decompressed for a reader who cannot, comes in several messages. Each
   says the position behind its last record, and a reader goes on from there after a break, within a batch as well.
3. What can be read is given before the error about what cannot.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cluster.config import BrokerOptions
from cluster.errors import RiverrunError
from cluster.records import Batch, Entry, Record
from cluster.types import Codec, Offset
from cluster.wire import api
from cluster.wire.api import stream_pb2
from cluster.wire.records import decode_batch
from cluster.wire.splitting import split_batch

NO_LIMIT = 1 << 32
"""More records than a reader can name."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An encoded ReadResponse, the position behind it, and whether it is the read's last one."""

    position: Offset
    message: bytes
    done: bool = False


class Delivery:
    """Makes the answers of one partition of one read."""

    def __init__(
        self, partition: int, request: stream_pb2.ReadRequest, stop: Offset | None, *, options: BrokerOptions
    ) -> None:
        self._partition = partition
        self._batches = request.format == stream_pb2.READ_FORMAT_BATCHES
        self._codecs = {Codec.NONE, *(api.codec_from_pb(number) for number in request.codecs)}
        self._stop = stop
        self._bytes_max = min(request.window_bytes or options.read_message_bytes_max, options.read_message_bytes_max)
        self._records_max = request.records_max or NO_LIMIT

    def answers(self, entries: Sequence[Entry], position: Offset, end: Offset) -> Iterator[Answer]:
        """All that the entries hold from `position` on; at least one answer."""
        making = self._making(position, end)
        for entry in entries:
            if self._stop is not None and entry.base_offset >= self._stop:
                break
            try:
                if entry.batch is None or (entry.batch.compacted and not entry.batch.payload):
                    pass  # a hole
                elif self._batches:
                    self._add_batches(entry, entry.batch, position, making)
                else:
                    self._add_records(entry, entry.batch, position, making)
            except RiverrunError as error:
                error.metadata["offset"] = str(entry.base_offset)
                error.metadata["next"] = str(entry.end_offset)
                if making.position > position:
                    yield from making.take()
                    yield making.sealed()
                raise
            making.position = entry.end_offset
            if making.full:
                yield from making.take()
        done = self._stop is not None and making.position >= self._stop
        if done and self._stop is not None:
            making.position = self._stop
        yield making.sealed(done=done)

    def finished(self, position: Offset, end: Offset) -> bytes:
        """There is nothing to read before the stop."""
        return self._making(position, end).sealed(done=True).message

    def standing(self, position: Offset, end: Offset) -> bytes:
        """Nothing new yet."""
        return self._making(position, end).sealed().message

    def _making(self, position: Offset, end: Offset) -> "_Making":
        return _Making(self._partition, position, end, bytes_max=self._bytes_max, records_max=self._records_max)

    def _add_records(self, entry: Entry, batch: Batch, position: Offset, making: "_Making") -> None:
        for record in decode_batch(batch, entry.base_offset):
            if record.offset < position:
                continue
            if self._stop is not None and record.offset >= self._stop:
                break
            making.add_record(record)

    def _add_batches(self, entry: Entry, batch: Batch, position: Offset, making: "_Making") -> None:
        if batch.codec in self._codecs:
            making.add_batch(entry)
            return
        for base, part in split_batch(batch, entry.base_offset, max(self._bytes_max - api.BATCH_FRAME_BYTES_MAX, 1)):
            if base + part.record_count <= position:
                continue
            if self._stop is not None and base >= self._stop:
                break
            making.add_batch(replace(entry, base_offset=base, batch=part))


class _Making:
    """The answer that is being filled, and those that are full. `position` is behind all that was added."""

    def __init__(self, partition: int, position: Offset, end: Offset, *, bytes_max: int, records_max: int) -> None:
        self.position = position
        self.full: list[Answer] = []
        self._response = stream_pb2.ReadResponse(partition=partition)
        self._partition = partition
        self._end = end
        self._bytes_max = bytes_max
        self._records_max = records_max
        self._bytes = self._records = 0

    def add_record(self, record: Record) -> None:
        """The next one."""
        self._make_room(api.record_bytes(record), 1)
        api.add_record(record, self._response)
        self.position = Offset(record.offset + 1)

    def add_batch(self, entry: Entry) -> None:
        """The next one."""
        self._make_room(entry.size_bytes + api.BATCH_FRAME_BYTES_MAX, entry.record_count)
        api.stored_batch_to_pb(entry, self._response.batches.add())
        self.position = entry.end_offset

    def _make_room(self, size: int, records: int) -> None:
        """What does not fit is the first of a new answer."""
        self._bytes += size
        self._records += records
        if (self._bytes > self._bytes_max or self._records > self._records_max) and self._records > records:
            self.full.append(self.sealed())
            self._response = stream_pb2.ReadResponse(partition=self._partition)
            self._bytes, self._records = size, records

    def take(self) -> Sequence[Answer]:
        """Those that are full, once."""
        full, self.full = self.full, []
        return full

    def sealed(self, *, done: bool = False) -> Answer:
        """The answer as it is now."""
        self._response.position, self._response.end, self._response.finished = self.position, self._end, done
        return Answer(self.position, self._response.SerializeToString(), done)
