"""Readers get what they asked for: records in range, or batches in codecs that they named."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from cluster.broker.delivery import Answer, Delivery
from cluster.broker.gate import check_batch, check_record
from cluster.config import BrokerOptions
from cluster.errors import ChecksumMismatch, CorruptBatch, InvalidRequest, RecordTooLarge
from cluster.records import Batch, Entry, EntryKind, Header, Record
from cluster.types import Codec, Durability, Index, Offset, ProducerId, Term
from cluster.wire import api
from cluster.wire.api import group_pb2, records_pb2, stream_pb2
from cluster.wire.encoding import publish_request
from cluster.wire.records import decode_batch, make_batch

VALUES = [b"a" * 50, b"b" * 50, b"c" * 50]
OPTIONS = BrokerOptions(
    batch_bytes_max=1000, record_bytes_max=100, records_per_batch_max=5, read_message_bytes_max=1000
)
CLIENT_BYTES_MAX = 4 * 1024 * 1024
"""What gRPC takes in one message where nobody has said otherwise."""


def _entry(base: int, codec: Codec = Codec.NONE, values: Sequence[bytes] = VALUES) -> Entry:
    batch = make_batch(
        [Record(value=value, timestamp_ns=1) for value in values], codec=codec, producer_id=ProducerId(7)
    )
    return Entry(
        index=Index(base + 1),
        term=Term(1),
        kind=EntryKind.BATCH,
        base_offset=Offset(base),
        append_time_ns=5,
        batch=batch,
    )


def _answers(request: stream_pb2.ReadRequest, entries: Sequence[Entry], *, begin: int = 0) -> list[Answer]:
    return list(Delivery(0, request, None, options=OPTIONS).answers(entries, Offset(begin), Offset(1000)))


def test_records_outside_of_the_range_are_left_out() -> None:
    """A read from 1 to 4 over batches at 0 and 3 gives 1, 2, 3 and is finished."""
    delivery = Delivery(6, stream_pb2.ReadRequest(), Offset(4), options=OPTIONS)
    [answer] = delivery.answers([_entry(0), _entry(3)], Offset(1), Offset(6))
    response = stream_pb2.ReadResponse.FromString(answer.message)

    assert [1, 2, 3] == [record.offset for record in response.records]
    assert (4, True, 6, 6) == (answer.position, answer.done, response.end, response.partition)
    assert response.finished


def test_a_read_without_a_stop_goes_on() -> None:
    """The position is the offset after the last record."""
    [answer] = _answers(stream_pb2.ReadRequest(), [_entry(0)])

    assert (3, False, 3) == (answer.position, answer.done, stream_pb2.ReadResponse.FromString(answer.message).position)


def test_batches_come_as_they_were_published() -> None:
    """Bytes and checksum are the producer's."""
    entry = _entry(0, Codec.ZSTD)
    request = stream_pb2.ReadRequest(format=stream_pb2.READ_FORMAT_BATCHES, codecs=[records_pb2.CODEC_ZSTD])
    [answer] = _answers(request, [entry])
    stored = stream_pb2.ReadResponse.FromString(answer.message).batches[0]

    assert entry.batch == api.batch_from_pb(stored.batch)
    assert (0, 5, 1) == (stored.base_offset, stored.append_time_ns, stored.term)


def test_a_codec_that_the_reader_did_not_name_is_decompressed_for_it() -> None:
    """The batch is sealed anew, so that the reader can still check it."""
    request = stream_pb2.ReadRequest(format=stream_pb2.READ_FORMAT_BATCHES)
    [answer] = _answers(request, [_entry(0, Codec.LZ4)])
    batch = api.batch_from_pb(stream_pb2.ReadResponse.FromString(answer.message).batches[0].batch)

    assert Codec.NONE is batch.codec
    assert VALUES == [record.value for record in decode_batch(batch, Offset(0))]


def test_a_poison_batch_names_where_to_go_on() -> None:
    """A reader can step over it: nothing behind it is lost, and what stands before it was given."""
    entry = _entry(3)
    assert entry.batch is not None
    poison = replace(entry.batch, record_count=2)
    poison = replace(poison, checksum=poison.computed_checksum())
    answers = iter(
        Delivery(0, stream_pb2.ReadRequest(), None, options=OPTIONS).answers(
            [_entry(0), replace(entry, batch=poison)], Offset(0), Offset(5)
        )
    )
    assert (3, [0, 1, 2]) == (
        (answer := next(answers)).position,
        [record.offset for record in stream_pb2.ReadResponse.FromString(answer.message).records],
    )
    with pytest.raises(CorruptBatch, match="holds 3 records") as caught:
        next(answers)

    assert {"offset": "3", "next": "5"} == caught.value.metadata


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.ZSTD])
def test_a_batch_that_grows_comes_in_messages_of_a_bounded_size(codec: Codec) -> None:
    """Decoded, it may be beyond what a client takes in one; each message says the position behind it."""
    entries = [_entry(0, codec, [b"a" * 300] * 10), _entry(10, codec, [b"b" * 300] * 10)]
    answers = _answers(stream_pb2.ReadRequest(), entries)
    responses = [stream_pb2.ReadResponse.FromString(answer.message) for answer in answers]

    assert all(len(answer.message) <= OPTIONS.read_message_bytes_max for answer in answers)
    assert [2, 4, 6, 8, 10, 12, 14, 16, 18, 20] == [answer.position for answer in answers]
    assert [answer.position for answer in answers] == [response.position for response in responses]
    assert list(range(20)) == [record.offset for response in responses for record in response.records]
    [rest] = _answers(stream_pb2.ReadRequest(), entries[1:], begin=18)
    assert [18, 19] == [record.offset for record in stream_pb2.ReadResponse.FromString(rest.message).records]


