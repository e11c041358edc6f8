"""The public messages (`riverrun.v1`) and how they map to the vocabulary's values.

The classes are re-exported here so that no other module imports generated code. Batches and receipts are on the path
of every record and are converted by hand; the rest is used as it is, at the edge.
"""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from cluster.errors import InvalidRequest, RiverrunError, UnknownCodec
from cluster.records import Batch, Entry, Header, Receipt, Record
from cluster.types import Codec, Durability, Offset, ProducerId, Term
from cluster.wire.pb.riverrun.v1 import (
    app_pb2,
    cluster_pb2,
    explain_pb2,
    group_pb2,
    records_pb2,
    stream_pb2,
    topic_pb2,
)

__all__ = [
    "add_record",
    "app_pb2",
    "batch_from_pb",
    "batch_to_pb",
    "cluster_pb2",
    "codec_from_pb",
    "codec_to_pb",
    "durability_from_pb",
    "error_to_pb",
    "explain_pb2",
    "group_pb2",
    "parse",
    "receipt_from_pb",
    "receipt_to_pb",
    "record_bytes",
    "record_from_pb",
    "record_to_pb",
    "records_pb2",
    "stored_batch_to_pb",
    "stream_pb2",
    "topic_pb2",
]

M = TypeVar("M", bound=Message)

RECORD_FRAME_BYTES_MAX = 40
"""Of a record's own 4 tags and lengths, and two numbers of 64 bits."""
HEADER_FRAME_BYTES_MAX = 18
BATCH_FRAME_BYTES_MAX = 160
"""A stored batch but for its payload."""

_CODEC_TO_PB = {
    Codec.NONE: records_pb2.CODEC_NONE,
    Codec.ZSTD: records_pb2.CODEC_ZSTD,
    Codec.LZ4: records_pb2.CODEC_LZ4,
}
_CODEC_FROM_PB = {number: codec for codec, number in _CODEC_TO_PB.items()} | {records_pb2.CODEC_UNSPECIFIED: Codec.NONE}

_DURABILITY_TO_PB = {
    Durability.ACCEPTED: records_pb2.DURABILITY_ACCEPTED,
    Durability.LEADER_SYNCED: records_pb2.DURABILITY_LEADER_SYNCED,
    Durability.MAJORITY_SYNCED: records_pb2.DURABILITY_MAJORITY_SYNCED,
}


def parse(cls: type[M], data: bytes) -> M:
    """The message of that class; InvalidRequest if the bytes are none."""
    try:
        return cls.FromString(data)
    except DecodeError as error:
        raise InvalidRequest(f"the request is not a {cls.DESCRIPTOR.full_name}") from error


def codec_to_pb(codec: Codec) -> records_pb2.Codec.ValueType:
    """The wire's number of a codec."""
    return _CODEC_TO_PB[codec]


def codec_from_pb(number: int) -> Codec:
    """The codec of a wire number; UnknownCodec if there is none."""
    codec = _CODEC_FROM_PB.get(number)  # type: ignore[call-overload]
    if codec is None:
        raise UnknownCodec(f"no codec has the number {number}", codec=str(number))
    return Codec(codec)


def durability_from_pb(number: int) -> Durability:
    """What to wait for; a majority where nothing was said."""
    if number == records_pb2.DURABILITY_UNSPECIFIED:
        return Durability.MAJORITY_SYNCED
    try:
        return Durability(number)
    except ValueError:
        raise InvalidRequest(f"no durability has the number {number}") from None


def batch_to_pb(batch: Batch, target: records_pb2.Batch | None = None) -> records_pb2.Batch:
    """A batch for the wire; written into `target`, a field of another message, where that saves copying it there."""
    if target is None:
        target = records_pb2.Batch()
    target.payload = batch.payload
    target.codec = _CODEC_TO_PB[batch.codec]
    target.record_count = batch.record_count
    target.uncompressed_size = batch.uncompressed_size
    target.min_timestamp_ns = batch.min_timestamp_ns
    target.max_timestamp_ns = batch.max_timestamp_ns
    target.producer_id = batch.producer_id
    target.producer_epoch = batch.producer_epoch
    target.base_sequence = batch.base_sequence
    target.checksum = batch.checksum
    target.compacted = batch.compacted
    return target


