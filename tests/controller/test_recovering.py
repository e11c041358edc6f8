"""The controller's state after a recovery: nothing that a lost decision gave is given twice."""

import pytest

from cluster.controller.commands import (
    AddNode,
    AllocateProducers,
    CreateTopic,
    OpenProducer,
    Proposal,
    RegisterNode,
    RemoveNode,
)
from cluster.controller.planning import Plan, Situation
from cluster.controller.recovering import ERA, recovered, version_after
from cluster.controller.state import MetadataState
from cluster.metadata import Placement, QuorumConfiguration, Recovery, Replica, Seat
from cluster.types import NodeId, PartitionId, ReplicaId, TopicId

TOPIC = b"t" * 16


def _state() -> MetadataState:
    state = MetadataState()
    commands = [
        *(
            RegisterNode(node=node, client_address=f"c{node}:1", peer_address=f"p{node}:1", version="", rack="")
            for node in range(1, 5)
        ),
        CreateTopic(name="t", id=TOPIC, placements=[[1, 2, 3], [2, 3, 4], [3, 4, 1]], replicas=3, if_absent=False),
        OpenProducer(name="till"),
        AllocateProducers(count=10),
    ]
    for number, command in enumerate(commands):
        state.apply(Proposal(client=b"c", number=number, command=command))
    return state


def _recovered(*, decisions: bool = True) -> MetadataState:
    before = _state().encode()
    lost = Placement(number=1, replicas=(Replica(replica=ReplicaId(5), node=NodeId(3)),), lost=True)
    alone = Replica(replica=ReplicaId(9), node=NodeId(1), initialised=True)
    after = MetadataState()
    after.restore(
        recovered(
            before,
            configuration=QuorumConfiguration(number=ERA, seats=(Seat(node=NodeId(1), directory=b"d"),)),
            placements={
                PartitionId(TopicId(TOPIC), 1): lost,
                PartitionId(TopicId(TOPIC), 2): Placement(
                    number=2, replicas=(alone,), preferred_leader=NodeId(1), since=version_after(before)
                ),
            },
            gone={NodeId(3), NodeId(4)},
            replica_max=70,
            recovery=Recovery(
                at_ns=1, configuration=ERA, nodes=(NodeId(3), NodeId(4)), forced=1, lost=1, decisions=decisions
            ),
        )
    )
    return after


def test_ids_versions_and_epochs_jump_ahead() -> None:
    """What only lost members decided may have been told to others."""
    before, after = _state(), _recovered()
    assert before.version + ERA == after.version
    assert before.applied + ERA == after.applied
    assert after.next_replica > 70 + ERA - 1
    assert before.next_producer + ERA == after.next_producer
    assert (before.producers["till"][0], ERA) == after.producers["till"]
    answer, _ = after.apply(Proposal(client=b"d", number=1, command=AddNode(client_address="n:1", peer_address="n:2")))
    assert [105] == answer.numbers
    assert 5 == _recovered(decisions=False).next_node


def test_who_was_given_up_is_gone_for_ever() -> None:
    """The node is none of the cluster, and its id does not return."""
    after = _recovered()
    assert [1, 2] == sorted(after.nodes)
    again = RegisterNode(node=3, client_address="c", peer_address="p", version="", rack="")
    answer, _ = after.apply(Proposal(client=b"d", number=1, command=again))
    assert "NODE_REMOVED" == answer.reason
    answer, _ = after.apply(Proposal(client=b"d", number=2, command=RemoveNode(node=3)))
    assert "UNKNOWN_NODE" == answer.reason
    assert [1] == [one.forced for one in after.recoveries]


@pytest.mark.parametrize("added", [0, 2])
def test_the_plan_goes_on_from_there(added: int) -> None:
    """What is left is made whole with the nodes that there are; a dead partition is left alone."""
    after = _recovered()
    for node in range(105, 105 + added):
        command = RegisterNode(node=node, client_address=f"c{node}:1", peer_address=f"p{node}:1", version="", rack="")
        after.apply(Proposal(client=b"n", number=node, command=command))
    topic = after.topics[TopicId(TOPIC)]
    marked = {
        number: [item.replica for item in topic.partitions[number].replicas] for number in range(len(topic.partitions))
    }
    assert [5] == marked[1]
    moves = {move.number: move.nodes for move in Plan(Situation(nodes=after.nodes, topics=after.topics)).moves}
    assert set(moves) <= {0, 2}
    assert 1 == moves[2][0]
    assert (3 if added else 2) == len(moves[2])
