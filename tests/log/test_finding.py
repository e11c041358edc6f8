"""Where the record at an offset is, over segments, no-ops and batches of several records."""

import random
from dataclasses import replace

from cluster.log import Log
from cluster.records import EntryKind, Record
from cluster.sim.disk import SimDisk
from cluster.types import Offset
from cluster.wire.records import make_batch
from tests.log.test_crash import DIRECTORY, IDENTITY, MEMBERS, OPTIONS, entry, flush


def test_each_record_is_found_where_it_is() -> None:
    """In memory, and after a restart."""
    disk = SimDisk(random.Random(1))
    Log.create(disk, [(DIRECTORY, IDENTITY, MEMBERS)])
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    expected: dict[Offset, tuple[int, int]] = {}
    for number in range(60):
        item = replace(entry(log, 1), append_time_ns=1000 + number)
        if number % 3 == 0:
            item = replace(item, kind=EntryKind.NO_OP, batch=None)
        else:
            records = [Record(value=b"x" * 90, timestamp_ns=1)] * (number % 4 + 1)
            item = replace(item, batch=make_batch(records))
        log.append([item])
        flush(log, disk)
        expected |= {
            Offset(offset): (item.index, item.append_time_ns) for offset in range(item.base_offset, item.end_offset)
        }
    again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)

    assert len(expected) == log.end_offset
    assert sum(name.endswith(".log") for name in disk.list(DIRECTORY)) > 3
    for found in (log, again):
        assert expected == {offset: (found.find(offset)[1], found.append_time_ns(offset)) for offset in expected}
