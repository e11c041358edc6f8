"""Batches as columns."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cluster.errors import CorruptBatch
from cluster.records import Batch, Header, Record
from cluster.types import Codec, Offset
from cluster.wire.columns import decode_columns
from cluster.wire.pb.riverrun.v1 import records_pb2
from cluster.wire.records import decode_batch, decode_records, make_batch, seal_batch

RECORDS = [
    Record(value=b"a", key=b"k", timestamp_ns=5),
    Record(value=b"", key=b"", timestamp_ns=6, headers=(Header(name="x", value=b"1"), Header(name="x", value=b"2"))),
    Record(value=b"c" * 500, timestamp_ns=7),
]


@pytest.mark.parametrize("codec", list(Codec))
def test_columns_say_what_records_say(codec: Codec) -> None:
    """Two decoders, one batch: keys that are empty or absent, headers and offsets are the same."""
    batch = make_batch(RECORDS, codec=codec)
    columns = decode_columns(batch, Offset(40))
    records = decode_batch(batch, Offset(40))

    assert [r.offset for r in records] == list(columns.offsets)
    assert [r.key for r in records] == columns.keys
    assert [r.value for r in records] == columns.values
    assert [r.timestamp_ns for r in records] == columns.times_ns
    assert [[(h.name, h.value) for h in r.headers] for r in records] == [columns.headers(i) for i in range(3)]


def _sealed(deltas: list[int], record_count: int) -> Batch:
    message = records_pb2.Records()
    for delta in deltas:
        message.records.add(value=b"v", offset_delta=delta)
    return seal_batch(message.SerializeToString(), record_count=record_count, min_timestamp_ns=0, max_timestamp_ns=0)


def test_what_compaction_left_says_where_it_stood() -> None:
    """A thinned batch has offsets of its own."""
    assert [12, 15] == list(decode_columns(_sealed([2, 5], 8), Offset(10)).offsets)


@pytest.mark.parametrize("batch", [_sealed([2, 8], 8), _sealed([0, 1, 2], 2)])
def test_a_batch_that_contradicts_itself_is_corrupt(batch: Batch) -> None:
    """Records beyond the span that the batch takes would be processed twice."""
    with pytest.raises(CorruptBatch, match="span"):
        decode_columns(batch, Offset(10))


VALUES, KEYS, TIMES, HEADERS = (
    st.sampled_from([b"", b"a", b"bc"]).map(lambda value: records_pb2.Record(value=value).SerializeToString()),
    st.sampled_from([b"", b"k", b"kl"]).map(lambda key: records_pb2.Record(key=key).SerializeToString()),
    st.sampled_from([0, -1, 7]).map(lambda time_ns: records_pb2.Record(timestamp_ns=time_ns).SerializeToString()),
    st.builds(records_pb2.Header, name=st.sampled_from(["", "h"]), value=st.binary(max_size=1)).map(
        lambda header: records_pb2.Record(headers=[header]).SerializeToString()
    ),
)
WHOLE = st.builds(lambda *parts: b"".join(parts), VALUES, KEYS, TIMES)
ANYTHING = st.lists(VALUES | KEYS | TIMES | HEADERS, max_size=5).map(b"".join)


def _body(*records: records_pb2.Record) -> bytes:
    return b"".join(record.SerializeToString() for record in records)


LENT = [
    _body(records_pb2.Record(value=b"a", key=b"k", timestamp_ns=7), records_pb2.Record(value=b"b")),
    _body(records_pb2.Record(key=b"l", timestamp_ns=8)),
]
"""Two records with two values, both of which the first one has."""


@given(st.lists(WHOLE | ANYTHING, min_size=1, max_size=4))
@example(LENT)
def test_whatever_a_record_has_twice_or_not_at_all_columns_say_what_records_say(bodies: list[bytes]) -> None:
    """Fields in any order and number, as no encoder writes them: what one record lacks is not taken from another."""
    encoded = b"".join(b"\x0a" + bytes([len(body)]) + body for body in bodies)
    columns = decode_columns(
        seal_batch(encoded, record_count=len(bodies), min_timestamp_ns=0, max_timestamp_ns=0), Offset(3)
    )
    records = decode_records(encoded, Offset(3))

    assert [(r.offset, r.key, r.value, r.timestamp_ns) for r in records] == [
        *zip(columns.offsets, columns.keys, columns.values, columns.times_ns, strict=True)
    ]
    assert [[(h.name, h.value) for h in r.headers] for r in records] == [*map(columns.headers, range(len(bodies)))]


def test_a_part_of_the_columns_has_its_own_headers() -> None:
    """What is cut off in front does not move the headers to other records."""
    records = [Record(value=b"v", key=b"k", timestamp_ns=1, headers=(Header(name=name, value=b""),)) for name in "abcd"]
    columns = decode_columns(make_batch(records), Offset(10)).between(11, 14).cut(1, 3)

    assert ([12, 13], [[("c", b"")], [("d", b"")]]) == (list(columns.offsets), [*map(columns.headers, range(2))])


def test_a_header_that_is_none_makes_the_batch_corrupt() -> None:
    """Whether anybody asks for headers or not."""
    whole = records_pb2.Record(value=b"v", key=b"k", timestamp_ns=1).SerializeToString() + b"\x1a\x03\x0a\x01\xff"
    encoded = b"\x0a" + bytes([len(whole)]) + whole
    with pytest.raises(CorruptBatch, match="no"):
        decode_columns(seal_batch(encoded, record_count=1, min_timestamp_ns=0, max_timestamp_ns=0), Offset(0))
