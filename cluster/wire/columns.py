"""A batch's records as columns: what a loop over many records wants, without an object for each.

The same bytes as `records`, the same checks of count and size; headers are made only for those who ask.
"""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from cluster.errors import CorruptBatch
from cluster.records import Batch
from cluster.types import Offset
from cluster.wire.pb.riverrun.v1 import records_pb2
from cluster.wire.records import decompress


@dataclass(slots=True, eq=False)
class Columns:
    """Records in their order; all lists have one length. Times in nanoseconds since 1970."""

    offsets: list[int]
    keys: list[bytes | None]
    values: list[bytes]
    times_ns: list[int]
    _records: Any

    def __len__(self) -> int:
        return len(self.values)

    def headers(self, place: int) -> list[tuple[str, bytes]]:
        """Of the record that stands at `place` in the lists."""
        return [(header.name, header.value) for header in self._records[place].headers]

    def cut(self, first: int, end: int) -> "Columns":
        """Those that stand at `first` to before `end`."""
        if first == 0 and end == len(self.values):
            return self
        return Columns(
            self.offsets[first:end],
            self.keys[first:end],
            self.values[first:end],
            self.times_ns[first:end],
            self._records[first:end],
        )

    def between(self, begin: int, end: int) -> "Columns":
        """Those with offsets from `begin` to before `end`."""
        return self.cut(bisect_left(self.offsets, begin), bisect_left(self.offsets, end))


def decode_columns(batch: Batch, base_offset: Offset) -> Columns:
    """The records of a batch whose checksum was looked at before; CorruptBatch if it contradicts itself."""
    try:
        records = records_pb2.Records.FromString(decompress(batch)).records
    except DecodeError as error:
        raise CorruptBatch(f"the batch at offset {base_offset} is not a Records message") from error
    count = len(records)
    if count == batch.record_count:
        offsets = list(range(base_offset, base_offset + count))
    else:
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
    return Columns(offsets=offsets, keys=keys, values=values, times_ns=times_ns, _records=records)


def _offsets_with_holes(records: Any, base_offset: int) -> list[int]:
    offsets = []
    offset = base_offset
    for record in records:
        if record.HasField("offset_delta"):
            offset = base_offset + record.offset_delta
        offsets.append(offset)
        offset += 1
    return offsets
