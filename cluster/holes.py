"""What compaction leaves of a run of entries that hold nothing any more: one entry, a hole. Pure.

A hole stands for all indices of its run and for all offsets that they took. It keeps what else the log needs of them:
the terms (Raft compares them), and the producers' last batches and the limit of dropped tombstones (they are part of
the fold). Everything else is gone for good; so a hole costs the same, however many entries it stands for.

A hole is committed, and so equal wherever it is; but each replica makes its own, at its own time. Where a leader sends
some of a hole's indices, the follower does not learn which offset lies between them: its piece ends where its log
ended already, until the piece with the hole's end comes. There are no records in between, so nobody can tell. If the
rest comes from another leader, who has no hole there, the next entry says where it begins: behind a hole that may be
further on (`Fold.open_end`), and the offsets between belong to nobody.

Nor is it known when the entries in a piece were appended, but for its hole's last one: a piece that does not end its
hole takes the time of what stands before it. With the hole's time, what follows from a leader with another hole would
have been appended before it.

The limit of dropped tombstones is told with every piece, as far as the piece goes: the entry that said it may be in
this piece, and the rest come from a leader who has no hole there. A piece before that entry tells it early, and may:
it is committed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from cluster.records import RECENT_BATCHES_MAX, Entry, EntryKind, Hole, HoleProducer, RecentBatch
from cluster.types import Index, Offset, ProducerId, Term


def is_empty(entry: Entry) -> bool:
    """Whether the entry may become part of a hole: it has no records, and the log needs nothing that a hole loses."""
    match entry.kind:
        case EntryKind.NO_OP | EntryKind.HOLE | EntryKind.DROP_TOMBSTONES:
            return True
        case EntryKind.BATCH:
            return entry.batch is not None and entry.batch.compacted and not entry.batch.payload
        case _:
            return False


def hole_of(run: Sequence[Entry]) -> Entry:
    """One entry in the place of empty ones that follow one another."""
    first, last = run[0], run[-1]
    terms: list[tuple[Index, Term]] = []
    producers: dict[ProducerId, HoleProducer] = {}
    tombstones = Index(0)
    for entry in run:
        starts = entry.hole.term_starts if entry.hole is not None else ((entry.index, entry.term),)
        terms += [start for start in starts if not terms or start[1] != terms[-1][1]]
        if entry.hole is not None:
            tombstones = max(tombstones, entry.hole.tombstones_upto)
            _remember(producers, entry.hole.producers)
        elif entry.kind is EntryKind.DROP_TOMBSTONES:
            tombstones = max(tombstones, tombstone_limit(entry))
        elif entry.batch is not None and entry.batch.producer_id:
            batch = entry.batch
            made = RecentBatch(
                batch.base_sequence, batch.record_count, entry.base_offset, entry.index, batch.producer_epoch
            )
            _remember(producers, [HoleProducer(batch.producer_id, entry.append_time_ns, (made,))])
    hole = Hole(
        last_index=last.last_index,
        record_count=last.end_offset - first.base_offset,
        term_starts=tuple(terms),
        producers=tuple(producers.values()),
        tombstones_upto=tombstones,
    )
    return _entry(hole, first.index, first.base_offset, last.append_time_ns)


def _remember(producers: dict[ProducerId, HoleProducer], more: Iterable[HoleProducer]) -> None:
    for new in more:
        old = producers.get(new.producer)
        recent = (*(old.recent if old is not None else ()), *new.recent)[-RECENT_BATCHES_MAX:]
        producers[new.producer] = replace(new, recent=recent)


def piece(entry: Entry, first: Index, last: Index) -> Entry:
    """The part of a hole that stands for `first` to `last`, or to its end if that comes before."""
    hole = entry.hole
    assert hole is not None, "only holes have pieces"
    assert entry.index <= first <= hole.last_index, "no part of that hole"
    if first == entry.index and last >= hole.last_index:
        return entry
    end = last >= hole.last_index
    last = min(last, hole.last_index)
    before = [start for start in hole.term_starts if start[0] <= first]
    terms = ((first, before[-1][1]), *(start for start in hole.term_starts if first < start[0] <= last))
    producers = []
    for producer in hole.producers:
        recent = tuple(batch for batch in producer.recent if first <= batch.index <= last)
        if recent:
            producers.append(replace(producer, recent=recent))
    part = Hole(
        last_index=last,
        record_count=hole.record_count if end else 0,
        term_starts=terms,
        producers=tuple(producers),
        tombstones_upto=min(hole.tombstones_upto, last),
    )
    return _entry(part, first, entry.base_offset, entry.append_time_ns if end else 0)


def placed(entry: Entry, base_offset: Offset, last_append_time_ns: int) -> Entry:
    """A hole, or a part of one, at a log's end: it takes the offsets from there to its end, and no earlier time."""
    hole = entry.hole
    assert hole is not None, "only holes are placed"
    append_time_ns = max(entry.append_time_ns, last_append_time_ns)
    if (entry.base_offset, entry.append_time_ns) == (base_offset, append_time_ns):
        return entry
    count = max(entry.end_offset - base_offset, 0)
    return _entry(replace(hole, record_count=count), entry.index, base_offset, append_time_ns)


def _entry(hole: Hole, index: Index, base_offset: Offset, append_time_ns: int) -> Entry:
    return Entry(
        index=index,
        term=hole.term_starts[0][1],
        kind=EntryKind.HOLE,
        base_offset=base_offset,
        append_time_ns=append_time_ns,
        control=encode_hole(hole),
        hole=hole,
    )


def encode_hole(hole: Hole) -> bytes:
    """The control content of HOLE."""
    producers = [
        (
            producer.producer,
            producer.last_append_time_ns,
            [(b.base_sequence, b.record_count, b.base_offset, b.index, b.epoch) for b in producer.recent],
        )
        for producer in hole.producers
    ]
    plain = hole.last_index, hole.record_count, hole.term_starts, producers, hole.tombstones_upto
    return bytes(msgspec.msgpack.encode(plain))


def decode_hole(control: bytes) -> Hole:
    """The inverse; ValueError if it is none."""
    try:
        last_index, count, terms, producers, tombstones = msgspec.msgpack.decode(control)
        return Hole(
            last_index=Index(last_index),
            record_count=count,
            term_starts=tuple((Index(index), Term(term)) for index, term in terms),
            producers=tuple(_producer(plain) for plain in producers),
            tombstones_upto=Index(tombstones),
        )
    except (msgspec.DecodeError, TypeError) as error:
        raise ValueError("not a hole") from error


def _producer(plain: Any) -> HoleProducer:
    number, last, recent = plain
    batches = tuple(RecentBatch(sequence, count, Offset(o), Index(i), epoch) for sequence, count, o, i, epoch in recent)
    return HoleProducer(ProducerId(number), last, batches)


def encode_tombstone_limit(index: Index) -> bytes:
    """The control content of DROP_TOMBSTONES: those at or below this index may go."""
    return index.to_bytes(8, "little")


def tombstone_limit(entry: Entry) -> Index:
    """The inverse."""
    return Index(int.from_bytes(entry.control, "little"))
