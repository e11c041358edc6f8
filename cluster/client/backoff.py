"""How long to wait before trying again: doubling between two limits, with chance so that many do not come at once."""

from cluster.world import Random


class Backoff:
    """The waits of one thing that is tried again until it works.

    The n-th wait is drawn from the upper half of `s_min * 2**n`, at most `s_max`, all in seconds.
    """

    def __init__(self, s_min: float, s_max: float, random: Random) -> None:
        self._s_min = s_min
        self._s_max = s_max
        self._random = random
        self._next_s = s_min

    @property
    def fresh(self) -> bool:
        """Whether nothing has failed since the last success."""
        return self._next_s == self._s_min

    def next_s(self) -> float:
        """How long to wait this time."""
        wait_s = self._next_s
        self._next_s = min(wait_s * 2, self._s_max)
        return wait_s * (0.5 + 0.5 * self._random.random())

    def reset(self) -> None:
        """It worked."""
        self._next_s = self._s_min
