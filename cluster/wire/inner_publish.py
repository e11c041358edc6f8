"""What nodes say to each other to write into the cluster's own topics, and how it maps to the vocabulary's values."""

from cluster.errors import InvalidRequest
from cluster.records import Batch
from cluster.types import PartitionId
from cluster.wire import api
from cluster.wire.pb.riverrun.internal.v1 import publish_pb2
from cluster.wire.peer import Hello, hello_from_pb, hello_to_pb

PUBLISH = "/riverrun.internal.v1.PeerPublishService/Publish"

__all__ = ["PUBLISH", "introduction", "publish_pb2", "publish_request"]


def publish_request(hello: Hello, incarnation: int, partition: PartitionId, batch: Batch) -> bytes:
    """A batch for a partition that the receiver leads."""
    request = publish_pb2.PublishRequest(
        hello=hello_to_pb(hello), incarnation=incarnation, topic_id=partition.topic, partition=partition.number
    )
    api.batch_to_pb(batch, request.batch)
    return request.SerializeToString()


def introduction(request: publish_pb2.PublishRequest) -> tuple[Hello, int]:
    """Who speaks, in which run; InvalidRequest if nothing is said of it."""
    try:
        return hello_from_pb(request.hello), request.incarnation
    except ValueError as error:
        raise InvalidRequest("a node that publishes must say which one it is") from error
