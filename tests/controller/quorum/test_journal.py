"""The quorum's journal on a disk that loses power: what it said is synced is there, and the rest does no harm."""

import contextlib
import errno
import random

import pytest

from cluster.controller.quorum.journal import RESERVE_BYTES, DurableJournal
from cluster.errors import CorruptStorage, DiskFailed, DiskFull
from cluster.sim.disk import SimCrash, SimDisk

JOURNAL = "controller/journal"


def test_a_torn_group_is_cut():
    """Power loss in mid-sync: of several records written together any may be there, in any order, and none counts."""
    torn = 0
    for seed in range(300):
        stop = seed % 24
        disk = SimDisk(random.Random(seed))
        kept: list[tuple[bytes, int, int]] = []
        journal = DurableJournal(disk, JOURNAL)
        disk.crash_at_operation = disk.operations + stop
        with contextlib.suppress(SimCrash):
            for group in range(12):
                fresh = [(b"%d" % index * 90, index, group) for index in range(4 * group + 1, 4 * group + 5)]
                for entry in fresh:
                    journal.add(*entry)
                journal.setCurrentTerm(group, "1")
                kept += fresh
        disk.crash()
        before = _bytes(disk)
        again = DurableJournal(disk, JOURNAL)
        torn += _bytes(disk) != before
        found = again[0 : len(again)]
        assert kept == found[: len(kept)]
        assert again.getCurrentTerm() >= len(kept) // 4 - 1
    assert torn > 10


def test_damage_before_what_was_synced_refuses_the_start():
    """A later group says so, wherever the bit is; only in the last group damage looks like a torn write."""
    refused = 0
    whole = SimDisk(random.Random(1))
    journal = DurableJournal(whole, JOURNAL)
    for index in range(1, 6):
        journal.add(b"x" * 40, index, 1)
        last = len(_bytes(whole).rstrip(b"\0"))
        journal.sync()
    size = len(_bytes(whole).rstrip(b"\0"))
    for byte in range(size):
        disk = SimDisk(random.Random(1))
        journal = DurableJournal(disk, JOURNAL)
        for index in range(1, 6):
            journal.add(b"x" * 40, index, 1)
            journal.sync()
        disk.flip(JOURNAL, byte * 8 + byte % 8)
        try:
            again = DurableJournal(disk, JOURNAL)
        except CorruptStorage:
            refused += 1
            assert byte < last
        else:
            assert byte >= last
            assert [(b"x" * 40, index, 1) for index in range(1, 5)] == again[0:4]
    assert refused == last


def _written(*, idle: bool) -> SimDisk:
    """A disk with a journal of more than its first room, after which there was nothing else to write, or was not."""
    disk = SimDisk(random.Random(1))
    journal = DurableJournal(disk, JOURNAL)
    for index in range(1, 60):
        journal.add(b"x" * 200, index, 1)
        journal.sync()
    if idle:
        journal.sync()
    return disk


def test_damage_of_the_last_group_is_known_when_nothing_followed_it():
    """A quiet controller's last command or vote was taken for a torn write, and forgotten."""
    data = _bytes(_written(idle=True)).rstrip(b"\0")
    last = len(_bytes(_written(idle=False)).rstrip(b"\0"))
    assert last < len(data)
    for byte in range(last - 200, last):
        disk = _written(idle=True)
        disk.flip(JOURNAL, byte * 8 + byte % 8)
        with pytest.raises(CorruptStorage, match="damaged"):
            DurableJournal(disk, JOURNAL)
    for byte in range(last, len(data)):
        disk = _written(idle=True)
        disk.flip(JOURNAL, byte * 8 + byte % 8)
        assert 59 == len(DurableJournal(disk, JOURNAL))


def test_a_journal_that_was_cut_refuses_the_start():
    """Wherever: it was taken for one that ended there, without the commands and votes behind."""
    whole = _written(idle=True)
    size = whole.size_of(JOURNAL)
    assert size > RESERVE_BYTES
    for cut in [*range(0, size, 61), size - 1, RESERVE_BYTES, RESERVE_BYTES - 1, RESERVE_BYTES + 1]:
        disk = _written(idle=True)
        disk.cut(JOURNAL, cut)
        with pytest.raises(CorruptStorage, match="damaged"):
            DurableJournal(disk, JOURNAL)


