"""From surveys to a plan: what is refused, who goes on, who is given up, and what that is said to cost."""

import msgspec
import pytest

from cluster.controller.commands import AddNode, CreateTopic, Proposal, RegisterNode, RemoveNode
from cluster.controller.quorum.recovering import KnownQuorum
from cluster.controller.recovering import ERA
from cluster.controller.state import MetadataState
from cluster.errors import InvalidRequest
from cluster.metadata import QuorumConfiguration, Seat
from cluster.node.recovery import Survey, decode_plan, decode_survey, make_plan
from cluster.node.recovery.plan import Plan
from cluster.types import NodeId
from tests.node.recovery.test_partitions import THREE, found

CLUSTER = b"c" * 16


def _directory(node: int) -> bytes:
    return b"directory%d" % node


def _state(nodes: int = 3) -> bytes:
    state = MetadataState()
    commands = [
        *(
            RegisterNode(
                node=node,
                client_address=f"n{node}:1",
                peer_address=f"n{node}:2",
                version="",
                rack="",
                directory=_directory(node),
            )
            for node in range(1, nodes + 1)
        ),
        CreateTopic(name="t", id=b"t" * 16, placements=[[1, 2, 3]], replicas=3, if_absent=False),
        AddNode(client_address="new:1", peer_address="new:2"),
    ]
    for number, command in enumerate(commands):
        state.apply(Proposal(client=b"c", number=number, command=command))
    return state.encode()


def _seats(number: int, *nodes: int) -> QuorumConfiguration:
    return QuorumConfiguration(
        number=number, seats=tuple(Seat(node=NodeId(node), directory=_directory(node)) for node in nodes)
    )


def _survey(node: int, index: int = 9, *, journal: int = 2, replica: tuple[int, int] | None = (1, 4)) -> Survey:
    """Of a node of three that all have seats in configuration 2; `replica`: term and index of the one of t/0."""
    logs = [found(node, *replica, THREE)[1]] if replica is not None else []
    return Survey(
        cluster=CLUSTER,
        node=node,
        directory=_directory(node),
        quorum=KnownQuorum(
            configuration=_seats(2, 1, 2, 3),
            journal=journal,
            sealed=journal,
            term=3,
            index=index,
            confirmed=index - 2,
            state=_state() if journal else b"",
        ),
        replicas=logs,
    )


def _plan(*surveys: Survey) -> Plan:
    return make_plan(surveys, at_ns=5, plan_id=b"p")


def test_a_node_that_was_removed_before_is_left_out() -> None:
    """Its disk may be there still, and go further than any; but nobody would ever listen to it."""
    state = MetadataState()
    state.restore(_state())
    state.apply(Proposal(client=b"d", number=1, command=RemoveNode(node=4)))
    one = _survey(1)
    one = msgspec.structs.replace(one, quorum=msgspec.structs.replace(one.quorum, state=state.encode()))
    with pytest.raises(InvalidRequest, match="node 4 was removed from this cluster"):
        _plan(one, _survey(4, journal=0, replica=(2, 9)))
    assert [1] == [forced.node for forced in _plan(one).forced]


def test_where_a_majority_is_there_nothing_is_to_recover() -> None:
    """Two of three members, and of the replicas: they have to be started, and that is said."""
    with pytest.raises(InvalidRequest, match=r"there is nothing to recover. Start them; .*riverrun cluster replace"):
        _plan(_survey(1), _survey(2))
    with pytest.raises(InvalidRequest, match="there is nothing to recover"):
        _plan(_survey(1), _survey(2), _survey(3))


def test_what_does_not_fit_together_is_refused() -> None:
    """With a sentence each."""
    other = msgspec.structs.replace(_survey(2), cluster=b"o" * 16)
    wiped = msgspec.structs.replace(_survey(1), directory=b"another")
    with pytest.raises(InvalidRequest, match="say which nodes are left"):
        _plan()
    with pytest.raises(InvalidRequest, match="are of 2 clusters"):
        _plan(_survey(1), other)
    with pytest.raises(InvalidRequest, match="two surveys of node 1"):
        _plan(_survey(1), _survey(1))
    with pytest.raises(InvalidRequest, match="node 1 registered with another data directory"):
        _plan(wiped)
    with pytest.raises(InvalidRequest, match="none of these data directories has a part of the controller"):
        _plan(_survey(1, journal=0))
    for decode in (decode_survey, decode_plan):
        with pytest.raises(InvalidRequest, match="this is no"):
            decode(b"{}")


def test_one_that_is_left_goes_on_alone() -> None:
    """The others are given up, with the addresses where they must not answer; who never started may still come."""
    plan = _plan(_survey(1))
    assert {2: ["n2:2", "n2:1"], 3: ["n3:2", "n3:1"]} == plan.lost
    assert (ERA, (1,)) == (plan.configuration.number, plan.configuration.members)
    assert [("t", 0, 1, ERA, [(11, 1)])] == [(f.name, f.number, f.node, f.term, f.members) for f in plan.forced]
    after = MetadataState()
    after.restore(plan.state)
    assert [1, 4] == sorted(after.nodes)
    assert plan == decode_plan(plan.encode())
    told = "\n".join(plan.account)
    assert "the controller (configuration 2, nodes 1, 2 and 3): node 1 of 3 is left, and 2 are needed" in told
    assert "9 entries; the last 2 of them may never have been confirmed, and count now" in told
    assert "1 partition: 0 have a majority still and lose nothing; 1 is forced to go on with what is left" in told
    assert "t/0: 1 of 3 replicas is left; that on node 1 is taken: up to offset 3, index 4 of term 1" in told


def test_a_partition_without_a_copy_is_lost() -> None:
    """It is told where its replicas were."""
    plan = _plan(_survey(1, replica=None))
    assert [] == plan.forced
    assert "  t/0: its 3 replicas were on nodes 1, 2 and 3" in plan.account


def test_the_controller_goes_on_with_what_goes_furthest() -> None:
    """And though it has its majority: a partition of which one is left needs the same."""
    plan = _plan(_survey(2, index=12, replica=None), _survey(1))
    assert any("no decision is lost" in line for line in plan.account)
    after = MetadataState()
    after.restore(plan.state)
    assert [(False, (3,), 1)] == [(one.decisions, one.nodes, one.forced) for one in after.recoveries]
    assert (1, 2) == plan.configuration.members


def test_a_configuration_of_which_only_the_number_is_left_counts() -> None:
    """Its decisions are lost, and the new era is behind it."""
    heard = msgspec.structs.replace(_survey(1).quorum, configuration=_seats(ERA + 5, 2, 3))
    plan = _plan(msgspec.structs.replace(_survey(1), quorum=heard))
    assert 2 * ERA == plan.configuration.number
    assert any("decisions that only lost members knew are lost" in line for line in plan.account)
