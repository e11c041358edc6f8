"""Readers get what they asked for: records in range, or batches in codecs that they named."""

from dataclasses import replace

import pytest

from cluster.broker.delivery import Delivery
from cluster.broker.gate import check_batch, check_record
from cluster.config import BrokerOptions
from cluster.errors import ChecksumMismatch, InvalidRequest, RecordTooLarge
from cluster.records import Batch, Entry, EntryKind, Record
from cluster.types import Codec, Index, Offset, Term
from cluster.wire import api
from cluster.wire.api import records_pb2, stream_pb2
from cluster.wire.records import decode_batch, make_batch

VALUES = [b"a" * 50, b"b" * 50, b"c" * 50]
OPTIONS = BrokerOptions(batch_bytes_max=1000, record_bytes_max=100, records_per_batch_max=5)


def _entry(base: int, codec: Codec = Codec.NONE) -> Entry:
    batch = make_batch([Record(value=value, timestamp_ns=1) for value in VALUES], codec=codec)
    return Entry(
        index=Index(base + 1),
        term=Term(1),
        kind=EntryKind.BATCH,
        base_offset=Offset(base),
        append_time_ns=5,
        batch=batch,
    )


def test_records_outside_of_the_range_are_left_out() -> None:
    """A read from 1 to 4 over batches at 0 and 3 gives 1, 2, 3 and is finished."""
    delivery = Delivery(6, stream_pb2.ReadRequest(), Offset(4))
    position, data, done = delivery.answer([_entry(0), _entry(3)], Offset(1), Offset(6))
    answer = stream_pb2.ReadResponse.FromString(data)

    assert [1, 2, 3] == [record.offset for record in answer.records]
    assert (4, True, 6, 6) == (position, done, answer.end, answer.partition)
    assert answer.finished


def test_a_read_without_a_stop_goes_on() -> None:
    """The position is the offset after the last record."""
    position, data, done = Delivery(0, stream_pb2.ReadRequest(), None).answer([_entry(0)], Offset(0), Offset(3))

    assert (3, False, 3) == (position, done, stream_pb2.ReadResponse.FromString(data).position)


def test_batches_come_as_they_were_published() -> None:
    """Bytes and checksum are the producer's."""
    entry = _entry(0, Codec.ZSTD)
    request = stream_pb2.ReadRequest(format=stream_pb2.READ_FORMAT_BATCHES, codecs=[records_pb2.CODEC_ZSTD])
    _, data, _ = Delivery(0, request, None).answer([entry], Offset(0), Offset(3))
    stored = stream_pb2.ReadResponse.FromString(data).batches[0]

    assert entry.batch == api.batch_from_pb(stored.batch)
    assert (0, 5, 1) == (stored.base_offset, stored.append_time_ns, stored.term)


def test_a_codec_that_the_reader_did_not_name_is_decompressed_for_it() -> None:
    """The batch is sealed anew, so that the reader can still check it."""
    request = stream_pb2.ReadRequest(format=stream_pb2.READ_FORMAT_BATCHES)
    _, data, _ = Delivery(0, request, None).answer([_entry(0, Codec.LZ4)], Offset(0), Offset(3))
    batch = api.batch_from_pb(stream_pb2.ReadResponse.FromString(data).batches[0].batch)

    assert Codec.NONE is batch.codec
    assert VALUES == [record.value for record in decode_batch(batch, Offset(0))]


def test_a_poison_batch_names_where_to_go_on() -> None:
    """A reader can step over it: nothing behind it is lost."""
    entry = _entry(0)
    assert entry.batch is not None
    poison = replace(entry.batch, record_count=2)
    poison = replace(poison, checksum=poison.computed_checksum())
    with pytest.raises(Exception, match="holds 3 records") as caught:
        Delivery(0, stream_pb2.ReadRequest(), None).answer([replace(entry, batch=poison)], Offset(0), Offset(2))

    assert {"offset": "0", "next": "2"} == caught.value.metadata  # type: ignore[attr-defined]


def _batch(**changes: object) -> Batch:
    batch = replace(make_batch([Record(value=b"v", timestamp_ns=1)]), **changes)  # type: ignore[arg-type]
    return replace(batch, checksum=batch.computed_checksum())


@pytest.mark.parametrize(
    ("batch", "error"),
    [
        (_batch(record_count=0), InvalidRequest),
        (_batch(payload=b""), InvalidRequest),
        (_batch(record_count=6), RecordTooLarge),
        (_batch(payload=b"x" * 1001), RecordTooLarge),
        (_batch(uncompressed_size=1 << 40), RecordTooLarge),
        (_batch(max_timestamp_ns=0), InvalidRequest),
        (replace(_batch(), checksum=1), ChecksumMismatch),
    ],
)
def test_a_batch_that_breaks_a_rule_does_not_reach_a_replica(batch: Batch, error: type[Exception]) -> None:
    """Every limit is named in the message."""
    with pytest.raises(error):
        check_batch(batch, OPTIONS)


def test_good_batches_and_records_pass() -> None:
    """The limits themselves are allowed."""
    check_batch(_batch(record_count=5), OPTIONS)
    check_record(Record(value=b"x" * 100), OPTIONS)


def test_a_record_over_the_limit_is_refused_with_the_limit() -> None:
    """Keys and headers count."""
    with pytest.raises(RecordTooLarge, match="at most 100"):
        check_record(Record(value=b"x" * 99, key=b"kk"), OPTIONS)
