"""Placements on their way: what a target makes, gives up, and leaves behind; who may go, and when."""

from dataclasses import replace

from cluster.controller.commands import (
    RULES,
    AddNode,
    CancelReassign,
    DrainNode,
    Dropped,
    FinishReassign,
    MarkInitialised,
    Move,
    MoveReplicas,
    PreferLeaders,
    Reassign,
    RemoveNode,
    ReplaceNode,
    SetNodeState,
    SetReplicas,
)
from cluster.controller.planning import Plan, Situation
from cluster.controller.state import MetadataState
from cluster.metadata import NodeState, Placement
from cluster.types import NodeId
from tests.controller.test_state import Machine, create, register

ID = b"t" * 16


class Moving(Machine):
    """Four nodes and a topic with replicas 1, 2, 3 and 4, 5, 6 on the first three, all of them recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.do(register(4))
        self.do(create())
        self.do(MarkInitialised(replicas=[1, 2, 3, 4, 5, 6]))

    def placement(self, number: int = 0) -> Placement:
        """Of partition `number`."""
        return next(iter(self.state.topics.values())).partitions[number]

    def plan(self) -> Plan:
        """What the controller would do next."""
        return Plan(Situation(nodes=self.state.nodes, topics=self.state.topics))

    def reason(self, command: object) -> tuple[str, str]:
        """Why it was refused; empty if it was not."""
        answer, _ = self.do(command)  # type: ignore[arg-type]
        return answer.reason, answer.message

    def confirm(self, *voters: int, number: int = 0, version: int | None = None) -> None:
        """A leader says that these vote."""
        told = self.placement(number).since if version is None else version
        self.do(FinishReassign(topic=ID, number=number, voters=list(voters), version=told))


def ids(items: object) -> list[int]:
    """Replica ids, in order."""
    return [item.replica for item in items]  # type: ignore[attr-defined]


def test_a_move_ends_when_a_leader_says_so():
    """New ids for new places; what is left over stays until the log's membership is without it, and says so itself."""
    machine = Moving()
    machine.do(Reassign(topic="t", nodes={0: [4, 1, 2]}))
    assert ([1, 2, 3], [7, 1, 2], []) == (
        ids(machine.placement().replicas),
        ids(machine.placement().target),
        ids(machine.placement().removed),
    )
    machine.confirm(1, 2, 3)
    machine.confirm(7, 1, 2, version=machine.placement().since - 1)
    assert [7, 1, 2] == ids(machine.placement().target), "neither others, nor those of an older target"
    machine.confirm(1, 2, 7)
    done = machine.placement()
    assert ([7, 1, 2], [], [3], 4) == (ids(done.replicas), ids(done.target), ids(done.removed), done.preferred_leader)
    machine.do(Dropped(replicas=[3]))
    assert () == machine.placement().removed


def test_what_was_given_up_runs_until_it_is_out():
    """A cancelled target may be the log's membership by then, so what it made goes only when a leader is without it."""
    machine = Moving()
    machine.do(Reassign(topic="t", nodes={0: [4, 1, 2]}))
    first = machine.placement().since
    machine.do(CancelReassign(topic="t", partitions=[]))
    back = machine.placement()
    assert ([1, 2, 3], [7], {1, 2, 3, 7}) == (ids(back.target), ids(back.abandoned), set(ids(back.running)))
    machine.confirm(1, 2, 3, version=first)
    assert back == machine.placement(), "said before it knew"
    machine.do(Reassign(topic="t", nodes={1: [4, 5, 6]}))
    machine.confirm(1, 2, 3)
    assert ([1, 2, 3], [], [7]) == (
        ids(machine.placement().replicas),
        ids(machine.placement().abandoned),
        ids(machine.placement().removed),
    )


def test_a_lost_replica_returns_under_another_id_on_its_node():
    """The plan names the node; the old id is removed when a leader is without it. A plan that is old does nothing."""
    machine = Moving()
    move = Move(topic=ID, number=0, nodes=[1, 2, 3], since=0, fresh=[3])
    machine.do(MoveReplicas(moves=[move]))
    assert [1, 2, 7] == ids(machine.placement().target)
    machine.do(MoveReplicas(moves=[move]))
    assert [1, 2, 7] == ids(machine.placement().target)
    machine.do(MoveReplicas(moves=[Move(topic=ID, number=0, nodes=[1, 2, 3], since=machine.placement().since)]))
    assert [1, 2, 7] == ids(machine.placement().target), "the newest that a node has"
    machine.do(MoveReplicas(moves=[Move(topic=ID, number=0, nodes=[1, 9], since=machine.placement().since)]))
    assert [1, 2, 7] == ids(machine.placement().target), "nobody knows node 9"
    machine.confirm(1, 2, 7)
    assert [3] == ids(machine.placement().removed)


