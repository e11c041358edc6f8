"""How many records a task reads and writes in a second, as of the last seconds. Pure."""

from collections import deque

WINDOW_S = 10.0
"""What is told is the mean of so long, or of how long it is counted."""
STEP_S = 1.0


class Rates:
    """Of one task, since `now_s` of a clock that does not go back. Counted in steps of a second."""

    def __init__(self, now_s: float) -> None:
        self._began_s = now_s
        self._steps: deque[tuple[float, int, int]] = deque()
        """When it began, records read, records written."""

    def add(self, now_s: float, read: int, written: int) -> None:
        """So many more."""
        self._forget(now_s)
        if self._steps and now_s - self._steps[-1][0] < STEP_S:
            began_s, before, before_written = self._steps.pop()
            self._steps.append((began_s, before + read, before_written + written))
        else:
            self._steps.append((now_s, read, written))

    def per_s(self, now_s: float) -> tuple[float, float]:
        """Read, and written."""
        self._forget(now_s)
        counted_s = min(WINDOW_S, max(now_s - self._began_s, STEP_S))
        return sum(step[1] for step in self._steps) / counted_s, sum(step[2] for step in self._steps) / counted_s

    def _forget(self, now_s: float) -> None:
        while self._steps and now_s - self._steps[0][0] >= WINDOW_S:
            self._steps.popleft()
