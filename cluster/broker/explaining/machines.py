"""What is wrong with nodes themselves: they do not answer, their disks are full or slow, their clocks differ. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from cluster.broker.explaining.decided import NOTHING, Decided
from cluster.broker.explaining.draining import is_slow, relief, replacing
from cluster.broker.explaining.findings import Finding, Severity
from cluster.broker.explaining.words import listed, numbered, size, span_ms
from cluster.config import ExplainOptions
from cluster.wire.api import cluster_pb2, explain_pb2

NodeLook = explain_pb2.NodeLook


def explain_machines(
    looks: Sequence[NodeLook], limits: ExplainOptions, decided: Decided = NOTHING
) -> Iterator[Finding]:
    """Each node alone, then how they are with one another."""
    for look in looks:
        if is_to_come(look):
            yield _to_come(look)
        elif look.silence:
            yield _silent(look, looks, limits, decided)
        else:
            yield from _disk(look, limits, relief(look.node, looks, decided, limits))
            yield from _busy(look, limits)
    yield from _cut_off(looks)
    yield from _one_side(looks)
    yield from _controller(looks)


def is_dead(look: NodeLook, looks: Iterable[NodeLook]) -> bool:
    """It does not answer, and nobody who answers is connected with it."""
    return bool(look.silence) and not any(look.node in other.hears for other in looks if not other.silence)


def is_to_come(look: NodeLook) -> bool:
    """It was added, and nobody has started it yet."""
    return bool(look.silence) and look.state == cluster_pb2.NODE_STATE_ADDED


def _to_come(look: NodeLook) -> Finding:
    return Finding(
        code="NODE_ADDED",
        severity=Severity.NOTE,
        about=f"node {look.node}",
        nodes=(look.node,),
        cause=f"node {look.node} was added, and has not been started yet",
        consequence="it holds nothing, and nobody waits for it",
        advice="start it with the file that `riverrun cluster add` wrote for it: `riverrun node --config FILE`; or, if "
        f"it is not to come: `riverrun cluster remove {look.node}`",
    )


def _silent(look: NodeLook, looks: Sequence[NodeLook], limits: ExplainOptions, decided: Decided) -> Finding:
    node, gone_long = look.node, look.gone_ms >= limits.gone_ms_min
    controller = "; the controller has taken it for dead" if look.state == cluster_pb2.NODE_STATE_DEAD else ""
    if is_dead(look, looks):
        return Finding(
            code="NODE_DEAD",
            severity=Severity.WARNING,
            about=f"node {node}",
            nodes=(node,),
            numbers={"gone_ms": look.gone_ms} if look.HasField("gone_ms") else {},
            cause=f"node {node} does not answer, and no other node is connected with it"
            + (f", for {span_ms(look.gone_ms)} by now" if gone_long else "")
            + f": {look.silence}{controller}",
            consequence="its replicas get nothing new and cannot vote; what they led is led elsewhere, where a "
            "majority is left",
            advice=f"on the machine of node {node}: is its process there, stopped (SIGSTOP, a debugger), or cut off? "
            f"Look at the end of its log, then start it again (its service, or `riverrun node --config FILE`)"
            + (f"; {replacing(look, decided)}" if gone_long else ""),
        )
    connected = [other.node for other in looks if not other.silence and node in other.hears]
    return Finding(
        code="NODE_SILENT",
        severity=Severity.WARNING,
        about=f"node {node}",
        nodes=(node,),
        cause=f"node {node} does not answer, though {numbered(connected)} "
        f"{'is' if len(connected) == 1 else 'are'} connected with it: {look.silence}{controller}",
        consequence="whatever waits for its replicas waits",
        advice=f"is the process of node {node} overloaded, or stopped just now? Look at its machine (`top`), and ask "
        f"again in a few seconds: `riverrun explain node {node}`",
    )


def _disk(look: NodeLook, limits: ExplainOptions, elsewhere: str) -> Iterator[Finding]:
    """`elsewhere`: how it is rid of what it holds, if that is known."""
    node, disk, elsewhere = look.node, look.disk, f"; {elsewhere}" if elsewhere else ""
    if disk.HasField("full_ms"):
        free = f"; {size(disk.free_bytes)} are free" if disk.HasField("free_bytes") else ""
        yield Finding(
            code="DISK_FULL",
            severity=Severity.CRITICAL,
            about=f"node {node}",
            nodes=(node,),
            numbers={"full_ms": disk.full_ms, "free_bytes": disk.free_bytes},
            cause=f"the disk of node {node} is full: writes have found no room for {span_ms(disk.full_ms)}{free}",
            consequence="its replicas take nothing new and lead nothing that another one can lead; what is on the disk "
            "stays, and can be read",
            advice=f"make room on the data disk of node {node} (another program's files first, never files below its "
            "data_dir), or make the disk larger; or let the cluster keep less: `riverrun topic alter TOPIC "
            f"--retention-bytes SIZE`. It goes on by itself within a second{elsewhere}",
        )
    if is_slow(disk, limits):
        usual = (
            f"a write with its sync took {span_ms(disk.usual_write_ms)} usually in the last minute, "
            f"{span_ms(disk.longest_write_ms)} at most"
            if disk.HasField("usual_write_ms")
            else "no write has ended in the last minute"
        )
        hangs = disk.under_way_ms >= limits.hanging_write_ms_min
        yield Finding(
            code="SLOW_DISK",
            severity=Severity.WARNING,
            about=f"node {node}",
            nodes=(node,),
            numbers={
                "usual_write_ms": disk.usual_write_ms,
                "longest_write_ms": disk.longest_write_ms,
                "under_way_ms": disk.under_way_ms,
            },
            cause=f"the disk of node {node} is slow: {usual}"
            + (f"; one has been under way for {span_ms(disk.under_way_ms)}" if hangs else ""),
            consequence="each receipt that needs this disk waits for as long; one for which a majority of other "
            "replicas is enough does not",
            advice=f"on the machine of node {node}: `iostat -x 1` (is another program writing, is the disk failing?), "
            f"`dmesg` for errors of the disk. If it stays so, move what it holds to another disk or node{elsewhere}",
        )


def _busy(look: NodeLook, limits: ExplainOptions) -> Iterator[Finding]:
    if look.loop_late_ms >= limits.loop_late_ms_min:
        yield Finding(
            code="NODE_BUSY",
            severity=Severity.WARNING,
            about=f"node {look.node}",
            nodes=(look.node,),
            numbers={"loop_late_ms": look.loop_late_ms},
            cause=f"node {look.node} has more to do than it can, or its process stood still: within the last seconds "
            f"it was late by {span_ms(look.loop_late_ms)}",
            consequence="all that it leads answers as late; later than a second, and others take over",
            advice=f"on the machine of node {look.node}: `top` (is the processor shared with somebody?). Fewer "
            "partitions on this node, or larger batches from producers, make less work",
        )
    ahead_ms, known_to_ms = look.clock_ahead_ms, look.answer_ms
    if abs(ahead_ms) - known_to_ms >= limits.clocks_apart_ms_min:
        which = "ahead" if ahead_ms > 0 else "behind"
        yield Finding(
            code="CLOCKS_APART",
            severity=Severity.WARNING,
            about=f"node {look.node}",
            nodes=(look.node,),
            numbers={"clock_ahead_ms": ahead_ms, "answer_ms": known_to_ms},
            cause=f"the clock of node {look.node} is {span_ms(abs(ahead_ms))} {which} of the clock of the node that "
            "was asked",
            consequence="nothing is lost; append times, lag in seconds and retention by age are wrong by as much",
            advice=f"on the machine of node {look.node}: `timedatectl`, `chronyc tracking`; set its clock by NTP",
        )


def _cut_off(looks: Sequence[NodeLook]) -> Iterator[Finding]:
    """Nodes that answer and are not connected with each other."""
    there = {look.node: look for look in looks if not look.silence}
    for one, look in there.items():
        lacks = [other for other in there if other > one and not (other in look.hears and one in there[other].hears)]
        if lacks:
            yield Finding(
                code="NODES_CUT_OFF",
                severity=Severity.WARNING,
                about=f"node {one}",
                nodes=(one, *lacks),
                cause=f"node {one} and {numbered(lacks)} answer, and are not connected with each other",
                consequence="replicas on one side cannot replicate to, or vote for, those on the other",
                advice=f"from the machine of node {one} to {listed(f'that of node {other}' for other in lacks)}: is "
                "the peer port reachable, in both directions (firewall, route, certificate)? Their logs say why a "
                "link ends: `link_broken`, `peer_refuses`",
            )


def _one_side(looks: Sequence[NodeLook]) -> Iterator[Finding]:
    """Nobody but the node that was asked has answered."""
    there = [look for look in looks if not look.silence]
    if len(there) == 1 < sum(not is_to_come(look) for look in looks) and not there[0].hears:
        node = there[0].node
        yield Finding(
            code="SEEN_BY_ONE",
            severity=Severity.NOTE,
            nodes=(node,),
            about="the cluster",
            cause=f"all of this is what node {node} sees, which is connected with no other node",
            consequence=f"if it is node {node} that is cut off, the others may be in order without it",
            advice="ask another node, too, if one answers you: the same command with `--server HOST:PORT`",
        )


def _controller(looks: Sequence[NodeLook]) -> Iterator[Finding]:
    there = [look for look in looks if not look.silence]
    if not there or any(look.controller for look in there):
        return
    members = sorted({node for look in there for node in look.quorum})
    heard = {node for look in there for node in (look.node, *look.hears)}
    silent = [node for node in members if node not in heard]
    lost = 2 * len(silent) >= len(members) > 0
    knows = f"{numbered(look.node for look in there)} {'knows' if len(there) == 1 else 'know'} of none"
    yield Finding(
        code="NO_CONTROLLER",
        severity=Severity.WARNING,
        about="the cluster",
        nodes=tuple(silent if lost else [look.node for look in there]),
        numbers={"members": len(members), "members_silent": len(silent)},
        cause=f"the cluster has no controller: {knows}"
        + (
            f", for of its members ({numbered(members)}) {numbered(silent)} {'is' if len(silent) == 1 else 'are'} "
            "not heard by any node that answers"
            if lost
            else "; a majority of its members is there, so that one is elected within seconds, if they hear each other"
        ),
        consequence="topics, apps and nodes cannot be changed, and nobody is taken for dead; records flow where "
        "partitions have leaders",
        advice=f"start {numbered(silent)} again, with their data: when a majority of its members runs, one is elected "
        "within seconds. Only if they are lost for good: `riverrun cluster recover --help`"
        if lost
        else "ask again in a few seconds; `riverrun explain node N` says of each of them whom it hears",
    )
