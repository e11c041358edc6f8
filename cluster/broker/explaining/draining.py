"""A node that is to hold nothing: what it holds still, what that waits for; and where a drain would help. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence

from cluster.broker.explaining.decided import Decided
from cluster.broker.explaining.findings import Finding, Severity
from cluster.broker.explaining.words import counted, listed, numbered, size
from cluster.config import ExplainOptions
from cluster.metadata import LED_BY_DRAINING, WAITS_FOR_TURN
from cluster.wire.api import cluster_pb2, explain_pb2

NodeLook = explain_pb2.NodeLook
PASSING = {WAITS_FOR_TURN: "until others have arrived", LED_BY_DRAINING: "until others lead them"}
"""What is over by itself, as the end of a sentence."""


def explain_drain(look: NodeLook, looks: Sequence[NodeLook], decided: Decided) -> Iterator[Finding]:
    """Of one node, if it drains."""
    node, heir = look.node, decided.heir_of(look.node)
    if not decided.drains(node):
        return
    to = f"node {heir} takes its place" if heir else "it drains"
    held = decided.held.get(node, 0)
    if not held:
        yield _emptied(node, to, looks, decided)
        return
    moves = [move for move in decided.moves if node in move.replicas and node not in move.target]
    waiting = Counter(item.why for item in decided.waiting if node in item.replicas)
    lacking, stuck = any(map(_lacks_nodes, waiting)), _stuck(node, moves, decided)
    dead = sorted({to for move in moves for to in move.target if to not in move.replicas and decided.is_dead(to)})
    left_bytes = sum(move.behind_bytes for move in moves)
    said = [f"{counted(held, 'replica is', 'replicas are')} there still", f"it leads {look.leading:,}"]
    if moves:
        said.append(
            f"{counted(len(moves), 'replica is', 'replicas are')} on the way, "
            + (f"some to {numbered(dead)}, where nothing arrives now" if dead else f"with {size(left_bytes)} to go")
        )
    said += [_said_of(why, number) for why, number in sorted(waiting.items())]
    headless = sum((move.topic, move.partition) in decided.leaderless for move in moves)
    if headless:
        said.append(
            f"{headless:,} of those on the way {'has' if headless == 1 else 'have'} no leader, so nothing moves"
        )
    waits = bool(lacking or dead or stuck)
    yield Finding(
        code="DRAIN_WAITS" if waits else "DRAINING",
        severity=Severity.WARNING if waits else Severity.NOTE,
        nodes=(node, *dead),
        numbers={
            "replicas": held,
            "leading": look.leading,
            "moving": len(moves),
            "waiting": waiting.total(),
            "left_bytes": left_bytes,
        },
        cause=f"{to}: {'; '.join(said)}",
        consequence="nothing new is put there; it does its work, and must not be switched off, until it holds nothing",
        advice=_advice(node, dead, stuck, lacking=lacking),
    )


def _emptied(node: int, to: str, looks: Sequence[NodeLook], decided: Decided) -> Finding:
    """It holds nothing any more. `to`: what becomes of it."""
    seated = _is_seated(node, looks)
    if seated is None:
        return Finding(
            code="DRAINING",
            severity=Severity.NOTE,
            nodes=(node,),
            cause=f"{to}: it holds nothing any more; whether it has a seat in the controller's quorum is not known now",
            consequence="if it has one and is switched off, and others with a seat are, nothing can be decided",
            advice=f"when there is a controller again, ask again: `riverrun explain node {node}`",
        )
    if seated:
        return Finding(
            code="DRAINING",
            severity=Severity.NOTE,
            nodes=(node,),
            cause=f"{to}: it holds nothing any more, but has a seat in the controller's quorum still",
            consequence="if it is switched off, and others with a seat are, nothing can be decided",
            advice="nothing: another node takes the seat by itself, as soon as one that is alive has none",
        )
    removal = f"`riverrun cluster remove {node}`" if not decided.heir_of(node) else "it is removed by itself"
    return Finding(
        code="DRAINED",
        severity=Severity.NOTE,
        nodes=(node,),
        cause=f"{to}, and it holds nothing any more",
        consequence="nobody waits for it",
        advice=f"it may be switched off; then {removal}. `riverrun cluster drain {node} --undo`: it is used again",
    )


def _is_seated(node: int, looks: Sequence[NodeLook]) -> bool | None:
    """Whether it is one of those that decide; None: nobody says.

    Those say it that hear the controller: who was cut off may believe what was. Without one that is all there is.
    """
    told = [look.quorum for look in looks if look.controller] or [look.quorum for look in looks if look.quorum]
    return any(node in quorum for quorum in told) if told else None


def _stuck(node: int, moves: Sequence[cluster_pb2.Reassignment], decided: Decided) -> list[tuple[str, int]]:
    """Partitions that keep it, and that nobody can move: those without a leader, or of which nothing is left."""
    headless = {(move.topic, move.partition) for move in moves} & decided.leaderless
    kept = {
        (item.topic, item.partition)
        for item in decided.waiting
        if node in item.replicas and item.why not in PASSING and not _lacks_nodes(item.why)
    }
    return sorted(headless | kept)


def _lacks_nodes(why: str) -> bool:
    """Whether the plan says that there are too few nodes."""
    return "replicas are asked for" in why


def _said_of(why: str, number: int) -> str:
    """Of so many partitions that wait, for the same reason."""
    if _lacks_nodes(why) or why in PASSING:
        return f"{_waiting(number)} {PASSING.get(why, 'for nodes: ' + why)}"
    return f"{number:,} cannot leave: {why}"


def _unstick(place: tuple[str, int]) -> str:
    topic, number = place
    return (
        f"`riverrun explain partition {topic}/{number}` says what it lacks. A node: start it again, with its data, and "
        "it goes on by itself. Its data: delete the topic (`riverrun topic delete`), or go on with what is left "
        "(`riverrun cluster recover --help`)"
    )


def _advice(node: int, dead: Sequence[int], stuck: Sequence[tuple[str, int]], *, lacking: bool) -> str:
    undo = f"`riverrun cluster drain {node} --undo`"
    if stuck:
        return _unstick(stuck[0])
    if dead:
        return f"start {numbered(dead)} again: it goes on by itself. {undo} turns back what is on its way"
    if lacking:
        return f"{_more_nodes()}, or let it be: {undo}"
    return f"nothing: it ends by itself. `riverrun cluster drain {node}` waits for that and shows how far it is"


def explain_wait(topic: str, number: int, nodes: Sequence[int], decided: Decided) -> Iterator[Finding]:
    """Of a partition with replicas on these nodes that has to leave one of them, and has not begun."""
    draining = [node for node in nodes if decided.drains(node)]
    why = next((item.why for item in decided.waiting if (item.topic, item.partition) == (topic, number)), "")
    if not draining or not why:
        return
    passing = why in PASSING
    waits = {WAITS_FOR_TURN: "waits for its turn", LED_BY_DRAINING: "waits until another node leads it"}.get(why)
    yield Finding(
        code="MOVE_WAITS",
        severity=Severity.NOTE if passing else Severity.WARNING,
        nodes=tuple(draining),
        cause=f"it is to leave {numbered(draining)} ({'which drains' if len(draining) == 1 else 'which drain'}), and "
        + (waits or f"cannot: {why}"),
        consequence="until then the replicas that there are do the work, and nobody waits for the move",
        advice=_begins(topic, number, why),
    )


def _begins(topic: str, number: int, why: str) -> str:
    if why in PASSING:
        return "nothing: it begins by itself"
    return _more_nodes() if _lacks_nodes(why) else _unstick((topic, number))


def _waiting(number: int) -> str:
    return f"{number:,} {'waits' if number == 1 else 'wait'}"


def _more_nodes() -> str:
    return (
        "add a node (`riverrun cluster add`), start one that is dead, or ask for fewer replicas "
        "(`riverrun topic alter TOPIC --replicas N`)"
    )


# --- where it would help


def relief(node: int, looks: Sequence[NodeLook], decided: Decided, limits: ExplainOptions) -> str:
    """How a node is rid of what it holds, in a sentence; empty: it drains, or too few others have room.

    Of nodes that were not looked at it is not known.
    """
    others, seen = decided.usable_but(node), {look.node: look for look in looks}
    if decided.drains(node) or not decided.held.get(node):
        return ""
    there = [other for other in others if other in seen and has_room(seen[other], limits)]
    perhaps = [other for other in others if other not in seen]
    drain, needed = f"`riverrun cluster drain {node}`", decided.needs(node)
    if len(there) >= needed:
        return f"{drain} moves what it holds to {numbered(there)}, which {_have(there)} room"
    if len(there) + len(perhaps) >= needed:
        return f"if {numbered(perhaps)} {_have(perhaps)} room, {drain} moves there what it holds"
    return ""


def has_room(look: NodeLook, limits: ExplainOptions) -> bool:
    """It answers, and its disk is neither full, nor nearly, nor slow."""
    disk = look.disk
    return not (
        look.silence or disk.HasField("full_ms") or disk.free_bytes < limits.room_bytes_min or is_slow(disk, limits)
    )


def is_slow(disk: explain_pb2.DiskLook, limits: ExplainOptions) -> bool:
    """Its writes usually take long, or one hangs."""
    return disk.usual_write_ms >= limits.slow_write_ms_min or disk.under_way_ms >= limits.hanging_write_ms_min


def replacing(look: NodeLook, decided: Decided) -> str:
    """What to do about a node that has been gone for long, in a sentence."""
    node, heir = look.node, decided.heir_of(look.node)
    if heir:
        return f"node {heir} takes its place: `riverrun explain node {node}`"
    if decided.drains(node):
        return f"what it holds goes to other nodes: `riverrun explain node {node}`"
    free = [other for other in decided.usable_but(node) if not decided.held.get(other)]
    if free:
        return (
            f"if its machine is gone for good: `riverrun cluster replace {node} --with {free[0]}` "
            f"({listed(f'node {other}' for other in free)} {'holds' if len(free) == 1 else 'hold'} nothing)"
        )
    return (
        f"if its machine is gone for good, add a node (`riverrun cluster add`), start it, and "
        f"`riverrun cluster replace {node} --with NEW`"
    )


def _have(nodes: Sequence[int]) -> str:
    return "has" if len(nodes) == 1 else "have"
