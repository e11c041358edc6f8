"""What whoever asked the controller is told: done, refused, surely not done, or that nobody knows."""

import asyncio
import random
from collections.abc import Callable
from itertools import count

import pytest

from cluster.config import ControllerOptions
from cluster.controller.commands import AlterTopic, CreateTopic, DeleteTopic, Proposal, decode_proposal, encode
from cluster.controller.controller import Controller
from cluster.controller.quorum import Fold
from cluster.errors import InvalidRequest, OutcomeUnknown, TopicExists, Unavailable
from cluster.metadata import Node, Report, ReportedMembership, Topic, TopicConfig
from cluster.sim.clock import SimClock, SimLoop, simulate
from cluster.types import Index, NodeId, PartitionId, ReplicaId, Term

NUMBERS = count(1)
Fate = Callable[["Known", bytes], bytes]


class Known:
    """A quorum of one, which meets each proposal as it is told to; the last fate is that of all that follow."""

    def __init__(self, fold: Fold) -> None:
        self.apply = fold.apply
        self.fates: list[Fate] = [Known.apply_it]
        self.seats = (NodeId(1),)
        self.led_by: NodeId | None = None

    def apply_it(self, command: bytes) -> bytes:
        """As it should be."""
        return self.apply(command)

    def refuse(self, command: bytes) -> bytes:
        """Nothing was done."""
        raise Unavailable(f"no leader for {len(command)} bytes")

    def lose(self, command: bytes) -> bytes:
        """It was done, and nobody is told."""
        self.apply(command)
        raise OutcomeUnknown("the leader changed")

    def leader(self) -> NodeId | None:
        """See Quorum."""
        return self.led_by

    def members(self) -> tuple[NodeId, ...]:
        """See Quorum."""
        return self.seats

    async def propose(self, command: bytes, *, timeout_s: float) -> bytes:
        """See Quorum."""
        del timeout_s
        fate = self.fates.pop(0) if len(self.fates) > 1 else self.fates[0]
        return fate(self, command)


def with_controller(body: Callable[[Controller, Known], object]) -> Callable[[], None]:
    """A test with a controller that knows three nodes, in virtual time."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        made: list[Known] = []

        def make(fold: Fold) -> Known:
            made.append(Known(fold))
            return made[0]

        controller = Controller(
            me=NodeId(1),
            make_quorum=make,  # type: ignore[arg-type]
            clock=SimClock(loop),
            random=random.Random(1),
            options=ControllerOptions(command_timeout_s=2.0),
        )
        for node in (1, 2, 3):
            await controller.register_node(Node(node=NodeId(node), client_address="c", peer_address="p"))
        await body(controller, made[0])  # type: ignore[misc]

    def test() -> None:
        simulate(run(), 1)

    test.__doc__ = body.__doc__
    return test


async def create(controller: Controller, *, if_absent: bool = False, replicas: int = 0, partitions: int = 1) -> Topic:
    """The topic `t`."""
    return await controller.create_topic(
        "t", partitions=partitions, replicas=replicas, if_absent=if_absent, config=TopicConfig()
    )


def followed_by(*commands: object) -> Fate:
    """It is done, and others do something before whoever asked hears of it."""

    def fate(quorum: Known, command: bytes) -> bytes:
        answer = quorum.apply(command)
        for other in commands:
            quorum.apply(encode(Proposal(client=b"other", number=next(NUMBERS), command=other)))  # type: ignore[arg-type]
        return answer

    return fate


@with_controller
async def test_an_answer_that_was_lost_is_not_forgotten(controller: Controller, quorum: Known) -> None:
    """The first attempt may have been heard: that all later ones were not does not mean that nothing was done."""
    quorum.fates = [Known.lose, Known.refuse]
    with pytest.raises(OutcomeUnknown):
        await create(controller)
    assert ["t"] == list(controller.state.by_name)
    quorum.fates = [Known.refuse]
    with pytest.raises(Unavailable):
        await controller.delete_topic("t")
    quorum.fates = [Known.lose, Known.apply_it]
    await controller.delete_topic("t")
    assert [] == list(controller.state.by_name)


@with_controller
async def test_what_was_made_and_deleted_at_once_was_made(controller: Controller, quorum: Known) -> None:
    """Said to be Unavailable it would be made again; another topic of its name is not told in its place."""
    quorum.fates = [followed_by(DeleteTopic(name="t"))]
    with pytest.raises(OutcomeUnknown, match="was deleted right after it"):
        await create(controller)
    again = CreateTopic(name="t", id=b"o" * 16, placements=[[1]], replicas=1, if_absent=False)
    quorum.fates = [followed_by(DeleteTopic(name="t"), again)]
    with pytest.raises(OutcomeUnknown, match="was deleted right after it"):
        await create(controller)
    quorum.fates = [followed_by(AlterTopic(name="t", config=TopicConfig(retention_ms=5), unset=[]))]
    altered = await controller.alter_topic("t", config=TopicConfig(retention_ms=4), unset=[])
    assert (b"o" * 16, 5) == (altered.id, altered.config.retention_ms)


@with_controller
async def test_what_leaders_said_of_a_topic_goes_with_it(controller: Controller, quorum: Known) -> None:
    """Also what one says that has not heard of the end: a cluster may make and delete topics all the time."""
    del quorum
    partition = PartitionId((await create(controller)).id, 0)
    told = ReportedMembership(index=Index(1), term=Term(1), voters=(ReplicaId(1),))
    report = Report(node=NodeId(2), metadata_version=0, memberships={partition: told})
    controller.on_report(report)
    assert told == controller.observed.membership(partition)
    await controller.delete_topic("t")
    controller.on_report(report)
    assert {} == controller.observed._memberships


@with_controller
async def test_what_was_decided_and_is_not_heard_of_was_decided(controller: Controller, quorum: Known) -> None:
    """The answer comes from the quorum's leader, which may be ahead of this node for long."""
    await create(controller)
    elsewhere = type(controller.state)()
    elsewhere.restore(controller.state.encode())
    quorum.fates = [lambda _, command: encode(elsewhere.apply(decode_proposal(command))[0])]
    with pytest.raises(OutcomeUnknown, match="was decided"):
        await controller.delete_topic("t")


