"""What nodes say to each other about tasks: outputs on their way to whoever leads their partition, and state."""

from cluster.errors import InvalidRequest, RiverrunError
from cluster.records import Batch, Receipt
from cluster.types import Offset, PartitionId
from cluster.wire import api
from cluster.wire.api import stream_pb2
from cluster.wire.pb.riverrun.internal.v1 import task_pb2
from cluster.wire.peer import Hello, hello_from_pb, hello_to_pb
from cluster.wire.status import error_from

SHIP = "/riverrun.internal.v1.TaskService/Ship"
FETCH_STATE = "/riverrun.internal.v1.TaskService/FetchState"
DELETE_READ = "/riverrun.internal.v1.TaskService/DeleteRead"

__all__ = [
    "DELETE_READ",
    "FETCH_STATE",
    "SHIP",
    "answer_of",
    "chunk_response",
    "delete_request",
    "fetch_request",
    "introduction",
    "introduction_of",
    "publish_of",
    "ship_introduction",
    "ship_request",
    "ship_response",
    "task_pb2",
]


def introduction(hello: Hello, incarnation: int) -> task_pb2.NodeIntroduction:
    """Who speaks, in which run."""
    return task_pb2.NodeIntroduction(hello=hello_to_pb(hello), incarnation=incarnation)


def introduction_of(said: task_pb2.NodeIntroduction) -> tuple[Hello, int]:
    """The inverse; InvalidRequest if nothing is said of it."""
    try:
        return hello_from_pb(said.hello), said.incarnation
    except ValueError as error:
        raise InvalidRequest("a node must say which one it is before anything else") from error


def ship_introduction(hello: Hello, incarnation: int) -> bytes:
    """The first message of a stream of outputs."""
    return task_pb2.ShipRequest(introduction=introduction(hello, incarnation)).SerializeToString()


def ship_request(correlation: int, topic: str, partition: PartitionId, batch: Batch) -> bytes:
    """One batch of outputs."""
    request = task_pb2.ShipRequest()
    publish = request.publish
    publish.correlation, publish.topic = correlation, topic
    publish.topic_id, publish.partition = partition.topic, partition.number
    api.batch_to_pb(batch, publish.batch)
    return request.SerializeToString()


def publish_of(data: bytes) -> bytes:
    """The request that is in it, as PublishStream takes it."""
    request = api.parse(task_pb2.ShipRequest, data)
    if not request.HasField("publish"):
        raise InvalidRequest("a stream of outputs says who speaks, once, and then publishes")
    return request.publish.SerializeToString()


def ship_response(answer: bytes) -> bytes:
    """What PublishStream has answered."""
    return task_pb2.ShipResponse(answer=stream_pb2.PublishStreamResponse.FromString(answer)).SerializeToString()


def answer_of(data: bytes) -> tuple[int, Receipt | RiverrunError]:
    """Which request, and what became of it."""
    answer = api.parse(task_pb2.ShipResponse, data).answer
    if answer.HasField("error"):
        error = answer.error
        return answer.correlation, error_from(error.reason, error.message, dict(error.metadata))
    return answer.correlation, api.receipt_from_pb(answer.receipt)


def fetch_request(hello: Hello, incarnation: int, partition: PartitionId, n_min: int) -> bytes:
    """For the state of a task."""
    return task_pb2.FetchStateRequest(
        introduction=introduction(hello, incarnation),
        topic_id=partition.topic,
        partition=partition.number,
        n_min=n_min,
    ).SerializeToString()


def chunk_response(chunk: bytes) -> bytes:
    """One piece of it."""
    return task_pb2.FetchStateResponse(chunk=chunk).SerializeToString()


def delete_request(hello: Hello, incarnation: int, partition: PartitionId, before: Offset) -> bytes:
    """For the end of what a topic between stages has below an offset."""
    return task_pb2.DeleteReadRequest(
        introduction=introduction(hello, incarnation),
        topic_id=partition.topic,
        partition=partition.number,
        before=before,
    ).SerializeToString()
