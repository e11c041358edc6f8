"""A batch in parts: together they are what it is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import CorruptBatch
from cluster.records import Batch, Record
from cluster.types import Codec, Offset, ProducerId
from cluster.wire.compacting import without_records
from cluster.wire.records import decode_batch, make_batch
from cluster.wire.splitting import split_batch

BASE = Offset(100)
RECORDS = [Record(value=b"v" * n, key=b"k%d" % (n % 3), timestamp_ns=n + 1) for n in range(12)]


@given(kept=st.sets(st.integers(0, 11), min_size=1), bytes_max=st.integers(1, 600), codec=st.sampled_from(list(Codec)))
def test_the_parts_of_a_batch_hold_what_it_does(kept: set[int], bytes_max: int, codec: Codec) -> None:
    """In their places, each sealed for itself and small enough unless it is one record, also where there are holes."""
    whole = make_batch(RECORDS, codec=codec, producer_id=ProducerId(3), producer_epoch=1, base_sequence=40)
    batch = without_records(whole, BASE, lambda offset, *_: offset - BASE in kept)
    expected = BASE
    found = []
    for base, part in split_batch(batch, BASE, bytes_max):
        assert expected == base
        records = decode_batch(part, base)
        assert len(part.payload) <= bytes_max or len(records) == 1
        assert (40 + base - BASE, 3, 1) == (part.base_sequence, part.producer_id, part.producer_epoch)
        assert (Codec.NONE, batch.compacted) == (part.codec, part.compacted)
        found += records
        expected = Offset(base + part.record_count)

    assert decode_batch(batch, BASE) == found
    assert BASE + len(RECORDS) == expected


def test_as_few_parts_as_hold_it() -> None:
    """All in one where it fits; one for each record where not even two do."""
    batch = make_batch(RECORDS, codec=Codec.ZSTD)

    assert [12, 3, 1] == [len(list(split_batch(batch, BASE, bytes_max))) for bytes_max in (1, 150, 10_000)]


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (replace(make_batch(RECORDS), record_count=13), "holds 12 records"),
        (replace(make_batch(RECORDS), record_count=11), "beyond its own span"),
        (replace(make_batch(RECORDS), payload=b"\xff" * len(make_batch(RECORDS).payload)), "not a Records message"),
    ],
)
def test_a_batch_that_lies_is_not_split(wrong: Batch, match: str) -> None:
    """What it says is compared, as where it is decoded."""
    with pytest.raises(CorruptBatch, match=match):
        list(split_batch(wrong, BASE, 40))
