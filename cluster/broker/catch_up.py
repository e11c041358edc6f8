"""How much of a node's time and network goes to learners: bytes that its leaders may send to them, in all. Pure.

What is not used does not add up: a node that sent nothing for an hour does not send all of it at once. What is sent
beyond it, a whole append or a fold, is taken from what comes.
"""


class CatchUp:
    """One node's. Time is in the broker's ticks."""

    def __init__(self, *, bytes_per_s_max: int, tick_s: float) -> None:
        self._per_tick = max(int(bytes_per_s_max * tick_s), 1)
        self._left = self._per_tick
        self._ticked = 0
        self.sent_bytes = 0
        """All of it, since the start."""

    def left(self, now: int) -> int:
        """Bytes that may be sent now; none if it is not above 0."""
        passed, self._ticked = max(now - self._ticked, 0), now
        self._left = min(self._left + passed * self._per_tick, self._per_tick)
        return self._left

    def spend(self, size_bytes: int) -> None:
        """So much has left."""
        self._left -= size_bytes
        self.sent_bytes += size_bytes
