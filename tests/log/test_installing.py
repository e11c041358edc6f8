"""A fold takes the place of a log, wherever that begins and ends; the power goes at every operation of it."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from cluster.log import Log
from cluster.log.fold import encode_trim
from cluster.log.mark import COPIES, MARK_FILE, UNKNOWN, Mark, read_mark, set_mark
from cluster.log.write import perform
from cluster.records import Entry, EntryKind
from cluster.sim.disk import SimCrash, SimDisk
from cluster.types import UNCOUNTED, UNCOUNTED_ANEW, Index, Offset, Term
from tests.log.test_crash import DIRECTORY, IDENTITY, OPTIONS, damaged_disk, entry, flush, fresh_disk

OWES = (Index(23), Term(1))


def filled(log: Log, disk: SimDisk, *, term: int = 1, count: int = 23) -> Log:
    """So many entries more, over several segments, on disk."""
    for _ in range(count):
        log.append([entry(log, term)])
        flush(log, disk)
    assert len(log.segments()) > 3
    return log


def trimmed(log: Log, disk: SimDisk) -> Log:
    """Its first third is gone."""
    control = replace(entry(log, 1), kind=EntryKind.TRIM_TO, batch=None, control=encode_trim(Offset(8)))
    log.append([control])
    assert log.trim(log.last_index, log.last_index) is not None
    flush(log, disk)
    return log


def fold_of(*, trim: bool) -> tuple[Index, Term, bytes]:
    """The fold at the start of a leader's log."""
    disk = fresh_disk(1)
    log = filled(Log.open(disk, DIRECTORY, IDENTITY, OPTIONS), disk, term=2)
    return (trimmed(log, disk) if trim else log).fold_at_start()


def everything(log: Log) -> list[Entry]:
    """What is in it."""
    return log.entries(log.first_index, last=log.last_index, bytes_max=1 << 40, count_max=1 << 40)


def segment_files(disk: SimDisk) -> list[str]:
    """Their names."""
    return [name for name in disk.list(DIRECTORY) if name.endswith(".log")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("follower_trimmed", "leader_trimmed"),
    [(False, False), (True, False), (False, True), (True, True)],
    ids=["same_start", "below_its_start", "within_it", "both_trimmed"],
)
def test_power_loss_at_every_operation_of_a_new_beginning(follower_trimmed: bool, leader_trimmed: bool) -> None:  # noqa: FBT001  parametrized
    """The old log, whole, or a replica that knows that it recovers, and from what; never one that cannot be opened."""
    index, term, data = fold_of(trim=leader_trimmed)
    marked = 0
    for stop in range(1_000):
        disk = fresh_disk(stop)
        log = filled(Log.open(disk, DIRECTORY, IDENTITY, OPTIONS), disk)
        if follower_trimmed:
            trimmed(log, disk)
        before = everything(log)
        disk.crash_at_operation = disk.operations + stop
        log.install(index, term, data, mark=Mark(OWES))
        crashed = False
        try:
            flush(log, disk)
        except SimCrash:
            disk.crash()
            crashed = True
        disk.crash_at_operation = None
        again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        if not again.recovered.recovering:
            assert before == everything(again), f"entries went before the mark was made, operation {stop}"
            assert crashed
        marked += again.recovered.recovering and crashed
        if not crashed:
            assert (index, term, data) == again.fold_at_start()
            assert (index, OWES) == (again.last_index, again.recovered.owes)
            assert 1 == len(segment_files(disk))
            break
        again.install(index, term, data, mark=Mark(OWES))
        flush(again, disk)
        filled(again, disk, term=2)
        again.whole_again()
        flush(again, disk)
        last = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        assert not last.recovered.recovering
        assert everything(again) == everything(last)
        assert index + 1 == last.first_index
    assert marked > 5, "there were operations to crash at"


def test_a_fold_below_the_logs_start_may_come_with_an_ordinary_installation() -> None:
    """Whatever stands there is replaced; nothing is left that a restart would take for damage."""
    index, term, data = fold_of(trim=False)
    disk = fresh_disk(3)
    log = trimmed(filled(Log.open(disk, DIRECTORY, IDENTITY, OPTIONS), disk), disk)
    assert log.first_index > index + 1
    log.install(index, term, data)
    flush(log, disk)
    again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)

    assert (0, 1, False) == (again.last_index, again.first_index, again.recovered.recovering)
    assert () == again.recovered.quarantined
    assert 1 == len(segment_files(disk))


