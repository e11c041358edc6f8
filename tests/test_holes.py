"""A hole stands for what it replaces: whoever folds it, whole or in pieces, ends where the others are."""

import random
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.holes import decode_hole, encode_hole, encode_tombstone_limit, hole_of, is_empty, piece, placed
from cluster.log.fold import Fold, encode_fold
from cluster.raft import Membership
from cluster.records import Batch, Entry, EntryKind, Record
from cluster.types import Index, Offset, ProducerId, Term
from cluster.wire.compacting import without_records
from cluster.wire.records import make_batch


def emptied(batch: Batch) -> Batch:
    """What compaction leaves when every record is superseded."""
    return without_records(batch, Offset(0), lambda *_: False)


def written(seed: int, count: int) -> list[Entry]:
    """What a partition's log might hold, all of it empty by now."""
    chance = random.Random(seed)
    entries: list[Entry] = []
    sequences: dict[int, int] = {}
    term, end = 1, 0
    for index in range(1, count + 1):
        term += chance.random() < 0.2
        kind = chance.choice([EntryKind.BATCH] * 5 + [EntryKind.NO_OP, EntryKind.DROP_TOMBSTONES])
        entry = Entry(
            index=Index(index), term=Term(term), kind=kind, base_offset=Offset(end), append_time_ns=index * 10
        )
        if kind is EntryKind.DROP_TOMBSTONES:
            entry = replace(entry, control=encode_tombstone_limit(Index(chance.randrange(index))))
        elif kind is EntryKind.BATCH:
            producer, size = chance.randrange(4), chance.randint(1, 3)
            batch = make_batch(
                [Record(value=b"v", key=b"k", timestamp_ns=1)] * size,
                producer_id=ProducerId(producer),
                producer_epoch=producer and term // 3,
                base_sequence=sequences.get(producer, 0),
            )
            sequences[producer] = sequences.get(producer, 0) + size
            entry = replace(entry, batch=emptied(batch))
            end += size
        entries.append(entry)
    return entries


def folded(entries: list[Entry]) -> bytes:
    """What they add up to."""
    fold = Fold(membership=Membership(voters=()))
    for entry in entries:
        fold.apply(entry)
    fold.producers = dict(sorted(fold.producers.items()))
    return encode_fold(fold)


@given(seed=st.integers(0, 1 << 30), count=st.integers(1, 150), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_hole_folds_to_what_its_entries_do(seed: int, count: int, data: st.DataObject) -> None:
    """Any run in one hole, any holes in one hole; the terms of all indices are kept."""
    entries = written(seed, count)
    cuts = sorted({0, count, *data.draw(st.lists(st.integers(0, count), max_size=5))})
    holes = [hole_of(entries[a:b]) for a, b in pairwise(cuts)]

    assert all(map(is_empty, entries))
    assert folded(entries) == folded(holes) == folded([hole_of(holes)])
    one = hole_of(holes)
    assert one.hole is not None
    assert decode_hole(encode_hole(one.hole)) == one.hole
    starts = dict(one.hole.term_starts)
    term = Term(0)
    for entry in entries:
        term = starts.get(entry.index, term)
        assert entry.term == term


@given(seed=st.integers(0, 1 << 30), count=st.integers(1, 150), data=st.data())
@settings(max_examples=60, deadline=None)
def test_pieces_of_a_hole_bring_a_follower_to_the_same_end(seed: int, count: int, data: st.DataObject) -> None:
    """A follower that has the first entries as they were gets the rest of the hole, in pieces of any size."""
    entries = written(seed, count)
    hole = hole_of(entries)
    had = data.draw(st.integers(0, count - 1))
    cuts = sorted({had, count, *data.draw(st.lists(st.integers(had, count), max_size=5))})
    log = entries[:had]
    for a, b in pairwise(cuts):
        end = log[-1].end_offset if log else Offset(0)
        before_ns = log[-1].append_time_ns if log else 0
        part = placed(piece(hole, Index(a + 1), Index(b)), end, before_ns)
        assert part.append_time_ns == (entries[-1].append_time_ns if b == count else before_ns)
        assert (part.index, part.last_index, part.base_offset) == (a + 1, b, end)
        assert part.term == entries[a].term
        assert part.last_term == entries[b - 1].term
        log.append(part)

    assert folded(entries) == folded(log)


@given(seed=st.integers(0, 1 << 30), count=st.integers(2, 150), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_piece_says_which_tombstones_are_gone(seed: int, count: int, data: st.DataObject) -> None:
    """The rest may come from a leader that has no hole there: the limit has to be known by then."""
    entries = written(seed, count)
    had = data.draw(st.integers(1, count - 1))
    begin = piece(hole_of(entries), Index(1), Index(had))
    fold, other = Fold(membership=Membership(voters=())), Fold(membership=Membership(voters=()))
    fold.apply(begin)
    for entry in entries[:had]:
        other.apply(entry)

    assert other.tombstones_upto <= fold.tombstones_upto <= had
    for entry in entries[had:]:
        fold.apply(entry)
        other.apply(entry)
    assert other.tombstones_upto == fold.tombstones_upto


def test_pieces_of_two_leaders_holes_do_not_go_back_in_time() -> None:
    """The first one's hole goes further than the other's, so its time is later (cluster seed 30009)."""
    entries = written(1, 40)
    first, second = hole_of(entries), hole_of(entries[:24])
    begin = placed(piece(first, Index(1), Index(4)), Offset(0), 0)
    rest = placed(piece(second, Index(5), Index(24)), begin.end_offset, begin.append_time_ns)

    assert begin.append_time_ns <= entries[3].append_time_ns
    assert entries[23].append_time_ns == rest.append_time_ns


def test_what_still_holds_something_is_no_hole() -> None:
    """Records, and entries that the log needs by themselves, stay."""
    whole = make_batch([Record(value=b"v", key=b"k", timestamp_ns=1)])
    entry = Entry(index=Index(1), term=Term(1), kind=EntryKind.BATCH, base_offset=Offset(0), append_time_ns=1)

    assert not is_empty(replace(entry, batch=whole))
    assert is_empty(replace(entry, batch=emptied(whole)))
    for kind in (EntryKind.MEMBERSHIP, EntryKind.TRIM_TO, EntryKind.EXPIRE_PRODUCERS, EntryKind.COMMAND):
        assert not is_empty(replace(entry, kind=kind, control=b"x"))
