"""What is written by hand is what the generated code writes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.records import Header, Record
from cluster.types import Durability
from cluster.wire import api
from cluster.wire.api import records_pb2, stream_pb2
from cluster.wire.encoding import RecordsEncoder, publish_request, varint
from cluster.wire.records import encode_records, make_batch

RECORDS = st.builds(
    Record,
    value=st.binary(max_size=300),
    key=st.none() | st.binary(max_size=200),
    headers=st.lists(st.builds(Header, name=st.text(max_size=5), value=st.binary(max_size=5)), max_size=2),
    timestamp_ns=st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(1_795_000_000 * 10**9, 1_796_000_000 * 10**9),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(RECORDS, max_size=20))
def test_records_are_byte_for_byte_the_same(records):
    """Of any shape, in any order."""
    encoder = RecordsEncoder()
    for record in records:
        encoder.add(record.value, record.key, record.headers, record.timestamp_ns)
    assert encode_records(records) == encoder.encode()


@pytest.mark.parametrize("bits", range(64))
def test_varints_of_every_length(bits):
    """At the edges of each group of seven bits."""
    for number in {(1 << bits) - 1, 1 << bits} - {1 << 64}:
        message = records_pb2.Receipt(term=number)
        expected = message.SerializeToString()[1:] if number else b"\0"
        assert expected == varint(number)


@pytest.mark.parametrize("timestamp_ns", [1, (1 << 28) - 1, 1 << 28, (1 << 56) - 1, 1 << 56, (1 << 63) - 1])
@pytest.mark.parametrize("size", [1, 0x7F, 0x80, 0x3FFF, 0x4000])
def test_lengths_at_the_edges(timestamp_ns, size):
    """Where a length or a timestamp takes one byte more."""
    encoder = RecordsEncoder()
    records = [
        Record(value=b"v" * size, timestamp_ns=timestamp_ns),
        Record(value=b"v", key=b"k" * size, timestamp_ns=1),
        Record(value=b"v" * size, key=b"k" * size, timestamp_ns=timestamp_ns),
    ]
    for record in records:
        encoder.add(record.value, record.key, (), record.timestamp_ns)
    assert encode_records(records) == encoder.encode()


@pytest.mark.parametrize(
    "wrong",
    [
        ("text", None, (), 1 << 60),
        (b"v", "text", (), 1 << 60),
        (bytearray(b"v"), 7, (), 1 << 60),
        (b"v", None, {"h": "text"}, 1 << 60),
        (b"v", None, {1: b"v"}, 1 << 60),
        (b"v", None, (), 1 << 63),
        (b"v", None, (), -(1 << 63) - 1),
        (b"v", None, (), 1 << 64),
        (b"v", None, (), 1.5),
        (b"v", None, (), "now"),
    ],
)
def test_what_is_no_record_leaves_no_trace(wrong):
    """It is refused, and the records before and after it are as if it had not been."""
    good = Record(value=b"v", key=b"k", timestamp_ns=1 << 60)
    encoder = RecordsEncoder()
    encoder.add(good.value, good.key, (), good.timestamp_ns)
    with pytest.raises((TypeError, ValueError)):
        encoder.add(*wrong)
    encoder.add(good.value, good.key, (), good.timestamp_ns)
    assert encode_records([good, good]) == encoder.encode()


@pytest.mark.parametrize("count", [1, 100, 20_000])
def test_a_request_parses_to_the_same_message(count):
    """The order of its fields differs, which no reader of protobuf sees."""
    batch = make_batch(
        [Record(value=b"v%d" % n, timestamp_ns=n + 1) for n in range(count)],
        producer_id=300,
        producer_epoch=2,
        base_sequence=1 << 40,
    )
    expected = stream_pb2.PublishStreamRequest(
        correlation=17,
        topic="t",
        partition=3,
        durability=records_pb2.DURABILITY_LEADER_SYNCED,
        topic_id=b"i" * 16,
        batch=api.batch_to_pb(batch),
    )
    encoded = publish_request(
        batch, correlation=17, topic="t", topic_id=b"i" * 16, partition=3, durability=Durability.LEADER_SYNCED
    )
    assert expected == stream_pb2.PublishStreamRequest.FromString(encoded)
