"""What becomes of a partition, by what is left of it: lives, is forced, or is lost; and what of it may be missing."""

import pytest

from cluster.controller.recovering import ERA
from cluster.membership import Member, Membership
from cluster.metadata import Placement, Replica
from cluster.node.recovery.partitions import Fate, Judged, judge
from cluster.node.recovery.survey import FoundReplica
from cluster.types import NodeId, ReplicaId

VERSION = ERA + 7


def member(number: int) -> Member:
    """Replica 10 + n is on node n."""
    return Member(replica=ReplicaId(10 + number), node=NodeId(number))


def members(*numbers: int) -> tuple[Member, ...]:
    """Of these nodes."""
    return tuple(map(member, numbers))


def found(
    node: int,
    term: int,
    index: int,
    membership: Membership,
    *,
    replica: int = 0,
    claims: tuple[int, int] | None = (0, 0),
    trouble: str = "",
    voted: bool = False,
) -> tuple[NodeId, FoundReplica]:
    """A replica's log on that node; `claims` None: it does not know what it has acknowledged."""
    item = FoundReplica(
        topic=b"t" * 16,
        number=0,
        replica=replica or 10 + node,
        directory=f"replicas/t/0-{replica or 10 + node}",
        term=term,
        last_term=term,
        last_index=index,
        end_offset=index,
        claims=None if claims is None else max(claims, (term, index)),
        whole=claims == (0, 0),
        led=voted,
        membership=membership,
        trouble=trouble,
    )
    return NodeId(node), item


def judged(*some: tuple[NodeId, FoundReplica], nodes: tuple[int, ...] = (1, 2, 3)) -> Judged:
    """With a placement on these nodes."""
    replicas = tuple(Replica(replica=ReplicaId(10 + node), node=NodeId(node), initialised=True) for node in nodes)
    return judge(Placement(number=0, replicas=replicas), some, version=VERSION)


THREE, FOUR, TWO = (Membership(voters=members(*range(1, count + 1))) for count in (3, 4, 2))


def test_a_majority_that_would_elect_one_of_them_lives() -> None:
    """It is left as it is, whatever else happens."""
    one = judged(found(1, 3, 9, THREE), found(2, 3, 7, THREE))
    assert Fate.LIVES is one.fate
    assert (11, 12, 13) == tuple(item.replica for item in one.placement.replicas)
    assert 0 == one.placement.since


def test_what_was_lost_and_is_found_lives_again() -> None:
    """Somebody has mended the disks: it is no partition any more that is left alone until its topic goes."""
    replicas = tuple(Replica(replica=ReplicaId(10 + node), node=NodeId(node), initialised=True) for node in (1, 2, 3))
    lost = Placement(number=0, replicas=replicas, since=5, lost=True)
    one = judge(lost, [found(1, 3, 9, THREE), found(2, 3, 7, THREE)], version=VERSION)
    assert (Fate.LIVES, False) == (one.fate, one.placement.lost)
    assert (11, 12, 13) == tuple(item.replica for item in one.placement.replicas)


def test_a_majority_that_cannot_elect_anybody_is_forced() -> None:
    """One may have acknowledged more than the other has, and cannot show it: the third one would have had to."""
    one = judged(found(1, 3, 9, THREE), found(2, 3, 7, THREE, claims=(3, 12)))
    assert Fate.FORCED is one.fate
    assert members(1, 2) == one.members
    assert not one.complete
    one = judged(found(1, 3, 9, THREE), found(2, 3, 7, THREE, claims=None))
    assert members(1) == one.members
    assert (12,) == tuple(item.replica for item in one.placement.abandoned)
    assert one.placement.target == one.placement.replicas


def test_the_furthest_is_taken_and_the_others_vote_with_it() -> None:
    """A later term goes further than any index of an earlier one; the new term is above all."""
    five = Membership(voters=members(1, 2, 3, 4, 5))
    one = judged(found(1, 3, 90, five), found(2, 4, 8, five), nodes=(1, 2, 3, 4, 5))
    assert Fate.FORCED is one.fate
    assert members(2, 1) == one.members
    assert (ERA, VERSION, 2) == (one.term, one.placement.since, one.placement.preferred_leader)
    assert all(item.initialised for item in one.placement.replicas)
    again = judged(found(1, ERA + 1, 90, five), nodes=(1, 2, 3, 4, 5))
    assert 2 * ERA == again.term


@pytest.mark.parametrize(
    ("membership", "left", "complete"),
    [(TWO, (1,), True), (FOUR, (1, 2), True), (FOUR, (1,), False), (THREE, (1,), False)],
)
def test_whether_anything_can_be_missing(membership: Membership, left: tuple[int, ...], complete: bool) -> None:  # noqa: FBT001
    """Nothing is if no majority was possible without those that are left."""
    one = judged(*(found(node, 2, 5, membership) for node in left))
    assert (Fate.FORCED, complete) == (one.fate, one.complete)


