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
    held = {member: _sorted(p for p, holder in holders.items() if holder == member) for member in members}
    waiting = set(asked)
    ask_back = [p for member, wanted in members.items() for p in held[member] if p.topic not in wanted]
    waiting.update(ask_back)
    loads = {member: sum(p not in waiting for p in held[member]) for member in members}
    grants: list[tuple[PartitionId, int]] = []
    for partition in _sorted({p for wanted in members.values() for p in _partitions(wanted)}):
        holder = holders.get(partition)
        if holder is not None and partition not in waiting:
            continue
        candidates = [member for member, wanted in members.items() if partition.topic in wanted]
        if not candidates:
            continue
        best = min(candidates, key=lambda member: (loads[member], member))
        loads[best] += 1
        if holder is None:
            grants.append((partition, best))
    while (move := _move(members, held, waiting, loads)) is not None:
        partition, giver, taker = move
        waiting.add(partition)
        ask_back.append(partition)
        loads[giver] -= 1
        loads[taker] += 1
    return Plan(tuple(grants), tuple(ask_back))


def _move(
    members: Mapping[int, Wanted],
    held: Mapping[int, list[PartitionId]],
    waiting: set[PartitionId],
    loads: Mapping[int, int],
) -> tuple[PartitionId, int, int] | None:
    """Rule 4: the partition to ask back, from whom, for whom."""
    by_load = sorted(members, key=lambda member: (loads[member], member))
    for giver in reversed(by_load):
        for taker in by_load:
            if loads[giver] - loads[taker] < 2:
                break
            for partition in reversed(held[giver]):
                if partition not in waiting and partition.topic in members[taker]:
                    return partition, giver, taker
    return None


def _partitions(wanted: Wanted) -> Iterable[PartitionId]:
    return (PartitionId(topic, number) for topic, count in wanted.items() for number in range(count))


def _sorted(partitions: Iterable[PartitionId]) -> list[PartitionId]:
    return sorted(partitions)
