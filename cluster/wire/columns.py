"""A batch's records as columns: what a loop over many records wants, without an object for each.

The same bytes as `records`, the same checks of count and size; headers are made only for those who ask.

Most batches are *whole*: each of their records has a value, a key and a time. Then the columns are read as such (see
`internal/v1/columns.proto`), for a third of what it costs to ask record by record. Each column has to be as long as the
batch has records, and no record may lack anything; so none can have anything twice, and they belong to each other.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from cluster.errors import CorruptBatch
from cluster.records import Batch
from cluster.trace import PARENT
from cluster.types import Offset
from cluster.wire.pb.riverrun.internal.v1 import columns_pb2
from cluster.wire.pb.riverrun.v1 import records_pb2
from cluster.wire.records import decompress

_TRACE = PARENT.encode()


@dataclass(slots=True, eq=False)
class Columns:
    """Records in their order; all columns have one length. Times in nanoseconds since 1970."""

    offsets: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes]
    times_ns: Sequence[int]
    _records: Any
    _first: int = 0
    """Where the first one stands among those."""
    traced: bool = False
    """Some of them may carry a trace: where this is False nobody needs to look."""

    def __len__(self) -> int:
        return len(self.values)

    def record(self, place: int) -> Any:
        """The message that stands at `place` in the columns: it has `headers`."""
        return self._records[self._first + place]

    def headers(self, place: int) -> list[tuple[str, bytes]]:
        """Of that record."""
        return [(header.name, header.value) for header in self.record(place).headers]

    def cut(self, first: int, end: int) -> "Columns":
        """Those that stand at `first` to before `end`."""
        if first == 0 and end == len(self.values):
            return self
        return Columns(
            self.offsets[first:end],
            self.keys[first:end],
            self.values[first:end],
            self.times_ns[first:end],
            self._records,
            self._first + first,
            self.traced,
        )

    def between(self, begin: int, end: int) -> "Columns":
        """Those with offsets from `begin` to before `end`."""
        return self.cut(bisect_left(self.offsets, begin), bisect_left(self.offsets, end))


def decode_columns(batch: Batch, base_offset: Offset) -> Columns:
    """The records of a batch whose checksum was looked at before; CorruptBatch if it contradicts itself."""
    encoded = decompress(batch)
    try:
        found = _whole(encoded, batch.record_count, base_offset) or _one_by_one(encoded, batch, base_offset)
    except DecodeError as error:
        raise CorruptBatch(f"the batch at offset {base_offset} is not a Records message") from error
    found.traced = _TRACE in encoded
    return found


def _whole(encoded: bytes, count: int, base_offset: int) -> Columns | None:
    """None: some of its records lack something, or it is not what its batch says."""
    found = columns_pb2.RecordColumns.FromString(encoded).records
    if found.offset_delta or not len(found.value) == len(found.key) == len(found.timestamp_ns) == count:
        return None
    whole = columns_pb2.WholeRecords.FromString(encoded)
    if len(whole.records) != count or not whole.IsInitialized():
        return None
    offsets = range(base_offset, base_offset + count)
    return Columns(offsets, found.key[:], found.value[:], found.timestamp_ns[:], whole.records)


def _one_by_one(encoded: bytes, batch: Batch, base_offset: int) -> Columns:
    records = records_pb2.Records.FromString(encoded).records
    count = len(records)
    offsets: Sequence[int] = range(base_offset, base_offset + count)
    if count != batch.record_count:
        offsets = _offsets_with_holes(records, base_offset)
        if count > batch.record_count or (offsets and offsets[-1] >= base_offset + batch.record_count):
            raise CorruptBatch(f"the batch at offset {base_offset} reaches beyond its own span")
    keys: list[bytes | None] = []
    values: list[bytes] = []
    times_ns: list[int] = []
    add_key, add_value, add_time = keys.append, values.append, times_ns.append
    for record in records:  # once: each pass would make an object for each record anew
        add_key(record.key or (b"" if record.HasField("key") else None))
        add_value(record.value)
        add_time(record.timestamp_ns)
    return Columns(offsets, keys, values, times_ns, records)


def _offsets_with_holes(records: Any, base_offset: int) -> list[int]:
    offsets = []
    offset = base_offset
    for record in records:
        if record.HasField("offset_delta"):
            offset = base_offset + record.offset_delta
        offsets.append(offset)
        offset += 1
    return offsets
