"""Producers that were quiet for long are forgotten: else every client that ever published would stay in the log. Pure.

Rule: a leader proposes to forget a producer when it has led without a break for a whole period in which the producer
appended nothing. So it takes between one and two periods, and more where leaders change. Wall clocks play no part: one
that jumps by a day must not make a partition forget a producer that is about to send a batch again.

A producer that `lives` is never forgotten: a task may have nothing to say for months, and goes on where it was.
"""

from collections.abc import Callable

from cluster.log.fold import Fold
from cluster.types import ProducerId

EXPIRED_TOGETHER_MAX = 10_000
"""Of one entry; the rest go with the next turn."""


class Expiry:
    """One leader's look at its producers. Time is in ticks."""

    def __init__(self, period_ticks: int, lives: Callable[[ProducerId], bool]) -> None:
        self._period = period_ticks
        self._lives = lives
        self._began: int | None = None
        self._before: dict[ProducerId, tuple[int, int]] = {}

    def restart(self) -> None:
        """Leadership began or ended: nothing that was seen before counts."""
        self._began = None
        self._before.clear()

    def due(self, fold: Fold, now: int) -> list[ProducerId]:
        """Those that may be forgotten now; empty but once a period."""
        if self._began is None:
            self._began, self._before = now, _places(fold)
            return []
        if now - self._began < self._period:
            return []
        places = _places(fold)
        quiet = [producer for producer, place in places.items() if self._before.get(producer) == place]
        quiet = [producer for producer in quiet if not self._lives(producer)]
        if len(quiet) > EXPIRED_TOGETHER_MAX:
            return quiet[:EXPIRED_TOGETHER_MAX]
        self._began, self._before = now, places
        return quiet


def _places(fold: Fold) -> dict[ProducerId, tuple[int, int]]:
    return {producer: (state.epoch, state.next_sequence) for producer, state in fold.producers.items()}
