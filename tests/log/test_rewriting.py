"""Sealed segments written anew: the log is the same but for what was taken out, and a crash anywhere loses nothing."""

import errno
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from cluster.errors import CorruptStorage
from cluster.log import Log
from cluster.log.fold import encode_fold, encode_trim
from cluster.log.rewriting import Rewriting, read_sealed
from cluster.log.segment import Segment
from cluster.log.write import Remove, perform
from cluster.records import Entry, EntryKind, Record
from cluster.sim.disk import SimCrash, SimDisk
from cluster.types import Index, Offset, ProducerId, Term
from cluster.wire.compacting import without_records
from cluster.wire.records import make_batch
from tests.log.test_crash import DIRECTORY, IDENTITY, OPTIONS, entry, flush, fresh_disk, trim

Survives = Callable[[Offset], bool]


def filled(disk: SimDisk, count: int = 60) -> Log:
    """A log over several segments: batches of some records, no-ops, several terms."""
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    for number in range(count):
        item = replace(entry(log, 1 + number // 9), append_time_ns=1000 + number)
        if number % 4 == 0:
            item = replace(item, kind=EntryKind.NO_OP, batch=None)
        else:
            records = [Record(value=b"x" * 90, key=b"k", timestamp_ns=number + 1)] * (number % 4)
            item = replace(item, batch=make_batch(records))
        log.append([item])
        flush(log, disk)
    return log


def rewritten(disk: SimDisk, old: Sequence[Segment], survives: Survives) -> Segment:
    """One file with what survives of `old`."""
    rewriting = Rewriting(disk, old[0], IDENTITY)
    for segment in old:
        place = 0
        while place < len(segment.rows.indexes):
            entries, place = read_sealed(segment, place, IDENTITY.partition, bytes_max=500)
            rewriting.add([thinned(item, survives) for item in entries])
    return rewriting.finish(old[-1])


def thinned(item: Entry, survives: Survives) -> Entry:
    """The entry without the records that do not survive."""
    if item.batch is None:
        return item
    return replace(item, batch=without_records(item.batch, item.base_offset, lambda offset, *_: survives(offset)))


def all_of(log: Log) -> list[Entry]:
    """Every entry, in order."""
    return log.entries(log.first_index, last=log.last_index, bytes_max=1 << 40, count_max=1 << 40)


def same_but_thinner(log: Log, before: list[Entry], thin: list[Entry], survives: Survives) -> None:
    """What is left covers all indices and offsets, and what surviving records there are, are read."""
    found = all_of(log)
    assert before[0].index == found[0].index
    for one, next_one in zip(found, [*found[1:], None], strict=True):
        if next_one is not None:
            assert (one.last_index + 1, one.end_offset) == (next_one.index, next_one.base_offset)
    assert (before[-1].index, before[-1].end_offset) == (found[-1].last_index, found[-1].end_offset)
    batches = {item.index: item for item in found if item.kind is EntryKind.BATCH}
    for item in thin:
        if item.batch is not None and item.batch.payload:
            assert item == batches[item.index]
    for item in before:
        for offset in range(item.base_offset, item.end_offset):
            if survives(Offset(offset)):
                (read, *_) = log.read(Offset(offset), last=log.last_index, bytes_max=1)
                assert read.index == item.index
                assert log.append_time_ns(Offset(offset)) == item.append_time_ns
    state, terms = log.state(), {item.index: item.term for item in before}
    starts = dict(state.term_starts)
    term = state.fold_term
    for index, expected in terms.items():
        term = starts.get(index, term)
        assert expected == term, f"the term of {index}"


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_a_rewritten_log_is_the_same_but_thinner(keep: int) -> None:
    """All is gone but the newest, every seventh is left, or nothing changes: in memory and after a restart."""
    disk = fresh_disk(1)
    log = filled(disk)
    survives: Survives = lambda offset: offset >= log.end_offset - 3 or (bool(keep) and offset % keep != 1)  # noqa: E731
    before, fold = all_of(log), encode_fold(log.fold)
    sealed = log.sealed(log.last_index, log.last_index)
    assert len(sealed) > 3
    upto = sealed[-1].last_index
    thin = [thinned(item, survives) if item.index <= upto else item for item in before]
    bytes_before = sum(segment.size for segment in sealed)

    for old in (sealed[:2], sealed[2:]):
        assert log.replace(old, rewritten(disk, old, survives))
        flush(log, disk)
    same_but_thinner(log, before, thin, survives)
    assert fold == encode_fold(log.fold)
    again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    same_but_thinner(again, before, thin, survives)
    assert fold == encode_fold(again.fold)
    assert again.recovered == log.recovered
    names = [name for name in disk.list(DIRECTORY) if name != "vote"]
    assert len(again.segments()) == len(names) == 3
    if not keep:
        assert sum(facts.bytes for facts in again.segments()[:2]) < bytes_before / 5
        again.append([entry(again, 20)])
        flush(again, disk)


def test_holes_are_put_together_again_and_again() -> None:
    """Two rewritten files become one, with one hole in it, and take no more than that."""
    disk = fresh_disk(2)
    log = filled(disk)
    before = all_of(log)
    for _ in range(2):
        sealed = log.sealed(log.last_index, log.last_index)
        for old in (sealed[:2], sealed[2:]) if len(sealed) > 2 else (sealed,):
            assert log.replace(old, rewritten(disk, old, lambda _: False))
            flush(log, disk)
    (only,) = log.sealed(log.last_index, log.last_index)

    found = all_of(log)
    assert [EntryKind.HOLE] == [item.kind for item in found if item.index <= only.last_index]
    assert [item for item in before if item.index > only.last_index] == found[1:]
    pieces = log.entries(Index(5), last=Index(9), bytes_max=1 << 20, count_max=100)
    assert [(5, 9)] == [(item.index, item.last_index) for item in pieces]
    assert [before[4].term, before[8].term] == [pieces[0].term, pieces[0].last_term]


def test_a_trimmed_or_reinstalled_log_refuses_the_successor() -> None:
    """Whoever rewrote something that is no part of the log any more is told so."""
    disk = fresh_disk(3)
    log = filled(disk)
    sealed = log.sealed(log.last_index, log.last_index)
    new = Rewriting(disk, sealed[0], IDENTITY)
    promised = type("P", (), {"entries": {}, "start": Offset(0)})()
    trim(log, disk, promised, 30)

    assert not log.replace(sealed[:2], new.segment)
    new.drop()
    assert not [name for name in disk.list(DIRECTORY) if name.endswith(".rewritten")]
    with pytest.raises(OSError, match="closed"):
        read_sealed(sealed[0], 0, IDENTITY.partition, bytes_max=1)


def test_what_is_damaged_is_not_written_anew() -> None:
    """A frame that does not match its checksum stops it."""
    disk = fresh_disk(4)
    log = filled(disk)
    sealed = log.sealed(log.last_index, log.last_index)
    disk.flip(sealed[0].path, (sealed[0].rows.positions[3] + 130) * 8)

    with pytest.raises(CorruptStorage):
        read_sealed(sealed[0], 0, IDENTITY.partition, bytes_max=1 << 20)


def script(disk: SimDisk) -> tuple[list[Entry], list[Entry]]:
    """Rewrite all that is sealed in two steps, append in between, trim at the end; what was written."""
    log = filled(disk, 40)
    before = all_of(log)
    sealed = log.sealed(log.last_index, log.last_index)
    for number, old in enumerate((sealed[:2], sealed[2:])):
        assert log.replace(old, rewritten(disk, old, lambda offset: offset % 5 == 0))
        log.append([entry(log, 20 + number)])
        flush(log, disk)
    return before, all_of(log)


@pytest.mark.slow
def test_power_loss_at_every_operation_of_a_rewrite() -> None:
    """After the crash the log covers everything that was durable, is whole, and goes on."""
    whole = fresh_disk(0)
    filled(whole, 40)
    first, probe = whole.operations, fresh_disk(0)
    before, _ = script(probe)
    assert probe.operations > first + 10
    for stop in range(first, probe.operations):
        disk = fresh_disk(stop)
        disk.crash_at_operation = stop
        with pytest.raises(SimCrash):
            script(disk)
        disk.crash()
        log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        assert not log.recovered.recovering, f"a crash at operation {stop} was taken for damage"
        assert log.last_index >= before[-1].index
        found = all_of(log)
        assert list(range(1, log.last_index + 1)) == [i for e in found for i in range(e.index, e.last_index + 1)]
        for item in before:
            for offset in range(item.base_offset, item.end_offset, 5):
                if offset % 5 == 0:
                    assert item.index == log.read(Offset(offset), last=log.last_index, bytes_max=1)[0].index
        log.append([replace(entry(log, 30), term=Term(30))])
        flush(log, disk)
        names = [name for name in disk.list(DIRECTORY) if name.startswith("0")]
        assert len(names) == len(log.segments()), f"left over after a crash at operation {stop}: {names}"


def test_a_truncated_log_still_finds_everything() -> None:
    """The end is cut behind segments with holes."""
    disk = fresh_disk(6)
    log = filled(disk)
    before = all_of(log)
    sealed = log.sealed(log.last_index, log.last_index)
    assert log.replace(sealed, rewritten(disk, sealed, lambda _: False))
    flush(log, disk)
    cut = Index(log.last_index - 1)
    log.truncate_from(cut)
    flush(log, disk)

    assert before[cut - 2] == all_of(log)[-1]
    again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    assert all_of(log) == all_of(again)


def trim_of_all(log: Log, term: int) -> Entry:
    """It begins a new segment."""
    return replace(entry(log, term), kind=EntryKind.TRIM_TO, batch=None, control=encode_trim(log.end_offset))


def test_a_segment_that_takes_entries_again_is_not_replaced() -> None:
    """What followed it was cut while it was written anew: its successor would lack what came to it since."""
    disk = fresh_disk(7)
    log = filled(disk, 5)
    log.append([trim_of_all(log, 1)])  # of everything: a segment of its own, that is never committed
    flush(log, disk)
    committed = Index(log.last_index - 1)
    sealed = log.sealed(committed, committed)
    assert log.segments()[-2].last_index == committed == sealed[-1].last_index
    new = rewritten(disk, sealed, lambda _: False)
    log.truncate_from(Index(committed + 1))
    assert not log.holds(sealed)
    assert not log.replace(sealed, new)
    log.append([entry(log, 2, 10)])
    assert not log.replace(sealed, new)
    flush(log, disk)
    log.append([trim_of_all(log, 2)])
    flush(log, disk)
    assert log.holds(sealed)
    assert not log.replace(sealed, new), "it is longer now"
    assert (committed + 1, committed + 2) == tuple(item.index for item in all_of(log)[-2:])


def test_holes_do_not_grow_beyond_their_bound_in_later_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large ones that follow one another stay several, or a follower's pieces would cost more with each pass."""
    monkeypatch.setattr("cluster.log.rewriting.RUN_MAX", 10)
    monkeypatch.setattr("cluster.log.rewriting.HOLE_BYTES_MAX", 400)
    disk = fresh_disk(8)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    for number in range(120):
        batch = make_batch([Record(value=b"x", timestamp_ns=1)], producer_id=ProducerId(1000 + number))
        log.append([replace(entry(log, 1), batch=batch)])
    flush(log, disk)
    for _ in range(3):
        sealed = log.sealed(log.last_index, log.last_index)
        assert log.replace(sealed, rewritten(disk, sealed, lambda _: False))
        flush(log, disk)
        sizes = [item.size_bytes for item in all_of(log) if item.kind is EntryKind.HOLE]
        assert 2 < len(sizes)
        assert max(sizes) < 1_000


def test_a_cut_that_waits_for_room_may_be_of_a_segment_that_was_replaced_since() -> None:
    """Its end was committed, the full disk made the cut wait, and the successor took its place to make room."""
    disk = fresh_disk(9)
    log = filled(disk, 40)
    base = Index(log.sealed(log.last_index, log.last_index)[-1].last_index + 1)
    log.truncate_from(base)
    log.append([entry(log, 30, 10)])

    def full() -> None:
        disk.fail["write"] = errno.ENOSPC
        write = log.take_write()
        assert write is not None
        assert {0} == perform(disk, {0: write})
        log.written(write, full=True)

    full()
    last = log.sealed(Index(base - 1), Index(base - 1))[-1:]
    assert log.replace(last, rewritten(disk, last, lambda _: False))
    full()
    flush(log, disk)
    again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    assert all_of(log) == all_of(again)
    assert base == again.last_index


def test_a_hole_is_read_once_for_its_pieces() -> None:
    """And again when the log has another one in its place, or is cut there."""
    disk = fresh_disk(10)
    log = filled(disk)
    sealed = log.sealed(log.last_index, log.last_index)
    assert log.replace(sealed[:2], rewritten(disk, sealed[:2], lambda _: False))
    flush(log, disk)
    (first,) = log.entries(Index(1), last=sealed[1].last_index, bytes_max=1, count_max=1)
    read_anew = log.entries(Index(1), last=sealed[1].last_index, bytes_max=1, count_max=1)
    assert first is read_anew[0]
    (part,) = log.entries(Index(3), last=Index(4), bytes_max=1, count_max=1)
    assert (3, 4) == (part.index, part.last_index)
    sealed = log.sealed(log.last_index, log.last_index)
    assert log.replace(sealed, rewritten(disk, sealed, lambda _: False))
    (whole,) = log.entries(Index(1), last=sealed[-1].last_index, bytes_max=1, count_max=1)
    assert sealed[-1].last_index == whole.last_index > first.last_index


def test_a_log_that_closes_while_its_disk_is_full_leaves_no_file_open() -> None:
    """What waited for room to be removed is closed with the rest."""
    disk = fresh_disk(11)
    log = filled(disk)
    (gone,) = log.sealed(log.last_index, log.last_index)[-1:]
    log.truncate_from(gone.base_index)
    disk.fail["write"] = errno.ENOSPC
    write = log.take_write()
    assert write is not None
    assert {0} == perform(disk, {0: write})
    log.written(write, full=True)
    log.close()
    files = [step.segment.file for step in write.steps if isinstance(step, Remove)]
    assert files == [None] * len(files)
    assert len(files) > 0
