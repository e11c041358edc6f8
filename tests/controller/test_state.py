"""The controller's state machine: what each command does, refuses, and answers when it comes again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.controller.commands import (
    AllocateProducers,
    Answer,
    Command,
    CreateTopic,
    DeleteTopic,
    MarkInitialised,
    OpenProducer,
    Proposal,
    RegisterNode,
    SetNodeState,
    decode_answer,
    decode_proposal,
    encode,
)
from cluster.controller.state import MetadataState
from cluster.errors import InvalidRequest
from cluster.metadata import Delta, NodeState
from cluster.types import NodeId, TopicId


class Machine:
    """A state and the numbers of its proposals."""

    def __init__(self) -> None:
        self.state = MetadataState()
        self.number = 0
        for node in (1, 2, 3):
            self.do(register(node))

    def do(self, command: Command) -> tuple[Answer, Delta | None]:
        """One more proposal."""
        self.number += 1
        return self.state.apply(Proposal(client=b"c", number=self.number, command=command))


def register(node: int, address: str = "a") -> RegisterNode:
    """A node makes itself known."""
    return RegisterNode(node=node, client_address=address, peer_address="p", version="1", rack="")


def create(name: str = "t", *, partitions: int = 2, if_absent: bool = False, id_: bytes = b"t" * 16) -> CreateTopic:
    """A topic on all three nodes."""
    placements = [[1, 2, 3] for _ in range(partitions)]
    return CreateTopic(name=name, id=id_, placements=placements, replicas=3, if_absent=if_absent)


def test_a_topic_gets_replicas_that_nobody_ever_had():
    """Replica ids are never used twice, not even by a topic of the same name."""
    machine = Machine()
    seen: set[int] = set()
    for turn in range(3):
        answer, delta = machine.do(create(id_=bytes([turn]) * 16))
        assert "" == answer.reason
        assert delta is not None
        ids = [int(replica.replica) for part in delta.topics[0].partitions for replica in part.replicas]
        assert 6 == len(set(ids))
        assert not seen & set(ids)
        seen |= set(ids)
        machine.do(DeleteTopic(name="t"))


def test_a_topic_exists_once():
    """The same again only if that was asked for, and only with the same numbers."""
    machine = Machine()
    machine.do(create())
    assert "TOPIC_EXISTS" == machine.do(create())[0].reason
    assert "" == machine.do(create(if_absent=True))[0].reason
    assert "TOPIC_EXISTS" == machine.do(create(partitions=3, if_absent=True))[0].reason
    assert 1 == len(machine.state.topics)


def test_a_topic_needs_nodes_that_are_known():
    """A placement made from older knowledge is refused."""
    strange = CreateTopic(name="t", id=b"t" * 16, placements=[[1, 9]], replicas=2, if_absent=False)
    assert "UNAVAILABLE" == Machine().do(strange)[0].reason


def test_a_deleted_topic_leaves_a_tombstone():
    """Absence never deletes: whoever was away learns of it by name, and a second time there is nothing to delete."""
    machine = Machine()
    machine.do(create())
    _, delta = machine.do(DeleteTopic(name="t"))
    assert delta is not None
    assert (TopicId(b"t" * 16),) == delta.deleted
    assert (TopicId(b"t" * 16),) == machine.state.everything().deleted
    assert "UNKNOWN_TOPIC" == machine.do(DeleteTopic(name="t"))[0].reason


def test_initialised_stays_initialised():
    """And only what changed is told."""
    machine = Machine()
    machine.do(create())
    topic = machine.state.topics[TopicId(b"t" * 16)]
    first = topic.partitions[0].replicas[0].replica
    _, delta = machine.do(MarkInitialised(replicas=[int(first), 999]))
    assert delta is not None
    marks = [replica.initialised for part in delta.topics[0].partitions for replica in part.replicas]
    assert [True, False, False, False, False, False] == marks
    assert machine.do(MarkInitialised(replicas=[int(first)]))[1] is None


def test_nodes_come_and_go():
    """A version rises with every change, and only then."""
    machine = Machine()
    version = machine.state.version
    assert machine.do(register(1))[1] is None
    assert machine.do(SetNodeState(node=1, alive=True))[1] is None
    assert machine.do(SetNodeState(node=9, alive=False))[1] is None
    assert version == machine.state.version
    machine.do(SetNodeState(node=1, alive=False))
    machine.do(register(1, address="b"))
    assert version + 2 == machine.state.version
    assert (NodeState.ALIVE, "b") == (
        machine.state.nodes[NodeId(1)].state,
        machine.state.nodes[NodeId(1)].client_address,
    )


def test_producer_ids_are_given_once_and_a_name_fences_its_earlier_holder():
    """Ranges do not overlap; the same name has the same id and the next epoch."""
    machine = Machine()
    given_out: list[int] = []
    for count in (10, 1, 0):
        first, end = machine.do(AllocateProducers(count=count))[0].numbers
        given_out += range(first, end)
    named = [machine.do(OpenProducer(name=name))[0].numbers for name in ("a", "b", "a")]
    assert len(given_out) == len(set(given_out))
    assert [0, 0, 1] == [epoch for _, epoch in named]
    assert named[0][0] == named[2][0]
    assert not {named[0][0], named[1][0]} & set(given_out)


def test_a_proposal_that_comes_again_is_answered_as_before():
    """A leader died after it had applied it: the proposer asks another one."""
    machine = Machine()
    proposal = Proposal(client=b"x", number=1, command=OpenProducer(name="n"))
    first, _ = machine.state.apply(proposal)
    machine.do(OpenProducer(name="n"))
    assert (first, None) == machine.state.apply(proposal)


commands = st.one_of(
    st.builds(register, st.integers(1, 4), st.sampled_from("ab")),
    st.builds(SetNodeState, node=st.integers(1, 4), alive=st.booleans()),
    st.builds(create, st.sampled_from("tuv"), partitions=st.integers(1, 3), id_=st.binary(min_size=16, max_size=16)),
    st.builds(DeleteTopic, name=st.sampled_from("tuv")),
    st.builds(MarkInitialised, replicas=st.lists(st.integers(1, 20), max_size=4)),
    st.builds(AllocateProducers, count=st.integers(0, 5)),
    st.builds(OpenProducer, name=st.sampled_from("no")),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(commands, max_size=30), st.integers(0, 30))
def test_the_same_commands_give_the_same_state_also_over_a_snapshot(script: list[Command], cut: int):
    """On every member, whether it replayed all or continued from an encoded state; and what it says decodes."""
    whole, restored = Machine(), Machine()
    for number, command in enumerate(script):
        answer = whole.do(command)[0]
        assert answer == decode_answer(encode(answer))
        if number == cut:
            data = restored.state.encode()
            restored.state = MetadataState()
            restored.state.restore(data)
        assert answer == restored.do(command)[0]
    assert whole.state.encode() == restored.state.encode()


@settings(max_examples=50, deadline=None)
@given(commands)
def test_a_proposal_is_what_was_encoded(command: Command):
    """Through the quorum's log and back."""
    proposal = Proposal(client=b"c", number=7, command=command)
    assert proposal == decode_proposal(encode(proposal))


def test_what_is_no_proposal_is_refused():
    """A command of a newer version, too: it must not enter the log of those who cannot apply it."""
    for data in (b"", b"junk", encode(Answer(version=1)), b"\x82\xa4type\xa2v2\xa6client\xc4\x01c"):
        with pytest.raises(InvalidRequest):
            decode_proposal(data)
