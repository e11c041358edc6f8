"""One group as its partition keeps it: who is in it, who holds what, and how far it is. Pure; `state` changes it."""

from dataclasses import dataclass, field
from typing import Any

from cluster.types import NO_INDEX, Index, Offset, PartitionId, TopicId


@dataclass(slots=True)
class Member:
    """A reader: its session says who it is, `topics` what it wants (with the partitions of each)."""

    session: bytes
    client: str
    topics: dict[TopicId, int]


@dataclass(slots=True)
class Holding:
    """Who holds a partition, since which generation, and whether it was asked back."""

    member: int
    generation: int
    asked_back: bool = False


@dataclass(slots=True)
class Group:
    """One group. `changed` is the last entry that changed its members or what they hold."""

    generation: int = 0
    next_member: int = 1
    changed: Index = NO_INDEX
    members: dict[int, Member] = field(default_factory=dict)
    holdings: dict[PartitionId, Holding] = field(default_factory=dict)
    positions: dict[PartitionId, Offset] = field(default_factory=dict)

    def member_of(self, session: bytes) -> int:
        """The number of the member with that session; 0: there is none."""
        return next((number for number, member in self.members.items() if member.session == session), 0)

    def held_by(self, member: int) -> dict[PartitionId, Holding]:
        """What a member holds."""
        return {partition: holding for partition, holding in self.holdings.items() if holding.member == member}


def plain_of(group: Group) -> tuple[object, ...]:
    """As it is encoded."""
    return (
        group.generation,
        group.next_member,
        group.changed,
        [(number, m.session, m.client, list(m.topics.items())) for number, m in group.members.items()],
        [(*p, h.member, h.generation, h.asked_back) for p, h in group.holdings.items()],
        [(*p, position) for p, position in group.positions.items()],
    )


def group_of(plain: Any) -> Group:
    """The inverse."""
    generation, next_member, changed, members, holdings, positions = plain
    return Group(
        generation=generation,
        next_member=next_member,
        changed=Index(changed),
        members={
            n: Member(session, client, {TopicId(t): c for t, c in topics}) for n, session, client, topics in members
        },
        holdings={PartitionId(TopicId(t), n): Holding(member, made, asked) for t, n, member, made, asked in holdings},
        positions={PartitionId(TopicId(t), n): Offset(position) for t, n, position in positions},
    )
