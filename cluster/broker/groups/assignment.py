"""Which member gets which partition: balanced, and nothing moves that need not. Pure and deterministic.

1. Who holds a partition keeps it, unless it does not want the topic any more.
2. A partition that nobody holds goes to the member with the fewest of those who want it (then: who came first).
3. A partition that was asked back is counted for the member that would get it now.
4. While one member has at least two more than another who wants one of its partitions, the highest such partition is
   asked back.

A member's load is what it holds and was not asked for, and what it would get. So a newcomer takes its share from those
who have most, and one who leaves is replaced without any move among the others.

It runs in a replica's turn at each change of a group: the work is to be near the number of partitions, whatever the
number of members.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import heapify, heapreplace

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
    shares = {member: _Share(frozenset(wanted)) for member, wanted in members.items()}
    ask_back: list[PartitionId] = []
    kept: set[PartitionId] = set()
    for partition in sorted(holders):
        share = shares.get(holders[partition])
        if share is not None and partition not in waiting:
            if partition.topic in share.topics:
                share.held[partition.topic].append(partition.number)
                share.load += 1
                kept.add(partition)
            else:
                ask_back.append(partition)
    _share_out(members, shares, kept)
    while (move := _move(shares)) is not None:
        giver, taker, topic = move
        share = shares[giver]
        if share.due[topic]:
            number = share.due[topic].pop()
        else:
            number = share.held[topic].pop()
            ask_back.append(PartitionId(topic, number))
        insort(shares[taker].due[topic], number)
        share.load -= 1
        shares[taker].load += 1
    grants = sorted((p, member) for member, share in shares.items() for p in share.all_due() if p not in holders)
    return Plan(tuple(grants), tuple(ask_back))


class _Share:
    """A member's: numbers by topic, rising. `due`: what it would get that is held by nobody who keeps it."""

    __slots__ = ("due", "held", "load", "topics")

    def __init__(self, topics: frozenset[TopicId]) -> None:
        self.topics = topics
        self.held: dict[TopicId, list[int]] = defaultdict(list)
        self.due: dict[TopicId, list[int]] = defaultdict(list)
        self.load = 0

    def all_due(self) -> Iterator[PartitionId]:
        return (PartitionId(topic, number) for topic, numbers in self.due.items() for number in numbers)

    def movable(self, topics: frozenset[TopicId]) -> TopicId | None:
        """Of which of these topics something could go to another; what nobody has yet before what is held."""
        for numbers in (self.due, self.held):
            found = [topic for topic, some in numbers.items() if some and topic in topics]
            if found:
                return max(found)
        return None


def _share_out(members: Mapping[int, Wanted], shares: Mapping[int, _Share], kept: set[PartitionId]) -> None:
    """Rules 2 and 3. Loads only rise here: so what a heap has too low comes up and is put right."""
    counts: dict[TopicId, int] = {}
    for wanted in members.values():
        for topic, count in wanted.items():
            counts[topic] = max(count, counts.get(topic, 0))
    for topic, count in sorted(counts.items()):
        free = [number for number in range(count) if PartitionId(topic, number) not in kept]
        if not free:
            continue
        heap = [(share.load, member) for member, share in shares.items() if topic in share.topics]
        heapify(heap)
        for number in free:
            while (load := shares[heap[0][1]].load) != heap[0][0]:
                heapreplace(heap, (load, heap[0][1]))
            share = shares[heap[0][1]]
            share.due[topic].append(number)
            share.load += 1


def _move(shares: Mapping[int, _Share]) -> tuple[int, int, TopicId] | None:
    """Rule 4: who has too much, who should get some of it, of which topic.

    Members that want the same are tried once, by the one of them that has least.
    """
    by_load = sorted((share.load, member) for member, share in shares.items())
    takers: dict[frozenset[TopicId], tuple[int, int]] = {}
    for load, member in by_load:
        takers.setdefault(shares[member].topics, (load, member))
    least = list(takers.items())
    for load, giver in reversed(by_load):
        if load - by_load[0][0] < 2:
            return None
        for topics, (taken, taker) in least:
            if load - taken < 2:
                break
            topic = shares[giver].movable(topics)
            if topic is not None:
                return giver, taker, topic
    return None
