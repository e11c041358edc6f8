"""A task's timers: one for each (key, name), and which of them are due. Pure.

They stand in the ledger, so all of them travel in one message and are written at the head of each segment: their size
is counted, and limited by the ledger.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from cluster.processing.work import Fired, TimerClock

TIMER_BYTES = 16
"""What a timer weighs beside its key and its name."""

STALE_MIN = 64
"""A timer that is moved leaves its old place in the heap: so many, and as many as there are timers, may be left."""

Plain = tuple[bytes, str, int, int]
"""Key, name, time in ns, clock."""


def bytes_of(key: bytes, name: str) -> int:
    """What one timer weighs."""
    return TIMER_BYTES + len(key) + len(name)


class Timers:
    """Timers by (key, name). `bytes`: what they weigh in all."""

    def __init__(self, plain: list[Plain]) -> None:
        self._at = {(key, name): (at_ns, TimerClock(clock)) for key, name, at_ns, clock in plain}
        self._heaps: dict[TimerClock, list[tuple[int, bytes, str]]]
        self._sort()
        self.bytes = sum(bytes_of(key, name) for key, name in self._at)

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, timer: tuple[bytes, str]) -> bool:
        return timer in self._at

    def plain(self) -> list[Plain]:
        """All of them, in an order of their own: alike wherever they are alike."""
        return sorted((key, name, at_ns, int(clock)) for (key, name), (at_ns, clock) in self._at.items())

    def at_ns(self, key: bytes, name: str) -> int | None:
        """When it is due; None if there is no such timer."""
        found = self._at.get((key, name))
        return found[0] if found is not None else None

    def set(self, key: bytes, name: str, at_ns: int, clock: TimerClock) -> None:
        """A new one, or the same one moved."""
        if (key, name) not in self._at:
            self.bytes += bytes_of(key, name)
        self._at[key, name] = (at_ns, clock)
        heappush(self._heaps[clock], (at_ns, key, name))
        if sum(map(len, self._heaps.values())) > 2 * len(self._at) + STALE_MIN:
            self._sort()

    def delete(self, key: bytes, name: str) -> None:
        """If it is there."""
        if self._at.pop((key, name), None) is not None:
            self.bytes -= bytes_of(key, name)

    def due(self, clock: TimerClock, upto_ns: int, count_max: int) -> list[Fired]:
        """Those whose time is at or before `upto_ns`, earliest first. They stay until a commit has fired them."""
        found = []
        for at_ns, key, name in self._valid(clock, upto_ns):
            found.append(Fired(key=key, name=name, at_ns=at_ns))
            if len(found) >= count_max:
                break
        for fired in found:
            heappush(self._heaps[clock], (fired.at_ns, fired.key, fired.name))
        return found

    def next_ns(self, clock: TimerClock) -> int | None:
        """When the earliest one is due; None if there is none."""
        heap = self._heaps[clock]
        while heap and self._at.get((heap[0][1], heap[0][2])) != (heap[0][0], clock):
            heappop(heap)
        return heap[0][0] if heap else None

    def _sort(self) -> None:
        self._heaps = {clock: [] for clock in TimerClock}
        for (key, name), (at_ns, clock) in self._at.items():
            self._heaps[clock].append((at_ns, key, name))
        for heap in self._heaps.values():
            heapify(heap)

    def _valid(self, clock: TimerClock, upto_ns: int) -> Iterator[tuple[int, bytes, str]]:
        """Takes them out of the heap, and drops what was moved or deleted since, or stands there twice."""
        heap, last = self._heaps[clock], None
        while heap and heap[0][0] <= upto_ns:
            at_ns, key, name = heappop(heap)
            if self._at.get((key, name)) == (at_ns, clock) and (at_ns, key, name) != last:
                last = (at_ns, key, name)
                yield last
