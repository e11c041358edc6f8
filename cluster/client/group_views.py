"""What the cluster says about its groups, as values. Pure."""

from dataclasses import dataclass

from cluster.types import NodeId, Offset
from cluster.wire.api import group_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """One member. `client` is the name that it gave itself; without a stream (`connected`) it has its grace."""

    id: int
    client: str
    topics: tuple[str, ...]
    connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPartitionView:
    """How far a group is in one partition.

    `member` None: nobody holds it. `position` None: the group has none yet. `end` None: its leader did not answer.
    `lag_ms`: how long ago the record at the position was appended; 0 if there is none to process; None: not known.
    """

    topic: str
    partition: int
    member: int | None
    generation: int
    position: Offset | None
    end: Offset | None
    lag_ms: int | None

    @property
    def lag_records(self) -> int | None:
        """End minus position; None: not known."""
        if self.position is None or self.end is None:
            return None
        return max(self.end - self.position, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """A group. `partitions` are those that it has a position for or a member holds, by topic and number.

    `generation` counts every change of its members; `coordinator` is the node that keeps it.
    """

    name: str
    members: tuple[MemberView, ...]
    partitions: tuple[GroupPartitionView, ...]
    coordinator: NodeId
    generation: int

    @property
    def lag_records(self) -> int:
        """Of all partitions together, as far as it is known: see `lag_unknown`."""
        return sum(part.lag_records or 0 for part in self.partitions)

    @property
    def lag_ms(self) -> int:
        """Of the partition that is furthest behind, as far as it is known."""
        return max((part.lag_ms or 0 for part in self.partitions), default=0)

    @property
    def lag_unknown(self) -> int:
        """Of so many partitions the lag is not known now."""
        return sum(part.lag_records is None for part in self.partitions)


def group_view(group: group_pb2.Group) -> GroupView:
    """A group from the wire."""
    return GroupView(
        name=group.name,
        members=tuple(
            MemberView(
                id=member.id, client=member.client, topics=tuple(sorted(member.topics)), connected=member.connected
            )
            for member in sorted(group.members, key=lambda member: member.id)
        ),
        partitions=tuple(
            partition_view(part) for part in sorted(group.partitions, key=lambda part: (part.topic, part.partition))
        ),
        coordinator=NodeId(group.coordinator),
        generation=group.generation,
    )


def partition_view(part: group_pb2.GroupPartition) -> GroupPartitionView:
    """One partition of a group from the wire."""
    known = part.HasField("position") and part.HasField("end")
    return GroupPartitionView(
        topic=part.topic,
        partition=part.partition,
        member=part.member or None,
        generation=part.generation,
        position=Offset(part.position) if part.HasField("position") else None,
        end=Offset(part.end) if part.HasField("end") else None,
        lag_ms=part.lag_ms if known and part.HasField("lag_ms") else None,
    )
