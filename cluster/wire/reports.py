"""What a node tells all others of its replicas, as bytes."""

from cluster.metadata import Report, ReportedMembership
from cluster.types import Index, NodeId, PartitionId, ReplicaId, Term, TopicId
from cluster.wire.pb.riverrun.internal.v1 import peer_pb2


def size_of_report(report: Report) -> int:
    """About how many bytes it will take."""
    partitions = len(report.leaders) + len(report.resigned) + 2 * len(report.memberships)
    return 64 + 40 * partitions + 8 * (len(report.initialised) + len(report.lost) + len(report.dropped))


def encode_report(report: Report, target: peer_pb2.NodeReport) -> None:
    """Into a message that is empty yet."""
    target.node, target.metadata_version, target.full = report.node, report.metadata_version, report.full
    for (topic, number), term in report.leaders.items():
        target.leaders.add(topic_id=topic, partition=number, term=term)
    for topic, number in report.resigned:
        target.resigned.add(topic_id=topic, partition=number)
    target.initialised.extend(report.initialised)
    target.lost.extend(report.lost)
    for (topic, number), told in report.memberships.items():
        target.memberships.add(
            topic_id=topic,
            partition=number,
            index=told.index,
            term=told.term,
            voters=told.voters,
            learners=told.learners,
            joint=told.joint,
            behind_bytes=told.behind_bytes,
            version=told.version,
        )
    target.dropped.extend(report.dropped)
    target.unknown = report.unknown
    target.leaving = report.leaving


def decode_report(source: peer_pb2.NodeReport) -> Report:
    """The inverse."""
    return Report(
        node=NodeId(source.node),
        metadata_version=source.metadata_version,
        leaders={PartitionId(TopicId(item.topic_id), item.partition): Term(item.term) for item in source.leaders},
        resigned=tuple(PartitionId(TopicId(item.topic_id), item.partition) for item in source.resigned),
        initialised=tuple(ReplicaId(replica) for replica in source.initialised),
        lost=tuple(ReplicaId(replica) for replica in source.lost),
        memberships={
            PartitionId(TopicId(item.topic_id), item.partition): _membership(item) for item in source.memberships
        },
        dropped=tuple(ReplicaId(replica) for replica in source.dropped),
        unknown=source.unknown,
        leaving=source.leaving,
        full=source.full,
    )


def _membership(source: peer_pb2.MembershipReport) -> ReportedMembership:
    return ReportedMembership(
        index=Index(source.index),
        term=Term(source.term),
        voters=tuple(ReplicaId(replica) for replica in source.voters),
        learners=tuple(ReplicaId(replica) for replica in source.learners),
        joint=source.joint,
        behind_bytes=source.behind_bytes,
        version=source.version,
    )
