"""A batch without some of its records: the others are where they were, and everybody can read them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.broker.gate import check_batch
from cluster.client.decoding import read_stored_batch
from cluster.config import BrokerOptions
from cluster.errors import CorruptBatch, InvalidRequest
from cluster.records import Batch, Entry, EntryKind, Record
from cluster.types import Codec, Index, Offset, ProducerId, Term
from cluster.wire import api
from cluster.wire.compacting import keyed_offsets, without_records
from cluster.wire.records import decode_batch, make_batch, seal_batch

BASE = Offset(100)
RECORDS = [Record(value=b"v%d" % n, key=b"k%d" % (n % 3), timestamp_ns=n + 1) for n in range(9)]


def read(batch: Batch) -> list[int]:
    """Offsets as the client reads them."""
    stored = api.records_pb2.StoredBatch()
    entry = Entry(index=Index(1), term=Term(1), kind=EntryKind.BATCH, base_offset=BASE, append_time_ns=1, batch=batch)
    api.stored_batch_to_pb(entry, stored)
    return [record.offset for record in read_stored_batch(stored, 0, BASE, None)]


@given(kept=st.sets(st.integers(0, 8)), again=st.sets(st.integers(0, 8)), codec=st.sampled_from(Codec))
def test_what_is_left_stands_where_it_stood(kept: set[int], again: set[int], codec: Codec) -> None:
    """Whatever is removed, once and once more: node and client read the rest with its offsets."""
    batch = make_batch(RECORDS, codec=codec, producer_id=ProducerId(5), base_sequence=70)
    once = without_records(batch, BASE, lambda offset, _, __: offset - BASE in kept)
    twice = without_records(once, BASE, lambda offset, _, __: offset - BASE in again)

    expected = [replace(RECORDS[n], offset=Offset(BASE + n)) for n in sorted(kept & again)]
    assert expected == decode_batch(twice, BASE)
    assert [record.offset for record in expected] == read(twice)
    assert (twice.record_count, twice.producer_id, twice.base_sequence) == (9, 5, 70)
    assert twice.is_intact()


def test_a_batch_that_loses_nothing_is_itself() -> None:
    """Nothing is encoded anew without need."""
    batch = make_batch(RECORDS)

    assert batch is without_records(batch, BASE, lambda *_: True)


def test_whoever_decides_is_told_key_and_tombstone() -> None:
    """A record without a key has none; one without a value is a tombstone."""
    batch = make_batch(
        [
            Record(value=b"v", key=b"a", timestamp_ns=1),
            Record(value=b"", key=b"a", timestamp_ns=1),
            Record(value=b"", key=b"", timestamp_ns=1),
            Record(value=b"x", timestamp_ns=1),
        ]
    )
    told: list[tuple[int, bytes | None, bool]] = []

    def survives(offset: Offset, key: bytes | None, tombstone: bool) -> bool:  # noqa: FBT001
        told.append((offset, key, tombstone))
        return True

    without_records(batch, BASE, survives)
    assert [(100, b"a", False), (101, b"a", True), (102, b"", True), (103, None, False)] == told
    assert [(100, b"a"), (101, b"a"), (102, b"")] == list(keyed_offsets(batch, BASE))


def test_a_hole_is_believed_only_where_compaction_is_said() -> None:
    """A producer's batch with fewer records than it says is corrupt, as ever."""
    short = replace(without_records(make_batch(RECORDS), BASE, lambda offset, *_: offset != BASE), compacted=False)

    with pytest.raises(CorruptBatch):
        decode_batch(short, BASE)
    with pytest.raises(CorruptBatch):
        read(short)


def test_nobody_publishes_holes() -> None:
    """What says that it is compacted comes from nodes."""
    batch = without_records(make_batch(RECORDS), BASE, lambda offset, *_: offset != BASE)

    with pytest.raises(InvalidRequest):
        check_batch(batch, BrokerOptions())


def test_a_record_beyond_the_span_is_corrupt() -> None:
    """A compacted batch takes no more offsets than it says."""
    whole = make_batch(RECORDS)
    last = without_records(whole, BASE, lambda offset, *_: offset == BASE + 8)
    fields = {"record_count": 8, "min_timestamp_ns": 1, "max_timestamp_ns": 9}
    beyond = replace(seal_batch(last.payload, **fields), compacted=True)  # type: ignore[arg-type]

    with pytest.raises(CorruptBatch):
        decode_batch(beyond, BASE)
    with pytest.raises(CorruptBatch):
        read(beyond)


def test_what_is_no_records_message_is_corrupt() -> None:
    """A poison batch is never guessed at."""
    poison = seal_batch(b"\xff\xff", record_count=2, min_timestamp_ns=1, max_timestamp_ns=1)

    with pytest.raises(CorruptBatch):
        without_records(poison, BASE, lambda *_: True)


def test_a_batch_whose_records_stand_elsewhere_says_nothing_of_any_key() -> None:
    """No reader can decode it; so what it holds supersedes nothing, and stays."""
    items = api.records_pb2.Records.FromString(make_batch(RECORDS).payload)
    more = seal_batch(items.SerializeToString(), record_count=3, min_timestamp_ns=1, max_timestamp_ns=9)
    items.records[-1].offset_delta = 50
    beyond = seal_batch(items.SerializeToString(), record_count=9, min_timestamp_ns=1, max_timestamp_ns=9)
    items.records[-1].offset_delta = 2
    back = seal_batch(items.SerializeToString(), record_count=9, min_timestamp_ns=1, max_timestamp_ns=9)
    for batch in (more, beyond, back):
        with pytest.raises(CorruptBatch):
            list(keyed_offsets(batch, BASE))
        with pytest.raises(CorruptBatch):
            without_records(batch, BASE, lambda *_: False)
