"""What becomes of an idempotent producer's batch, rule by rule."""

import pytest

from cluster.broker.sequences import Append, Duplicate, Refuse, decide
from cluster.errors import DuplicateForgotten, Fenced, OutOfSequence, UnknownProducer
from cluster.log.fold import ProducerState
from cluster.records import Batch, RecentBatch
from cluster.types import Index, Offset, ProducerId

KNOWN = ProducerState(
    epoch=2,
    next_sequence=30,
    recent=(RecentBatch(10, 10, Offset(100), Index(7), 1), RecentBatch(20, 10, Offset(110), Index(8), 2)),
    last_append_time_ns=0,
)


def _batch(sequence: int, count: int = 10, epoch: int = 2, producer: int = 5) -> Batch:
    return Batch(
        payload=b"x",
        record_count=count,
        uncompressed_size=1,
        min_timestamp_ns=0,
        max_timestamp_ns=0,
        producer_id=ProducerId(producer),
        producer_epoch=epoch,
        base_sequence=sequence,
    )


def test_the_next_sequence_is_appended() -> None:
    """Also by a newer epoch: sequences continue."""
    assert Append() == decide(KNOWN, _batch(30))
    assert Append() == decide(KNOWN, _batch(30, epoch=3))


def test_without_a_producer_everything_is_appended() -> None:
    """Nobody asked for more."""
    assert Append() == decide(None, _batch(77, producer=0))


def test_a_remembered_batch_is_a_duplicate() -> None:
    """Its first receipt is the answer."""
    assert Duplicate(KNOWN.recent[1]) == decide(KNOWN, _batch(20))


@pytest.mark.parametrize(
    ("batch", "error"),
    [
        (_batch(30, epoch=1), Fenced),
        (_batch(31), OutOfSequence),
        (_batch(25), OutOfSequence),
        (_batch(20, count=5), OutOfSequence),
        (_batch(15), OutOfSequence),
        (_batch(10), OutOfSequence),
        (_batch(25, count=10), OutOfSequence),
        (_batch(0), DuplicateForgotten),
        (_batch(0, epoch=3), OutOfSequence),
    ],
)
def test_what_must_not_be_appended_is_refused(batch: Batch, error: type[Exception]) -> None:
    """Old epoch, gap, partial overlaps, the same numbers of another epoch, and what is too old to remember."""
    decision = decide(KNOWN, batch)

    assert isinstance(decision, Refuse)
    assert isinstance(decision.error, error)


def test_an_unknown_producer_begins_at_zero() -> None:
    """Anything else is never an append: its history may have expired here."""
    assert Append() == decide(None, _batch(0))
    refused = decide(None, _batch(10))
    assert isinstance(refused, Refuse)
    assert isinstance(refused.error, UnknownProducer)
