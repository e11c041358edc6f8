"""A move that is under way is a note, with how much is left; what keeps it is more; votes are counted right."""

from dataclasses import replace

from cluster.broker.explaining.findings import Explanation
from cluster.broker.explaining.partition import explain_partition
from cluster.config import ExplainOptions
from cluster.metadata import Replica
from cluster.types import NodeId, ReplicaId
from cluster.wire.api import explain_pb2
from tests.broker.explaining.test_partition import PLACEMENT, codes, follower, node, replica, silent

TO_4 = replace(
    PLACEMENT, target=(*PLACEMENT.replicas[:2], Replica(replica=ReplicaId(40), node=NodeId(4), initialised=False))
)
"""From node 3 to node 4."""
LEARNER = follower(
    4,
    replica=40,
    learner=True,
    behind_entries=3_000,
    behind_bytes=12_000_000,
    behind_ms=60_000,
    moved_entries=1_000,
    moved_within_ms=1_000,
)


def moving(
    *looks: explain_pb2.NodeLook, followers: tuple[explain_pb2.FollowerLook, ...] = (LEARNER,), joint: bool = False
) -> Explanation:
    """With node 1 leading, and the others as they should be."""
    leads = replica(1, followers=[follower(2), follower(3), *followers], learners=[40], joint=joint)
    arriving = explain_pb2.ReplicaLook(topic="orders", replica=40, role="follower", leader=1)
    there = {number: node(number, hears=[n for n in (1, 2, 3, 4) if n != number]) for number in (2, 3)}
    there |= {1: node(1, leads, hears=[2, 3, 4]), 4: node(4, arriving, hears=[1, 2, 3])}
    there |= {look.node: look for look in looks}
    return explain_partition("orders", TO_4, [there[number] for number in sorted(there)], ExplainOptions())


def test_how_much_is_left() -> None:
    """And how long that takes; who is on its way is neither behind nor missing."""
    found = moving()

    assert (["MOVING"], True) == (codes(found), found.healthy)
    assert (
        "it moves to nodes 1, 2 and 4 (node 4 comes in, node 3 goes): 12 MB to go to node 4, about 3 s at this rate"
        == found.findings[0].cause
    )
    assert {"left_bytes": 12_000_000, "replicas_to_come": 1} == found.findings[0].numbers
    assert any(
        line.startswith("replica on node 4: on its way here, 12 MB / 3,000 entries behind") for line in found.state
    )


def test_its_beginning_and_its_end() -> None:
    """Before the leader has begun, and when all is copied."""
    assert "node 1, which leads it, has not begun yet" in moving(followers=()).findings[0].cause
    assert "the voters are just being exchanged" in moving(joint=True).findings[0].cause


def test_a_move_to_a_node_that_is_gone_waits() -> None:
    """It is said which one; the partition itself does well."""
    there = [node(n, replica(n) if n > 1 else None, hears=[o for o in (1, 2, 3) if o != n]) for n in (2, 3)]
    found = moving(silent(4), *there)

    assert "MOVE_WAITS" in codes(found)
    told = next(finding for finding in found.findings if finding.code == "MOVE_WAITS")
    assert (4,) == told.nodes
    assert "it waits for node 4, which does not answer" in told.cause
    assert "LAGGING_FOLLOWER" not in codes(found)


def test_whoever_is_on_its_way_is_no_quorum() -> None:
    """Two of the three that vote are gone: the fourth does not help."""
    alone = node(1, replica(1, role="candidate", leader=0), hears=[4])
    arriving = explain_pb2.ReplicaLook(topic="orders", replica=40, role="follower", may_vote=True)
    found = moving(alone, silent(2), silent(3), node(4, arriving, hears=[1]))

    assert "NO_QUORUM" == codes(found)[0]
    assert {"replicas": 3, "replicas_there": 1, "replicas_needed": 2} == found.findings[0].numbers
    assert "MOVE_WAITS" in codes(found)
