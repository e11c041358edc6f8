"""Who should decide, case by case."""

from collections.abc import Collection

from cluster.controller.seats import plan_seats
from cluster.metadata import Node, NodeState, QuorumConfiguration
from cluster.types import NodeId


def _plan(
    now: Collection[int],
    *,
    nodes: Collection[int],
    dead: Collection[int] = (),
    draining: Collection[int] = (),
    racks: str = "",
    lost: Collection[int] = (),
    number: int = 7,
) -> list[int] | None:
    known = {
        NodeId(node): Node(
            node=NodeId(node),
            client_address="c",
            peer_address="p",
            state=NodeState.DEAD if node in dead else NodeState.ALIVE,
            rack=racks[node - 1] if racks else "",
            draining=node in draining,
            directory=b"d%d" % node,
        )
        for node in nodes
    }
    members = [NodeId(node) for node in now]
    plan = plan_seats(known, QuorumConfiguration(number=number), members, lost=[NodeId(node) for node in lost])
    assert plan is None or plan.number == number + 1
    return None if plan is None else [node for node, _ in plan.seats]


def test_three_decide_and_five_where_there_are_five():
    """It grows with the cluster, and shrinks only with nodes that are gone, not with those that are dead."""
    assert _plan([1], nodes=range(1, 4)) == [1, 2, 3]
    assert _plan([1, 2, 3], nodes=range(1, 5)) is None
    assert _plan([1, 2, 3], nodes=range(1, 6)) == [1, 2, 3, 4, 5]
    assert _plan([1, 2, 3], nodes=range(1, 6), dead=[5]) is None
    assert _plan([1, 2, 3, 4, 5], nodes=range(1, 6), dead=[4, 5], lost=[4, 5]) is None
    assert _plan([1, 2, 3, 4, 5], nodes=range(1, 5)) == [1, 2, 3]


def test_a_seat_goes_to_whoever_can_take_it():
    """Of a node that drains, was removed or is dead for long; one of another rack comes first."""
    assert _plan([1, 2, 3], nodes=range(1, 5), draining=[2]) == [1, 3, 4]
    assert _plan([1, 2, 3], nodes=[1, 3, 4]) == [1, 3, 4]
    assert _plan([1, 2, 3], nodes=range(1, 5), dead=[2]) is None
    assert _plan([1, 2, 3], nodes=range(1, 5), dead=[2], lost=[2]) == [1, 3, 4]
    assert _plan([1, 2, 3], nodes=range(1, 6), dead=[2, 5], lost=[2], racks="abcab") == [1, 3, 4]
    assert _plan([1, 2, 3], nodes=[1, 2, 4, 5], dead=[5], racks="abcab") == [1, 2, 4]


def test_without_a_majority_nothing_is_proposed():
    """It could not be formed."""
    assert _plan([1, 2, 3], nodes=[1, 2, 3, 4], dead=[1, 2, 4], lost=[1, 2]) is None


def test_who_was_never_there_is_waited_for_for_a_while():
    """A cluster that forms is whole when all have registered; a seat that nobody ever took is not kept for ever."""
    assert _plan([1, 2, 3, 4, 5], nodes=[1, 2, 3, 4], number=1) is None
    assert _plan([1, 2, 3, 4, 5], nodes=[1, 2, 3, 4], draining=[4], lost=[4], number=1) is None
    assert _plan([1, 2, 3, 4, 5], nodes=[1, 2, 3, 4], lost=[5], number=1) == [1, 2, 3]
