"""The mark of a recovering replica: on a full disk, and whatever the power interrupts."""

from cluster.log import Log
from cluster.log.mark import read_mark
from cluster.log.write import MarkRecovering, perform
from cluster.types import Index, Term
from tests.log.test_crash import DIRECTORY, IDENTITY, OPTIONS, flush, fresh_disk

OLD, NEW = (Index(7), Term(2)), (Index(9), Term(3))


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
    assert (True, OLD) == read_mark(disk, DIRECTORY, IDENTITY.encoded())