@with_controller
async def test_one_that_is_there_needs_no_nodes(controller: Controller, quorum: Known) -> None:
    """Whoever wants a topic if it is absent gets the one that is there, though some nodes are gone or came later."""
    made = await create(controller)
    for node in (2, 3):
        controller.state.nodes.pop(NodeId(node))
    assert made == await create(controller, if_absent=True)
    assert made == await create(controller, if_absent=True, replicas=3)
    with pytest.raises(TopicExists):
        await create(controller, if_absent=True, replicas=2)
    with pytest.raises(TopicExists):
        await create(controller, if_absent=True, partitions=2)

    def too_late(known: Known, command: bytes) -> bytes:
        followed_by()(known, encode(Proposal(client=b"other", number=next(NUMBERS), command=DeleteTopic(name="t"))))
        return known.apply(command)

    quorum.fates = [too_late]
    with pytest.raises(Unavailable, match="deleted just now"):
        await create(controller, if_absent=True)


@with_controller
async def test_a_cluster_has_so_many_nodes_at_most(controller: Controller, quorum: Known) -> None:
    """Who asks once more for the last one that there was room for is given it."""
    del quorum

    async def add(number: int) -> Node:
        return await controller.operations.add_node(client_address=f"c{number}:1", peer_address=f"p:{number}", rack="")

    added = [await add(number) for number in range(97)]
    with pytest.raises(InvalidRequest, match="the cluster has its 100 nodes already"):
        await add(97)
    assert added[-1] == await add(96)


@with_controller
async def test_without_a_majority_it_is_said_what_goes_on_and_what_to_do(controller: Controller, quorum: Known) -> None:
    """Whether or not it may have been decided, the members that are not heard are named."""
    quorum.fates, quorum.seats = [Known.refuse], (NodeId(1), NodeId(2), NodeId(3))
    assert (None, (2, 3)) == (controller.deciding().leader, controller.deciding().silent)
    told = "of its members 1, 2 and 3, nodes 2 and 3 are not heard. Until 1 more of them runs, nothing can be decided"
    with pytest.raises(Unavailable, match=told):
        await create(controller)
    quorum.fates = [Known.lose, Known.refuse]
    with pytest.raises(OutcomeUnknown, match="it is not known whether that was decided: the controller has no"):
        await create(controller)
    controller.observed.peer_up(NodeId(3), 0.0)
    assert "" == controller.deciding().trouble
    controller.observed.peer_down(NodeId(3), 0.0)
    quorum.led_by = NodeId(1)
    assert ("", 1) == (controller.deciding().trouble, controller.deciding().leader)
