"""How large the groups of a partition may become in all: they stand at the head of segments, and travel in one message.

A group weighs what it can come to at most: its members, and every partition that it wants, holds or has a position for,
as if that were held and had a position already. So no grant, commit or release makes a group heavier. Whoever joins
does, and a reset to positions that were not there: these are refused beyond the limits, and what was let in goes on.
Pure: a function of the state, the same on every replica.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cluster.broker.groups.group import Group
from cluster.config import MIB
from cluster.types import TopicId

BYTES_MAX = 10 * MIB
"""Of all groups of a partition. A message has at most 32 MiB; but a turn writes this (0.02 s for each MiB), or reads it
(0.1 s), and no leader may be silent for a second."""
NEW_BYTES_MAX = 8 * MIB
"""The same, for who wants partitions that the group did not want before. The rest is for members who come and go."""
GROUP_BYTES = 64
MEMBER_BYTES = 24
TOPIC_BYTES = 24
PARTITION_BYTES = 80
"""Each at most as it is encoded, but for the strings in it; a partition is held, and has a position."""


def bytes_max(*, new: bool) -> int:
    """What all groups may weigh with what somebody asks for now."""
    return NEW_BYTES_MAX if new else BYTES_MAX


class Weight(NamedTuple):
    """Of one group: how many partitions it wants, holds or has a position for, and its bytes in all."""

    partitions: int = 0
    bytes: int = 0


def weight_of(name: str, group: Group) -> Weight:
    """In the number of its partitions: one look at each."""
    wanted: dict[TopicId, int] = {}
    others = 0
    for member in group.members.values():
        others += MEMBER_BYTES + len(member.session) + len(member.client.encode()) + TOPIC_BYTES * len(member.topics)
        for topic, count in member.topics.items():
            wanted[topic] = max(count, wanted.get(topic, 0))
    known = group.holdings.keys() | group.positions.keys()
    partitions = sum(wanted.values()) + sum(number >= wanted.get(topic, 0) for topic, number in known)
    return Weight(partitions, GROUP_BYTES + len(name) + others + PARTITION_BYTES * partitions)


class Weights:
    """What groups weigh, by name. What has changed is weighed again when somebody asks, which is seldom."""

    def __init__(self, changed: Iterable[str]) -> None:
        self._changed = set(changed)
        self._of: dict[str, Weight] = {}
        self._total = 0

    def changed(self, name: str) -> None:
        """The group has changed, or is gone."""
        self._changed.add(name)

    def weighed(self, name: str, weight: Weight) -> None:
        """The group has changed, and has this weight now."""
        self._changed.discard(name)
        self._total += weight.bytes - self._of.get(name, Weight()).bytes
        self._of[name] = weight

    def of(self, name: str, groups: Mapping[str, Group]) -> Weight:
        """One group's; of one that is not there it is nothing."""
        self.total(groups)
        return self._of.get(name, Weight())

    def total(self, groups: Mapping[str, Group]) -> int:
        """All groups' bytes."""
        for name in list(self._changed):
            if name in groups:
                self.weighed(name, weight_of(name, groups[name]))
            else:
                self._total -= self._of.pop(name, Weight()).bytes
        self._changed.clear()
        return self._total
