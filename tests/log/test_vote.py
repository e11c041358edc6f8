"""The vote's two copies: whatever the power interrupts, a start makes them equal before anything is said."""

import pytest

from cluster.log import Log
from cluster.log.vote import COPIES
from cluster.raft import Vote
from cluster.sim.disk import SimCrash, SimDisk
from cluster.types import ReplicaId, Term
from tests.log.test_crash import DIRECTORY, IDENTITY, OPTIONS, flush, fresh_disk

OLD, NEW = Vote(term=Term(4), voted_for=ReplicaId(1)), Vote(term=Term(5), voted_for=ReplicaId(2))
PATH = f"{DIRECTORY}/vote"


def vote_of(disk: SimDisk) -> tuple[Vote, bool]:
    """As a start finds it, and whether it tells of damage."""
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    log.close()
    return log.vote, log.recovered.vote_damaged


def interrupted(chance: int, stop: int) -> tuple[SimDisk, bool]:
    """The power fails at that operation of saving the new vote over the old one; whether there was one more."""
    disk = fresh_disk(chance)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    log.save_vote(OLD)
    flush(log, disk)
    log.save_vote(NEW)
    disk.crash_at_operation = disk.operations + stop
    try:
        flush(log, disk)
    except SimCrash:
        disk.crash()
        return disk, True
    disk.crash_at_operation = None
    return disk, False


@pytest.mark.parametrize("position", COPIES)
def test_a_vote_that_a_start_has_found_outlives_damage_of_either_copy(position: int) -> None:
    """An older one would be given away a second time, or bound too low what its replica can have acknowledged."""
    found = set()
    for stop in range(100):
        more = False
        for chance in range(5):
            disk, more = interrupted(chance, stop)
            vote, _ = vote_of(disk)
            found.add(vote)
            disk.flip(PATH, (position + 9) * 8)
            assert (vote, True) == vote_of(disk), f"power failed at operation {stop}, chance {chance}"
            assert (vote, False) == vote_of(disk)
        if not more:
            break
    assert {OLD, NEW} == found


def test_power_loss_while_the_copies_are_made_equal() -> None:
    """Whatever stands in the newest copy stays there: at no moment is it being written."""
    for damaged in (*COPIES, None):
        for stop in range(100):
            disk, _ = interrupted(1, 3)
            if damaged is not None:
                vote, _ = vote_of(disk)
                disk.flip(PATH, (damaged + 9) * 8)
            else:
                vote = NEW
            disk.crash_at_operation = disk.operations + stop
            try:
                found, _ = vote_of(disk)
                crashed = False
            except SimCrash:
                disk.crash()
                found, _ = vote_of(disk)
                crashed = True
            assert vote == found, f"{damaged} damaged, power failed at operation {stop}"
            if not crashed:
                break
