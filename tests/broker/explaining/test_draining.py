"""A node that drains, one that is gone for long, and where a drain would help: from looks, and on whole clusters."""

import asyncio
from dataclasses import replace

import pytest

from cluster.broker.explaining.decided import Decided
from cluster.broker.explaining.draining import PASSING
from cluster.broker.explaining.findings import Explanation, Severity
from cluster.broker.explaining.node import explain_node
from cluster.broker.explaining.partition import explain_partition
from cluster.config import ExplainOptions
from cluster.metadata import LED_BY_DRAINING, NO_COPY_LEFT, WAITS_FOR_TURN, Node, NodeState
from cluster.sim.cluster import SimCluster
from cluster.types import NodeId
from cluster.wire.api import cluster_pb2, explain_pb2
from tests.broker.explaining.test_partition import LIMITS, PLACEMENT, codes, node, silent, the
from tests.broker.explaining.test_staged import finding, publish, staged, until_told
from tests.broker.thin import TOPIC

FULL = explain_pb2.DiskLook(full_ms=60_000, free_bytes=100)
SLOW = explain_pb2.DiskLook(usual_write_ms=900, longest_write_ms=1_100, free_bytes=10**12)
ROOMY = explain_pb2.DiskLook(usual_write_ms=2, longest_write_ms=9, free_bytes=10**11)
LACKING = "3 replicas are asked for, and 2 nodes are alive and not draining"


def decided(draining: int = 0, *, nodes: int = 4, held: tuple[int, ...] = (12, 12, 12), **more: object) -> Decided:
    """Of so many nodes, the first of which hold what is said; topics ask for three replicas."""
    known = {
        number: Node(node=NodeId(number), client_address="", peer_address="", draining=number == draining)
        for number in range(1, nodes + 1)
    }
    facts = {
        "nodes": known,
        "held": {number: count for number, count in enumerate(held, 1) if count},
        "asked": dict.fromkeys(range(1, len(held) + 1), 3),
    }
    return Decided(**(facts | more))  # type: ignore[arg-type]


def waiting(why: str, number: int = 0) -> cluster_pb2.WaitingPartition:
    """A partition on nodes 1 to 3."""
    return cluster_pb2.WaitingPartition(topic="orders", partition=number, replicas=[1, 2, 3], why=why)


def moving(number: int, *target: int, behind_bytes: int = 0) -> cluster_pb2.Reassignment:
    """One that is on its way."""
    return cluster_pb2.Reassignment(
        topic="orders", partition=number, replicas=[1, 2, 3], target=target, behind_bytes=behind_bytes
    )


def told_of(number: int, known: Decided, *looks: explain_pb2.NodeLook, nodes: int = 4) -> Explanation:
    """A node, with the others as they should be, but for full disks nowhere."""
    hears = {n: [other for other in range(1, nodes + 1) if other != n] for n in range(1, nodes + 1)}
    there = {n: node(n, hears=hears[n], disk=ROOMY, looks=[]) for n in hears} | {look.node: look for look in looks}
    return explain_node(number, [there[n] for n in sorted(there)], LIMITS, known)


def test_what_a_draining_node_holds_and_what_moves() -> None:
    """It is a note: nothing is wrong."""
    known = decided(
        3,
        held=(14, 14, 5),
        moves=(moving(1, 1, 2, 4, behind_bytes=18_000_000), moving(2, 3, 2, 4)),
        waiting=(waiting(WAITS_FOR_TURN), waiting(LED_BY_DRAINING, 3), waiting(LED_BY_DRAINING, 4)),
    )
    found = told_of(3, known, node(3, hears=[1, 2, 4], disk=ROOMY, looks=[], leading=2))
    told = the(found, "DRAINING")
    assert (["DRAINING"], True) == (codes(found), found.healthy)
    assert (
        "it drains: 5 replicas are there still; it leads 2; 1 replica is on the way, with 18 MB to go; "
        "2 wait until others lead them; 1 waits until others have arrived" == told.cause
    )
    assert {"replicas": 5, "leading": 2, "moving": 1, "waiting": 3, "left_bytes": 18_000_000} == told.numbers
    assert told.advice.startswith("nothing: it ends by itself")
    assert [] == codes(told_of(2, known))


def test_a_drain_that_lacks_nodes_waits() -> None:
    """It says for what, and what would help."""
    found = told_of(3, decided(3, waiting=(waiting(LACKING),)))
    told = the(found, "DRAIN_WAITS")
    assert Severity.WARNING is told.severity
    assert f"1 waits for nodes: {LACKING}" in told.cause
    assert told.advice.startswith("add a node (`riverrun cluster add`)")
    assert told.advice.endswith("`riverrun cluster drain 3 --undo`")


STUCK = "most of its replicas are lost, on node 3: nobody can lead it, or move it, before one of them is back"


