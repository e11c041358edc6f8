"""Who belongs to a partition's group, as a value and as bytes. Which changes there are, and when: `cluster.raft`.

A *voter* counts; a *learner* gets everything and counts for nothing. While a membership is *joint*, `outgoing` are the
voters that there were before, and a majority of both is needed. A membership without voters is *blank*: that of a
replica that was made to be added, and does not know yet to whom.

`version` is that of the metadata with which it was asked for (`cluster.metadata.Placement.since`). In a log it never
falls: so a leader that has not heard of a newer wish cannot undo what was done for it, and a membership that says the
version of the newest wish is known to stay.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from cluster.types import NodeId, ReplicaId


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A replica and where it lives."""

    replica: ReplicaId
    node: NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Who is there. Nobody is named twice, but that a voter may be among the outgoing as well."""

    voters: tuple[Member, ...]
    learners: tuple[Member, ...] = ()
    outgoing: tuple[Member, ...] = ()
    version: int = 0

    def ids(self) -> tuple[ReplicaId, ...]:
        """The voters' replica ids, in order."""
        return tuple(member.replica for member in self.voters)

    @property
    def joint(self) -> bool:
        """Whether two majorities are needed."""
        return bool(self.outgoing)

    def everybody(self) -> tuple[Member, ...]:
        """All of them, once."""
        return tuple({member.replica: member for member in (*self.voters, *self.outgoing, *self.learners)}.values())

    def final(self) -> "Membership":
        """The one that follows a joint one."""
        return Membership(voters=self.voters, learners=self.learners, version=self.version)


BLANK = Membership(voters=())
"""Of a replica that waits to be told."""


def plain_membership(membership: Membership) -> list[Any]:
    """For an encoder: (replica, node) pairs of the voters, as ever; if there is more to say, three lists of them.

    A version stands behind the three.
    """
    groups = [_pairs(membership.voters), _pairs(membership.learners), _pairs(membership.outgoing)]
    if membership.version:
        return [*groups, membership.version]
    return groups if groups[1] or groups[2] else groups[0]


def membership_of(plain: list[Any]) -> Membership:
    """The inverse. TypeError, ValueError or IndexError if it is nothing of the kind."""
    *groups, version = plain if len(plain) == 4 and isinstance(plain[3], int) else (*plain, 0)
    more = len(groups) == 3 and all(not group or isinstance(group[0], list | tuple) for group in groups)
    voters, learners, outgoing = groups if more else (groups, [], [])
    return Membership(
        voters=_members(voters), learners=_members(learners), outgoing=_members(outgoing), version=version
    )


def encode_membership(membership: Membership) -> bytes:
    """What a MEMBERSHIP entry holds."""
    return bytes(msgspec.msgpack.encode(plain_membership(membership)))


def decode_membership(control: bytes) -> Membership:
    """The inverse; ValueError if it is nothing of the kind."""
    try:
        return membership_of(msgspec.msgpack.decode(control, type=list[Any]))
    except (msgspec.MsgspecError, TypeError, ValueError, IndexError) as error:
        raise ValueError("this is no membership") from error


def _pairs(members: Iterable[Member]) -> list[tuple[int, int]]:
    return [(member.replica, member.node) for member in members]


def _members(pairs: Iterable[tuple[int, int]]) -> tuple[Member, ...]:
    return tuple(Member(replica=ReplicaId(int(replica)), node=NodeId(int(node))) for replica, node in pairs)
