"""What a batch holds: records encoded once by their producer, compressed as a whole, checked by everyone.

Decoding never trusts the header: the count, the size after decompression and the checksum are all compared, and a
mismatch is `CorruptBatch` or `ChecksumMismatch` for the whole batch, which a reader passes by its `record_count`.
"""

import sys
from collections.abc import Sequence

import google_crc32c
import lz4.frame
from google.protobuf.message import DecodeError

from cluster.errors import ChecksumMismatch, CorruptBatch, UnknownCodec
from cluster.records import Batch, Header, Record
from cluster.types import NO_PRODUCER, Codec, Offset, ProducerId
from cluster.wire.pb.riverrun.v1 import records_pb2

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

UNCOMPRESSED_BYTES_MAX = 64 * 1024 * 1024
"""No batch may grow beyond this when decompressed."""
ZSTD_LEVEL = 1


def encode_records(records: Sequence[Record]) -> bytes:
    """The encoded `Records` message."""
    message = records_pb2.Records()
    add = message.records.add
    for record in records:
        if record.headers:
            encoded = add(value=record.value, key=record.key, timestamp_ns=record.timestamp_ns)
            for header in record.headers:
                encoded.headers.add(name=header.name, value=header.value)
        else:
            add(value=record.value, key=record.key, timestamp_ns=record.timestamp_ns)
    return message.SerializeToString()


def make_batch(
    records: Sequence[Record],
    *,
    codec: Codec = Codec.NONE,
    producer_id: ProducerId = NO_PRODUCER,
    producer_epoch: int = 0,
    base_sequence: int = 0,
) -> Batch:
    """Encode, compress and seal `records` (at least one; their timestamps set)."""
    assert records, "a batch holds at least one record"
    times = [record.timestamp_ns for record in records]
    return seal_batch(
        encode_records(records),
        record_count=len(records),
        min_timestamp_ns=min(times),
        max_timestamp_ns=max(times),
        codec=codec,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
    )


def seal_batch(
    encoded: bytes,
    *,
    record_count: int,
    min_timestamp_ns: int,
    max_timestamp_ns: int,
    codec: Codec = Codec.NONE,
    producer_id: ProducerId = NO_PRODUCER,
    producer_epoch: int = 0,
    base_sequence: int = 0,
) -> Batch:
    """Compress an encoded `Records` message and compute the checksum over what will travel."""
    payload = compress(encoded, codec)
    if codec is not Codec.NONE and len(payload) >= len(encoded):
        payload, codec = encoded, Codec.NONE  # it did not help: spare every reader the work
    fields = {
        "payload": payload,
        "record_count": record_count,
        "codec": codec,
        "uncompressed_size": len(encoded),
        "min_timestamp_ns": min_timestamp_ns,
        "max_timestamp_ns": max_timestamp_ns,
        "producer_id": producer_id,
        "producer_epoch": producer_epoch,
        "base_sequence": base_sequence,
    }
    return Batch(**fields, checksum=Batch(**fields).computed_checksum())  # type: ignore[arg-type]


def decode_batch(batch: Batch, base_offset: Offset) -> list[Record]:
    """The batch's records with their offsets; ChecksumMismatch or CorruptBatch if the bytes cannot be trusted."""
    if not batch.is_intact():
        raise ChecksumMismatch(f"the batch at offset {base_offset} does not match its checksum")
    records = decode_records(decompress(batch), base_offset)
    if batch.compacted and records and records[-1].offset >= base_offset + batch.record_count:
        raise CorruptBatch(f"the batch at offset {base_offset} reaches beyond its own span")
    if not batch.compacted and len(records) != batch.record_count:
        raise CorruptBatch(
            f"the batch at offset {base_offset} holds {len(records)} records and says {batch.record_count}"
        )
    return records


def decode_records(encoded: bytes, base_offset: Offset) -> list[Record]:
    """The records of an encoded `Records` message."""
    try:
        message = records_pb2.Records.FromString(encoded)
    except DecodeError as error:
        raise CorruptBatch(f"the batch at offset {base_offset} is not a Records message") from error
    offset = base_offset
    records = []
    for item in message.records:
        if item.HasField("offset_delta"):
            offset = Offset(base_offset + item.offset_delta)
        headers = item.headers
        records.append(
            Record(
                value=item.value,
                key=item.key if item.HasField("key") else None,
                headers=tuple(Header(name=h.name, value=h.value) for h in headers) if headers else (),
                timestamp_ns=item.timestamp_ns,
                offset=offset,
            )
        )
        offset = Offset(offset + 1)
    return records


def record_checksum(record: Record) -> int:
    """CRC32C over the record, wherever it stands."""
    return int(google_crc32c.value(encode_records([record])))


def compress(encoded: bytes, codec: Codec) -> bytes:
    """`encoded` compressed."""
    match codec:
        case Codec.NONE:
            return encoded
        case Codec.ZSTD:
            return bytes(zstd.compress(encoded, ZSTD_LEVEL))
        case Codec.LZ4:
            return bytes(lz4.frame.compress(encoded))


def decompress(batch: Batch) -> bytes:
    """The batch's encoded `Records` message; CorruptBatch if it is not of the size that was promised."""
    if batch.uncompressed_size > UNCOMPRESSED_BYTES_MAX:
        raise CorruptBatch(f"the batch says {batch.uncompressed_size} bytes; at most {UNCOMPRESSED_BYTES_MAX}")
    try:
        match batch.codec:
            case Codec.NONE:
                encoded = batch.payload
            case Codec.ZSTD:
                # One byte more than promised: enough to see a frame that would grow further, without growing with it.
                encoded = bytes(zstd.ZstdDecompressor().decompress(batch.payload, batch.uncompressed_size + 1))
            case Codec.LZ4:
                decompressor = lz4.frame.LZ4FrameDecompressor()
                encoded = bytes(decompressor.decompress(batch.payload, batch.uncompressed_size + 1))
            case _:
                raise UnknownCodec(f"no codec has the number {batch.codec}")
    except (zstd.ZstdError, RuntimeError, EOFError) as error:
        raise CorruptBatch(f"the batch cannot be decompressed: {error}") from error
    if len(encoded) != batch.uncompressed_size:
        raise CorruptBatch(f"the batch says {batch.uncompressed_size} bytes and has another size")
    return encoded
