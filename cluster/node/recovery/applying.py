"""What a plan says is done to one node's data directory, while the node does not run.

Rules:
1. The plan is on the disk (`PENDING`) before anything else of it is; a node that finds it there refuses to start.
2. Each step may be done again, and leaves what it has done alone. So after a crash the same plan is done from the
   beginning.
3. A log that is not as it was surveyed is not forced, nor are decisions replaced that go further than they did: the
   node has run since, and what was decided meanwhile would be gone.
4. The last step puts `DONE` in the place of `PENDING`: the plan's account stays with the data for good.
"""

from datetime import UTC, datetime

import msgspec

from cluster.config import LogOptions
from cluster.controller.quorum.recovering import has_another, newest_journal, write_quorum
from cluster.controller.recovering import next_era
from cluster.errors import DiskFull, InvalidRequest, RefusedToStart
from cluster.log import Log, MachineOf, ReplicaIdentity
from cluster.log.whole_file import read_whole, write_whole
from cluster.log.write import perform
from cluster.membership import encode_membership
from cluster.node.identity import read_identity
from cluster.node.machines import machine_of_topic
from cluster.node.recovery.overlay import Overlay
from cluster.node.recovery.plan import Forced, Plan, decode_plan
from cluster.node.recovery.survey import look_at, look_at_quorum
from cluster.raft.ready import Vote
from cluster.records import Entry, EntryKind
from cluster.types import ClusterId, Index, NodeId, PartitionId, ReplicaId, Term, TopicId
from cluster.world import Disk

PENDING, DONE = "recovery.pending", "recovery.done"
NS_PER_S = 1_000_000_000


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to this data directory last: which plan, made when, and what it cost."""

    id: bytes
    at_ns: int
    lost: list[int]
    account: list[str]


def begun(disk: Disk) -> Plan | None:
    """The plan that was begun here and not done to its end."""
    data = read_whole(disk, PENDING)
    return decode_plan(data) if data is not None else None


def done(disk: Disk) -> Done | None:
    """The last one that was."""
    data = read_whole(disk, DONE)
    return msgspec.json.decode(data, type=Done) if data is not None else None


def refuse_unfinished(disk: Disk) -> Done | None:
    """RefusedToStart on a node that is half recovered; otherwise what was done to it, if anything was."""
    if begun(disk) is not None:
        raise RefusedToStart(
            "a recovery of this node was begun and not brought to its end: do the same again "
            "(riverrun cluster recover --unsafe --data-dir …)"
        )
    return done(disk)


def apply_plan(disk: Disk, plan: Plan) -> bool:
    """Do it; False if all of it was done before. Blocks.

    InvalidRequest: it is not for this directory, and nothing was changed. DiskFull: it may be done again.
    """
    _check(disk, plan)
    found = done(disk)
    if found is not None and found.id == plan.id:
        return False
    identity = read_identity(disk)
    assert identity is not None
    logs = [forced for forced in plan.forced if forced.node == identity.node]
    for forced in logs:
        _check_log(disk, plan, forced)
    if begun(disk) is None:
        _check_quorum(disk, plan, NodeId(identity.node))
    write_whole(disk, PENDING, plan.encode())
    for forced in logs:
        force(disk, ClusterId(plan.cluster), forced, machine_of_topic(forced.name))
    seat = plan.configuration.seat_of(identity.node)
    if newest_journal(disk) <= plan.configuration.number:  # else it has heard from others that this was done already
        write_quorum(disk, plan.configuration, plan.state, seated=seat is not None)
    ended = Done(id=plan.id, at_ns=plan.at_ns, lost=sorted(plan.lost), account=plan.account)
    write_whole(disk, DONE, msgspec.json.format(msgspec.json.encode(ended), indent=1))
    disk.remove(PENDING)
    disk.sync_directory(".")
    return True


def when(at_ns: int) -> str:
    """As people read it.

    >>> when(1_700_000_000_000_000_000)
    '2023-11-14 22:13:20 UTC'
    """
    return f"{datetime.fromtimestamp(at_ns // NS_PER_S, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _check(disk: Disk, plan: Plan) -> None:
    identity = read_identity(disk)
    if identity is None or identity.cluster != plan.cluster:
        raise InvalidRequest("this is no data directory of that cluster")
    node = NodeId(identity.node)
    survivor = next((one for one in plan.survivors if one.node == node), None)
    if survivor is None or survivor.directory != identity.directory:
        raise InvalidRequest(f"the plan does not count on node {node} with this data directory: make another one")
    other = begun(disk)
    if other is not None and other.id != plan.id:
        raise InvalidRequest(
            f"another recovery of node {node}, planned at {when(other.at_ns)}, was begun and not ended: do that one"
        )
    newer = next_era(newest_journal(disk)) > next_era(plan.configuration.number)
    if newer or has_another(disk, plan.configuration, plan.state):
        raise InvalidRequest(f"node {node} was recovered by another plan: start it, or make another one")


def _check_quorum(disk: Disk, plan: Plan, node: NodeId) -> None:
    """Rule 3: it goes as far as the survey saw it go; or it has heard from others that the plan was done."""
    found, _ = look_at_quorum(Overlay(disk))
    survivor = next(one for one in plan.survivors if one.node == node)
    known = max(found.configuration.number, found.journal)
    if known < plan.configuration.number and survivor.reach not in {None, found.reach}:
        raise InvalidRequest(
            f"the controller's decisions are not as they were when node {node} was surveyed: it has run since. Stop "
            "all nodes that are left, survey them again and make another plan"
        )


def _check_log(disk: Disk, plan: Plan, forced: Forced) -> None:
    """Rule 3: it ends where the survey saw it end, or with what is about to be written."""
    found = look_at(Overlay(disk), forced.directory, _identity(ClusterId(plan.cluster), forced))
    if found.trouble or (found.last_term, found.last_index) not in {
        (forced.last_term, forced.last_index),
        (forced.term, forced.last_index + 1),
    }:
        raise InvalidRequest(
            f"the log of {forced.name}/{forced.number} is not as it was when this node was surveyed"
            + (f" ({found.trouble})" if found.trouble else "")
            + ": the node has run since. Stop it, survey it again and make another plan"
        )


def _identity(cluster: ClusterId, forced: Forced) -> ReplicaIdentity:
    partition = PartitionId(TopicId(forced.topic), forced.number)
    return ReplicaIdentity(cluster=cluster, partition=partition, replica=ReplicaId(forced.replica))


def force(disk: Disk, cluster: ClusterId, forced: Forced, machine_of: MachineOf | None) -> None:
    """One more entry, and a vote for itself in its term: as if this replica had led in it, and nobody else."""
    log = Log.open(disk, forced.directory, _identity(cluster, forced), LogOptions(), machine_of)
    try:
        if log.vote.term < forced.term:
            log.save_vote(Vote(term=Term(forced.term), voted_for=ReplicaId(forced.replica)))
        if log.fold.term < forced.term:
            log.append(
                [
                    Entry(
                        index=Index(log.last_index + 1),
                        term=Term(forced.term),
                        kind=EntryKind.MEMBERSHIP,
                        base_offset=log.end_offset,
                        append_time_ns=log.fold.last_append_time_ns,
                        control=encode_membership(forced.membership),
                    )
                ]
            )
        if log.recovered.recovering:
            log.whole_again()
        write = log.take_write()
        if write is not None:
            if perform(disk, {0: write}):
                raise DiskFull(f"the disk has no room to force {forced.name}/{forced.number}")
            log.written(write, full=False)
    finally:
        log.close()
