"""What a member's node and its group's coordinator say to each other, and how it maps to the vocabulary's values."""

from collections.abc import Iterable

from cluster.errors import InvalidRequest
from cluster.types import Offset, PartitionId, TopicId
from cluster.wire.pb.riverrun.internal.v1 import coordinator_pb2
from cluster.wire.peer import Hello, hello_from_pb, hello_to_pb

ATTACH = "/riverrun.internal.v1.CoordinatorService/Attach"
SUPERSEDED = {"superseded": "1"}
"""Metadata of the error that ends a member's stream because it has a newer one."""

__all__ = [
    "ATTACH",
    "SUPERSEDED",
    "attach_request",
    "coordinator_pb2",
    "held_from_pb",
    "held_to_pb",
    "introduction",
    "topics_of",
]


def attach_request(
    hello: Hello,
    incarnation: int,
    *,
    group: str,
    session: bytes,
    client: str,
    topics: Iterable[tuple[TopicId, int]],
    leaving: bool = False,
) -> bytes:
    """The first message of a member's stream; `topics` with their partition counts; `leaving`: only to be gone."""
    return coordinator_pb2.AttachRequest(
        attach=coordinator_pb2.AttachMember(
            hello=hello_to_pb(hello),
            incarnation=incarnation,
            group=group,
            session=session,
            client=client,
            topics=[coordinator_pb2.WantedTopic(topic_id=topic, partitions=count) for topic, count in topics],
            leaving=leaving,
        )
    ).SerializeToString()


def introduction(attach: coordinator_pb2.AttachMember) -> tuple[Hello, int]:
    """Who speaks, in which run; InvalidRequest if nothing is said of it."""
    try:
        return hello_from_pb(attach.hello), attach.incarnation
    except ValueError as error:
        raise InvalidRequest("the first message of a member's stream must say which node speaks") from error


def topics_of(attach: coordinator_pb2.AttachMember) -> dict[TopicId, int]:
    """What the member wants."""
    return {TopicId(topic.topic_id): topic.partitions for topic in attach.topics}


def held_to_pb(
    partition: PartitionId, generation: int, *, position: Offset | None = None, asked_back: bool = False
) -> coordinator_pb2.HeldPartition:
    """A partition in a member's hands."""
    return coordinator_pb2.HeldPartition(
        topic_id=partition.topic,
        partition=partition.number,
        generation=generation,
        position=position,
        asked_back=asked_back,
    )


def held_from_pb(held: coordinator_pb2.HeldPartition) -> tuple[PartitionId, int]:
    """Which partition, in which generation."""
    return PartitionId(TopicId(held.topic_id), held.partition), held.generation
