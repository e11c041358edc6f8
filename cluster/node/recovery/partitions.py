"""What becomes of one partition: it lives, it is forced, or it is lost. Pure.

It lives if one of the replicas that are left would be elected by them, for it has all that they can have acknowledged
and they are a majority of its newest membership. Otherwise the one that goes furthest is taken, and the others that are
left, and can say what they have acknowledged, vote with it. Nothing of it that was acknowledged is missing if a
majority cannot be had without any of these: then each acknowledged record is on one of them, and the furthest has it.
Of a joint membership that is neither of the new voters nor of the outgoing ones, who may not have heard of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from cluster.controller.recovering import next_era
from cluster.membership import Member, Membership
from cluster.metadata import Placement, Replica
from cluster.node.recovery.survey import FoundReplica
from cluster.types import NodeId, ReplicaId

Found = Sequence[tuple[NodeId, FoundReplica]]


class Fate(Enum):
    """What becomes of it."""

    LIVES = "lives"
    FORCED = "forced"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`placement`: as the controller is to have it. Of a forced one: who goes on, the furthest first, and how sure.

    `complete`: nothing that was acknowledged is missing, as the majorities say; `led`: the furthest led when it was
    last heard of, as far as it can be told, so that it had all that was acknowledged up to then. `before`: how many
    voters there were.
    """

    fate: Fate
    placement: Placement
    before: int
    best: tuple[NodeId, FoundReplica] | None = None
    members: tuple[Member, ...] = ()
    complete: bool = False
    led: bool = False
    term: int = 0
    """Of a forced one: that of its next entry, above all that anybody left has heard of."""


def judge(placement: Placement, found: Found, *, version: int) -> Judged:
    """`found`: its replicas on the nodes that are left, as surveyed. `version`: of the metadata that this makes."""
    usable = [(node, item) for node, item in found if not item.trouble]
    if not usable:
        lost = replace(placement, lost=True, target=(), abandoned=(), removed=(), since=version)
        return Judged(fate=Fate.LOST, placement=lost, before=len(placement.replicas))
    winner = next((item for _, item in usable if _would_be_elected(item, usable)), None)
    if winner is not None:
        believed = _believed(placement, winner.membership, usable, version)
        return Judged(fate=Fate.LIVES, placement=believed, before=len(winner.membership.voters))
    return _forced(placement, usable, version)


def _would_be_elected(candidate: FoundReplica, usable: Found) -> bool:
    if not candidate.whole:
        return False
    granting = {item.replica for _, item in usable if item.claims is not None and item.claims <= candidate.reach}
    groups = [group for group in (candidate.membership.voters, candidate.membership.outgoing) if group]
    return candidate.replica in {member.replica for group in groups for member in group} and all(
        2 * sum(member.replica in granting for member in group) > len(group) for group in groups
    )


def _believed(placement: Placement, membership: Membership, usable: Found, version: int) -> Placement:
    """As it was, unless its log has a membership of which the controller's state does not know any more."""
    running = {item.replica for item in placement.running}
    known = membership.version <= placement.since and {member.replica for member in membership.everybody()} <= running
    if known and not placement.lost:
        return placement
    there = {item.replica for _, item in usable} | {item.replica for item in placement.running if item.initialised}

    def placed(members: Sequence[Member]) -> tuple[Replica, ...]:
        return tuple(
            Replica(replica=member.replica, node=member.node, initialised=member.replica in there) for member in members
        )

    voters, outgoing = placed(membership.voters), placed(membership.outgoing)
    believed = replace(
        placement,
        replicas=outgoing or voters,
        target=voters if outgoing or membership.learners else (),
        abandoned=placed(membership.learners),
        preferred_leader=voters[0].node,
        since=version,
        pinned=False,
        lost=False,
    )
    return _without_revived(believed)


def _without_revived(placement: Placement) -> Placement:
    """What has to run goes no more: its node would drop the files first, and these may be the last ones."""
    running = {item.replica for item in placement.running}
    return replace(placement, removed=tuple(item for item in placement.removed if item.replica not in running))


def _forced(placement: Placement, usable: Found, version: int) -> Judged:
    furthest: dict[NodeId, FoundReplica] = {}
    for node, item in usable:  # of several on a node, one can run
        known = furthest.get(node)
        if known is None or (item.reach, item.whole) > (known.reach, known.whole):
            furthest[node] = item
    order = sorted(furthest.items(), key=lambda pair: (pair[1].reach, pair[1].whole, -pair[0]), reverse=True)
    node, best = order[0]
    counted = {member.replica for member in (*best.membership.voters, *best.membership.outgoing)}
    members = [
        (at, item) for at, item in order if item is best or (item.replica in counted and item.claims is not None)
    ]
    chosen = {at for at, _ in members}
    others = [(at, item) for at, item in order if at not in chosen]
    replicas = _placed(members)
    forced = replace(
        placement,
        replicas=replicas,
        target=replicas if others else (),
        abandoned=_placed(others),
        preferred_leader=node,
        since=version,
        pinned=False,
        lost=False,
    )
    return Judged(
        fate=Fate.FORCED,
        placement=_without_revived(forced),
        before=len(best.membership.voters),
        best=(node, best),
        members=tuple(Member(replica=item.replica, node=item.node) for item in replicas),
        complete=_is_complete(best, usable),
        term=next_era(max(max(item.term, item.last_term) for _, item in usable)),
        led=best.led and best.whole and all(item.last_term <= best.last_term for _, item in usable),
    )


def _is_complete(best: FoundReplica, usable: Found) -> bool:
    claims = [item.claims for _, item in usable]
    known = {item.replica for _, item in usable if item.claims is not None}
    groups = (best.membership.voters, best.membership.outgoing)  # these went on alone if they did not hear of it
    needed = [sum(member.replica not in known for member in group) <= len(group) // 2 for group in groups]
    return all(needed) and all(claim is not None and claim <= best.reach for claim in claims)


def _placed(some: Found) -> tuple[Replica, ...]:
    return tuple(Replica(replica=ReplicaId(item.replica), node=node, initialised=True) for node, item in some)