def test_what_nobody_can_move_is_refused_with_why():
    """Unknown, dead, draining and doubled nodes, another number of them, and a second move at once."""
    machine = Moving()
    machine.do(SetNodeState(node=4, alive=False))
    refusals = {
        "UNKNOWN_TOPIC": Reassign(topic="u", nodes={0: [1, 2, 3]}),
        "UNKNOWN_PARTITION": Reassign(topic="t", nodes={2: [1, 2, 3]}),
        "UNKNOWN_NODE": Reassign(topic="t", nodes={0: [1, 2, 9]}),
    }
    for reason, command in refusals.items():
        assert reason == machine.reason(command)[0]
    for nodes, why in (([1, 2, 4], "it is dead"), ([1, 1, 2], "two replicas on node 1"), ([1, 2], "has 3 replicas")):
        assert why in machine.reason(Reassign(topic="t", nodes={1: [1, 2, 3], 0: nodes}))[1]
    assert not machine.state.moving, "all or none"
    machine.do(SetNodeState(node=4, alive=True))
    machine.do(Reassign(topic="t", nodes={0: [1, 2, 4]}))
    reason, message = machine.reason(Reassign(topic="t", nodes={0: [4, 2, 3]}))
    assert "REASSIGNMENT_IN_PROGRESS" == reason
    assert "on its way to nodes 1, 2, 4" in message


def test_a_partition_that_was_lost_for_good_is_moved_by_nobody():
    """Nothing of it is there: the move would have no end."""
    machine = Moving()
    topic = next(iter(machine.state.topics.values()))
    machine.state.topics[topic.id] = replace(topic, partitions=(replace(topic.partitions[0], lost=True),))
    reason, message = machine.reason(Reassign(topic="t", nodes={0: [1, 2, 4]}, rules=RULES))
    assert "INVALID_REQUEST" == reason
    assert "a recovery found no copy of it: delete the topic" in message


def test_a_partition_that_is_being_made_does_not_move_yet():
    """Whoever is made after a move learns its membership from others: there must be some that need not."""
    machine = Machine()
    machine.do(register(4))
    machine.do(create())
    assert "UNAVAILABLE" == machine.do(Reassign(topic="t", nodes={0: [1, 2, 4]}))[0].reason


def test_a_node_gets_an_id_that_nobody_had():
    """Added twice for the same addresses it is one; removed, its id is refused for ever."""
    machine = Moving()
    add = AddNode(client_address="h:1", peer_address="h:2", rack="r")
    assert [5] == machine.do(add)[0].numbers == machine.do(add)[0].numbers
    assert NodeState.ADDED is machine.state.nodes[NodeId(5)].state
    assert "INVALID_REQUEST" == machine.reason(AddNode(client_address="h:1", peer_address="h:3"))[0]
    assert "HOST:PORT" in machine.reason(AddNode(client_address="h", peer_address="h:3"))[1]
    machine.do(register(5))
    assert (NodeState.ALIVE, "r") == (machine.state.nodes[NodeId(5)].state, machine.state.nodes[NodeId(5)].rack)
    assert "UNKNOWN_NODE" == machine.reason(RemoveNode(node=9))[0]
    reason, message = machine.reason(RemoveNode(node=3))
    assert "NODE_IN_USE" == reason
    assert "node 3 holds 2 replicas, of topic t: drain it first" in message
    _, delta = machine.do(RemoveNode(node=5))
    assert delta is not None
    assert (5,) == delta.gone
    assert "NODE_REMOVED" == machine.reason(register(5))[0]
    assert [6] == machine.do(AddNode(client_address="h:1", peer_address="h:2"))[0].numbers
    assert [10] == machine.do(AddNode(client_address="h:3", peer_address="h:4", above=9))[0].numbers


def test_a_drain_that_cannot_end_is_refused():
    """Copies that were asked for are not given up: what would help is said."""
    machine = Moving()
    assert "" == machine.reason(DrainNode(node=1))[0]
    reason, message = machine.reason(DrainNode(node=2))
    assert "NOT_ENOUGH_NODES" == reason
    assert "without node 2 there are 2 nodes for the 3 replicas of topic t (node 1 is draining): add a node" in message
    assert "" == machine.reason(SetReplicas(name="t", replicas=2))[0]
    assert "" == machine.reason(DrainNode(node=2))[0]
    assert "UNKNOWN_NODE" == machine.reason(DrainNode(node=9))[0]
    assert "2 are alive and not draining" in machine.reason(SetReplicas(name="t", replicas=3))[1]


