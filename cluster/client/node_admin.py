"""Nodes that come and go, and partitions that move: what people ask of the cluster while it works."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from cluster.client.calls import Calls
from cluster.client.views import NodeView, node_view
from cluster.errors import InvalidRequest, RiverrunError, UnknownNode, UnknownTopic
from cluster.metadata import Reassignment, Waiting
from cluster.types import NodeId
from cluster.wire import api
from cluster.wire.api import cluster_pb2

SERVICE = "/riverrun.v1.ClusterService/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReassignmentsView:
    """What moves, and what would if it could; by topic and partition."""

    moving: tuple[Reassignment, ...]
    waiting: tuple[Waiting, ...]


class NodeAdmin:
    """Each call takes `timeout_s`; None is `ClientOptions.request_timeout_s`. They return when it is decided.

    What is decided is repeated while its outcome is unknown. Where one was perhaps made, and is refused when it is
    repeated, the error is OutcomeUnknown.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def add_node(
        self, *, client_address: str, peer_address: str, rack: str = "", timeout_s: float | None = None
    ) -> NodeView:
        """A place for a node that will be at these addresses: its id is new. InvalidRequest."""
        request = cluster_pb2.AddNodeRequest(client_address=client_address, peer_address=peer_address, rack=rack)
        answer = await self._change("AddNode", request, timeout_s)
        return node_view(api.parse(cluster_pb2.AddNodeResponse, answer).node)

    async def drain_node(self, node: int, *, undo: bool = False, timeout_s: float | None = None) -> None:
        """Have a node hold nothing, or undo that. UnknownNode; NotEnoughNodes if it could never end."""
        await self._change("DrainNode", cluster_pb2.DrainNodeRequest(node=_id(node), undo=undo), timeout_s, UnknownNode)

    async def replace_node(self, node: int, *, replacement: int, timeout_s: float | None = None) -> None:
        """Have another node take everything that a node holds; then it is removed. UnknownNode, InvalidRequest."""
        request = cluster_pb2.ReplaceNodeRequest(node=_id(node), replacement=_id(replacement))
        await self._change("ReplaceNode", request, timeout_s, UnknownNode)

    async def remove_node(self, node: int, *, timeout_s: float | None = None) -> None:
        """Remove a node that holds nothing, for good. UnknownNode, NodeInUse."""
        await self._change("RemoveNode", cluster_pb2.RemoveNodeRequest(node=_id(node)), timeout_s, UnknownNode)

    async def reassign_partitions(
        self, topic: str, partitions: Mapping[int, Sequence[int]], *, timeout_s: float | None = None
    ) -> None:
        """Move partitions, by number, to these nodes, the preferred leader first: all of them or none.

        Errors: UnknownTopic, UnknownPartition, UnknownNode, InvalidRequest, ReassignmentInProgress.
        """
        request = cluster_pb2.ReassignPartitionsRequest(
            topic=topic,
            partitions=[
                cluster_pb2.PartitionNodes(partition=_id(number), nodes=map(_id, nodes))
                for number, nodes in sorted(partitions.items())
            ],
        )
        await self._change("ReassignPartitions", request, timeout_s, UnknownTopic)

    async def cancel_reassignments(
        self, topic: str, partitions: Collection[int] = (), *, timeout_s: float | None = None
    ) -> None:
        """Have partitions (none named: all of the topic's) that move go back, and stay there.

        Errors: UnknownTopic, UnknownPartition, InvalidRequest.
        """
        request = cluster_pb2.CancelReassignmentsRequest(topic=topic, partitions=map(_id, sorted(partitions)))
        await self._change("CancelReassignments", request, timeout_s, UnknownTopic)

    async def reassignments(self, *, timeout_s: float | None = None) -> ReassignmentsView:
        """What moves, how far it is, and what would move if it could."""
        request = cluster_pb2.ListReassignmentsRequest().SerializeToString()
        answer = await self._calls.call(SERVICE + "ListReassignments", request, timeout_s=timeout_s, repeatable=True)
        found = api.parse(cluster_pb2.ListReassignmentsResponse, answer)
        return ReassignmentsView(
            moving=tuple(
                Reassignment(
                    topic=item.topic,
                    number=item.partition,
                    replicas=tuple(map(NodeId, item.replicas)),
                    target=tuple(map(NodeId, item.target)),
                    back=item.back,
                    behind_bytes=item.behind_bytes if item.HasField("behind_bytes") else None,
                    joint=item.joint,
                )
                for item in found.reassignments
            ),
            waiting=tuple(
                Waiting(
                    topic=item.topic,
                    number=item.partition,
                    replicas=tuple(map(NodeId, item.replicas)),
                    why=item.why,
                )
                for item in found.waiting
            ),
        )

    async def _change(
        self,
        method: str,
        request: Message,
        timeout_s: float | None,
        doubt: type[RiverrunError] | None = None,
    ) -> bytes:
        return await self._calls.call(
            SERVICE + method,
            request.SerializeToString(),
            timeout_s=timeout_s,
            repeatable=True,
            doubt=doubt,
            changes=True,
        )


def _id(number: int) -> int:
    if not 0 <= number < 1 << 32:
        raise InvalidRequest(f"{number} is no number of a node or partition")
    return number