def test_a_drain_of_what_nobody_leads_does_not_end_by_itself() -> None:
    """A move is its leader's work. No node more would help, but the one that has the data."""
    moves = (moving(1, 1, 2, 4), moving(2, 1, 2, 4))
    told = the(told_of(3, decided(3, moves=moves, leaderless=frozenset({("orders", 2)}))), "DRAIN_WAITS")
    assert "2 replicas are on the way, with 0 bytes to go; 1 of those on the way has no leader" in told.cause
    assert told.advice.startswith("`riverrun explain partition orders/2` says what it lacks. A node: start it again")
    for why in (STUCK, NO_COPY_LEFT):
        told = the(told_of(3, decided(3, waiting=(waiting(why, 7),))), "DRAIN_WAITS")
        assert f"1 cannot leave: {why}" in told.cause
        assert "`riverrun explain partition orders/7`" in told.advice
        assert "riverrun topic delete" in told.advice
        assert "add a node" not in told.advice


def test_a_drain_to_a_node_that_has_died_waits_for_it() -> None:
    """However much is on its way."""
    known = decided(3, moves=(moving(1, 1, 2, 4, behind_bytes=18_000_000),))
    nodes = {**known.nodes, 4: replace(known.nodes[4], state=NodeState.DEAD)}
    told = the(told_of(3, replace(known, nodes=nodes)), "DRAIN_WAITS")
    assert (3, 4) == told.nodes
    assert "1 replica is on the way, some to node 4, where nothing arrives now" in told.cause
    assert told.advice.startswith("start node 4 again: it goes on by itself")


def test_a_node_with_a_seat_is_not_drained_yet() -> None:
    """As those say that hear the controller: who was cut off may still believe what was."""
    known, hears = decided(3, held=(12, 12)), {"hears": [2, 3, 4], "disk": ROOMY, "looks": []}
    told = the(told_of(3, known, node(1, quorum=[1, 2, 3], **hears)), "DRAINING")
    assert "it holds nothing any more, but has a seat in the controller's quorum still" in told.cause
    assert ["DRAINED"] == codes(told_of(3, known, node(1, quorum=[1, 2, 4], **hears)))
    assert "DRAINED" in codes(told_of(3, known, node(1, quorum=[1, 2, 3], controller=0, **hears)))


def test_a_seat_is_believed_in_while_nobody_hears_a_controller() -> None:
    """Nobody is told to switch off one of those that it lacks; nor if nobody knows who they are."""
    known = decided(3, held=(12, 12))

    def told(*quorum: int) -> Explanation:
        looks = [node(n, hears=[m for m in (1, 2, 3, 4) if m != n], controller=0, disk=ROOMY) for n in (1, 2, 3, 4)]
        looks[1].quorum.extend(quorum)
        return told_of(3, known, *looks)

    assert ["NO_CONTROLLER", "DRAINING"] == codes(told(1, 2, 3))
    assert "has a seat in the controller's quorum still" in the(told(1, 2, 3), "DRAINING").cause
    assert ["NO_CONTROLLER", "DRAINED"] == codes(told(1, 2, 4))
    assert "is not known now" in the(told(), "DRAINING").cause


def test_a_drain_that_is_done() -> None:
    """What is left to do; a node that another one replaces is removed by itself."""
    told = the(told_of(3, decided(3, held=(12, 12))), "DRAINED")
    assert told.advice.startswith("it may be switched off; then `riverrun cluster remove 3`")
    known = decided(3, held=(12, 12))
    heir = {**known.nodes, 3: replace(known.nodes[3], replaced_by=NodeId(4))}
    told = the(told_of(3, replace(known, nodes=heir)), "DRAINED")
    assert "node 4 takes its place, and it holds nothing any more" == told.cause
    assert told.advice.startswith("it may be switched off; then it is removed by itself")


@pytest.mark.parametrize(
    ("why", "severity", "said"),
    [
        (WAITS_FOR_TURN, Severity.NOTE, "and waits for its turn"),
        (LED_BY_DRAINING, Severity.NOTE, "and waits until another node leads it"),
        (LACKING, Severity.WARNING, f"and cannot: {LACKING}"),
    ],
)
def test_a_partition_that_has_to_leave_a_node_says_what_it_waits_for(why: str, severity: Severity, said: str) -> None:
    """And nothing of it where no node drains."""
    looks = [node(number) for number in (1, 2, 3)]
    found = explain_partition("orders", PLACEMENT, looks, LIMITS, decided(3, waiting=(waiting(why),)))
    told = the(found, "MOVE_WAITS")
    assert (severity, (3,)) == (told.severity, told.nodes)
    assert f"it is to leave node 3 (which drains), {said}" == told.cause
    assert [] == codes(explain_partition("orders", PLACEMENT, looks, LIMITS, decided(4, waiting=(waiting(why),))))


