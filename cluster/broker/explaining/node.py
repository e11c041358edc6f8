"""What waits for one node, and what the node waits for. Pure."""

from collections.abc import Iterator, Sequence

from cluster.broker.explaining.decided import NOTHING, Decided
from cluster.broker.explaining.draining import explain_drain
from cluster.broker.explaining.findings import Explanation, Finding, Severity, explanation
from cluster.broker.explaining.followers import follower_words, is_behind
from cluster.broker.explaining.machines import explain_machines, is_to_come
from cluster.broker.explaining.words import counted, listed, numbered, size, span_ms
from cluster.config import ExplainOptions
from cluster.wire.api import cluster_pb2, explain_pb2

NodeLook = explain_pb2.NodeLook
ReplicaLook = explain_pb2.ReplicaLook
TOLD_MAX = 5


def explain_node(
    node: int, looks: Sequence[NodeLook], limits: ExplainOptions, decided: Decided = NOTHING
) -> Explanation:
    """`looks`: of all nodes, by number, each with its replicas that wait, and followers that do."""
    look = next(look for look in looks if look.node == node)
    machines = explain_machines(looks, limits, decided)
    about = [found for found in machines if node in found.nodes or found.code == "NO_CONTROLLER"]
    findings = [*about, *_replicas(look), *_behind(node, looks, limits), *explain_drain(look, looks, decided)]
    return explanation(f"node {node}", findings, _state(look, looks))


def _replicas(look: NodeLook) -> Iterator[Finding]:
    """What of its own replicas waits."""
    led_by_none = [one for one in look.looks if one.role and not one.leader]
    if led_by_none:
        yield Finding(
            code="NO_LEADER",
            severity=Severity.CRITICAL,
            nodes=(look.node,),
            numbers={"partitions": len(led_by_none), "replicas": look.replicas},
            cause=f"{counted(len(led_by_none), 'partition')} with a replica here "
            f"{'has' if len(led_by_none) == 1 else 'have'} no leader that this node knows of: {_places(led_by_none)}",
            consequence="nothing can be published to them",
            advice=f"`riverrun explain partition {_place(led_by_none[0])}` says why",
        )
    repaired = [one for one in look.looks if one.recovering or one.doubtful]
    if repaired:
        yield Finding(
            code="RECOVERING",
            severity=Severity.WARNING,
            nodes=(look.node,),
            numbers={"partitions": len(repaired)},
            cause=f"{counted(len(repaired), 'replica gets', 'replicas get')} again what this disk has lost or damaged: "
            f"{_places(repaired)}",
            consequence="they may not lead meanwhile, and vote only for logs that have all that they may have had",
            advice="nothing, while their partitions have leaders: it ends by itself. Its log says in `log_damaged` "
            "what was damaged; a disk that does so twice should be exchanged",
        )
    lost = [one for one in look.looks if one.lost]
    if lost:
        yield Finding(
            code="REPLICA_LOST",
            severity=Severity.WARNING,
            nodes=(look.node,),
            numbers={"partitions": len(lost)},
            cause=f"the files of {counted(len(lost), 'replica')} were here and are not any more: {_places(lost)}",
            consequence="these replicas will not come back by themselves; their partitions have one less",
            advice="was the disk exchanged, or data_dir emptied? The log has `replica_lost` with what was found",
        )


def _behind(node: int, looks: Sequence[NodeLook], limits: ExplainOptions) -> Iterator[Finding]:
    """Its followers, as their leaders on other nodes see them."""
    behind = [
        (one, led)
        for look in looks
        for led in look.looks
        for one in led.followers
        if one.node == node and is_behind(one, limits)
    ]
    if behind:
        worst, led = max(behind, key=lambda pair: pair[0].behind_bytes)
        total = sum(one.behind_bytes for one, _ in behind)
        yield Finding(
            code="LAGGING_FOLLOWER",
            severity=Severity.WARNING,
            nodes=(node,),
            numbers={
                "partitions": len(behind),
                "behind_bytes": total,
                "behind_ms": max(one.behind_ms for one, _ in behind),
            },
            cause=f"{counted(len(behind), 'replica')} on node {node} {'is' if len(behind) == 1 else 'are'} behind by "
            f"{size(total)} in all; furthest is that of {_place(led)}: {follower_words(worst)}",
            consequence="nobody waits for them while the other replicas are a majority; if one more node fails, their "
            "partitions stop until these are back",
            advice=f"whatever else is told of node {node} is the cause; if nothing is, the network between it and the "
            f"leaders is: `riverrun explain partition {_place(led)}` shows whether it catches up",
        )


def _state(look: NodeLook, looks: Sequence[NodeLook]) -> Iterator[str]:
    if is_to_come(look):
        yield "was added, and has not been started yet"
        return
    controller = {
        cluster_pb2.NODE_STATE_ALIVE: "the controller takes it to be alive",
        cluster_pb2.NODE_STATE_DEAD: "the controller has taken it for dead",
    }.get(look.state, "the controller has not said anything of it")
    others = [other.node for other in looks if other.node != look.node and not is_to_come(other)]
    if look.silence:
        yield f"does not answer; {controller}"
        return
    answer = f"answered in {span_ms(look.answer_ms)}" if look.HasField("answer_ms") else "was asked itself"
    yield f"{answer}; {controller}"
    lacks = [other for other in others if other not in look.hears]
    yield (
        f"connected with {numbered(look.hears)}" * bool(look.hears)
        + (f"{', ' if look.hears else ''}not with {numbered(lacks)}" if lacks else "")
        if others
        else "it is the only node"
    )
    late = f"its loop was late by {span_ms(look.loop_late_ms)} at most"
    yield f"{counted(look.replicas, 'replica')}, leads {look.leading:,}; {late}"
    disk = look.disk
    took = (
        f"a write with its sync takes {span_ms(disk.usual_write_ms)} usually, {span_ms(disk.longest_write_ms)} at most"
        if disk.HasField("usual_write_ms")
        else "nothing was written in the last minute"
    )
    yield f"disk: {took}" + (f"; {size(disk.free_bytes)} free" if disk.HasField("free_bytes") else "")
    yield f"controller: node {look.controller}" if look.controller else "it knows of no controller"


def _place(one: ReplicaLook) -> str:
    return f"{one.topic}/{one.partition}"


def _places(some: Sequence[ReplicaLook]) -> str:
    names = [_place(one) for one in some[:TOLD_MAX]]
    more = len(some) - TOLD_MAX
    return listed([*names, f"{more:,} more"] if more > 0 else names)
