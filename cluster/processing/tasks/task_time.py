"""The time that a task's works are told. Pure, but for the clocks that it is handed."""

from collections.abc import Callable

from cluster.world import Clock

NS_PER_S = 1_000_000_000


class TaskTime:
    """Never back, at time's own pace, and ahead of it only as far as most nodes say.

    A clock that was set back by an hour does not stop time for an hour, and one that is ten minutes ahead takes nothing
    ahead: what a watermark has come to stays.
    """

    def __init__(self, clock: Clock, come_ns: Callable[[], int], now_ns: int) -> None:
        """`come_ns`: by the clocks of a majority of nodes; 0: not known. `now_ns`: what was told last, by anybody."""
        self._clock = clock
        self._come_ns = come_ns
        self._told = (now_ns or come_ns() or clock.wall_ns(), clock.monotonic_s())
        """What time it was when somebody asked last, by both clocks."""

    def now_ns(self) -> int:
        """Since 1970."""
        then_ns, then_s = self._told
        now_s = self._clock.monotonic_s()
        come_ns = min(self._clock.wall_ns(), self._come_ns())
        now_ns = max(come_ns, then_ns + int((now_s - then_s) * NS_PER_S))
        self._told = (now_ns, now_s)
        return now_ns
