"""Whole segments go, oldest first, and never so many at once that the disk has no time for anything else."""

import math
from dataclasses import replace

from cluster.log import Log
from cluster.log.fold import encode_trim
from cluster.log.pending import REMOVALS_MAX
from cluster.records import EntryKind
from cluster.sim.disk import SimDisk
from tests.log.test_crash import DIRECTORY, IDENTITY, OPTIONS, entry, flush, fresh_disk


def segments(disk: SimDisk) -> int:
    """Files that are there."""
    return sum(path.endswith(".log") for path in disk.paths())


def test_much_goes_in_steps() -> None:
    """The rest waits until what was begun is done, and a restart goes on with it."""
    disk = fresh_disk(1)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    while segments(disk) <= 3 * REMOVALS_MAX:
        log.append([entry(log, 1)])
        flush(log, disk)
    end = log.end_offset
    log.append([replace(entry(log, 1), kind=EntryKind.TRIM_TO, batch=None, control=encode_trim(end))])
    flush(log, disk)
    there = segments(disk)

    assert log.trim(log.last_index, log.last_index) is not None
    assert end == log.start_offset, "for readers at once"
    assert log.trim_waits
    assert log.trim(log.last_index, log.last_index) is None, "nothing more before that is done"
    flush(log, disk)
    assert there - REMOVALS_MAX == segments(disk)

    log.close()
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    steps, left = 0, segments(disk) - 1
    while log.trim(log.last_index, log.last_index) is not None:
        flush(log, disk)
        steps += 1
    assert (math.ceil(left / REMOVALS_MAX), 1, False) == (steps, segments(disk), log.trim_waits)
