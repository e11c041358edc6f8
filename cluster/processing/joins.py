"""The interval join: pairs of events of one key whose times are at most `within` apart.

Each side keeps its events for as long as one that is not late may still meet them: until the watermark is beyond their
time plus `within`. One timer for each key forgets them. A record below the watermark is late: counted and dropped, so
which pairs there are depends on no cut of the input into works.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from cluster.processing.calling import Surroundings, no_key
from cluster.processing.draft import Part
from cluster.processing.work import Fired, TimerClock

PAIRS_STORE = "~pairs"
TIMER = "pairs"


class Sides(msgspec.Struct, array_like=True):
    """Events of one key that wait, by side, as (time, value); `timer_ns`: when they are looked at next."""

    left: list[tuple[int, bytes]] = []
    right: list[tuple[int, bytes]] = []
    timer_ns: int | None = None


class Joins:
    """The operator of an interval join. Input 0 is the left side, input 1 the right."""

    knows_place = True

    def __init__(self, stage: Any, surroundings: Surroundings, decoders: Any, watermark: Callable[[], int]) -> None:
        self._within_ns: int = stage.within_ns
        self._function = stage.binding.function
        self._draft = surroundings.draft
        self._arguments = surroundings.arguments(stage.binding)
        self._decoders = decoders
        self._watermark = watermark
        self._sides = surroundings.state.store(PAIRS_STORE, Sides, Sides)

    def take(self, part: Part, first: int, end: int) -> None:
        """Pair the records from `first` to before `end` with what waits, and let them wait."""
        draft, values = self._draft, part.columns.values
        draft.at_record(part, first)
        self._sides.load(key for key in part.keys[first:end] if key is not None)
        for place in range(first, end):
            draft.place = place
            key, time_ns = part.keys[place], part.times[place]
            if key is None:
                raise no_key("a join")
            if time_ns < part.marks[place]:
                draft.counts["late"] += 1
                continue
            sides: Sides = self._sides.cell(key).get()
            mine, others = (sides.left, sides.right) if part.input == 0 else (sides.right, sides.left)
            decode = self._decoders[part.input]
            for other_ns, other in others:
                if abs(other_ns - time_ns) <= self._within_ns:
                    self._meet(part.input, key, decode(values[place]), other)  # each pair has its own
            mine.append((time_ns, values[place]))
            forget_ns = time_ns + self._within_ns + 1
            if sides.timer_ns is None or forget_ns < sides.timer_ns:
                self._wake(key, sides, forget_ns)

    def fire(self, fired: Fired) -> None:
        """Forget what nobody can meet any more."""
        self._draft.at_timer(fired)
        cell = self._sides.cell(fired.key)
        sides: Sides = cell.get()
        least_ns = self._watermark() - self._within_ns  # one look for all, not one for each time that there is
        sides.left = [item for item in sides.left if item[0] >= least_ns]
        sides.right = [item for item in sides.right if item[0] >= least_ns]
        left = [item[0] for item in (*sides.left, *sides.right)]
        if left:
            self._wake(fired.key, sides, min(left) + self._within_ns + 1)
        else:
            cell.delete()

    def _wake(self, key: bytes, sides: Sides, at_ns: int) -> None:
        sides.timer_ns = at_ns
        self._draft.set_timer(key, TIMER, at_ns, TimerClock.EVENT)

    def _meet(self, side: int, key: bytes, event: Any, other: bytes) -> None:
        met = self._decoders[1 - side](other)
        pair = (event, met) if side == 0 else (met, event)
        result = self._function(*pair, *self._arguments.at(key))
        if result is not None:
            self._draft.emit_result(result)