def installed(log: Log) -> None:
    """A new beginning."""
    log.install(*fold_of(trim=False), mark=UNKNOWN)


def cut(log: Log) -> None:
    """Almost nothing is left."""
    log.truncate_from(Index(2))


@pytest.mark.parametrize("drop", [installed, cut])
def test_a_write_under_way_vouches_for_nothing_that_came_later(drop: Callable[[Log], None]) -> None:
    """It was taken before the log was dropped: what stands at its indexes since is in memory only, and stays there."""
    disk = fresh_disk(5)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    for _ in range(20):
        log.append([entry(log, 1)])
    write = log.take_write()
    assert write is not None
    drop(log)
    for _ in range(12):
        log.append([entry(log, 2)])
    perform(disk, {0: write})
    log.written(write, full=False)
    in_memory = everything(log)
    flush(log, disk)

    assert log.last_index == len(in_memory)
    assert in_memory == everything(Log.open(disk, DIRECTORY, IDENTITY, OPTIONS))


def test_a_mark_says_what_the_log_ended_with() -> None:
    """If it can be read, and is this replica's."""
    disk, mine = SimDisk(random.Random(1)), IDENTITY.encoded()
    assert read_mark(disk, DIRECTORY, mine) is None
    disk.make_directory(DIRECTORY)
    set_mark(disk, DIRECTORY, mine, Mark(OWES))
    assert Mark(OWES) == read_mark(disk, DIRECTORY, mine)
    assert UNKNOWN == read_mark(disk, DIRECTORY, b"another replica")
    for copy in COPIES:
        assert Mark(OWES) == read_mark(disk, DIRECTORY, mine)
        disk.flip(f"{DIRECTORY}/{MARK_FILE}", (copy + 9) * 8)
    assert UNKNOWN == read_mark(disk, DIRECTORY, mine)
    set_mark(disk, DIRECTORY, mine)
    assert UNKNOWN == read_mark(disk, DIRECTORY, mine)
    set_mark(disk, DIRECTORY, mine, Mark(OWES, Index(30)))
    for copy in COPIES:
        assert Mark(OWES, Index(30)) == read_mark(disk, DIRECTORY, mine)
        disk.flip(f"{DIRECTORY}/{MARK_FILE}", (copy + 29) * 8)
    assert Mark(OWES) == read_mark(disk, DIRECTORY, mine)


def test_a_mark_that_was_ever_written_is_still_read() -> None:
    """Its format as it landed, to the byte: a later one has to know this one, too."""
    disk, mine = SimDisk(random.Random(1)), IDENTITY.encoded()
    disk.make_directory(DIRECTORY)
    file = disk.open(f"{DIRECTORY}/{MARK_FILE}", create=True)
    file.write(0, [bytes.fromhex("52524d41524b303117000000000000000100000000000000c6b48a1b")])

    assert Mark(OWES) == read_mark(disk, DIRECTORY, mine)
    file.write(
        28, [bytes.fromhex("1e0000000000000030851e30")]
    )  # since 2026-11-29; older versions read what stands before it
    assert Mark(OWES, Index(30)) == read_mark(disk, DIRECTORY, mine)
    file.truncate(0)
    assert UNKNOWN == read_mark(disk, DIRECTORY, mine)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, Mark((UNCOUNTED, Term(3)))),
        (Mark((UNCOUNTED, Term(1))), Mark((UNCOUNTED, Term(3)))),
        (Mark((UNCOUNTED, Term(4))), Mark((UNCOUNTED, Term(4)))),
        (Mark(OWES, Index(20)), Mark((UNCOUNTED_ANEW, Term(3)), Index(20))),
        (Mark((UNCOUNTED_ANEW, Term(4)), Index(20)), Mark((UNCOUNTED_ANEW, Term(4)), Index(20))),
        (UNKNOWN, UNKNOWN),
    ],
)
def test_of_what_damage_took_nobody_knows_how_much_it_was(before: Mark | None, after: Mark) -> None:
    """Entries that were acknowledged since the mark was made may be among it, of the vote's term at most."""
    disk = damaged_disk(1)
    if before is not None:
        set_mark(disk, DIRECTORY, IDENTITY.encoded(), before)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)

    assert (3, after) == (log.vote.term, log.recovered.mark)
    assert after == read_mark(disk, DIRECTORY, IDENTITY.encoded())
