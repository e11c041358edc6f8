"""One batch as several smaller ones, for a reader who cannot decompress it or take it at once.

Each part is sealed for itself, and together they take the offsets and sequences that the batch takes. Of a compacted
batch they are compacted, too, and what is left of it stands where it stood.
"""

from collections.abc import Iterator
from dataclasses import replace

from cluster.errors import CorruptBatch
from cluster.records import Batch
from cluster.types import Offset
from cluster.wire.compacting import items_of
from cluster.wire.pb.riverrun.v1 import records_pb2
from cluster.wire.records import decompress, seal_batch

ITEM_HEAD_BYTES_MAX = 12
"""What stands before a record in its message, and its `offset_delta`."""


def split_batch(batch: Batch, base_offset: Offset, bytes_max: int) -> Iterator[tuple[Offset, Batch]]:
    """Uncompressed batches of at most `bytes_max`, or of one record, each with its first offset.

    CorruptBatch if the batch cannot be decoded, or does not hold what it says.
    """
    encoded = decompress(batch)
    if len(encoded) <= bytes_max:
        yield base_offset, _sealed(batch, base_offset, encoded, base_offset, batch.record_count)
        return
    items = list(items_of(encoded, base_offset))
    end = Offset(base_offset + batch.record_count)
    if items and items[-1][0] >= end:
        raise CorruptBatch(f"the batch at offset {base_offset} reaches beyond its own span")
    if not batch.compacted and len(items) != batch.record_count:
        raise CorruptBatch(
            f"the batch at offset {base_offset} holds {len(items)} records and says {batch.record_count}"
        )
    part = records_pb2.Records()
    begin = expected = base_offset
    size = 0
    for offset, item in items:
        item_bytes = item.ByteSize() + ITEM_HEAD_BYTES_MAX
        if size and size + item_bytes > bytes_max:
            yield begin, _sealed(batch, base_offset, part.SerializeToString(), begin, offset - begin)
            part.Clear()
            begin = expected = offset
            size = 0
        if offset == expected:
            item.ClearField("offset_delta")
        else:
            item.offset_delta = offset - begin
        part.records.append(item)
        expected = Offset(offset + 1)
        size += item_bytes
    yield begin, _sealed(batch, base_offset, part.SerializeToString(), begin, end - begin)


def _sealed(batch: Batch, base_offset: Offset, encoded: bytes, begin: Offset, record_count: int) -> Batch:
    """The part of a batch that takes `record_count` offsets from `begin` on."""
    part = seal_batch(
        encoded,
        record_count=record_count,
        min_timestamp_ns=batch.min_timestamp_ns,
        max_timestamp_ns=batch.max_timestamp_ns,
        producer_id=batch.producer_id,
        producer_epoch=batch.producer_epoch,
        base_sequence=batch.base_sequence + begin - base_offset,
    )
    return replace(part, compacted=batch.compacted)
