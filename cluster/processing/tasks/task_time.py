"""The time that a task's works are told. Pure, but for the clock that it is handed."""

from cluster.world import Clock

NS_PER_S = 1_000_000_000


class TaskTime:
    """Never back, and at time's own pace: a clock that was set back by an hour does not stop time for an hour."""

    def __init__(self, clock: Clock, now_ns: int) -> None:
        """`now_ns`: what was told last, by whoever led before."""
        self._clock = clock
        self._told = (now_ns, clock.monotonic_s())
        """What time it was when somebody asked last, by both clocks."""

    def now_ns(self) -> int:
        """Since 1970."""
        then_ns, then_s = self._told
        now_s = self._clock.monotonic_s()
        now_ns = max(self._clock.wall_ns(), then_ns + int((now_s - then_s) * NS_PER_S))
        self._told = (now_ns, now_s)
        return now_ns
