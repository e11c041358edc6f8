"""What a node's controller has heard: how much of it is kept, and what of it becomes commands."""

from cluster.config import ControllerOptions
from cluster.controller.commands import Proposal, encode
from cluster.controller.observing import Observations
from cluster.metadata import Report, ReportedMembership
from cluster.types import Index, NodeId, PartitionId, ReplicaId, Term, TopicId
from tests.controller.test_state import Machine, create

ONE, TWO = NodeId(1), NodeId(2)
GONE, STAYS = (PartitionId(TopicId(name * 16), 0) for name in (b"g", b"s"))


def report(*about: PartitionId, node: NodeId = ONE, replicas: tuple[int, ...] = ()) -> Report:
    """That leads these partitions, and has made, dropped and lost replicas."""
    some = tuple(map(ReplicaId, replicas))
    told = ReportedMembership(index=Index(1), term=Term(1), voters=(ReplicaId(1),))
    return Report(
        node=node,
        metadata_version=0,
        memberships=dict.fromkeys(about, told),
        initialised=some,
        dropped=some,
        lost=some,
        unknown=len(some),
    )


def kept(observed: Observations) -> int:
    """How much it remembers of what was reported."""
    replicas = [*observed._initialised.values(), *observed._dropped.values(), observed._lost, observed.unknown]
    return len(observed._memberships) + sum(map(len, replicas))


def test_what_is_gone_needs_no_memory():
    """Deleted topics and removed nodes, also where somebody who has not heard of it yet still speaks of them."""
    observed = Observations(ONE, ControllerOptions())
    observed.take(report(GONE, STAYS))
    observed.take(report(node=TWO, replicas=(7, 8)))
    observed.forget({GONE.topic}, {TWO})
    assert (1, None) == (kept(observed), observed.membership(GONE))
    observed.take(report(GONE, STAYS), {GONE.topic: None})
    assert (1, None) == (kept(observed), observed.membership(GONE))
    assert observed.membership(STAYS) is not None


def test_a_node_that_does_not_decide_keeps_the_last_word_of_each_node():
    """Each report says all that is not recorded yet, and whoever never decides never acts on it."""
    observed = Observations(ONE, ControllerOptions())
    for replica in range(1_000):
        observed.take(report(node=TWO, replicas=(replica,)))
    assert 4 == kept(observed)


def test_no_command_is_too_large_however_much_was_reported():
    """Many replicas that were made while there was no controller: what is refused would be tried again for ever."""
    machine, options = Machine(), ControllerOptions()
    machine.state.next_replica = first = 1 << 20
    for number in range(5):
        machine.do(create(f"t{number}", partitions=4_096, id_=b"%016d" % number))
    made = range(first, machine.state.next_replica)
    observed = Observations(ONE, options)
    observed.take(report(replicas=tuple(made)))
    commands = list(observed.facts(machine.state, [ONE], 0.0))
    sizes = [len(encode(Proposal(client=b"c" * 8, number=1, command=command))) for command in commands]
    assert max(sizes) < options.command_bytes_max
    for command in commands:
        machine.do(command)
    placements = [placement for topic in machine.state.topics.values() for placement in topic.partitions]
    assert all(item.initialised for placement in placements for item in placement.running)
