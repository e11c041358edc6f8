"""What the controller decided, as values: topics, placements, nodes. Brokers and clients' requests read these.

Metadata moves as numbered deltas. A delta with `resync` replaces everything known before. Leaders are not part of
it: Raft elects them, nodes tell each other in reports, and nothing here waits for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from cluster.types import NodeId, PartitionId, ReplicaId, Term, TopicId


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One copy: where it is, and whether the controller recorded that its log exists (so that it may vote)."""

    replica: ReplicaId
    node: NodeId
    initialised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The copies of one partition, as intended; the membership in the partition's log wins."""

    number: int
    replicas: tuple[Replica, ...]
    preferred_leader: NodeId = NodeId(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic with its placements by partition number."""

    name: str
    id: TopicId
    partitions: tuple[Placement, ...]
    replicas: int
    partitioner_version: int = 1


class NodeState(Enum):
    """What the controller makes of a node's heartbeats."""

    ALIVE = "alive"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that has registered."""

    node: NodeId
    client_address: str
    peer_address: str
    state: NodeState = NodeState.ALIVE
    version: str = ""
    rack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What one version changed. `deleted` are topics gone for good."""

    version: int
    topics: tuple[Topic, ...] = ()
    deleted: tuple[TopicId, ...] = ()
    nodes: tuple[Node, ...] = ()
    resync: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a node tells all others, when it changed and in full when a link comes up.

    `leaders`: partitions that the node leads, with the term; `initialised`: replicas whose logs now exist;
    `lost`: replicas recorded as initialised whose disk is empty or lost its vote.
    """

    node: NodeId
    metadata_version: int
    leaders: Mapping[PartitionId, Term] = field(default_factory=dict)
    resigned: tuple[PartitionId, ...] = ()
    initialised: tuple[ReplicaId, ...] = ()
    lost: tuple[ReplicaId, ...] = ()
    full: bool = False
