"""Who belongs to a group is in its log: across restarts, truncations and trims, and in the fold of a new replica."""

import random
from dataclasses import replace

import pytest

from cluster.log import Log
from cluster.log.fold import decode_fold, encode_fold, encode_trim
from cluster.membership import BLANK, Member, Membership, decode_membership, encode_membership
from cluster.records import EntryKind
from cluster.sim.disk import SimDisk
from cluster.types import Index, NodeId, Offset, ReplicaId, Term
from tests.log.test_crash import DIRECTORY, IDENTITY, MEMBERS, OPTIONS, entry, flush, fresh_disk

NODES = [Member(replica=ReplicaId(number), node=NodeId(number + 10)) for number in range(1, 6)]
LEARNING = Membership(voters=MEMBERS.voters, learners=(NODES[0], NODES[1]))
JOINT = Membership(voters=(NODES[0], NODES[1]), outgoing=MEMBERS.voters, learners=(NODES[2],))
CHANGES = [LEARNING, JOINT, JOINT.final()]


def say(log: Log, disk: SimDisk, membership: Membership, term: int = 1) -> None:
    """An entry that is a membership, on disk."""
    log.append(
        [replace(entry(log, term), kind=EntryKind.MEMBERSHIP, batch=None, control=encode_membership(membership))]
    )
    flush(log, disk)


def fill(log: Log, disk: SimDisk, count: int) -> None:
    """So many batches."""
    for _ in range(count):
        log.append([entry(log, 1)])
        flush(log, disk)


def reopened(log: Log, disk: SimDisk) -> Log:
    """After a restart."""
    log.close()
    return Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)


@pytest.mark.parametrize(
    "membership",
    [MEMBERS, BLANK, *CHANGES, replace(JOINT, version=300), replace(LEARNING, version=1).final()],
    ids=["voters", "blank", "learning", "joint", "final", "joint with a version", "final with a version"],
)
def test_a_membership_comes_back_as_it_was(membership: Membership) -> None:
    """As an entry's content; one of voters only has the bytes that it always had."""
    assert membership == decode_membership(encode_membership(membership))
    assert b"\x91\x92\x09\x01" == encode_membership(MEMBERS)


@pytest.mark.parametrize(
    "control",
    [b"", b"\xc0", b"\x01", b"\x91\x01", b"\x93\x90\x90\x91\x01", b"\x94\x90\x90\x01\x01", b"\x91\x92\xc0\xc0"],
)
def test_what_is_no_membership_is_refused(control: bytes) -> None:
    """Nothing of it may come to count."""
    with pytest.raises(ValueError, match="membership"):
        decode_membership(control)


def test_a_restart_knows_the_memberships_that_its_log_went_through() -> None:
    """All that come after the log's beginning, so that a truncation can go back to any of them."""
    disk = fresh_disk(1)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    for membership in CHANGES:
        fill(log, disk, 5)
        say(log, disk, membership)
    state = reopened(log, disk).state()

    assert state.membership == MEMBERS
    assert [(6, LEARNING), (12, JOINT), (18, JOINT.final())] == list(state.memberships)


def test_a_truncation_brings_back_the_one_before() -> None:
    """In the fold, with the entry that it is from."""
    disk = fresh_disk(1)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    for membership in CHANGES:
        fill(log, disk, 5)
        say(log, disk, membership)
    log.truncate_from(Index(12))
    flush(log, disk)

    assert (LEARNING, Index(6), Term(1)) == (
        log.fold.membership,
        log.fold.membership_index,
        log.fold.membership_term,
    )
    assert [(6, LEARNING)] == list(reopened(log, disk).state().memberships)


def test_a_trimmed_log_begins_with_the_membership_of_then() -> None:
    """The fold at its new start has it; what comes after is told beside it."""
    disk = fresh_disk(1)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    say(log, disk, LEARNING)
    fill(log, disk, 20)
    say(log, disk, JOINT)
    end = log.end_offset
    control = replace(entry(log, 1), kind=EntryKind.TRIM_TO, batch=None, control=encode_trim(Offset(end - 3)))
    log.append([control])
    assert log.trim(log.last_index, log.last_index) is not None
    flush(log, disk)
    state = reopened(log, disk).state()

    assert state.membership == LEARNING
    assert [(22, JOINT)] == list(state.memberships)


def test_a_blank_replica_begins_with_the_fold_before_a_logs_first_entry() -> None:
    """It takes the place of a log in which nothing was: at the same index, and for good."""
    disk, leader_disk = SimDisk(random.Random(2)), fresh_disk(1)
    leader = Log.open(leader_disk, DIRECTORY, IDENTITY, OPTIONS)
    Log.create(disk, [(DIRECTORY, IDENTITY, BLANK)])
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    assert BLANK == log.fold.membership
    log.install(*leader.fold_at_start())
    flush(log, disk)
    fill(log, disk, 3)
    log = reopened(log, disk)

    assert (MEMBERS, Index(3)) == (log.fold.membership, log.last_index)
    assert MEMBERS == log.state().membership


def test_a_fold_says_since_when_its_membership_is() -> None:
    """So that whoever hears of two of them knows which is the newer one."""
    disk = fresh_disk(1)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    fill(log, disk, 2)
    say(log, disk, JOINT, term=4)
    fold = decode_fold(encode_fold(log.fold))

    assert (JOINT, Index(3), Term(4)) == (fold.membership, fold.membership_index, fold.membership_term)
