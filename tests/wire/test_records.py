"""Batches: what is encoded comes back, and nothing damaged does."""

from dataclasses import replace

import pytest

from cluster.errors import ChecksumMismatch, CorruptBatch
from cluster.records import Batch, Header, Record
from cluster.types import Codec, Offset, ProducerId
from cluster.wire.records import compress, decode_batch, encode_records, make_batch, seal_batch

RECORDS = [
    Record(value=b"one", key=b"k", timestamp_ns=30),
    Record(value=b"", timestamp_ns=10),
    Record(value=b"three" * 100, headers=(Header(name="a", value=b"1"), Header(name="a", value=b"2")), timestamp_ns=20),
]


@pytest.mark.parametrize("codec", Codec)
def test_records_come_back_with_their_offsets(codec: Codec) -> None:
    """Every codec gives back the records, numbered from the base offset."""
    batch = make_batch(RECORDS, codec=codec)

    expected = [replace(record, offset=Offset(7 + place)) for place, record in enumerate(RECORDS)]
    assert expected == decode_batch(batch, Offset(7))


def test_a_batch_knows_its_times_and_sizes() -> None:
    """The header says what is inside, so that nobody has to look."""
    batch = make_batch(RECORDS, producer_id=ProducerId(3), producer_epoch=1, base_sequence=40)

    assert (10, 30, 3) == (batch.min_timestamp_ns, batch.max_timestamp_ns, batch.record_count)
    assert len(encode_records(RECORDS)) == batch.uncompressed_size == len(batch.payload)
    assert (3, 1, 40) == (batch.producer_id, batch.producer_epoch, batch.base_sequence)


def test_a_codec_that_does_not_help_is_not_used() -> None:
    """Tiny batches grow when compressed: they travel as they are."""
    assert Codec.NONE is make_batch([Record(value=b"x", timestamp_ns=1)], codec=Codec.ZSTD).codec


@pytest.mark.parametrize(
    "field", ["record_count", "min_timestamp_ns", "producer_id", "base_sequence", "producer_epoch"]
)
def test_a_changed_header_field_fails_the_checksum(field: str) -> None:
    """The checksum covers the header's fields, not only the payload."""
    batch = make_batch(RECORDS)

    damaged = replace(batch, **{field: getattr(batch, field) + 1})
    assert not damaged.is_intact()


def test_every_flipped_bit_of_the_payload_is_seen() -> None:
    """CRC32C finds any single flipped bit; the batch is refused as a whole."""
    batch = make_batch(RECORDS[:2])

    for bit in range(len(batch.payload) * 8):
        payload = bytearray(batch.payload)
        payload[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ChecksumMismatch):
            decode_batch(replace(batch, payload=bytes(payload)), Offset(0))


def _resealed(batch: Batch, **changes: object) -> Batch:
    changed = replace(batch, **changes)  # type: ignore[arg-type]
    return replace(changed, checksum=changed.computed_checksum())


def test_a_count_that_lies_is_corrupt() -> None:
    """A producer that seals a wrong count makes a poison batch, not a shifted offset."""
    with pytest.raises(CorruptBatch):
        decode_batch(_resealed(make_batch(RECORDS), record_count=2), Offset(0))


def test_bytes_that_are_no_records_are_corrupt() -> None:
    """A payload that no decoder understands is a poison batch."""
    batch = seal_batch(b"\xff\xff\xff", record_count=1, min_timestamp_ns=0, max_timestamp_ns=0)

    with pytest.raises(CorruptBatch):
        decode_batch(batch, Offset(0))


@pytest.mark.parametrize("codec", [Codec.ZSTD, Codec.LZ4])
def test_a_payload_that_grows_beyond_its_promise_is_corrupt(codec: Codec) -> None:
    """A decompression bomb stops one byte after the size that was promised."""
    bomb = compress(b"\0" * 10_000_000, codec)
    batch = Batch(
        payload=bomb, record_count=1, codec=codec, uncompressed_size=100, min_timestamp_ns=0, max_timestamp_ns=0
    )

    with pytest.raises(CorruptBatch):
        decode_batch(_resealed(batch), Offset(0))


@pytest.mark.parametrize("codec", [Codec.ZSTD, Codec.LZ4])
def test_a_payload_that_is_not_of_its_codec_is_corrupt(codec: Codec) -> None:
    """Garbage where a frame should be is a typed error, not a crash."""
    batch = Batch(
        payload=b"garbage!", record_count=1, codec=codec, uncompressed_size=8, min_timestamp_ns=0, max_timestamp_ns=0
    )

    with pytest.raises(CorruptBatch):
        decode_batch(_resealed(batch), Offset(0))


def test_the_checksum_is_the_documented_one() -> None:
    """A vector for other languages: the fields as in records.proto, then the payload, CRC32C."""
    batch = seal_batch(b"\n\x05\n\x03abc", record_count=1, min_timestamp_ns=5, max_timestamp_ns=5)

    assert (
        _crc32c(
            bytes.fromhex(
                "00 01000000 0700000000000000 0500000000000000 0500000000000000"
                "0000000000000000 00000000 0000000000000000"
            )
            + batch.payload
        )
        == batch.checksum
    )


def _crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), bit by bit: slow, and obviously right."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