def test_what_was_vouched_for_and_then_torn_is_no_damage():
    """Power loss in mid-sync of the group behind a record that vouches, which was not synced itself."""
    for seed in range(200):
        disk = SimDisk(random.Random(seed))
        journal = DurableJournal(disk, JOURNAL)
        for index in range(1, 4):
            journal.add(b"x" * 40, index, 1)
            journal.sync()
            journal.sync()
        disk.crash_at_operation = disk.operations + 1
        journal.add(b"y" * 40, 4, 1)
        with contextlib.suppress(SimCrash):
            journal.sync()
        disk.crash()
        again = DurableJournal(disk, JOURNAL)
        assert [(b"x" * 40, index, 1) for index in range(1, 4)] == again[0:3]


def test_a_full_disk_leaves_the_journal_as_it_was():
    """What is in memory is written when there is room, and a start in between finds what was there before."""
    disk = SimDisk(random.Random(1))
    journal = DurableJournal(disk, JOURNAL)
    journal.add(b"first", 1, 1)
    journal.sync()
    disk.capacity_bytes = disk.size_of(JOURNAL)
    journal.add(b"x" * RESERVE_BYTES, 2, 1)
    with pytest.raises(DiskFull):
        journal.sync()
    disk.crash()
    assert [(b"first", 1, 1)] == DurableJournal(disk, JOURNAL)[0:9]
    disk.capacity_bytes = 1 << 30
    journal.sync()
    assert 2 == len(DurableJournal(disk, JOURNAL))


def test_a_disk_that_is_full_in_spite_of_what_was_reserved_is_no_failed_one():
    """File systems that write elsewhere need room for that, too: the node ended, and at the next start again."""
    disk = SimDisk(random.Random(1))
    journal = DurableJournal(disk, JOURNAL)
    journal.add(b"first", 1, 1)
    journal.sync()
    disk.fail["write"] = errno.ENOSPC
    journal.sync()  # nothing waits: only that all is there could not be said yet
    assert not disk.fail
    assert not journal.full
    journal.add(b"second", 2, 1)
    for _ in range(3):
        disk.fail["write"] = errno.ENOSPC
        with pytest.raises(DiskFull):
            journal.sync()
        assert not disk.fail
        assert journal.full
    disk.crash()
    assert 1 == len(DurableJournal(disk, JOURNAL))
    journal.sync()
    journal.sync()
    assert not journal.full
    disk.crash()
    assert [(b"first", 1, 1), (b"second", 2, 1)] == DurableJournal(disk, JOURNAL)[0:9]


def test_what_was_torn_and_has_no_room_to_be_wiped_out_does_no_harm():
    """It is, before anything is written there; until then a start finds it again."""
    disk = SimDisk(random.Random(1))
    journal = DurableJournal(disk, JOURNAL)
    journal.add(b"first", 1, 1)
    journal.sync()
    end = len(_bytes(disk).rstrip(b"\0"))
    file = disk.open(JOURNAL)
    file.write(end, [b"torn" * 500])
    file.sync()
    disk.fail["write"] = errno.EDQUOT
    again = DurableJournal(disk, JOURNAL)
    assert not disk.fail
    again.add(b"second", 2, 1)
    disk.fail["write"] = errno.EDQUOT
    with pytest.raises(DiskFull):
        again.sync()
    again.sync()
    disk.crash()
    assert [(b"first", 1, 1), (b"second", 2, 1)] == DurableJournal(disk, JOURNAL)[0:9]
    assert b"torn" not in _bytes(disk)


def test_what_waits_for_room_does_not_keep_a_journal_open():
    """It was never acknowledged: the configuration that it belongs to has ended."""
    disk = SimDisk(random.Random(1))
    journal = DurableJournal(disk, JOURNAL)
    journal.add(b"x" * RESERVE_BYTES, 1, 1)
    disk.capacity_bytes = 0
    journal._destroy()
    assert not disk.in_use


def _bytes(disk: SimDisk) -> bytes:
    file = disk.open(JOURNAL)
    return file.read(0, file.size())


@pytest.mark.parametrize("kind", ["sync", "write"])
def test_a_failed_sync_or_write_is_final(kind: str):
    """The next one might succeed over pages that were lost: the message's handler was told, the next tick went on."""
    disk = SimDisk(random.Random(1))
    journal = DurableJournal(disk, JOURNAL)
    journal.add(b"first", 1, 1)
    disk.fail[kind] = errno.EIO
    with pytest.raises(DiskFailed):
        journal.sync()
    assert not disk.fail
    for _ in range(2):
        with pytest.raises(DiskFailed):
            journal.sync()
