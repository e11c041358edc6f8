"""Majorities of one set of voters, or of two at once while a membership is joint (§6; thesis §4.3)."""

from collections.abc import Callable, Container, Iterable, Sequence
from typing import TypeVar

from cluster.types import ReplicaId

Place = TypeVar("Place", bound=int)


def majority(voters: int) -> int:
    """How many of so many voters are a majority."""
    return voters // 2 + 1


def reached_by_majority(places: Iterable[Place]) -> Place:
    """The highest place that a majority has reached, given each voter's (§5.3, §5.4.2)."""
    ordered = sorted(places, reverse=True)
    return ordered[majority(len(ordered)) - 1]


class Quorum:
    """What a decision takes: a majority of each of the sets. Of an empty set there is none."""

    __slots__ = ("_sets", "members")

    def __init__(self, *sets: Sequence[ReplicaId]) -> None:
        self._sets = sets
        self.members: tuple[ReplicaId, ...] = tuple(dict.fromkeys(replica for voters in sets for replica in voters))
        """All that count, once."""

    def has(self, yes: Container[ReplicaId]) -> bool:
        """Whether these are enough."""
        return all(sum(voter in yes for voter in voters) >= majority(len(voters)) for voters in self._sets)

    def is_barred_by(self, no: Container[ReplicaId]) -> bool:
        """Whether there can be no majority without some of these."""
        return any(sum(voter in no for voter in voters) >= majority(len(voters)) for voters in self._sets)

    def reached(self, place_of: Callable[[ReplicaId], Place]) -> Place:
        """The highest place that enough have reached."""
        return min(reached_by_majority(place_of(voter) for voter in voters) for voters in self._sets)
