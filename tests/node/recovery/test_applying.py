"""What a plan says, done to one data directory: what it leaves, what it refuses, and after a crash in the middle."""

import pickle
import random

import msgspec
import pytest

from cluster.config import LogOptions
from cluster.controller.commands import DeleteTopic, Proposal, encode
from cluster.controller.quorum.guards import REGULAR
from cluster.controller.quorum.recovering import read_quorum, write_quorum
from cluster.controller.quorum.storage import Storage
from cluster.controller.recovering import ERA
from cluster.errors import InvalidRequest, RefusedToStart
from cluster.log import Log, ReplicaIdentity
from cluster.log.write import perform
from cluster.membership import Member, Membership
from cluster.node.identity import claim_directory
from cluster.node.recovery import Plan, Survey, apply_plan, decode_plan, make_plan, refuse_unfinished, survey
from cluster.raft.ready import Vote
from cluster.records import Entry, EntryKind
from cluster.sim.disk import SimCrash, SimDisk
from cluster.types import ClusterId, Index, NodeId, Offset, PartitionId, ReplicaId, Term, TopicId
from tests.node.recovery.test_plan import CLUSTER, _seats, _state

DIRECTORY = f"replicas/{(b't' * 16).hex()}/0-1"
IDENTITY = ReplicaIdentity(
    cluster=ClusterId(CLUSTER), partition=PartitionId(TopicId(b"t" * 16), 0), replica=ReplicaId(1)
)
THREE = Membership(voters=tuple(Member(replica=ReplicaId(n), node=NodeId(n)) for n in (1, 2, 3)))


def _append(disk: SimDisk, count: int) -> None:
    """Entries of a leader, on disk."""
    log = Log.open(disk, DIRECTORY, IDENTITY, LogOptions())
    log.save_vote(Vote(term=Term(2), voted_for=ReplicaId(1)))
    for _ in range(count):
        entry = Entry(
            index=Index(log.last_index + 1),
            term=Term(2),
            kind=EntryKind.NO_OP,
            base_offset=Offset(0),
            append_time_ns=1,
        )
        log.append([entry])
    write = log.take_write()
    assert write is not None
    perform(disk, {0: write})
    log.written(write, full=False)
    log.close()


def _node() -> tuple[SimDisk, Plan]:
    """Node 1's disk with one replica of three, and a plan by which it goes on alone."""
    disk = SimDisk(random.Random(1))
    claim_directory(disk, random.Random(2), ClusterId(CLUSTER), NodeId(1))
    Log.create(disk, [(DIRECTORY, IDENTITY, THREE)])
    _append(disk, 3)
    return disk, _planned(disk)


def _planned(disk: SimDisk) -> Plan:
    """As if it had had a seat as well."""
    found = survey(disk)
    quorum = msgspec.structs.replace(found.quorum, configuration=_seats(2, 1, 2, 3), journal=2, state=_state())
    known: Survey = msgspec.structs.replace(found, quorum=quorum)
    plan = make_plan([msgspec.structs.replace(known, directory=b"directory1")], at_ns=7, plan_id=b"p")
    survivors = [msgspec.structs.replace(plan.survivors[0], directory=found.directory, reach=survey(disk).quorum.reach)]
    return msgspec.structs.replace(plan, survivors=survivors)


def _fold(disk: SimDisk) -> tuple[int, int, Membership, Vote]:
    log = Log.open(disk, DIRECTORY, IDENTITY, LogOptions())
    log.close()
    return log.fold.index, log.fold.term, log.fold.membership, log.vote


def test_a_log_gets_one_more_entry_and_a_vote() -> None:
    """Of the new era, behind all that was there; a second time nothing happens."""
    disk, plan = _node()
    assert apply_plan(disk, plan)
    index, term, membership, vote = _fold(disk)
    assert (4, ERA) == (index, term)
    assert (Member(replica=ReplicaId(1), node=NodeId(1)),) == membership.voters
    assert Vote(term=Term(ERA), voted_for=ReplicaId(1)) == vote
    assert (ERA, plan.state) == (read_quorum(disk).journal, read_quorum(disk).state)
    assert not apply_plan(disk, plan)
    done = refuse_unfinished(disk)
    assert done is not None
    assert ([2, 3], plan.account) == (done.lost, done.account)


def test_a_log_that_has_moved_since_is_not_forced() -> None:
    """Nor is one of another directory, or by another plan: and nothing is written."""
    disk, plan = _node()
    _append(disk, 1)
    before = disk.operations
    with pytest.raises(InvalidRequest, match="the log of t/0 is not as it was when this node was surveyed"):
        apply_plan(disk, plan)
    with pytest.raises(InvalidRequest, match="does not count on node 1 with this data directory"):
        apply_plan(disk, msgspec.structs.replace(plan, survivors=[]))
    assert before == disk.operations
    assert refuse_unfinished(disk) is None
    assert apply_plan(disk, _planned(disk))
    with pytest.raises(InvalidRequest, match="was recovered by another plan"):
        apply_plan(disk, msgspec.structs.replace(plan, id=b"q", at_ns=8, state=_state()))
    assert refuse_unfinished(disk) is not None


def _decide(disk: SimDisk, index: int) -> None:
    """One more decision in the journal of node 1, which has a seat."""
    journal, _ = Storage(disk).open(2)
    command = Proposal(client=b"late", number=index, command=DeleteTopic(name="t"))
    journal.add(REGULAR + pickle.dumps((0, (encode(command),))), index, 3)
    journal.sync()
    journal._destroy()


def test_decisions_that_were_made_since_are_not_replaced() -> None:
    """Nodes that were surveyed, and started again, decided something: it would be gone without a word."""
    disk, _ = _node()
    write_quorum(disk, _seats(2, 1, 2, 3), _state(), seated=True)
    _decide(disk, 1)
    plan = decode_plan(_planned(disk).encode())
    _decide(disk, 2)
    before = disk.operations
    with pytest.raises(
        InvalidRequest, match="decisions are not as they were when node 1 was surveyed: it has run since"
    ):
        apply_plan(disk, plan)
    assert before == disk.operations
    assert refuse_unfinished(disk) is None
    plan = _planned(disk)
    assert apply_plan(disk, plan)
    assert (ERA, plan.state) == (read_quorum(disk).journal, read_quorum(disk).state)


def test_wherever_the_power_goes_the_same_plan_ends_it() -> None:
    """Meanwhile the node refuses to start; another plan is refused as well."""
    refused = 0
    for operations in range(200):
        disk, plan = _node()
        disk.crash_at_operation = disk.operations + operations
        try:
            apply_plan(disk, plan)
        except SimCrash:
            disk.crash()
        else:
            break
        try:
            refuse_unfinished(disk)
        except RefusedToStart:
            refused += 1
            with pytest.raises(InvalidRequest, match="another recovery of node 1"):
                apply_plan(disk, msgspec.structs.replace(plan, id=b"q"))
        apply_plan(disk, plan)
        assert (4, ERA) == _fold(disk)[:2]
        assert ERA == read_quorum(disk).journal
    assert operations > 20
    assert refused > 10
