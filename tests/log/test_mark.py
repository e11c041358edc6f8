"""The mark of a recovering replica: on a full disk, and whatever the power interrupts."""

import pytest

from cluster.log import Log
from cluster.log.mark import COPIES, MARK_FILE, Mark, read_mark, set_mark
from cluster.log.write import MarkRecovering, perform
from cluster.sim.disk import SimCrash
from cluster.types import Index, Term
from tests.log.test_crash import DIRECTORY, IDENTITY, OPTIONS, flush, fresh_disk

OLD, NEW = Mark((Index(7), Term(2))), Mark((Index(9), Term(3)), Index(12))


def test_a_mark_without_room_is_tried_again_without_holding_files() -> None:
    """Once a second, for as long as the disk is full."""
    disk = fresh_disk(1)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    log.pending.add(MarkRecovering(OLD))
    disk.capacity_bytes = 0
    held = len(disk.in_use)
    for _ in range(20):
        write = log.take_write()
        assert write is not None
        assert {0} == perform(disk, {0: write})
        log.written(write, full=True)
        assert held == len(disk.in_use)
    disk.capacity_bytes = 1 << 30
    flush(log, disk)
    assert OLD == read_mark(disk, DIRECTORY, IDENTITY.encoded())


@pytest.mark.parametrize("old", [None, OLD])
def test_a_mark_for_which_there_is_no_room_changes_nothing(old: Mark | None) -> None:
    """Nothing has gone yet. An empty one would say that nobody knows what the log ended with: no vote, no campaign."""
    disk = fresh_disk(1)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    if old is not None:
        log.pending.add(MarkRecovering(old))
        flush(log, disk)
    log.pending.add(MarkRecovering(NEW))
    disk.capacity_bytes = 0
    write = log.take_write()
    assert write is not None
    assert {0} == perform(disk, {0: write})
    log.written(write, full=True)
    log.close()

    recovered = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).recovered
    assert old == recovered.mark


def test_power_loss_while_a_mark_is_replaced() -> None:
    """At every operation: the next start finds the old one or the new one."""
    found = set()
    for stop in range(100):
        for chance in range(5):
            disk = fresh_disk(chance)
            set_mark(disk, DIRECTORY, IDENTITY.encoded(), OLD)
            disk.crash_at_operation = disk.operations + stop
            crashed = False
            try:
                set_mark(disk, DIRECTORY, IDENTITY.encoded(), NEW)
            except SimCrash:
                crashed = True
            disk.crash()
            recovered = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).recovered
            assert recovered.mark in ((OLD, NEW) if crashed else (NEW,)), f"a crash at operation {stop}"
            found.add(recovered.mark)
        if not crashed:
            break
    assert {OLD, NEW} == found
    assert stop > 3, "there were operations to crash at"


@pytest.mark.parametrize("mark", [OLD, NEW])
@pytest.mark.parametrize("byte", [0, 9, 20, 26])
def test_a_damaged_copy_of_a_mark_loses_nothing_and_is_mended_without_room(byte: int, mark: Mark) -> None:
    """So the next damage loses nothing either, whichever copy it meets."""
    for first, then in (COPIES, COPIES[::-1]):
        disk = fresh_disk(1)
        set_mark(disk, DIRECTORY, IDENTITY.encoded(), mark)
        disk.capacity_bytes = 0
        for copy in (first, then, first):
            disk.flip(f"{DIRECTORY}/{MARK_FILE}", (copy + byte) * 8)
            log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
            assert mark == log.recovered.mark
            log.close()
            disk.crash()


@pytest.mark.parametrize("copy", COPIES)
def test_power_loss_while_a_mark_is_mended(copy: int) -> None:
    """At every operation, and with any part of what was written: the other copy is whole."""
    for stop in range(100):
        for chance in range(5):
            disk = fresh_disk(chance)
            set_mark(disk, DIRECTORY, IDENTITY.encoded(), NEW)
            disk.flip(f"{DIRECTORY}/{MARK_FILE}", (copy + 9) * 8)
            disk.crash_at_operation = disk.operations + stop
            crashed = False
            try:
                Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
            except SimCrash:
                crashed = True
            disk.crash()
            assert NEW == Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).recovered.mark, f"a crash at operation {stop}"
        if not crashed:
            break
    assert stop > 1, "there were operations to crash at"


def test_a_mark_of_before_there_were_two_copies_stays_as_it_is() -> None:
    """A second one would need room."""
    disk = fresh_disk(1)
    set_mark(disk, DIRECTORY, IDENTITY.encoded(), NEW)
    file = disk.open(f"{DIRECTORY}/{MARK_FILE}")
    file.truncate(40)
    file.sync()
    disk.capacity_bytes = 0

    assert NEW == Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).recovered.mark
    assert file.size() == 40