def test_a_batch_that_is_decompressed_comes_in_parts() -> None:
    """Each is sealed for itself and has its place, for a reader who begins within it and stops before its end, too."""
    entry = _entry(100, Codec.ZSTD, [b"%d" % number * 300 for number in range(10)])
    request = stream_pb2.ReadRequest(format=stream_pb2.READ_FORMAT_BATCHES)
    answers = list(Delivery(0, request, Offset(107), options=OPTIONS).answers([entry], Offset(103), Offset(110)))
    stored = [batch for a in answers for batch in stream_pb2.ReadResponse.FromString(a.message).batches]
    records = [r for item in stored for r in decode_batch(api.batch_from_pb(item.batch), Offset(item.base_offset))]

    assert all(len(answer.message) <= OPTIONS.read_message_bytes_max for answer in answers)
    assert [102, 104, 106] == [item.base_offset for item in stored]
    assert [2, 4, 6] == [item.batch.base_sequence for item in stored]
    assert [(offset, b"%d" % (offset - 100) * 300) for offset in range(102, 108)] == [
        (record.offset, record.value) for record in records
    ]
    assert [104, 106, 107] == [answer.position for answer in answers]
    assert [False, False, True] == [answer.done for answer in answers]


@pytest.mark.parametrize(("how", "expected"), [(1, [2, 4, 6, 8]), (2, [3, 4, 7, 8])])
def test_a_message_holds_as_many_records_as_the_reader_wants(how: int, expected: list[int]) -> None:
    """Batches are not cut for it: one that holds more comes alone."""
    entries = [_entry(0), _entry(3, values=[b"d"]), _entry(4), _entry(7, values=[b"h"])]
    request = stream_pb2.ReadRequest(format=how, records_max=2)  # type: ignore[arg-type]

    assert expected == [answer.position for answer in _answers(request, entries)]


def test_what_is_larger_than_a_message_comes_alone() -> None:
    """A record, or a batch as it was published: it cannot be cut."""
    large = [b"a" * 10, b"b" * 2000, b"c" * 10]
    answers = _answers(stream_pb2.ReadRequest(), [_entry(0, values=large)])
    assert [1, 2, 3] == [answer.position for answer in answers]
    request = stream_pb2.ReadRequest(format=stream_pb2.READ_FORMAT_BATCHES)
    answers = _answers(request, [_entry(0), _entry(3, values=large), _entry(6)])
    assert [3, 6, 9] == [answer.position for answer in answers]


def test_the_largest_batch_fits_into_a_message_that_every_client_takes() -> None:
    """With the longest names and numbers around it, on its way in and out."""
    options = BrokerOptions()
    largest = (1 << 63) - 1
    batch = make_batch(
        [Record(value=b"x", timestamp_ns=largest)],
        producer_id=ProducerId(largest),
        producer_epoch=(1 << 32) - 1,
        base_sequence=largest,
    )
    batch = replace(batch, payload=bytes(options.batch_bytes_max), uncompressed_size=64 << 20, record_count=100_000)
    entry = replace(_entry(0), base_offset=Offset(1 << 62), append_time_ns=largest, term=Term(largest), batch=batch)
    request = stream_pb2.ReadRequest(format=stream_pb2.READ_FORMAT_BATCHES)
    [answer] = Delivery(4095, request, None, options=options).answers([entry], Offset(1 << 62), Offset(largest))
    held = group_pb2.Held(topic="t" * 249, partition=4095, generation=largest)
    delivered = group_pb2.Delivered(held=held, read=stream_pb2.ReadResponse.FromString(answer.message))
    sent = publish_request(
        batch,
        correlation=largest,
        topic="t" * 249,
        topic_id=bytes(16),
        partition=4095,
        durability=Durability.MAJORITY_SYNCED,
    )

    assert len(group_pb2.SubscribeResponse(delivered=delivered).SerializeToString()) < CLIENT_BYTES_MAX
    assert len(sent) < CLIENT_BYTES_MAX
    assert len(answer.message) - options.batch_bytes_max < api.BATCH_FRAME_BYTES_MAX


def test_no_record_takes_more_than_is_counted_for_it() -> None:
    """With every field at its longest, so that a message's size is known before it is encoded."""
    record = Record(
        value=b"v" * 300,
        key=b"k" * 300,
        headers=[Header(name="ü" * 200, value=b"h" * 300)] * 3,
        timestamp_ns=-1,
        offset=Offset((1 << 63) - 1),
    )
    response = stream_pb2.ReadResponse()
    api.add_record(record, response)

    assert response.records[0] == api.record_to_pb(record)
    assert response.ByteSize() <= api.record_bytes(record) <= response.ByteSize() + 50


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
