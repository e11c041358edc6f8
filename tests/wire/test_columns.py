"""Batches as columns."""

import pytest

from cluster.errors import CorruptBatch
from cluster.records import Batch, Header, Record
from cluster.types import Codec, Offset
from cluster.wire.columns import decode_columns
from cluster.wire.pb.riverrun.v1 import records_pb2
from cluster.wire.records import decode_batch, make_batch, seal_batch

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

    assert [r.offset for r in records] == columns.offsets
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
    assert [12, 15] == decode_columns(_sealed([2, 5], 8), Offset(10)).offsets


@pytest.mark.parametrize("batch", [_sealed([2, 8], 8), _sealed([0, 1, 2], 2)])
def test_a_batch_that_contradicts_itself_is_corrupt(batch: Batch) -> None:
    """Records beyond the span that the batch takes would be processed twice."""
    with pytest.raises(CorruptBatch, match="span"):
        decode_columns(batch, Offset(10))
