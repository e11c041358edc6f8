"""One entry on disk.

A frame is a header of fixed size and the content (a batch's payload as it came, or a control item). The header has a
CRC of its own, over the partition's identity and every field: a frame whose content is damaged still says which entry
it was, and a frame of another partition, or an old one in a wrong place, is not taken for one of ours.

`synced` is the (index, term) that was known to be on disk when the frame was made: damage at or below it cannot be a
torn write.
"""

import struct
from dataclasses import dataclass, replace

import google_crc32c

from cluster.holes import decode_hole
from cluster.records import Batch, Entry, EntryKind
from cluster.types import Codec, Index, Offset, PartitionId, ProducerId, Term

MAGIC = 0x31465252  # "RRF1"
COMPACTED = 0x80
"""Beside the codec's number: compaction has removed records of the batch."""
_FIELDS = struct.Struct("<IQQBBIqqQqqQIQIQQI")
_CRC = struct.Struct("<I")
HEADER_BYTES = _CRC.size + 4 + _FIELDS.size
_PREFIX = struct.Struct("<II")
"""Magic and header CRC; the fields follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeader:
    """An intact header: which entry it is and how long its content."""

    entry: Entry
    """Without its payload."""
    content_bytes: int
    content_crc: int
    synced_index: Index

    @property
    def frame_bytes(self) -> int:
        """Header and content."""
        return HEADER_BYTES + self.content_bytes


def encode_frame(entry: Entry, partition: PartitionId, synced: tuple[Index, Term]) -> tuple[bytes, bytes]:
    """Header and content, to be written one after the other."""
    batch = entry.batch
    content = batch.payload if batch is not None else entry.control
    fields = _FIELDS.pack(
        len(content),
        entry.index,
        entry.term,
        entry.kind,
        (batch.codec | COMPACTED if batch.compacted else batch.codec) if batch else 0,
        entry.record_count,
        entry.base_offset,
        entry.append_time_ns,
        batch.uncompressed_size if batch else 0,
        batch.min_timestamp_ns if batch else 0,
        batch.max_timestamp_ns if batch else 0,
        batch.producer_id if batch else 0,
        batch.producer_epoch if batch else 0,
        batch.base_sequence if batch else 0,
        batch.checksum if batch else 0,
        synced[0],
        synced[1],
        google_crc32c.value(content),
    )
    return _PREFIX.pack(MAGIC, _header_crc(fields, partition)) + fields, content


def decode_header(data: bytes, position: int, partition: PartitionId) -> FrameHeader | None:
    """The header at `position` of `data`; None if it is not an intact one of this partition."""
    if position + HEADER_BYTES > len(data):
        return None
    magic, crc = _PREFIX.unpack_from(data, position)
    fields = bytes(data[position + _PREFIX.size : position + HEADER_BYTES])
    if magic != MAGIC or crc != _header_crc(fields, partition):
        return None
    values = _FIELDS.unpack(fields)
    length, index, term, kind, codec, count, base_offset, append_time, uncompressed = values[:9]
    min_time, max_time, producer, epoch, sequence, checksum, synced_index, _, content_crc = values[9:]
    batch = None
    if kind == EntryKind.BATCH:
        batch = Batch(
            payload=b"",
            record_count=count,
            codec=Codec(codec & ~COMPACTED),
            uncompressed_size=uncompressed,
            min_timestamp_ns=min_time,
            max_timestamp_ns=max_time,
            producer_id=ProducerId(producer),
            producer_epoch=epoch,
            base_sequence=sequence,
            checksum=checksum,
            compacted=bool(codec & COMPACTED),
        )
    entry = Entry(
        index=Index(index),
        term=Term(term),
        kind=EntryKind(kind),
        base_offset=Offset(base_offset),
        append_time_ns=append_time,
        batch=batch,
    )
    return FrameHeader(entry=entry, content_bytes=length, content_crc=content_crc, synced_index=Index(synced_index))


def decode_frame(data: bytes, position: int, partition: PartitionId) -> Entry | None:
    """The whole entry at `position`; None if header or content is damaged."""
    header = decode_header(data, position, partition)
    if header is None:
        return None
    content = bytes(data[position + HEADER_BYTES : position + header.frame_bytes])
    if len(content) != header.content_bytes or google_crc32c.value(content) != header.content_crc:
        return None
    return with_content(header.entry, content)


def with_content(entry: Entry, content: bytes) -> Entry:
    """The header's entry, whole."""
    if entry.batch is None:
        hole = decode_hole(content) if entry.kind is EntryKind.HOLE else None
        return replace(entry, control=content, hole=hole)
    return replace(entry, batch=replace(entry.batch, payload=content))


def _header_crc(fields: bytes, partition: PartitionId) -> int:
    identity = partition.topic + partition.number.to_bytes(4, "little")
    return int(google_crc32c.extend(google_crc32c.value(identity), fields))
