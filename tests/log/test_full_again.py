"""A disk that is full half-way through a log's work: what was done is not done again, for files may be others then."""

import errno
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from cluster.log import Log
from cluster.log.mark import Mark, read_mark, set_mark
from cluster.log.write import perform
from cluster.sim.disk import SimCrash, SimDisk
from cluster.types import Index, Term
from tests.log.test_crash import DIRECTORY, IDENTITY, OPTIONS, entry, flush, fresh_disk
from tests.log.test_installing import everything, filled, fold_of

LARGE = replace(OPTIONS, segment_bytes_max=20_000)
"""Segments in which there is room for what is missing without its being noticed."""
Work = Callable[[Log], None]
LEFT = range(0, 16_000, 500)
"""Bytes that are free when the work begins: the disk is full at any of its steps."""


def whole_and_begun_anew(log: Log) -> None:
    """It has found itself whole, and is ordered to throw everything away."""
    log.whole_again()
    log.append([entry(log, 1, 10)])
    install(log)
    append(log, 60, term=2)


def begun_anew_twice(log: Log) -> None:
    """Both logs begin with a segment of the same name."""
    for term, count in ((2, 2), (3, 30)):
        install(log)
        append(log, count, term=term)


def cut_where_a_segment_begins(log: Log) -> None:
    """What takes its place has its name."""
    segments = len(log.segments())
    while len(log.segments()) == segments:
        append(log, 1, term=2)
    log.truncate_from(log.last_index)
    append(log, 30, term=3)


def install(log: Log) -> None:
    """A leader's log, from its start."""
    log.install(*fold_of(trim=False), mark=Mark((log.last_index, Term(2)), Index(25)))


def append(log: Log, count: int, *, term: int) -> None:
    """So many large entries."""
    for _ in range(count):
        log.append([entry(log, term, 400)])


def begin(work: Work, *, left: int, options: object = LARGE) -> tuple[SimDisk, Log]:
    """A log, and work that waits, and so much room for it."""
    disk = fresh_disk(1)
    if options is OPTIONS:
        log = filled(Log.open(disk, DIRECTORY, IDENTITY, OPTIONS), disk)
    else:
        log = Log.open(disk, DIRECTORY, IDENTITY, LARGE)
        append(log, 45, term=1)
        flush(log, disk)
    set_mark(disk, DIRECTORY, IDENTITY.encoded(), Mark(None, Index(3)))
    work(log)
    disk.capacity_bytes -= disk.free_bytes() - left
    return disk, log


def attempt(log: Log, disk: SimDisk) -> bool:
    """Whether the disk was too full."""
    write = log.take_write()
    assert write is not None
    full = bool(perform(disk, {0: write}))
    log.written(write, full=full)
    return full


@pytest.mark.slow
@pytest.mark.parametrize("options", [OPTIONS, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("work", [whole_and_begun_anew, begun_anew_twice, cut_where_a_segment_begins])
def test_what_is_reported_to_be_on_disk_is_there(work: Work, options: object) -> None:
    """However often it was full on the way there, and wherever."""
    refused = set()
    for left in LEFT:
        disk, log = begin(work, left=left, options=options)
        times = 0
        while attempt(log, disk):
            times += 1
            disk.capacity_bytes += 500
        refused.add(times)
        disk.capacity_bytes = 1 << 40
        log.append([entry(log, 9, 10)])
        flush(log, disk)
        expected = everything(log)
        disk.crash()
        again = Log.open(disk, DIRECTORY, IDENTITY, options)  # type: ignore[arg-type]
        assert expected == everything(again), f"{left} bytes were left"
        assert again.recovered.mark is not None
        assert not again.recovered.doubts
        assert not again.recovered.quarantined
        assert 0 == log.pending.bytes
    assert any(refused)


@pytest.mark.slow
@pytest.mark.parametrize("work", [whole_and_begun_anew, begun_anew_twice])
def test_power_loss_while_it_goes_on(work: Work) -> None:
    """Whoever has thrown its log away knows that, whatever it had said before."""
    thrown_away = 0
    for left in LEFT[::4]:
        for stop in range(40):
            disk, log = begin(work, left=left)
            if not attempt(log, disk):
                break
            disk.capacity_bytes = 1 << 40
            disk.crash_at_operation = disk.operations + stop
            try:
                attempt(log, disk)
                break
            except SimCrash:
                disk.crash()
            again = Log.open(disk, DIRECTORY, IDENTITY, LARGE)
            if again.last_index < 45:
                thrown_away += 1
                assert read_mark(disk, DIRECTORY, IDENTITY.encoded()) is not None, f"{left} were left, operation {stop}"
    assert thrown_away > 10


def no_room_once(monkeypatch: pytest.MonkeyPatch, disk: SimDisk, what: str, path_end: str) -> None:
    """Where even a name takes room (btrfs, ZFS): the first call for such a path finds none."""
    real, armed = getattr(disk, what), [True]

    def call(path: str, *rest: str) -> None:
        if armed and path.endswith(path_end):
            armed.clear()
            raise OSError(errno.ENOSPC, "no space left")
        real(path, *rest)

    monkeypatch.setattr(disk, what, call)


@pytest.mark.parametrize(("what", "path_end"), [("rename", ".log.new"), ("remove", ".log"), ("sync_directory", "")])
def test_a_step_that_found_no_room_half_way_is_done(monkeypatch: pytest.MonkeyPatch, what: str, path_end: str) -> None:
    """A segment that has no name yet, one that is not gone yet."""
    disk = fresh_disk(1)
    log = filled(Log.open(disk, DIRECTORY, IDENTITY, OPTIONS), disk)
    log.truncate_from(log._segments[1].base_index)
    append(log, 30, term=9)
    no_room_once(monkeypatch, disk, what, path_end)
    assert attempt(log, disk)
    assert not attempt(log, disk)
    disk.crash()

    again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    assert everything(log) == everything(again)
    assert ((), None, ()) == (again.recovered.doubts, again.recovered.mark, again.recovered.quarantined)


def test_a_sync_that_fails_for_want_of_room_is_a_failed_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pages may be lost, and the next sync would not say so."""
    disk = fresh_disk(1)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    while len(log.segments()) < 2:
        append(log, 1, term=1)

    def sync(files: Sequence[object]) -> None:
        if files:
            raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(disk, "sync_files", sync)
    with pytest.raises(OSError, match="a sync failed") as failed:
        attempt(log, disk)
    assert errno.EIO == failed.value.errno
