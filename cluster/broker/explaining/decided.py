"""What was decided about nodes, as one of them has heard: who drains, who holds how much, what waits. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.broker.directory import Directory
from cluster.broker.leaders import LeaderTable
from cluster.metadata import Node, NodeState
from cluster.types import PartitionId
from cluster.wire.api import cluster_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Of all nodes, by number. `held`: replicas that have to run there. `asked`: the most that a topic of theirs has.

    `moves` and `waiting` are told only while a node drains; `leaderless` are those that move and that nobody leads.
    """

    nodes: Mapping[int, Node] = field(default_factory=dict)
    held: Mapping[int, int] = field(default_factory=dict)
    asked: Mapping[int, int] = field(default_factory=dict)
    moves: tuple[cluster_pb2.Reassignment, ...] = ()
    waiting: tuple[cluster_pb2.WaitingPartition, ...] = ()
    leaderless: frozenset[tuple[str, int]] = frozenset()

    def drains(self, node: int) -> bool:
        """Whether it is to hold nothing."""
        known = self.nodes.get(node)
        return known is not None and known.draining

    def is_dead(self, node: int) -> bool:
        """Whether the controller has taken it for dead."""
        known = self.nodes.get(node)
        return known is not None and known.state is NodeState.DEAD

    def heir_of(self, node: int) -> int:
        """The node that takes its place; 0: none is named."""
        known = self.nodes.get(node)
        return known.replaced_by if known is not None else 0

    def usable_but(self, node: int) -> list[int]:
        """The other nodes that replicas may be put on."""
        return sorted(number for number, known in self.nodes.items() if known.usable and number != node)

    def needs(self, node: int) -> int:
        """How many other nodes there have to be for what a node holds, at least."""
        return max(self.asked.get(node, 0), 1)


NOTHING = Decided()


def decided_by(directory: Directory, leaders: LeaderTable, told: cluster_pb2.ListReassignmentsResponse) -> Decided:
    """As a node knows it; `told`: what it says of what moves."""
    held: Counter[int] = Counter()
    asked: dict[int, int] = {}
    for topic in directory.topics.values():
        for placement in topic.partitions:
            for item in placement.running:
                held[item.node] += 1
                asked[item.node] = max(asked.get(item.node, 0), topic.replicas)
    nodes = {int(node): known for node, known in directory.nodes.items()}
    leaderless = {
        (move.topic, move.partition)
        for move in told.reassignments
        if move.topic in directory.by_name
        and leaders.get(PartitionId(directory.by_name[move.topic].id, move.partition)) is None
    }
    return Decided(
        nodes=nodes,
        held=held,
        asked=asked,
        moves=tuple(told.reassignments),
        waiting=tuple(told.waiting),
        leaderless=frozenset(leaderless),
    )
