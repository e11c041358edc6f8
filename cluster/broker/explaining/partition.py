"""Why records of a partition wait: nobody leads it, no majority can write, or a replica is behind. Pure."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cluster.broker.explaining.decided import NOTHING, Decided
from cluster.broker.explaining.draining import explain_wait, is_slow
from cluster.broker.explaining.findings import Explanation, Finding, Severity, explanation
from cluster.broker.explaining.followers import explain_followers, follower_words
from cluster.broker.explaining.machines import explain_machines
from cluster.broker.explaining.moving import explain_move
from cluster.broker.explaining.words import counted, listed, numbered, size, span_ms
from cluster.config import ExplainOptions
from cluster.metadata import Placement
from cluster.wire.api import explain_pb2

NodeLook = explain_pb2.NodeLook
ReplicaLook = explain_pb2.ReplicaLook
LEADER = "leader"
ROLES = {"follower": "follows", "candidate": "asks for votes", "pre_candidate": "asks whether it would be elected"}


@dataclass(frozen=True, slots=True)
class Row:
    """One replica of the partition: where, how its node is, and how it is, if that is known."""

    node: int
    replica: int
    look: NodeLook
    own: ReplicaLook | None
    votes: bool = True
    """It is one of those of whom a majority is needed; if not, it is on its way here, or away."""

    @property
    def stands(self) -> bool:
        """It could lead, and acknowledge."""
        own = self.own
        return own is not None and bool(own.role) and own.may_vote and not own.recovering and not own.doubtful

    @property
    def why_not(self) -> str:
        """Why it does not, in words."""
        own = self.own
        if self.look.silence:
            return f"node {self.node} does not answer"
        if own is None or not own.role:
            lost = own is not None and own.lost
            return f"node {self.node} has lost its files" if lost else f"it does not run on node {self.node}"
        if own.doubtful or own.recovering:
            return f"on node {self.node} it is still being repaired"
        return f"on node {self.node} it is new, and not recorded by the controller yet"


def partition_name(topic: str, number: int) -> str:
    """As it is told."""
    return f"partition {topic}/{number}"


def explain_partition(
    topic: str,
    placement: Placement,
    looks: Sequence[NodeLook],
    limits: ExplainOptions,
    decided: Decided = NOTHING,
) -> Explanation:
    """`looks`: of all nodes that have a replica of it, by number; each tells of its own."""
    subject = partition_name(topic, placement.number)
    everybody = rows_of(topic, placement, looks)
    leader = leader_of(everybody)
    rows = [row for row in everybody if row.votes]
    majority = len(rows) // 2 + 1
    findings = [*explain_machines(looks, limits, decided), *_replicas(rows, majority)]
    leader_look = leader.own if leader is not None else None
    if placement.lost:
        findings.append(_lost(placement))
    elif leader is None:
        findings += _no_leader(rows, majority)
    else:
        findings += explain_followers(leader.node, leader.own, looks, limits)
        findings += _not_committed(leader, rows, majority, limits)
    findings += explain_move(placement, leader.node if leader is not None else 0, leader_look, looks)
    if not placement.target:
        findings += explain_wait(topic, placement.number, [item.node for item in placement.replicas], decided)
    return explanation(subject, findings, _state(everybody, leader, majority))


def rows_of(topic: str, placement: Placement, looks: Sequence[NodeLook]) -> list[Row]:
    """All that have to run, by node; whose vote counts, its leader says, or else the last membership that is known."""
    by_node = {look.node: look for look in looks}
    found = [(replica, by_node[replica.node]) for replica in placement.running]
    rows = [
        Row(replica.node, replica.replica, look, _own(look, topic, placement.number, replica.replica))
        for replica, look in sorted(found, key=lambda item: (item[0].node, item[0].replica))
    ]
    leader = leader_of(rows)
    if leader is not None and leader.own is not None:
        others = {one.replica for one in leader.own.followers if not one.learner}
        voting = others | {leader.replica}
    else:
        voting = {int(replica.replica) for replica in placement.replicas}
    return [dataclasses.replace(row, votes=row.replica in voting) for row in rows]


def _own(look: NodeLook, topic: str, number: int, replica: int) -> ReplicaLook | None:
    """What the node says of that replica: of two on a node only one runs."""
    here = [own for own in look.looks if (own.topic, own.partition) == (topic, number)]
    return next((own for own in here if own.replica in {0, replica}), None)


def leader_of(rows: Sequence[Row]) -> Row | None:
    """Of those who take themselves for it, the one of the newest term."""
    leading = [row for row in rows if row.own is not None and row.own.role == LEADER]
    return max(leading, key=lambda row: row.own.term if row.own is not None else 0, default=None)


# --- nobody leads it


def _lost(placement: Placement) -> Finding:
    nodes = tuple(int(replica.node) for replica in placement.replicas)
    return Finding(
        code="PARTITION_LOST",
        severity=Severity.CRITICAL,
        nodes=nodes,
        cause=f"nothing of it is left: the nodes that held its replicas ({numbered(nodes)}) were given up when the "
        "cluster was recovered without a majority",
        consequence="nothing can be published to it or read from it, and that stays so",
        advice="delete the topic (`riverrun topic delete`) and make it anew; what other partitions of it hold goes "
        "with it, so read that first, if it is needed",
    )


def _no_leader(rows: Sequence[Row], majority: int) -> Iterator[Finding]:
    standing, missing = [row for row in rows if row.stands], [row for row in rows if not row.stands]
    numbers = {"replicas": len(rows), "replicas_there": len(standing), "replicas_needed": majority}
    nodes = tuple(row.node for row in missing)
    waits = (
        "nothing can be published to it, and what is new in it cannot be read; publishers wait until their time is up. "
        "What was acknowledged is on the disks, and stays"
    )
    if len(standing) < majority:
        silent = [row.node for row in missing if row.look.silence]
        lacking = majority - len(standing)
        start = "wait for what is under way, or look at the logs of these nodes"
        if len(silent) > lacking:
            start = f"start {lacking} of {numbered(silent)} again, whichever is easier"
        elif silent:
            start = f"start {numbered(silent)} again"
        yield Finding(
            code="NO_QUORUM",
            severity=Severity.CRITICAL,
            numbers=numbers,
            nodes=nodes,
            cause=f"it has no leader, for {len(missing)} of its {counted(len(rows), 'replica')} "
            f"{'is' if len(missing) == 1 else 'are'} missing and {majority} are needed: "
            f"{listed(row.why_not for row in missing)}",
            consequence=waits,
            advice=f"{start}: it goes on by itself within seconds. Delete the data of none of them: only together "
            "they know what was acknowledged. Only if data is lost for good: `riverrun cluster recover --help`",
        )
    else:
        yield Finding(
            code="NO_LEADER",
            severity=Severity.CRITICAL,
            numbers=numbers,
            nodes=tuple(row.node for row in standing),
            cause=f"it has no leader just now, though {len(standing)} of its {counted(len(rows), 'replica')} could "
            f"elect one ({numbered(row.node for row in standing)}): an election is under way, or they do not hear "
            "each other",
            consequence=waits,
            advice="an election takes a second or two: ask again. If it stays so, look whether these nodes are "
            "connected with each other: `riverrun explain node N` for each of them",
        )


# --- its replicas


def _replicas(rows: Sequence[Row], majority: int) -> Iterator[Finding]:
    left = sum(row.stands for row in rows)
    spare = f"{left} of {counted(len(rows), 'replica')} can acknowledge, {majority} are needed"
    for row in rows:
        own = row.own
        if own is None:
            continue
        if own.lost:
            yield Finding(
                code="REPLICA_LOST",
                severity=Severity.WARNING,
                nodes=(row.node,),
                cause=f"the replica on node {row.node} is lost: its files, or its vote, were there and are gone",
                consequence=f"{spare}; this one will not come back by itself",
                advice=f"was the disk of node {row.node} exchanged, or its data_dir emptied? Its log has "
                "`replica_lost` with what was found. `riverrun topic describe TOPIC` shows where the others are",
            )
        elif not own.role:
            yield Finding(
                code="REPLICA_ABSENT",
                severity=Severity.WARNING,
                nodes=(row.node,),
                cause=f"node {row.node} answers, and its replica of this partition does not run: it has just started, "
                "has not heard of the partition yet, or its disk has no room for it",
                consequence=spare,
                advice=f"ask again in a few seconds; then `riverrun explain node {row.node}`, and its log",
            )
        elif own.recovering or own.doubtful:
            yield Finding(
                code="RECOVERING",
                severity=Severity.WARNING,
                nodes=(row.node,),
                numbers={"last_index": own.last_index},
                cause=f"the replica on node {row.node} gets again what its disk has lost or damaged"
                + ("" if not own.doubtful else "; the others have to say what the end of its log was"),
                consequence=f"it may not lead meanwhile, and votes only for who has all that it may have had: {spare}",
                advice="nothing, while a leader is there: it ends by itself. The log of the node says what was damaged "
                "(`log_damaged`, `log_doubtful`); a disk that does so twice should be exchanged",
            )


def _not_committed(leader: Row, rows: Sequence[Row], majority: int, limits: ExplainOptions) -> Iterator[Finding]:
    own = leader.own
    assert own is not None, "it leads"
    if own.uncommitted_ms < limits.behind_ms_min:
        return
    waiting = own.last_index - own.commit
    slow = [row.node for row in rows if is_slow(row.look.disk, limits)]
    full = [row.node for row in rows if row.look.disk.HasField("full_ms")]
    why = [f"the disk of {numbered(slow)} is slow"] * bool(slow) + [f"that of {numbered(full)} is full"] * bool(full)
    yield Finding(
        code="NOT_COMMITTED",
        severity=Severity.CRITICAL,
        numbers={"uncommitted_ms": own.uncommitted_ms, "uncommitted_entries": waiting, "replicas_needed": majority},
        nodes=(leader.node,),
        cause=f"{counted(waiting, 'batch waits', 'batches wait')} to be on the disks of {majority} of {len(rows)} "
        f"replicas, the oldest for {span_ms(own.uncommitted_ms)}" + (f": {listed(why)}" if why else ""),
        consequence="their publishers wait for their receipts, and readers do not see them yet",
        advice="what keeps the replicas is told below; if nothing is, ask again in a few seconds",
    )


# --- how it is


def _state(rows: Sequence[Row], leader: Row | None, majority: int) -> Iterator[str]:
    if leader is None or leader.own is None:
        yield f"no leader; {counted(len(rows), 'replica')}, of which {majority} are needed"
    else:
        own = leader.own
        yield (
            f"leader: node {leader.node} (term {own.term}), {_records(own)}"
            + (f"; the next ones wait for {span_ms(own.uncommitted_ms)}" if own.HasField("uncommitted_ms") else "")
        )
    followers = [] if leader is None or leader.own is None else leader.own.followers
    by_replica = {one.replica: one for one in followers}
    for row in rows:
        follower = by_replica.get(row.replica)
        yield f"replica on node {row.node}: {_row_words(row, follower)}{_disk_words(row)}"


def _records(own: ReplicaLook) -> str:
    if own.end_offset == own.first_offset:
        return f"no records, {counted(own.commit, 'committed entry', 'committed entries')}"
    return f"committed offsets {own.first_offset:,} to {own.end_offset - 1:,}"


def _row_words(row: Row, follower: explain_pb2.FollowerLook | None) -> str:
    own = row.own
    if own is None or not own.role:
        said = row.why_not
    elif own.role == LEADER:
        unsynced = own.last_index - own.durable_index
        return f"leads, {counted(own.last_index, 'entry', 'entries')}" + (
            f", {unsynced:,} of them not on its disk yet" if unsynced else ", all on its disk"
        )
    elif not row.votes:
        said = "on its way here" if follower is not None and follower.learner else "no voter"
    else:
        said = ROLES.get(own.role, own.role) if row.stands else row.why_not
    return said + (f", {follower_words(follower)}" if follower is not None else "")


def _disk_words(row: Row) -> str:
    disk = row.look.disk
    if row.look.silence:
        return ""
    took = f"; its disk takes {span_ms(disk.usual_write_ms)} for a write" if disk.HasField("usual_write_ms") else ""
    free = f"{'; ' if not took else ', '}{size(disk.free_bytes)} free" if disk.HasField("free_bytes") else ""
    return took + free
