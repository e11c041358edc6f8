"""What the cluster says about its topics and nodes, as values. Pure."""

from dataclasses import dataclass

from cluster.types import ClusterId, NodeId, ReplicaId, Term, TopicId
from cluster.wire.api import cluster_pb2, topic_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaView:
    """One copy of a partition and the node that it is on."""

    id: ReplicaId
    node: NodeId
    initialised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionView:
    """One partition. `leader` 0 and an empty `leader_address`: the node that answered knows of no leader."""

    number: int
    leader: NodeId
    leader_address: str
    term: Term
    replicas: tuple[ReplicaView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicView:
    """A topic with its partitions, ascending; `replicas` is how many copies were asked for."""

    name: str
    id: TopicId
    partitions: tuple[PartitionView, ...]
    replicas: int
    partitioner_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node; `state` is "alive", "dead" or "unknown"."""

    id: NodeId
    state: str
    client_address: str
    peer_address: str
    leaders: int
    replicas: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """The cluster as the node `answered_by` sees it. `controller` 0: none is known now."""

    cluster_id: ClusterId
    nodes: tuple[NodeView, ...]
    controller: NodeId
    metadata_version: int
    topics: int
    partitions: int
    partitions_without_leader: int
    answered_by: NodeId


NODE_STATES = {cluster_pb2.NODE_STATE_ALIVE: "alive", cluster_pb2.NODE_STATE_DEAD: "dead"}


def topic_view(topic: topic_pb2.Topic) -> TopicView:
    """A topic from the wire."""
    return TopicView(
        name=topic.name,
        id=TopicId(topic.id),
        partitions=tuple(
            PartitionView(
                number=partition.number,
                leader=NodeId(partition.leader),
                leader_address=partition.leader_address,
                term=Term(partition.term),
                replicas=tuple(
                    ReplicaView(id=ReplicaId(replica.id), node=NodeId(replica.node), initialised=replica.initialised)
                    for replica in partition.replicas
                ),
            )
            for partition in topic.partitions
        ),
        replicas=topic.replicas,
        partitioner_version=topic.partitioner_version,
    )


def cluster_view(response: cluster_pb2.GetClusterResponse) -> ClusterView:
    """The cluster from the wire."""
    return ClusterView(
        cluster_id=ClusterId(response.cluster_id),
        nodes=tuple(
            NodeView(
                id=NodeId(node.id),
                state=NODE_STATES.get(node.state, "unknown"),
                client_address=node.client_address,
                peer_address=node.peer_address,
                leaders=node.leaders,
                replicas=node.replicas,
                version=node.version,
            )
            for node in response.nodes
        ),
        controller=NodeId(response.controller),
        metadata_version=response.metadata_version,
        topics=response.topics,
        partitions=response.partitions,
        partitions_without_leader=response.partitions_without_leader,
        answered_by=NodeId(response.answered_by),
    )
