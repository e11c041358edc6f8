"""How long to wait before a process that ended is started again. Pure.

The first wait is `min_s`, each further one twice that of before, up to `max_s`. A process that has run for `max_s`
has run well: what was before is forgotten.
"""


class Restarts:
    """Of the processes of one code file, one after another. Times in seconds of any clock that does not go back."""

    def __init__(self, min_s: float, max_s: float) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._started_s: float | None = None
        self._not_before_s = 0.0
        self.count = 0
        """How often it ended, since it ran well."""
        self.why = ""
        """Why it ended last."""

    def started(self, now_s: float) -> None:
        """It runs."""
        self._started_s = now_s

    def ended(self, now_s: float, why: str) -> None:
        """It ended, or did not come to run, and that was not asked for."""
        if self._started_s is not None and now_s - self._started_s >= self._max_s:
            self.count = 0
        self._started_s = None
        wait_s = min(self._max_s, self._min_s * 2.0 ** min(self.count, 60))
        self._not_before_s = now_s + wait_s
        self.count += 1
        self.why = why

    def stopped(self) -> None:
        """It was ended on purpose."""
        self._started_s = None

    def wait_s(self, now_s: float) -> float:
        """Until it may be started."""
        return max(0.0, self._not_before_s - now_s)

    def trouble(self, now_s: float, name: str) -> str:
        """Why it does not run just now, in a sentence; empty: it runs, or nothing is known."""
        if self._started_s is not None or not self.count:
            return ""
        times = "once" if self.count == 1 else f"{self.count} times in a row"
        wait_s = self.wait_s(now_s)
        when = f"may be started again in {wait_s:.1f} s" if wait_s else "may be started again now"
        return f"the process of {name} failed {times} and {when}: {self.why}"
