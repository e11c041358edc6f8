"""Who leads what, as nodes tell each other, and who is about to stop and should lead nothing more.

Pure: a table of partitions fed by reports, newest term wins.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass

from cluster.metadata import Report
from cluster.types import NodeId, PartitionId, Term, TopicId


@dataclass(frozen=True, slots=True)
class Leader:
    """A node that led a partition in a term when it was last heard."""

    node: NodeId
    term: Term


class LeaderTable:
    """What this node believes; a belief can be old, so whoever acts on it must be ready for NotLeader."""

    def __init__(self, deleted: Container[TopicId] = frozenset()) -> None:
        """`deleted`: topics that are gone for good, now; nothing is noted of them, however late it is said."""
        self._deleted = deleted
        self._leaders: dict[PartitionId, Leader] = {}
        self.leaving: set[NodeId] = set()
        """Nodes that are about to stop, this one among them if it is; until their links are lost."""

    def get(self, partition: PartitionId) -> Leader | None:
        """The believed leader."""
        return self._leaders.get(partition)

    def note(self, partition: PartitionId, node: NodeId, term: Term) -> None:
        """`node` leads since `term`, unless something newer is known."""
        known = self._leaders.get(partition)
        if (known is None or term >= known.term) and partition.topic not in self._deleted:
            self._leaders[partition] = Leader(node, term)

    def resigned(self, partition: PartitionId, node: NodeId) -> None:
        """`node` does not lead any more."""
        known = self._leaders.get(partition)
        if known is not None and known.node == node:
            del self._leaders[partition]

    def take(self, report: Report) -> None:
        """What another node says of itself; a full report replaces what was known of it."""
        if report.full:
            for partition in [p for p, leader in self._leaders.items() if leader.node == report.node]:
                if partition not in report.leaders:
                    del self._leaders[partition]
        for partition, term in report.leaders.items():
            self.note(partition, report.node, term)
        for partition in report.resigned:
            self.resigned(partition, report.node)
        if report.leaving:
            self.leaving.add(report.node)
        else:
            self.leaving.discard(report.node)

    def forget_node(self, node: NodeId) -> None:
        """The node is gone: nobody knows yet who leads what it led, nor whether it stops when it comes back."""
        self.leaving.discard(node)
        for partition in [p for p, leader in self._leaders.items() if leader.node == node]:
            del self._leaders[partition]

    def forget_topic(self, topic: TopicId) -> None:
        """The topic was deleted."""
        for partition in [p for p in self._leaders if p.topic == topic]:
            del self._leaders[partition]

    def snapshot(self) -> dict[PartitionId, NodeId]:
        """Who is believed to lead what."""
        return {partition: leader.node for partition, leader in self._leaders.items()}

    def count_by_node(self, partitions: Iterable[PartitionId]) -> dict[NodeId, int]:
        """How many of these each node leads."""
        counts: dict[NodeId, int] = {}
        for partition in partitions:
            leader = self._leaders.get(partition)
            if leader is not None:
                counts[leader.node] = counts.get(leader.node, 0) + 1
        return counts
