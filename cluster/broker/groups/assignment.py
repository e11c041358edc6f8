"""Which member gets which partition: balanced, and nothing moves that need not. Pure and deterministic.

1. Who holds a partition keeps it, unless it does not want the topic any more.
2. A partition that nobody holds goes to the member with the fewest of those who want it (then: who came first).
3. A partition that was asked back is counted for the member that would get it now.
4. While one member has at least two more than another who wants one of its partitions, the highest such partition is
   asked back.

A member's load is what it holds and was not asked for, and what it would get. So a newcomer takes its share from those
who have most, and one who leaves is replaced without any move among the others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cluster.types import PartitionId, TopicId

Wanted = Mapping[TopicId, int]
"""A member's topics, with their partition counts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now: partitions for members, and partitions to be asked back."""

    grants: tuple[tuple[PartitionId, int], ...]
    asked_back: tuple[PartitionId, ...]


def plan(members: Mapping[int, Wanted], holders: Mapping[PartitionId, int], asked: Iterable[PartitionId]) -> Plan:
    """`holders`: who holds what now; `asked`: which of these were asked back and are not released yet."""
    waiting = set(asked)
    held: dict[int, set[PartitionId]] = {member: set() for member in members}
    ask_back: list[PartitionId] = []
    for partition, holder in holders.items():
        if holder in members and partition not in waiting:
            if partition.topic in members[holder]:
                held[holder].add(partition)
            else:
                ask_back.append(partition)
    due: dict[int, set[PartitionId]] = {member: set() for member in members}
    """What each would get that is not held by anybody who keeps it: now, or when it is released."""
    kept = {partition for partitions in held.values() for partition in partitions}
    for partition in sorted({p for wanted in members.values() for p in _partitions(wanted)} - kept):
        candidates = [member for member, wanted in members.items() if partition.topic in wanted]
        best = min(candidates, key=lambda member: (len(held[member]) + len(due[member]), member))
        due[best].add(partition)
    while (move := _move(members, held, due)) is not None:
        partition, giver, taker = move
        if partition in due[giver]:
            due[giver].remove(partition)
        else:
            held[giver].remove(partition)
            ask_back.append(partition)
        due[taker].add(partition)
    grants = sorted((p, member) for member, partitions in due.items() for p in partitions if p not in holders)
    return Plan(tuple(grants), tuple(ask_back))


def _move(
    members: Mapping[int, Wanted], held: Mapping[int, set[PartitionId]], due: Mapping[int, set[PartitionId]]
) -> tuple[PartitionId, int, int] | None:
    """Rule 4: a partition that should be somebody else's, and whose; what nobody has yet rather than what is held."""
    loads = {member: len(held[member]) + len(due[member]) for member in members}
    by_load = sorted(members, key=lambda member: (loads[member], member))
    for giver in reversed(by_load):
        for taker in by_load:
            if loads[giver] - loads[taker] < 2:
                break
            for partitions in (due[giver], held[giver]):
                movable = [partition for partition in partitions if partition.topic in members[taker]]
                if movable:
                    return max(movable), giver, taker
    return None


def _partitions(wanted: Wanted) -> Iterable[PartitionId]:
    return (PartitionId(topic, number) for topic, count in wanted.items() for number in range(count))
