"""What the cluster says about its topics and nodes, as values. Pure."""

from dataclasses import dataclass

from cluster.metadata import Recovery, Replica, TopicConfig
from cluster.types import ClusterId, NodeId, ReplicaId, Term, TopicId
from cluster.wire.api import cluster_pb2, topic_pb2
from cluster.wire.policies import config_as_told


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionView:
    """One partition. `leader` None and an empty `leader_address`: the node that answered knows of no leader."""

    number: int
    leader: NodeId | None
    leader_address: str
    term: Term
    replicas: tuple[Replica, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicView:
    """A topic with its partitions, ascending; `replicas` is how many copies were asked for."""

    name: str
    id: TopicId
    partitions: tuple[PartitionView, ...]
    replicas: int
    partitioner_version: int
    config: TopicConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node; `leaders` and `replicas` count the partitions that it leads and those that it has a copy of.

    `state`: "alive", "dead", or "added": it has not been started yet. `draining`: it is to hold nothing. `replaced_by`:
    the node that takes its place; 0: none. `silent`: the node that answered does not hear it.
    """

    node: NodeId
    alive: bool
    client_address: str
    peer_address: str
    leaders: int
    replicas: int
    version: str
    state: str = "alive"
    draining: bool = False
    rack: str = ""
    replaced_by: NodeId = NodeId(0)
    silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderReplicated:
    """A partition of whose `asked` replicas only `working` ones work, and why."""

    topic: str
    number: int
    asked: int
    working: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """The cluster as the node `answered_by` sees it. `controller` None: none is known now."""

    cluster_id: ClusterId
    nodes: tuple[NodeView, ...]
    controller: NodeId | None
    metadata_version: int
    topics: int
    partitions: int
    partitions_without_leader: int
    answered_by: NodeId
    partitions_under_replicated: int = 0
    under_replicated: tuple[UnderReplicated, ...] = ()
    """The first of them."""
    quorum: tuple[NodeId, ...] = ()
    """The members of the controller's quorum."""
    quorum_silent: tuple[NodeId, ...] = ()
    """Those of them that the node that answered does not hear."""
    trouble: str = ""
    """Why nothing can be decided now; empty: it can. If not, all of this is as it was decided last."""
    recoveries: tuple[Recovery, ...] = ()
    """When the cluster was made to go on without a majority, and what it cost."""


def topic_view(topic: topic_pb2.Topic) -> TopicView:
    """A topic from the wire."""
    return TopicView(
        name=topic.name,
        id=TopicId(topic.id),
        partitions=tuple(
            PartitionView(
                number=partition.number,
                leader=NodeId(partition.leader) if partition.leader else None,
                leader_address=partition.leader_address,
                term=Term(partition.term),
                replicas=tuple(
                    Replica(replica=ReplicaId(replica.id), node=NodeId(replica.node), initialised=replica.initialised)
                    for replica in partition.replicas
                ),
            )
            for partition in topic.partitions
        ),
        replicas=topic.replicas,
        partitioner_version=topic.partitioner_version,
        config=config_as_told(topic.config),
    )


def cluster_view(response: cluster_pb2.GetClusterResponse) -> ClusterView:
    """The cluster from the wire."""
    return ClusterView(
        cluster_id=ClusterId(response.cluster_id),
        nodes=tuple(node_view(node) for node in response.nodes),
        controller=NodeId(response.controller) if response.controller else None,
        metadata_version=response.metadata_version,
        topics=response.topics,
        partitions=response.partitions,
        partitions_without_leader=response.partitions_without_leader,
        answered_by=NodeId(response.answered_by),
        partitions_under_replicated=response.partitions_under_replicated,
        under_replicated=tuple(
            UnderReplicated(
                topic=item.topic, number=item.partition, asked=item.asked, working=item.working, why=item.why
            )
            for item in response.under_replicated
        ),
        quorum=tuple(map(NodeId, response.quorum)),
        quorum_silent=tuple(map(NodeId, response.quorum_silent)),
        trouble=response.trouble,
        recoveries=tuple(
            Recovery(
                at_ns=item.at_ns,
                configuration=item.configuration,
                nodes=tuple(map(NodeId, item.nodes)),
                forced=item.partitions_forced,
                lost=item.partitions_lost,
                decisions=item.decisions_lost,
            )
            for item in response.recoveries
        ),
    )


STATES = {cluster_pb2.NODE_STATE_ALIVE: "alive", cluster_pb2.NODE_STATE_ADDED: "added"}


def node_view(node: cluster_pb2.Node) -> NodeView:
    """A node from the wire."""
    return NodeView(
        node=NodeId(node.id),
        alive=node.state == cluster_pb2.NODE_STATE_ALIVE,
        client_address=node.client_address,
        peer_address=node.peer_address,
        leaders=node.leaders,
        replicas=node.replicas,
        version=node.version,
        state=STATES.get(node.state, "dead"),
        draining=node.draining,
        rack=node.rack,
        replaced_by=NodeId(node.replaced_by),
        silent=node.silent,
    )
