"""A move that is under way: from where to where, how much is left, and what keeps it. Pure."""

from collections.abc import Iterator, Sequence

from cluster.broker.explaining.findings import Finding, Severity
from cluster.broker.explaining.words import listed, numbered, size, span_ms
from cluster.metadata import Placement
from cluster.wire.api import explain_pb2

NodeLook = explain_pb2.NodeLook
ReplicaLook = explain_pb2.ReplicaLook
FollowerLook = explain_pb2.FollowerLook
MS_PER_S = 1_000


def explain_move(
    placement: Placement, leader: int, own: ReplicaLook | None, looks: Sequence[NodeLook]
) -> Iterator[Finding]:
    """Of a partition whose leader, on node `leader`, tells `own`; None: nobody leads it, so nothing moves."""
    if not placement.target:
        return
    there, wanted = {item.replica for item in placement.replicas}, {item.replica for item in placement.target}
    coming = sorted(item.node for item in placement.target if item.replica not in there)
    going = sorted(item.node for item in placement.replicas if item.replica not in wanted)
    learners = [one for one in own.followers if one.learner] if own is not None else []
    left_bytes = sum(one.behind_bytes for one in learners)
    silent = sorted({look.node for look in looks if look.silence} & set(coming))
    stuck = bool(silent) or own is None
    what = f"it moves to {numbered(sorted(item.node for item in placement.target))}"
    changes = [f"{numbered(nodes)} {verb}" for nodes, verb in ((coming, "comes in"), (going, "goes")) if nodes]
    yield Finding(
        code="MOVE_WAITS" if stuck else "MOVING",
        severity=Severity.WARNING if stuck else Severity.NOTE,
        nodes=tuple(silent) or tuple(coming),
        numbers={"left_bytes": left_bytes, "replicas_to_come": len(coming)},
        cause=f"{what} ({', '.join(changes) or 'the order changes'}): {_how_far(own, learners, silent, leader)}",
        consequence="until it is done the replicas that there are do the work, and nobody waits for the move",
        advice=f"start {numbered(silent)} again: it goes on by itself"
        if silent
        else "nothing: it ends by itself, whoever leads meanwhile",
    )


def _how_far(own: ReplicaLook | None, learners: Sequence[FollowerLook], silent: Sequence[int], leader: int) -> str:
    if silent:
        return f"it waits for {numbered(silent)}, which {'does' if len(silent) == 1 else 'do'} not answer"
    if own is None:
        return "it waits for a leader"
    if own.joint:
        return "all of it is copied, and the voters are just being exchanged"
    if not learners:
        return f"node {leader}, which leads it, has not begun yet"
    return listed(_left(one) for one in learners)


def _left(one: FollowerLook) -> str:
    said = f"{size(one.behind_bytes)} to go to node {one.node}"
    if not one.moved_entries:
        return said
    left_ms = one.behind_entries * one.moved_within_ms / one.moved_entries
    return f"{said}, about {span_ms(max(left_ms, MS_PER_S))} at this rate"
