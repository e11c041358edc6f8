"""A torn end that the log goes on behind, in the same segment or in a new one: it never looks like damage later."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from cluster.log import Log
from cluster.log.fold import encode_trim
from cluster.log.segment import SPARE_BYTES
from cluster.records import Entry, EntryKind
from cluster.sim.disk import SimCrash, SimDisk
from tests.log.test_crash import DIRECTORY, IDENTITY, OPTIONS, Promised, entry, flush, fresh_disk, script

Next = Callable[[Log], Entry]
FIRST = f"{DIRECTORY}/{1:020d}.log"


def torn(seed: int = 1) -> SimDisk:
    """The second entry is whole, the third one is not: its write was under way when the power went."""
    disk = fresh_disk(seed)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    for _ in range(2):
        log.append([entry(log, 1)])
        flush(log, disk)
    position = log._segments[-1].size
    log.append([entry(log, 1)])
    flush(log, disk)
    log.close()
    disk.flip(FIRST, (position + 9) * 8)
    return disk


def everything(log: Log) -> list[Entry]:
    """All entries."""
    return log.entries(log.first_index, last=log.last_index, bytes_max=1 << 40, count_max=1 << 40)


def no_op(log: Log) -> Entry:
    """What a new leader appends, after a while."""
    return replace(entry(log, 2), kind=EntryKind.NO_OP, batch=None, append_time_ns=1_000_000)


def trim_to(log: Log) -> Entry:
    """All that is there goes."""
    return replace(no_op(log), kind=EntryKind.TRIM_TO, control=encode_trim(log.end_offset))


@pytest.mark.parametrize("first", [no_op, trim_to])
def test_a_torn_end_is_cut_where_it_is_though_the_next_entry_begins_a_segment(first: Next) -> None:
    """The cut went to the new one: the next clean start took the torn bytes for damage, and dropped what followed."""
    disk = torn()
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    assert log.recovered.doubts
    log.segment_age_max_ns = 1
    log.append([first(log)])
    for _ in range(5):
        log.append([entry(log, 2)])
    flush(log, disk)
    assert len(log.segments()) > 1
    assert log._segments[0].size + SPARE_BYTES == disk.size_of(FIRST), "nothing of it is left"
    expected = everything(log)
    log.close()

    again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    assert not again.recovered.recovering
    assert () == again.recovered.quarantined
    assert expected == everything(again)


def test_what_a_torn_write_has_left_in_a_sealed_segment_is_not_taken_for_damage() -> None:
    """There are such logs: what follows begins where the whole entries end, so nothing is missing."""
    disk = torn()
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    log.segment_age_max_ns = 1
    log._cut_first = False
    log.append([no_op(log)])
    flush(log, disk)
    expected = everything(log)
    log.close()

    for _ in range(2):
        again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        assert not again.recovered.recovering
        assert () == again.recovered.doubts
        assert expected == everything(again)
        again.close()


def test_a_damaged_entry_in_a_sealed_segment_is_damage_all_the_same() -> None:
    """Its last one too: the next segment begins behind it."""
    whole = fresh_disk(1)
    script(whole, Promised())
    log = Log.open(whole, DIRECTORY, IDENTITY, OPTIONS)
    first = log._segments[0]
    for index, position in zip(first.rows.indexes, first.rows.positions, strict=True):
        disk = fresh_disk(1)
        script(disk, Promised())
        disk.flip(FIRST, (position + 9) * 8)
        again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        assert again.recovered.recovering
        assert index - 1 == again.last_index
        assert len(again.recovered.quarantined) == len(log.segments())


@pytest.mark.parametrize("first", [no_op, trim_to])
def test_power_loss_while_a_torn_end_is_cut(first: Next) -> None:
    """At every operation of the first write: the two whole entries stay, and nothing is taken for damage."""
    for stop in range(1_000):
        disk = torn(stop)
        log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        log.segment_age_max_ns = 1
        log.append([first(log)])
        disk.crash_at_operation = disk.operations + stop
        crashed = False
        try:
            flush(log, disk)
        except SimCrash:
            disk.crash()
            crashed = True
        disk.crash_at_operation = None
        again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        assert not again.recovered.recovering, f"a crash at operation {stop} was taken for damage"
        assert again.last_index in ((2, 3) if crashed else (3,))
        if not crashed:
            break
    assert stop > 5, "there were operations to crash at"
