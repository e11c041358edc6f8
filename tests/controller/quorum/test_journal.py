"""The quorum's journal on a disk that loses power: what it said is synced is there, and the rest does no harm."""

import contextlib
import random

from cluster.controller.quorum.journal import DurableJournal
from cluster.errors import CorruptStorage
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
        before = disk.size_of(JOURNAL)
        again = DurableJournal(disk, JOURNAL)
        torn += disk.size_of(JOURNAL) < before
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
        last = whole.size_of(JOURNAL)
        journal.sync()
    size = whole.size_of(JOURNAL)
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
