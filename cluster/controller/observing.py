"""What a node's controller has heard: who is there, what reports say. In memory only; it is said again. Pure.

Every node hears all of it, so that whoever decides next knows it already. `facts` turns it into commands, each of which
records something that is so and that the state does not say yet.
"""

from collections.abc import Collection, Container, Iterator, Sequence

from cluster.config import ControllerOptions
from cluster.controller.commands import (
    Command,
    Dropped,
    FinishReassign,
    MarkInitialised,
    RemoveNode,
    SetNodeState,
)
from cluster.controller.moves import ids_of
from cluster.controller.planning import Situation
from cluster.controller.state import MetadataState
from cluster.metadata import Node, NodeState, Placement, Report, ReportedMembership
from cluster.types import NodeId, PartitionId, ReplicaId, TopicId

RECORDED_AT_ONCE_MAX = 10_000
"""Replicas of one command."""


class Observations:
    """Of one node. Times are of its monotonic clock, in seconds."""

    def __init__(self, me: NodeId, options: ControllerOptions) -> None:
        self._me = me
        self._options = options
        self._up: dict[NodeId, float] = {}
        self._down: dict[NodeId, float] = {}
        self._initialised: dict[NodeId, tuple[ReplicaId, ...]] = {}
        self._dropped: dict[NodeId, tuple[ReplicaId, ...]] = {}
        self._lost: dict[ReplicaId, NodeId] = {}
        self._memberships: dict[PartitionId, ReportedMembership] = {}
        self.unknown: dict[NodeId, int] = {}
        """Directories of replicas that nobody assigned, by node."""

    def peer_up(self, node: NodeId, now_s: float) -> None:
        """The link to a node came up."""
        self._down.pop(node, None)
        self._up[node] = now_s

    def peer_down(self, node: NodeId, now_s: float) -> None:
        """It was lost."""
        self._up.pop(node, None)
        self._down[node] = now_s

    def is_there(self, node: NodeId) -> bool:
        """Whether it is this one, or linked to it."""
        return node == self._me or node in self._up

    def up(self) -> set[NodeId]:
        """All that are there."""
        return {self._me, *self._up}

    def lost(self) -> frozenset[ReplicaId]:
        """Replicas that their nodes have lost, and that nobody has taken the place of."""
        return frozenset(self._lost)

    def lost_nodes(self, now_s: float, after_s: float, of: Collection[NodeId]) -> set[NodeId]:
        """Those of them that have not been there for so long, be it that they never were."""
        for node in of:
            if not self.is_there(node):
                self._down.setdefault(node, now_s)
        return {node for node in of if now_s - self._down.get(node, now_s) > after_s}

    def gone_s(self, node: NodeId, now_s: float) -> float | None:
        """For how long it has not been there; None: it is, or it was never seen."""
        since_s = self._down.get(node) if not self.is_there(node) else None
        return now_s - since_s if since_s is not None else None

    def take(self, report: Report, deleted: Container[TopicId] = ()) -> None:
        """A node tells of its replicas; be it that it has not heard yet that topics were `deleted`."""
        self._initialised[report.node] = report.initialised  # each report says all of them, of those that are lost, too
        self._dropped[report.node] = report.dropped
        for replica in [replica for replica, node in self._lost.items() if node == report.node]:
            del self._lost[replica]
        self._lost.update(dict.fromkeys(report.lost, report.node))
        for partition, told in report.memberships.items():
            known = self._memberships.get(partition)
            if partition.topic not in deleted and (known is None or told.term >= known.term):
                self._memberships[partition] = told
        if report.unknown:
            self.unknown[report.node] = report.unknown
        else:
            self.unknown.pop(report.node, None)

    def forget(self, topics: Container[TopicId], nodes: Container[NodeId]) -> None:
        """They are gone for good: nothing that was said of them, or by them, is of interest."""
        for partition in [partition for partition in self._memberships if partition.topic in topics]:
            del self._memberships[partition]
        for replica in [replica for replica, node in self._lost.items() if node in nodes]:
            del self._lost[replica]
        for said in (self._initialised, self._dropped, self.unknown):
            for node in [node for node in said if node in nodes]:
                del said[node]

    def membership(self, partition: PartitionId) -> ReportedMembership | None:
        """What its leader said last."""
        return self._memberships.get(partition)

    def facts(self, state: MetadataState, deciding: Collection[NodeId], now_s: float) -> Iterator[Command]:
        """What is so and is not recorded yet. `deciding`: the quorum's members, the first configuration's, too."""
        for node, known in state.nodes.items():
            yield from self._about(node, known, now_s)
        yield from self._initialised_of(state)
        yield from self._dropped_of(state)
        for partition in list(state.moving):
            placement = state.topics[partition.topic].partitions[partition.number]
            told = self._memberships.get(partition)
            if told is not None and arrived(placement, told):
                yield FinishReassign(
                    topic=partition.topic, number=partition.number, voters=list(told.voters), version=told.version
                )
        for node, known in state.nodes.items():
            if (
                known.replaced_by
                and node not in {*deciding, *state.quorum.members}
                and not any(
                    item.node == node
                    for topic in state.topics.values()
                    for placement in topic.partitions
                    for item in placement.running
                )
            ):
                yield RemoveNode(node=node)

    def _about(self, node: NodeId, known: Node, now_s: float) -> Iterator[Command]:
        here = self.is_there(node)
        gone_s = now_s - self._down.setdefault(node, now_s) if not here else 0.0
        if here and known.state is NodeState.DEAD:
            yield SetNodeState(node=node, alive=True)
        elif known.state is NodeState.ALIVE and gone_s > self._options.node_dead_after_s:
            yield SetNodeState(node=node, alive=False)

    def _initialised_of(self, state: MetadataState) -> Iterator[Command]:
        told = {replica for some in self._initialised.values() for replica in some}
        self._initialised.clear()  # whoever is not recorded reports again
        if not told:
            return
        waiting = {
            replica.replica
            for topic in state.topics.values()
            for placement in topic.partitions
            for replica in placement.running
            if not replica.initialised
        }
        for some in _batches(sorted(told & waiting)):
            yield MarkInitialised(replicas=some)

    def _dropped_of(self, state: MetadataState) -> Iterator[Command]:
        told = {replica for some in self._dropped.values() for replica in some}
        self._dropped.clear()
        waiting = {replica for some in state.removing.values() for replica in some}
        for some in _batches(sorted(told & waiting)):
            yield Dropped(replicas=some)

    def situation(self, state: MetadataState, leading: dict[PartitionId, NodeId], now_s: float) -> Situation:
        """What the plan is made from."""
        gone = {
            node
            for node, known in state.nodes.items()
            if known.state is NodeState.DEAD and now_s - self._down.get(node, now_s) > self._options.node_lost_after_s
        }
        return Situation(
            nodes=state.nodes,
            topics=state.topics,
            lost=self.lost(),
            gone=frozenset(gone),
            leading=leading,
            moves_max=self._options.moves_max,
            moves_per_node_max=self._options.moves_per_node_max,
            balance=self._options.balance_replicas,
        )


def _batches(replicas: Sequence[ReplicaId]) -> Iterator[list[int]]:
    for first in range(0, len(replicas), RECORDED_AT_ONCE_MAX):
        yield [int(replica) for replica in replicas[first : first + RECORDED_AT_ONCE_MAX]]


def arrived(placement: Placement, told: ReportedMembership) -> bool:
    """Whether a leader says that a membership that was made for the present target is committed, and is the target."""
    return (
        bool(placement.target)
        and told.version >= placement.since
        and not told.joint
        and not told.learners
        and set(told.voters) == ids_of(placement.target)
    )