def test_what_leaves_a_draining_node_turns_back_when_that_is_undone():
    """Other moves go on; while it drains they are not cancelled one by one, for they would begin again."""
    machine = Moving()
    machine.do(DrainNode(node=3))
    machine.do(MoveReplicas(moves=[Move(topic=ID, number=0, nodes=[1, 2, 4], since=0)]))
    assert "node 3 is draining" in machine.reason(CancelReassign(topic="t", partitions=[0]))[1]
    machine.do(DrainNode(node=3, undo=True))
    assert [1, 2, 3] == ids(machine.placement().target)
    assert not machine.state.nodes[NodeId(3)].draining
    machine.do(DrainNode(node=3))
    machine.do(register(3, "elsewhere"))
    assert machine.state.nodes[NodeId(3)].draining, "a restart changes nothing"


def test_a_move_of_the_balance_that_somebody_cancels_does_not_begin_again():
    """Neither while it goes back nor when it has: the next move is of another partition."""
    machine = Moving()
    (move,) = machine.plan().moves
    machine.do(MoveReplicas(moves=[move]))
    machine.do(CancelReassign(topic="t", partitions=[move.number], rules=RULES))
    assert [] == machine.plan().moves
    machine.confirm(*ids(machine.placement(move.number).replicas), number=move.number)
    assert [1 - move.number] == [item.number for item in machine.plan().moves]


def test_a_second_move_that_somebody_cancels_leaves_the_first_one_where_it_went():
    """What somebody chose before is what it goes back to, and balance leaves it there."""
    machine = Moving()
    machine.do(Reassign(topic="t", nodes={0: [1, 2, 4]}))
    machine.confirm(*ids(machine.placement().target))
    machine.do(Reassign(topic="t", nodes={0: [1, 3, 4]}))
    machine.do(CancelReassign(topic="t", partitions=[], rules=RULES))
    machine.confirm(*ids(machine.placement().target))
    there = machine.placement()
    assert ([1, 2, 4], True) == ([item.node for item in there.replicas], there.pinned)
    assert not machine.placement(1).pinned, "it did not move"


def test_a_drain_that_never_was_is_not_undone():
    """What somebody moves away from a node goes on, though it be told once more that it may hold something."""
    machine = Moving()
    machine.do(Reassign(topic="t", nodes={0: [1, 2, 4]}))
    before = machine.placement()
    machine.do(DrainNode(node=3, undo=True))
    assert before == machine.placement()


def test_a_node_takes_the_place_of_another_one():
    """A wrong name is refused; what is left over of a removed node's replicas is forgotten with it."""
    machine = Moving()
    assert "UNKNOWN_NODE" == machine.reason(ReplaceNode(old=3, new=9))[0]
    assert "cannot take its own place" in machine.reason(ReplaceNode(old=3, new=3))[1]
    machine.do(SetNodeState(node=4, alive=False))
    assert "it is dead" in machine.reason(ReplaceNode(old=3, new=4))[1]
    machine.do(SetNodeState(node=4, alive=True))
    machine.do(SetNodeState(node=3, alive=False))
    assert "" == machine.reason(ReplaceNode(old=3, new=4))[0]
    assert (True, 4) == (machine.state.nodes[NodeId(3)].draining, machine.state.nodes[NodeId(3)].replaced_by)
    for number, keep in ((0, [1, 2]), (1, [4, 5])):
        machine.do(MoveReplicas(moves=[Move(topic=ID, number=number, nodes=[1, 2, 4], since=0)]))
        machine.confirm(*keep, machine.placement(number).target[2].replica, number=number)
    assert [3] == ids(machine.placement().removed)
    assert "" == machine.reason(RemoveNode(node=3))[0]
    assert () == machine.placement().removed


def test_a_better_leader_is_one_that_stays():
    """Of a partition that moves it is one of those to be there."""
    machine = Moving()
    machine.do(PreferLeaders(leaders=[(ID, 0, 2), (ID, 1, 4), (b"u" * 16, 0, 1)]))
    assert (2, 1) == (machine.placement().preferred_leader, machine.placement(1).preferred_leader)
    machine.do(Reassign(topic="t", nodes={0: [1, 2, 4]}))
    machine.do(PreferLeaders(leaders=[(ID, 0, 4), (ID, 0, 3)]))
    machine.confirm(1, 2, 7)
    assert 4 == machine.placement().preferred_leader


def test_a_state_comes_back_with_what_is_on_its_way():
    """Moves, abandoned and removed replicas, drains, and the ids of nodes that are gone."""
    machine = Moving()
    machine.do(AddNode(client_address="h:1", peer_address="h:2"))
    machine.do(RemoveNode(node=5))
    machine.do(DrainNode(node=3))
    machine.do(MoveReplicas(moves=[Move(topic=ID, number=0, nodes=[1, 2, 4], since=0)]))
    restored = MetadataState()
    restored.restore(machine.state.encode())
    assert machine.state.everything() == restored.everything()
    assert list(machine.state.moving) == list(restored.moving) != []
    assert machine.state.encode() == restored.encode()
    assert machine.placement() == replace(machine.placement())
