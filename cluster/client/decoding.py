"""Batches as they were stored become records, checked and cut to the range that was asked for. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cluster.errors import ChecksumMismatch, CorruptBatch, InvalidRequest
from cluster.records import Header
from cluster.types import Offset
from cluster.wire import api
from cluster.wire.records import decompress


class ReadRecord(NamedTuple):
    """A record that was read: `cluster.records.Record` with its place. A named tuple, because millions are made.

    `timestamp_ns` is the event's time in nanoseconds since 1970, `key` None means no key.
    """

    value: bytes
    key: bytes | None
    headers: tuple[Header, ...]
    timestamp_ns: int
    offset: Offset
    partition: int
    topic: str = ""
    """Set where several topics are read at once: by a group's member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBatch:
    """Records of one partition, in order, with where that leaves the reader.

    `position` is the next offset to read; `end` the partition's committed end as the node knew it: their difference
    is the lag in records. `append_time_ns`: when the last of them was appended; 0 if the node did not say.
    """

    partition: int
    records: Sequence[ReadRecord]
    position: Offset
    end: Offset
    append_time_ns: int = 0
    topic: str = ""


def read_stored_batch(
    stored: api.records_pb2.StoredBatch, partition: int, begin: Offset, stop: Offset | None, topic: str = ""
) -> list[ReadRecord]:
    """The batch's records with offsets from `begin` up to, not including, `stop` (None: all).

    ChecksumMismatch: the bytes were changed on their way or at rest; reading again may help. CorruptBatch: they are as
    they were published and cannot be decoded. UnknownCodec: this client cannot decompress them.
    """
    batch = api.batch_from_pb(stored.batch)
    base = Offset(stored.base_offset)
    if not batch.is_intact():
        raise ChecksumMismatch(f"the batch at offset {base} of partition {partition} does not match its checksum")
    try:
        items = api.parse(api.records_pb2.Records, decompress(batch)).records
    except InvalidRequest as error:
        raise CorruptBatch(f"the batch at offset {base} of partition {partition} holds no records") from error
    if len(items) > batch.record_count or (len(items) < batch.record_count and not batch.compacted):
        raise CorruptBatch(
            f"the batch at offset {base} of partition {partition} holds {len(items)} records and says "
            f"{batch.record_count}"
        )
    records: list[ReadRecord] = []
    offset: int = base
    make, cls = tuple.__new__, ReadRecord  # this runs once per record: half the time of calling the class
    for item in items:
        if delta := item.offset_delta:  # 0 can only stand at the first record, where it says nothing new
            offset = base + delta
        headers = item.headers
        records.append(
            make(
                cls,
                (
                    item.value,
                    item.key or (b"" if item.HasField("key") else None),
                    tuple([Header(name=header.name, value=header.value) for header in headers]) if headers else (),
                    item.timestamp_ns,
                    offset,
                    partition,
                    topic,
                ),
            )
        )
        offset += 1
    if offset > base + batch.record_count:
        raise CorruptBatch(f"the batch at offset {base} of partition {partition} reaches beyond its own span")
    if base < begin or (stop is not None and base + batch.record_count > stop):
        last = stop if stop is not None else offset
        records = [record for record in records if begin <= record.offset < last]
    return records
