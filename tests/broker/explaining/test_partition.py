"""What is drawn from looks at a partition, and at the nodes behind it: each code once, with its numbers and words."""

import doctest
from typing import Any

from cluster.broker.explaining import words
from cluster.broker.explaining.findings import Explanation, Finding, Severity
from cluster.broker.explaining.node import explain_node
from cluster.broker.explaining.partition import explain_partition
from cluster.config import ExplainOptions
from cluster.metadata import Placement, Replica
from cluster.types import NodeId, ReplicaId
from cluster.wire.api import cluster_pb2, explain_pb2

LIMITS = ExplainOptions()
PLACEMENT = Placement(
    number=0,
    replicas=tuple(Replica(replica=ReplicaId(10 + n), node=NodeId(n), initialised=True) for n in (1, 2, 3)),
)


def replica(node: int, **changed: Any) -> explain_pb2.ReplicaLook:
    """One that does well: node 1 leads."""
    facts = {
        "topic": "orders",
        "replica": 10 + node,
        "role": "leader" if node == 1 else "follower",
        "leader": 1,
        "term": 3,
        "last_index": 1_000,
        "durable_index": 1_000,
        "commit": 1_000,
        "end_offset": 900,
        "may_vote": True,
    }
    if node == 1:
        facts["followers"] = [follower(2), follower(3)]
    return explain_pb2.ReplicaLook(**(facts | changed))


def follower(node: int, **changed: Any) -> explain_pb2.FollowerLook:
    """One that has everything."""
    return explain_pb2.FollowerLook(**({"node": node, "replica": 10 + node, "link_up": True} | changed))


def node(number: int, own: explain_pb2.ReplicaLook | None = None, **changed: Any) -> explain_pb2.NodeLook:
    """One that does well."""
    facts = {
        "node": number,
        "state": cluster_pb2.NODE_STATE_ALIVE,
        "answer_ms": 1,
        "hears": [other for other in (1, 2, 3) if other != number],
        "controller": 1,
        "disk": explain_pb2.DiskLook(usual_write_ms=2, longest_write_ms=9, free_bytes=10**9),
        "looks": [own or replica(number)],
    }
    return explain_pb2.NodeLook(**(facts | changed))


def silent(number: int) -> explain_pb2.NodeLook:
    """One that nobody hears."""
    return explain_pb2.NodeLook(node=number, silence=f"n{number}:7171 cannot be reached (unavailable)")


def explained(*looks: explain_pb2.NodeLook) -> Explanation:
    """With the others as they should be."""
    by_number = {number: node(number) for number in (1, 2, 3)} | {look.node: look for look in looks}
    return explain_partition("orders", PLACEMENT, [by_number[number] for number in (1, 2, 3)], LIMITS)


def codes(found: Explanation) -> list[str]:
    """In their order."""
    return [finding.code for finding in found.findings]


def the(found: Explanation, code: str) -> Finding:
    """The only one of that code."""
    (finding,) = [finding for finding in found.findings if finding.code == code]
    return finding


def test_nothing_waits() -> None:
    """The numbers are told all the same."""
    found = explained()

    assert (True, []) == (found.healthy, codes(found))
    assert "partition orders/0: nothing waits" == found.summary
    assert (
        "leader: node 1 (term 3), committed offsets 0 to 899",
        "replica on node 1: leads, 1,000 entries, all on its disk; its disk takes 2 ms for a write, 1 GB free",
        "replica on node 2: follows, up to date; its disk takes 2 ms for a write, 1 GB free",
        "replica on node 3: follows, up to date; its disk takes 2 ms for a write, 1 GB free",
    ) == found.state


def test_a_follower_that_is_behind() -> None:
    """As an operator would say it, with why, and with what it means for the partition."""
    behind = follower(
        2, behind_entries=1_203, behind_bytes=48_000_000, behind_ms=12_000, moved_entries=0, moved_within_ms=1_000
    )
    slow = explain_pb2.DiskLook(usual_write_ms=900, longest_write_ms=1_100)
    found = explained(node(1, replica(1, followers=[behind, follower(3)])), node(2, disk=slow))

    assert ["LAGGING_FOLLOWER", "SLOW_DISK"] == codes(found)
    told = the(found, "LAGGING_FOLLOWER")
    assert (
        "the replica on node 2 is 48 MB / 1,203 entries behind, and lacks what was published 12 s ago; it did not get "
        "further within 1 s; its disk takes 900 ms for a write with its sync" == told.cause
    )
    assert told.consequence.startswith("nobody waits for it (2 of 3 replicas have everything, 2 are needed), but if")
    assert told.advice.startswith("`riverrun explain node 2`")


def test_a_follower_that_catches_up() -> None:
    """How fast it is, and how long it will take."""
    behind = follower(
        2, behind_entries=1_000, behind_bytes=10**6, behind_ms=5_000, moved_entries=500, moved_within_ms=1_000
    )
    found = explained(node(1, replica(1, followers=[behind, follower(3)])))

    assert (
        "it gets 500 entries a second, which takes 2 s if nothing is published" in the(found, "LAGGING_FOLLOWER").cause
    )
    assert the(found, "LAGGING_FOLLOWER").advice.startswith("nothing: it catches up by itself")


