"""A leader's followers that are behind: how much, since when, and whether they get further. Pure."""

from collections.abc import Iterator, Sequence

from cluster.broker.explaining.draining import is_slow
from cluster.broker.explaining.findings import Finding, Severity
from cluster.broker.explaining.machines import is_dead
from cluster.broker.explaining.words import counted, size, span_ms
from cluster.config import ExplainOptions
from cluster.wire.api import explain_pb2

FollowerLook = explain_pb2.FollowerLook
NodeLook = explain_pb2.NodeLook
ReplicaLook = explain_pb2.ReplicaLook
MS_PER_S = 1_000


def explain_followers(
    leader: int, own: ReplicaLook | None, looks: Sequence[NodeLook], limits: ExplainOptions
) -> Iterator[Finding]:
    """Of the partition that `own` leads on node `leader`. `looks`: of the nodes, as far as they were asked.

    Who is on its way here is behind as a matter of course, and no voter: see `moving`.
    """
    if own is None:
        return
    voters = [one for one in own.followers if not one.learner]
    replicas = len(voters) + 1
    behind = [one for one in voters if is_behind(one, limits)]
    for one in behind:
        whole = replicas - len(behind)
        needed = replicas // 2 + 1
        yield Finding(
            code="REINSTALLING" if one.reinstalling else "LAGGING_FOLLOWER",
            severity=Severity.WARNING,
            nodes=(one.node,),
            numbers={
                "behind_entries": one.behind_entries,
                "behind_bytes": one.behind_bytes,
                "behind_ms": one.behind_ms,
                "moved_entries": one.moved_entries,
                "moved_within_ms": one.moved_within_ms,
            },
            cause=f"the replica on node {one.node} is {follower_words(one)}{why_behind(leader, one, looks, limits)}",
            consequence=_consequence(whole, needed, replicas),
            advice=_advice(one, looks),
        )


def is_behind(one: FollowerLook, limits: ExplainOptions) -> bool:
    """For longer than a moment."""
    return one.reinstalling or one.behind_ms >= limits.behind_ms_min or (one.silent and one.behind_entries > 0)


def follower_words(one: FollowerLook) -> str:
    """How far it is behind its leader."""
    if one.reinstalling:
        return f"beginning anew from the leader's log, with {size(one.behind_bytes)} to get"
    if not one.behind_entries:
        return "up to date"
    said = f"{size(one.behind_bytes)} / {counted(one.behind_entries, 'entry', 'entries')} behind"
    if one.HasField("behind_ms"):
        said += f", and lacks what was published {span_ms(one.behind_ms)} ago"
    if not one.HasField("moved_entries"):
        return said
    within = span_ms(one.moved_within_ms)
    if not one.moved_entries:
        return f"{said}; it did not get further within {within}"
    entries_per_s = one.moved_entries * MS_PER_S / max(one.moved_within_ms, 1)
    left = span_ms(one.behind_entries / entries_per_s * MS_PER_S)
    return f"{said}; it gets {entries_per_s:,.0f} entries a second, which takes {left} if nothing is published"


def why_behind(leader: int, one: FollowerLook, looks: Sequence[NodeLook], limits: ExplainOptions) -> str:
    """What is known to keep it, as the end of a sentence."""
    look = next((look for look in looks if look.node == one.node), None)
    if not one.link_up:
        return f"; node {leader} is not connected with node {one.node}"
    if look is None or look.silence:
        return f"; node {one.node} does not answer" if look is not None else ""
    disk = look.disk
    if disk.HasField("full_ms"):
        return "; its disk is full"
    if is_slow(disk, limits):
        return f"; its disk takes {span_ms(max(disk.usual_write_ms, disk.under_way_ms))} for a write with its sync"
    return ""


def _consequence(whole: int, needed: int, replicas: int) -> str:
    have = f"{whole} of {replicas} replicas have everything, {needed} are needed"
    if whole > needed:
        return f"nobody waits for it: {have}; {whole - needed} more may fail"
    if whole == needed:
        return f"nobody waits for it ({have}), but if one more fails nothing is acknowledged until this one is back"
    return f"publishers wait: {have}"


def _advice(one: FollowerLook, looks: Sequence[NodeLook]) -> str:
    node = one.node
    look = next((look for look in looks if look.node == node), None)
    if look is not None and is_dead(look, looks):
        return f"start node {node} again, or let its process go on; it gets what it lacks by itself"
    if one.reinstalling or one.moved_entries:
        return (
            "nothing: it catches up by itself. If it gets slower, look at its disk and at the network between the two"
        )
    return (
        f"`riverrun explain node {node}`: is its process stopped or overloaded, its disk slow or full, the network to "
        "it slow? It gets what it lacks by itself when that is over"
    )
