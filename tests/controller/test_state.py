"""The controller's state machine: what each command does, refuses, and answers when it comes again."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.controller.commands import (
    RULES,
    AllocateProducers,
    AlterTopic,
    Answer,
    Command,
    CreateTopic,
    DeleteTopic,
    DeployApp,
    DraftedStage,
    DrainNode,
    MarkInitialised,
    OpenProducer,
    Proposal,
    RegisterNode,
    RemoveApp,
    SetNodeState,
    SetPaused,
    decode_answer,
    decode_proposal,
    encode,
)
from cluster.controller.state import MetadataState
from cluster.errors import InvalidRequest
from cluster.metadata import Code, Delta, NodeState, TopicConfig
from cluster.types import NodeId, Offset, TopicId


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
    return CreateTopic(name=name, id=id_, placements=placements, replicas=3, if_absent=if_absent, rules=RULES)


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


@pytest.mark.parametrize("change", [DrainNode(node=3), SetNodeState(node=3, alive=False)])
def test_a_topic_is_not_put_on_a_node_that_nothing_may_be_put_on(change: DrainNode | SetNodeState):
    """It was said of that one that it may be switched off; whoever placed the topic had not heard of it."""
    machine = Machine()
    machine.do(change)
    answer, delta = machine.do(create())
    assert ("UNAVAILABLE", None) == (answer.reason, delta)
    assert "node 3, on which it was to be, is d" in answer.message
    assert {} == machine.state.topics
    there = CreateTopic(name="t", id=b"t" * 16, placements=[[1, 2]], replicas=2, if_absent=False)
    assert "" == machine.do(there)[0].reason


def test_what_was_decided_under_older_rules_is_so_for_ever():
    """A journal of before that is read again makes the same topics, with the same replica ids."""
    machine = Machine()
    machine.do(SetNodeState(node=3, alive=False))
    assert "" == machine.do(msgspec.structs.replace(create(), rules=0))[0].reason
    (topic,) = machine.state.topics.values()
    assert [1, 2, 3, 4, 5, 6] == [item.replica for part in topic.partitions for item in part.replicas]


def test_an_id_is_of_one_topic():
    """Whoever minted it again tries another one."""
    machine = Machine()
    machine.do(create())
    assert "UNAVAILABLE" == machine.do(create("u"))[0].reason
    assert ["t"] == list(machine.state.by_name)


def alter(name: str = "t", *unset: str, **limits: int) -> AlterTopic:
    """Other limits for a topic."""
    return AlterTopic(name=name, config=TopicConfig(**limits), unset=list(unset))


def test_what_is_kept_can_be_altered():
    """What is set takes the place of what was, what is unset has no limit again, the rest stays."""
    machine = Machine()
    limited = TopicConfig(retention_ms=1000, retention_bytes=10)
    _, delta = machine.do(msgspec.structs.replace(create(), config=limited))
    assert delta is not None
    assert limited == delta.topics[0].config
    _, delta = machine.do(alter("t", "retention_bytes", retention_ms=5, lagging_bytes_max=7))
    assert delta is not None
    assert TopicConfig(retention_ms=5, lagging_bytes_max=7) == delta.topics[0].config
    _, delta = machine.do(MarkInitialised(replicas=[1]))
    assert delta is not None
    assert TopicConfig(retention_ms=5, lagging_bytes_max=7) == delta.topics[0].config
    answer, delta = machine.do(alter(retention_ms=5))
    assert ("", None) == (answer.reason, delta)


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        ("UNKNOWN_TOPIC", alter("u", retention_ms=5)),
        ("INVALID_REQUEST", alter(retention_ms=0)),
        ("INVALID_REQUEST", alter(lagging_bytes_max=-1)),
        ("INVALID_REQUEST", alter("t", "colour")),
        ("INVALID_REQUEST", alter("t", "retention_ms", retention_ms=5)),
    ],
)
def test_limits_that_are_none_are_refused(reason: str, command: AlterTopic):
    """And nothing changes."""
    machine = Machine()
    machine.do(create())
    before = machine.state.version
    assert reason == machine.do(command)[0].reason
    assert before == machine.state.version
    assert "INVALID_REQUEST" == Machine().do(create_with(retention_bytes=0))[0].reason


def create_with(**limits: int) -> CreateTopic:
    """A topic with limits."""
    return msgspec.structs.replace(create(), config=TopicConfig(**limits))


def test_a_topic_that_is_there_may_be_asked_for_again_if_it_keeps_the_same():
    """Or if nothing was said about what is kept; another limit is not passed over in silence."""
    machine = Machine()
    machine.do(create_with(retention_ms=5))
    assert "" == machine.do(create(if_absent=True))[0].reason
    assert "" == machine.do(msgspec.structs.replace(create_with(retention_ms=5), if_absent=True))[0].reason
    assert "TOPIC_EXISTS" == machine.do(msgspec.structs.replace(create_with(retention_ms=6), if_absent=True))[0].reason


def test_a_topic_from_before_there_were_limits_keeps_everything():
    """Journals and states that an earlier version wrote have no word about it."""
    old = {"type": "create_topic", "name": "t", "id": b"t" * 16, "placements": [[1]], "replicas": 1, "if_absent": False}
    data = msgspec.msgpack.encode({"type": "v1", "client": b"c", "number": 1, "command": old})
    command = decode_proposal(data).command
    assert isinstance(command, CreateTopic)
    assert TopicConfig() == command.config


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


def stage(name: str, version: int, topic: bytes, spec: bytes, replaces: bytes) -> DraftedStage:
    """One of two tasks."""
    code = Code(sha256=spec * 32, size_bytes=7, name="retail.py", app="app", offset=Offset(3))
    return DraftedStage(
        name=name, version=version, spec=spec, code=code, topic=topic, tasks=2, external=version > 1, replaces=replaces
    )


topic_ids = st.sampled_from([b"1" * 16, b"2" * 16, b"3" * 16])
specs = st.sampled_from([b"s", b"t"])
stages = st.builds(stage, st.sampled_from("pq"), st.integers(1, 2), topic_ids, specs, st.just(b"") | specs)
keys = st.lists(st.tuples(st.sampled_from("pq"), st.integers(1, 2)), max_size=2)

commands = st.one_of(
    st.builds(DeployApp, name=st.sampled_from("ab"), stages=st.lists(stages, max_size=2)),
    st.builds(SetPaused, app=st.sampled_from("ab"), stages=keys, paused=st.booleans()),
    st.builds(RemoveApp, app=st.sampled_from("ab"), stages=keys, topics=st.lists(st.just(b"r" * 16))),
    st.sampled_from("123r").map(lambda name: create(name, id_=name.encode() * 16)),
    st.builds(register, st.integers(1, 4), st.sampled_from("ab")),
    st.builds(SetNodeState, node=st.integers(1, 4), alive=st.booleans()),
    st.builds(create, st.sampled_from("tuv"), partitions=st.integers(1, 3), id_=st.binary(min_size=16, max_size=16)),
    st.builds(create_with, retention_ms=st.integers(-1, 3)),
    st.builds(
        alter, st.sampled_from("tu"), st.sampled_from(["retention_ms", "colour"]), retention_bytes=st.integers(0, 3)
    ),
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