def test_a_node_that_is_gone_for_long_can_be_replaced() -> None:
    """By one that holds nothing, if there is one; before that it is only to be started."""
    three = [node(n, hears=[o for o in (1, 2, 4) if o != n], disk=ROOMY, looks=[]) for n in (1, 2, 4)]

    def advice(gone_ms: int, known: Decided) -> str:
        gone = silent(3)
        gone.gone_ms = gone_ms
        return the(told_of(3, known, gone, *three), "NODE_DEAD").advice

    assert "replace" not in advice(60_000, decided())
    assert "riverrun node --config" in advice(60_000, decided())
    assert advice(600_000, decided()).endswith("`riverrun cluster replace 3 --with 4` (node 4 holds nothing)")
    assert advice(600_000, decided(held=(12, 12, 12, 3))).endswith("`riverrun cluster replace 3 --with NEW`")
    assert "riverrun cluster add" in advice(600_000, decided(held=(12, 12, 12, 3)))
    assert "what it holds goes to other nodes" in advice(600_000, decided(3))
    gone = silent(3)
    gone.gone_ms = 600_000
    told = the(told_of(3, decided(), gone, *three), "NODE_DEAD")
    assert "no other node is connected with it, for 10 min by now: " in told.cause
    assert {"gone_ms": 600_000} == told.numbers


def test_a_drain_is_named_where_a_disk_ails_and_others_have_room() -> None:
    """Enough of them; who is full, slow, dead or draining itself has none."""
    full, slow = (node(3, hears=[1, 2, 4], disk=disk, looks=[]) for disk in (FULL, SLOW))
    advice = the(told_of(3, decided(), full), "DISK_FULL").advice
    assert advice.endswith("`riverrun cluster drain 3` moves what it holds to nodes 1, 2 and 4, which have room")
    assert "drain 3" in the(told_of(3, decided(), slow), "SLOW_DISK").advice
    for other in (node(1, hears=[2, 3, 4], disk=FULL, looks=[]), node(1, hears=[2, 3, 4], disk=SLOW, looks=[])):
        assert "drain" not in the(told_of(3, decided(), full, other), "DISK_FULL").advice
    assert "drain" not in the(told_of(3, decided(nodes=3), full, nodes=3), "DISK_FULL").advice
    assert "drain" not in the(told_of(3, decided(3), full), "DISK_FULL").advice
    dead = decided()
    nodes = {**dead.nodes, 4: replace(dead.nodes[4], state=NodeState.DEAD)}
    assert "drain" not in the(told_of(3, replace(dead, nodes=nodes), full), "DISK_FULL").advice


def test_of_nodes_that_have_no_replica_it_is_not_known_whether_they_have_room() -> None:
    """So it is said with an if."""
    looks = [node(1, disk=ROOMY), node(2, disk=ROOMY), node(3, disk=FULL)]
    found = explain_partition("orders", PLACEMENT, looks, ExplainOptions(), decided())
    advice = the(found, "DISK_FULL").advice
    assert advice.endswith("; if node 4 has room, `riverrun cluster drain 3` moves there what it holds")


def test_what_passes_by_itself_is_what_the_plan_says() -> None:
    """Both of its reasons that are none."""
    assert {WAITS_FOR_TURN, LED_BY_DRAINING} == set(PASSING)


@pytest.mark.slow
@staged
async def test_a_drain_is_told_as_it_goes(cluster: SimCluster) -> None:
    """What it waits for when the only free node has died; that it is done when that one is back."""
    client = cluster.client("c")
    new = await cluster.add()
    await asyncio.sleep(10)
    cluster.kill(new)
    await client.drain_node(2)
    told = finding(await until_told(lambda: client.explain_node(2), "DRAIN_WAITS"), "DRAIN_WAITS")
    assert told.numbers["replicas"] > 0
    assert (2, new) == told.nodes
    assert f"to node {new}, where nothing arrives now" in told.cause
    there = (await client.describe_topic(TOPIC)).partitions
    number = next(number for number, item in enumerate(there) if any(one.node == 2 for one in item.replicas))
    waits = finding(await until_told(lambda: client.explain_partition(TOPIC, number), "MOVE_WAITS"), "MOVE_WAITS")
    assert (new,) == waits.nodes
    await cluster.start(new)
    done = finding(await until_told(lambda: client.explain_node(2), "DRAINED"), "DRAINED")
    assert "riverrun cluster remove 2" in done.advice
    await client.abandon()


@pytest.mark.slow
@staged
async def test_how_to_replace_a_node_is_told_when_it_has_been_gone_for_long(cluster: SimCluster) -> None:
    """Not after some seconds."""
    client = cluster.client("c")
    cluster.kill(3)
    await publish(client, 20)
    told = finding(await client.explain_node(3), "NODE_DEAD")
    assert "replace" not in told.advice
    assert 15_000 < told.numbers["gone_ms"] < 30_000
    for running in cluster.running.values():  # as if that had been five minutes ago
        running.controller.observed.peer_down(NodeId(3), cluster.loop.now_s - 330)
    told = finding(await client.explain_node(3), "NODE_DEAD")
    assert "riverrun cluster replace 3 --with NEW" in told.advice
    await client.abandon()