def batch_from_pb(message: records_pb2.Batch) -> Batch:
    """A batch from the wire, its checksum not yet compared; UnknownCodec if this version cannot name its codec."""
    return Batch(
        payload=message.payload,
        codec=codec_from_pb(message.codec),
        record_count=message.record_count,
        uncompressed_size=message.uncompressed_size,
        min_timestamp_ns=message.min_timestamp_ns,
        max_timestamp_ns=message.max_timestamp_ns,
        producer_id=ProducerId(message.producer_id),
        producer_epoch=message.producer_epoch,
        base_sequence=message.base_sequence,
        checksum=message.checksum,
        compacted=message.compacted,
    )


def stored_batch_to_pb(entry: Entry, target: records_pb2.StoredBatch) -> None:
    """An entry of kind BATCH as readers get it."""
    assert entry.batch is not None
    batch_to_pb(entry.batch, target.batch)
    target.base_offset = entry.base_offset
    target.append_time_ns = entry.append_time_ns
    target.term = entry.term


def record_bytes(record: Record) -> int:
    """At most so many bytes does a record take in a message."""
    size = len(record.value) + len(record.key or b"") + RECORD_FRAME_BYTES_MAX
    for header in record.headers:
        size += len(header.name.encode()) + len(header.value) + HEADER_FRAME_BYTES_MAX
    return size


def record_to_pb(record: Record) -> records_pb2.Record:
    """A record for the wire."""
    return records_pb2.Record(
        value=record.value,
        key=record.key,
        headers=[records_pb2.Header(name=header.name, value=header.value) for header in record.headers],
        timestamp_ns=record.timestamp_ns,
        offset=max(record.offset, 0),
    )


def add_record(record: Record, target: stream_pb2.ReadResponse) -> None:
    """A record that was read, as one more of an answer: made in its place, not copied there."""
    added = target.records.add(
        value=record.value, key=record.key, timestamp_ns=record.timestamp_ns, offset=record.offset
    )
    for header in record.headers:
        added.headers.add(name=header.name, value=header.value)


def record_from_pb(message: records_pb2.Record, offset: Offset) -> Record:
    """A record from the wire, in its place."""
    return Record(
        value=message.value,
        key=message.key if message.HasField("key") else None,
        headers=tuple(Header(name=header.name, value=header.value) for header in message.headers)
        if message.headers
        else (),
        timestamp_ns=message.timestamp_ns,
        offset=offset,
    )


def receipt_to_pb(receipt: Receipt, partition: int) -> records_pb2.Receipt:
    """A receipt for the wire."""
    return records_pb2.Receipt(
        partition=partition,
        offset=receipt.offset,
        record_count=receipt.record_count,
        term=receipt.term,
        durability=_DURABILITY_TO_PB[receipt.durability],
        replicas_synced=receipt.replicas_synced,
        replicas=receipt.replicas,
        duplicate=receipt.duplicate,
        checksum_by_node=receipt.checksum_by_node,
        append_time_ns=receipt.append_time_ns,
    )


def receipt_from_pb(message: records_pb2.Receipt) -> Receipt:
    """A receipt from the wire; the partition's number is read beside it."""
    return Receipt(
        offset=Offset(message.offset),
        record_count=message.record_count,
        term=Term(message.term),
        durability=Durability(message.durability),
        replicas_synced=message.replicas_synced,
        replicas=message.replicas,
        duplicate=message.duplicate,
        checksum_by_node=message.checksum_by_node,
        append_time_ns=message.append_time_ns,
    )


def error_to_pb(error: RiverrunError) -> stream_pb2.Error:
    """An error inside a stream that goes on."""
    return stream_pb2.Error(reason=error.reason, message=error.message, metadata=error.metadata)