def test_a_follower_that_begins_anew() -> None:
    """It has to get all of it."""
    anew = follower(3, behind_entries=1_000, behind_bytes=10**9, reinstalling=True)
    found = explained(node(1, replica(1, followers=[follower(2), anew])), node(3, replica(3, recovering=True)))

    assert ["RECOVERING", "REINSTALLING"] == codes(found)
    assert "beginning anew from the leader's log, with 1 GB to get" in the(found, "REINSTALLING").cause
    assert "2 of 3 replicas can acknowledge, 2 are needed" in the(found, "RECOVERING").consequence


def test_a_moment_is_no_lag() -> None:
    """What was published a second ago may be under way."""
    behind = follower(2, behind_entries=3, behind_bytes=300, behind_ms=1_000)

    assert explained(node(1, replica(1, followers=[behind, follower(3)]))).healthy


def test_no_quorum_and_an_election_are_told_apart() -> None:
    """Whether it can be better by itself."""
    alone = node(1, replica(1, role="pre_candidate", leader=0), hears=[], controller=0)
    found = explained(alone, silent(2), silent(3))
    assert ["NO_QUORUM", "NODE_DEAD", "NODE_DEAD", "NO_CONTROLLER", "SEEN_BY_ONE"] == codes(found)
    assert Severity.CRITICAL is the(found, "NO_QUORUM").severity

    electing = [node(n, replica(n, role="candidate", leader=0)) for n in (1, 2, 3)]
    assert ["NO_LEADER"] == codes(explained(*electing))

    repaired = [node(1, replica(1, role="follower", leader=0))] + [
        node(n, replica(n, leader=0, recovering=True, doubtful=True)) for n in (2, 3)
    ]
    found = explained(*repaired)
    assert "NO_QUORUM" == codes(found)[0]
    assert "on node 2 it is still being repaired and on node 3" in the(found, "NO_QUORUM").cause


def test_replicas_that_are_lost_or_do_not_run() -> None:
    """On nodes that answer."""
    lost = explain_pb2.ReplicaLook(topic="orders", replica=12, lost=True)
    absent = explain_pb2.ReplicaLook(topic="orders", replica=13)

    assert ["REPLICA_LOST"] == codes(explained(node(2, lost)))
    assert ["REPLICA_ABSENT"] == codes(explained(node(3, absent)))
    assert "node 2 has lost its files" in explained(node(2, lost)).state[2]


def test_what_is_not_committed_says_whose_disks_it_waits_for() -> None:
    """Two slow disks are a majority."""
    slow = explain_pb2.DiskLook(usual_write_ms=3_000, longest_write_ms=4_000, under_way_ms=3_500)
    found = explained(node(1, replica(1, commit=990, uncommitted_ms=4_000)), node(2, disk=slow), node(3, disk=slow))

    assert ["NOT_COMMITTED", "SLOW_DISK", "SLOW_DISK"] == codes(found)
    assert (
        "10 batches wait to be on the disks of 2 of 3 replicas, the oldest for 4 s: the disk of nodes 2 and 3 is slow"
        == the(found, "NOT_COMMITTED").cause
    )
    assert "one has been under way for 3.5 s" in found.findings[1].cause


def test_what_is_wrong_with_nodes() -> None:
    """Clocks, loops, disks, and links that work one way only."""
    assert ["CLOCKS_APART"] == codes(explained(node(2, clock_ahead_ms=-5_000)))
    assert "5 s behind" in explained(node(2, clock_ahead_ms=-5_000)).findings[0].cause
    assert ["NODE_BUSY"] == codes(explained(node(2, loop_late_ms=1_500)))
    full = explain_pb2.DiskLook(full_ms=60_000, free_bytes=100)
    assert ["DISK_FULL"] == codes(explained(node(2, disk=full)))
    assert "no room for 60 s; 100 bytes are free" in explained(node(2, disk=full)).findings[0].cause
    assert ["NODES_CUT_OFF"] == codes(explained(node(2, hears=[1])))
    assert ["NODE_SILENT"] == codes(explained(silent(3)))
    assert ["NODE_DEAD"] == codes(explained(node(1, hears=[2]), node(2, hears=[1]), silent(3)))


def test_a_node_is_told_from_all_sides() -> None:
    """What it says of itself, and what leaders elsewhere say of its replicas."""
    behind = follower(2, behind_entries=7, behind_bytes=7_000, behind_ms=9_000, moved_entries=0, moved_within_ms=1_000)
    looks = [
        node(1, replica(1, followers=[behind, follower(3)])),
        node(2, replica(2, leader=0, role="candidate"), replicas=12, leading=4),
        node(3),
    ]
    found = explain_node(2, looks, LIMITS)

    assert ["NO_LEADER", "LAGGING_FOLLOWER"] == codes(found)
    assert "1 partition with a replica here has no leader that this node knows of: orders/0" == found.findings[0].cause
    assert "furthest is that of orders/0: 7 kB / 7 entries behind" in found.findings[1].cause
    assert "12 replicas, leads 4; its loop was late by under 1 ms at most" in found.state
    assert [] == codes(explain_node(3, looks, LIMITS))


def test_the_examples_of_words_are_right() -> None:
    """Those in the module's docstring."""
    assert 0 == doctest.testmod(words).failed
