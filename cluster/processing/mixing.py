"""Records of several partitions as one part, in the order of their times.

A task that catches up handles the records of all partitions by their times. Where those lie close together, to go from
partition to partition would be a step for each record, each with all that belongs to an attempt: ten times the work of
the records themselves. So the columns are sorted, and it is one step.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain, repeat
from operator import itemgetter
from typing import Any

from cluster.processing.draft import Part
from cluster.wire.columns import Columns


class Mixed(Part):
    """Parts of one input. `lanes`: those of each partition, in their order; each has records."""

    __slots__ = ("_begins", "_order", "_parts", "_pick")

    def __init__(self, lanes: Sequence[Sequence[Part]]) -> None:
        parts = [part for lane in lanes for part in lane]
        at: list[int] = []
        for lane in lanes:  # within a partition they stay in their order, after whatever is ahead of them
            at += accumulate(chain.from_iterable(part.times for part in lane), max)
        self._order = sorted(range(len(at)), key=at.__getitem__)
        self._parts = parts
        self._begins = [*accumulate((len(part.keys) for part in parts[:-1]), initial=0)]
        self._pick: Callable[[Sequence[Any]], Sequence[Any]] = itemgetter(*self._order)
        columns = Columns(
            self._mix(part.columns.offsets for part in parts),
            self._mix(part.keys for part in parts),
            self._mix(part.columns.values for part in parts),
            self._mix(part.columns.times_ns for part in parts),
            _Records(self),
            traced=any(part.columns.traced for part in parts),
        )
        super().__init__(parts[0].input, parts[0].spec, parts[0].partition, columns)
        self.times = self._mix(part.times for part in parts)
        self.events = [*self._mix(part.events for part in parts)]
        if any(part.poison for part in parts):
            places = {place: number for number, place in enumerate(self._order)}
            for begin, part in zip(self._begins, parts, strict=True):
                self.poison |= {places[begin + place]: error for place, error in part.poison.items()}

    def _mix(self, columns: Iterable[Iterable[Any]]) -> Sequence[Any]:
        return self._pick([*chain.from_iterable(columns)])

    def partitions(self, first: int, end: int) -> Sequence[int]:
        """See Part."""
        return self._mix(repeat(part.partition, len(part.keys)) for part in self._parts)[first:end]

    def origin(self, place: int) -> tuple[Part, int]:
        """See Part."""
        place = self._order[place]
        number = bisect_right(self._begins, place) - 1
        return self._parts[number], place - self._begins[number]

    def position(self, place: int) -> tuple[str, int, int]:
        """See Part."""
        part, there = self.origin(place)
        return part.position(there)

    def source(self, place: int) -> str:
        """See Part."""
        part, there = self.origin(place)
        return part.source(there)

    def latest(self, first: int, end: int) -> Iterable[tuple[int, int]]:
        """See Part; of all of it."""
        assert (first, end) == (0, len(self.times)), "it is handled as a whole"
        return [(part.partition, max(part.times)) for part in self._parts]


class _Records:
    """The records themselves, for those who ask for headers."""

    def __init__(self, mixed: Mixed) -> None:
        self._mixed = mixed

    def __getitem__(self, place: int) -> Any:
        part, there = self._mixed.origin(place)
        return part.columns.record(there)
