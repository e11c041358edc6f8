"""ClusterService's changes: nodes that come and go, partitions that move. Decided by the controller, told from it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from cluster.errors import InvalidRequest
from cluster.metadata import Node, NodeState, Reassignment, Topic, Waiting
from cluster.types import NodeId
from cluster.wire import api
from cluster.wire.api import cluster_pb2
from cluster.world import Call

STATES = {
    NodeState.ALIVE: cluster_pb2.NODE_STATE_ALIVE,
    NodeState.DEAD: cluster_pb2.NODE_STATE_DEAD,
    NodeState.ADDED: cluster_pb2.NODE_STATE_ADDED,
}


class Operations(Protocol):
    """What the controller decides about nodes and placements for this node's callers."""

    async def add_node(self, *, client_address: str, peer_address: str, rack: str) -> Node:
        """The node that is expected there. InvalidRequest."""

    async def drain_node(self, node: NodeId, *, undo: bool) -> Node:
        """The node is to hold nothing, or may again. UnknownNode, NotEnoughNodes."""

    async def replace_node(self, old: NodeId, new: NodeId) -> Node:
        """The new node takes everything. UnknownNode, InvalidRequest, NotEnoughNodes."""

    async def remove_node(self, node: NodeId) -> None:
        """The node is gone for good. UnknownNode, NodeInUse."""

    async def set_replicas(self, topic: str, replicas: int) -> Topic:
        """So many copies from now on. UnknownTopic, NotEnoughNodes, InvalidRequest."""

    async def reassign(self, topic: str, nodes: Mapping[int, Sequence[NodeId]]) -> Topic:
        """These partitions go to these nodes. UnknownTopic, UnknownNode, InvalidRequest, ReassignmentInProgress."""

    async def cancel(self, topic: str, partitions: Sequence[int]) -> Topic:
        """These moves go back. UnknownTopic, UnknownPartition, InvalidRequest."""

    def reassignments(self) -> Sequence[Reassignment]:
        """What moves."""

    def waiting(self) -> Sequence[Waiting]:
        """What would move if it could."""


class OperationsService:
    """Handlers of ClusterService, but for GetCluster."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def add_node(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        request = api.parse(cluster_pb2.AddNodeRequest, data)
        node = await self._operations.add_node(
            client_address=request.client_address, peer_address=request.peer_address, rack=request.rack
        )
        added = node_to_pb(node, leaders=0, replicas=0)
        added.silent = True  # nothing of it runs yet
        return cluster_pb2.AddNodeResponse(node=added).SerializeToString()

    async def drain_node(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        request = api.parse(cluster_pb2.DrainNodeRequest, data)
        await self._operations.drain_node(NodeId(request.node), undo=request.undo)
        return cluster_pb2.DrainNodeResponse().SerializeToString()

    async def replace_node(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        request = api.parse(cluster_pb2.ReplaceNodeRequest, data)
        await self._operations.replace_node(NodeId(request.node), NodeId(request.replacement))
        return cluster_pb2.ReplaceNodeResponse().SerializeToString()

    async def remove_node(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        request = api.parse(cluster_pb2.RemoveNodeRequest, data)
        await self._operations.remove_node(NodeId(request.node))
        return cluster_pb2.RemoveNodeResponse().SerializeToString()

    async def reassign(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        request = api.parse(cluster_pb2.ReassignPartitionsRequest, data)
        numbers = [item.partition for item in request.partitions]
        if len(set(numbers)) < len(numbers):
            raise InvalidRequest("a partition is named twice")
        nodes = {item.partition: [NodeId(node) for node in item.nodes] for item in request.partitions}
        await self._operations.reassign(request.topic, nodes)
        return cluster_pb2.ReassignPartitionsResponse().SerializeToString()

    async def cancel(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        request = api.parse(cluster_pb2.CancelReassignmentsRequest, data)
        await self._operations.cancel(request.topic, list(request.partitions))
        return cluster_pb2.CancelReassignmentsResponse().SerializeToString()

    async def list_all(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        api.parse(cluster_pb2.ListReassignmentsRequest, data)
        return cluster_pb2.ListReassignmentsResponse(
            reassignments=[
                cluster_pb2.Reassignment(
                    topic=item.topic,
                    partition=item.number,
                    replicas=item.replicas,
                    target=item.target,
                    back=item.back,
                    behind_bytes=item.behind_bytes,
                    joint=item.joint,
                )
                for item in self._operations.reassignments()
            ],
            waiting=[
                cluster_pb2.WaitingPartition(
                    topic=item.topic, partition=item.number, replicas=item.replicas, why=item.why
                )
                for item in self._operations.waiting()
            ],
        ).SerializeToString()


def node_to_pb(node: Node, *, leaders: int, replicas: int) -> cluster_pb2.Node:
    """A node as it is told."""
    return cluster_pb2.Node(
        id=node.node,
        client_address=node.client_address,
        peer_address=node.peer_address,
        state=STATES[node.state],
        leaders=leaders,
        replicas=replicas,
        version=node.version,
        draining=node.draining,
        rack=node.rack,
        replaced_by=node.replaced_by,
    )
