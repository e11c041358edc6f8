"""How long a node's writes take, and since when they find no room: what people are told, and nothing decides by."""

from collections import deque
from collections.abc import Collection
from statistics import median

KEPT_S = 60.0
KEPT_MAX = 16


class Timing:
    """Of one writer, whose writes come one after the other. Times are of the monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._took_s: deque[tuple[float, float]] = deque(maxlen=KEPT_MAX)
        self._began_s: float | None = None
        self._full: set[int] = set()
        self._full_since_s = 0.0

    def begins(self, now_s: float) -> None:
        """A write is under way."""
        self._began_s = now_s

    def ends(self, now_s: float, *, wrote: Collection[int], full: Collection[int]) -> None:
        """It is done, for the logs `wrote`; those that are `full` found no room."""
        assert self._began_s is not None, "it has begun"
        self._took_s.append((now_s, now_s - self._began_s))
        self._began_s = None
        if full and not self._full:
            self._full_since_s = now_s
        self._full = self._full.difference(wrote).union(full)

    def took_s(self, now_s: float) -> tuple[float, float] | None:
        """What writes took lately, usually and at most; None: there were none."""
        recent = [took_s for at_s, took_s in self._took_s if now_s - at_s <= KEPT_S]
        return (median(recent), max(recent)) if recent else None

    def under_way_s(self, now_s: float) -> float | None:
        """For how long a write has been under way; None: there is none."""
        return None if self._began_s is None else now_s - self._began_s

    def full_s(self, now_s: float) -> float:
        """For how long there has been no room for somebody; 0: there is."""
        return now_s - self._full_since_s if self._full else 0.0
