"""Where replicas go: on nodes of their own, balanced, racks first, leaders in turn."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.controller.placement import place
from cluster.errors import InvalidRequest
from cluster.metadata import Node, NodeState, Placement, Replica, Topic
from cluster.types import NodeId, ReplicaId, TopicId


def node(number: int, *, rack: str = "", state: NodeState = NodeState.ALIVE) -> Node:
    """A node of that number."""
    return Node(node=NodeId(number), client_address="", peer_address="", state=state, version="", rack=rack)


def topic(placements: list[list[int]]) -> Topic:
    """A topic that stands there already."""
    partitions = tuple(
        Placement(
            number=number,
            replicas=tuple(Replica(replica=ReplicaId(1), node=NodeId(n)) for n in nodes),
            preferred_leader=NodeId(nodes[0]),
        )
        for number, nodes in enumerate(placements)
    )
    return Topic(name="t", id=TopicId(b"t" * 16), partitions=partitions, replicas=3)


@settings(max_examples=150, deadline=None)
@given(nodes=st.integers(1, 9), partitions=st.integers(1, 60), data=st.data())
def test_replicas_are_apart_and_nobody_has_much_more_than_others(nodes: int, partitions: int, data: st.DataObject):
    """At most one replica of a partition on a node; replicas and leaders differ by one, over several topics."""
    replicas = data.draw(st.integers(1, nodes))
    alive = [node(number) for number in range(1, nodes + 1)]
    first = place(alive, [], partitions=partitions, replicas=replicas)
    second = place(alive, [topic(first)], partitions=7, replicas=replicas)
    assert all(len(set(chosen)) == replicas for chosen in [*first, *second])
    for placements in (first, first + second):
        held = Counter(number for chosen in placements for number in chosen)
        counts = [held[item.node] for item in alive]
        assert max(counts) - min(counts) <= 1, counts
    if replicas == nodes:
        leading = Counter(chosen[0] for chosen in first + second)
        counts = [leading[item.node] for item in alive]
        assert max(counts) - min(counts) <= 1, counts


def test_racks_come_before_balance():
    """A second replica in a rack only when every rack has one."""
    nodes = [node(1, rack="a"), node(2, rack="a"), node(3, rack="b"), node(4, rack="c")]
    for chosen in place(nodes, [], partitions=12, replicas=3):
        assert {"a", "b", "c"} == {item.rack for item in nodes if item.node in chosen}


def test_a_new_node_is_filled_first():
    """What stands is not moved; what is new goes where least is."""
    old = place([node(1), node(2), node(3)], [], partitions=6, replicas=1)
    new = place([node(number) for number in (1, 2, 3, 4)], [topic(old)], partitions=2, replicas=1)
    assert [[4], [4]] == new


def test_the_dead_get_nothing_and_too_few_are_refused():
    """A replica needs a node that is alive."""
    nodes = [node(1), node(2), node(3, state=NodeState.DEAD)]
    assert {1, 2} == {number for chosen in place(nodes, [], partitions=4, replicas=2) for number in chosen}
    with pytest.raises(InvalidRequest, match="2 are alive"):
        place(nodes, [], partitions=1, replicas=3)
