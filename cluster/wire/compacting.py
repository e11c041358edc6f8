"""What compaction does to one batch: which keys are in it, and what is left of it without some of its records.

A compacted batch takes the same offsets as before and is said to be compacted. A record that does not stand where it
would without the holes says where it stood (`offset_delta`), so no reader has to know what was removed.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

from google.protobuf.message import DecodeError

from cluster.errors import CorruptBatch
from cluster.records import Batch
from cluster.types import Codec, Offset
from cluster.wire.encoding import RECORD_TAG, varint
from cluster.wire.pb.riverrun.v1 import records_pb2
from cluster.wire.records import decompress, seal_batch

Survives = Callable[[Offset, bytes | None, bool], bool]
"""Of a record's offset, key (None: it has none), and whether it is a tombstone."""


def keyed_offsets(batch: Batch, base_offset: Offset) -> Iterator[tuple[Offset, bytes]]:
    """Where each record with a key stands; CorruptBatch if the batch cannot be decoded."""
    for offset, item in _items(batch, base_offset):
        if item.HasField("key"):
            yield offset, item.key


def without_records(batch: Batch, base_offset: Offset, survives: Survives) -> Batch:
    """The batch with the records that survive: itself if all do, an empty one if none does."""
    items = _items(batch, base_offset)
    kept = [
        (offset, item)
        for offset, item in items
        if survives(offset, item.key if item.HasField("key") else None, not item.value)
    ]
    if len(kept) == len(items):
        return batch
    parts: list[bytes] = []
    expected = base_offset
    for offset, item in kept:
        if offset == expected:
            item.ClearField("offset_delta")
        else:
            item.offset_delta = offset - base_offset
        encoded = item.SerializeToString()
        parts += (RECORD_TAG, varint(len(encoded)), encoded)
        expected = Offset(offset + 1)
    left = seal_batch(
        b"".join(parts),
        record_count=batch.record_count,
        min_timestamp_ns=batch.min_timestamp_ns,
        max_timestamp_ns=batch.max_timestamp_ns,
        codec=batch.codec if kept else Codec.NONE,
        producer_id=batch.producer_id,
        producer_epoch=batch.producer_epoch,
        base_sequence=batch.base_sequence,
    )
    return replace(left, compacted=True)


def _items(batch: Batch, base_offset: Offset) -> list[tuple[Offset, records_pb2.Record]]:
    """All of its records; CorruptBatch as well if they do not stand where the batch says: nobody can read them."""
    items = list(items_of(decompress(batch), base_offset))
    stands = all(one < other for (one, _), (other, _) in pairwise(items))
    if not stands or (items and items[-1][0] >= base_offset + batch.record_count):
        raise CorruptBatch(f"the batch at offset {base_offset} reaches beyond its own span")
    if not batch.compacted and len(items) != batch.record_count:
        raise CorruptBatch(
            f"the batch at offset {base_offset} holds {len(items)} records and says {batch.record_count}"
        )
    return items


def items_of(encoded: bytes, base_offset: Offset) -> Iterator[tuple[Offset, records_pb2.Record]]:
    """The records of an encoded `Records` message with their offsets; CorruptBatch if it is none."""
    try:
        message = records_pb2.Records.FromString(encoded)
    except DecodeError as error:
        raise CorruptBatch(f"the batch at offset {base_offset} is not a Records message") from error
    offset = base_offset
    for item in message.records:
        if item.HasField("offset_delta"):
            offset = Offset(base_offset + item.offset_delta)
        yield offset, item
        offset = Offset(offset + 1)