def test_a_joint_membership_needs_both_majorities_and_the_new_one_counts_later() -> None:
    """Of the new voters none is left: the final membership may have been committed without any of these."""
    joint = Membership(voters=members(3, 4), outgoing=members(1, 2))
    one = judged(found(1, 2, 5, joint), found(2, 2, 5, joint), nodes=(1, 2))
    assert (Fate.FORCED, False) == (one.fate, one.complete)
    assert members(1, 2) == one.members
    lives = judged(found(1, 2, 5, joint), found(2, 2, 5, joint), found(3, 2, 5, joint), found(4, 2, 4, joint))
    assert Fate.LIVES is lives.fate


def test_the_outgoing_ones_may_have_gone_on_without_a_joint_membership() -> None:
    """All new voters are left: but the old ones may have elected somebody who had not heard of them."""
    joint = Membership(voters=members(4, 5), outgoing=members(1, 2, 3))
    one = judged(found(4, 2, 5, joint), found(5, 2, 5, joint))
    assert (Fate.FORCED, False) == (one.fate, one.complete)
    joint = Membership(voters=members(4, 5), outgoing=members(1, 2))
    one = judged(found(4, 2, 5, joint), found(5, 2, 5, joint), found(2, 2, 4, TWO))
    assert (Fate.FORCED, True) == (one.fate, one.complete), "they could not without him"


def test_a_membership_that_the_controller_forgot_is_believed() -> None:
    """The log's word wins over the placement: those replicas have to run."""
    moved = Membership(voters=members(1, 4, 5))
    one = judged(found(1, 2, 5, moved), found(4, 2, 5, moved))
    assert Fate.LIVES is one.fate
    assert [(11, 1, True), (14, 4, True), (15, 5, False)] == [
        (item.replica, item.node, item.initialised) for item in one.placement.replicas
    ]


def test_who_led_last_probably_had_everything() -> None:
    """That is told, and is no promise."""
    assert judged(found(1, 2, 5, THREE, voted=True)).led
    assert not judged(found(1, 2, 5, THREE, voted=True, claims=(2, 6))).led


def test_what_is_of_no_use_is_no_replica() -> None:
    """A lost vote, or nothing at all: the partition is lost, and stays so visibly."""
    one = judged(found(1, 2, 5, THREE, trouble="its vote is gone"))
    assert Fate.LOST is one.fate
    assert one.placement.lost
    assert Fate.LOST is judged().fate


def test_what_was_to_go_stays_if_it_is_what_is_left() -> None:
    """A move had just ended: its files would go at the next start, and with them the last copy."""
    three = Replica(replica=ReplicaId(13), node=NodeId(3), initialised=True)
    four = Replica(replica=ReplicaId(14), node=NodeId(4), initialised=True)
    there = tuple(Replica(replica=ReplicaId(10 + node), node=NodeId(node), initialised=True) for node in (1, 2, 5))
    moved = Placement(number=0, replicas=there, removed=(three, four), since=3)
    joint = Membership(voters=members(1, 2, 5), outgoing=members(2, 3, 4), version=3)
    one = judge(moved, [found(3, 2, 5, joint), found(5, 2, 5, joint)], version=VERSION)
    assert (Fate.FORCED, members(3, 5), False) == (one.fate, one.members, one.complete)
    assert (four,) == one.placement.removed
    one = judge(moved, [found(3, 2, 6, joint), found(4, 2, 5, joint, claims=None)], version=VERSION)
    assert (three, four) == (*one.placement.replicas, *one.placement.abandoned)
    assert () == one.placement.removed, "it goes when a leader is without it"


def test_nothing_of_a_lost_partition_is_dropped() -> None:
    """What cannot be opened may be all that there is: whoever knows more may look at it."""
    three = Replica(replica=ReplicaId(13), node=NodeId(3), initialised=True)
    there = (Replica(replica=ReplicaId(11), node=NodeId(1), initialised=True),)
    moved = Placement(number=0, replicas=there, removed=(three,), since=3)
    one = judge(moved, [found(3, 2, 5, THREE, trouble="segment 1 is damaged")], version=VERSION)
    assert (Fate.LOST, ()) == (one.fate, one.placement.removed)


def test_of_two_on_a_node_one_runs() -> None:
    """The one that goes further."""
    one = judged(found(1, 2, 5, THREE), found(1, 1, 9, THREE, replica=40))
    assert members(1) == one.members
    assert () == one.placement.abandoned


def test_a_membership_that_was_made_for_a_forgotten_decision_is_believed() -> None:
    """Though its replicas are known: no leader acts on what is older than its log."""
    newer = Membership(voters=members(1, 2, 3), learners=members(4), version=5)
    one = judged(found(1, 2, 5, newer), found(2, 2, 5, newer), nodes=(1, 2, 3, 4))
    assert Fate.LIVES is one.fate
    assert (VERSION, (11, 12, 13)) == (one.placement.since, tuple(item.replica for item in one.placement.target))
    assert (14,) == tuple(item.replica for item in one.placement.abandoned)
