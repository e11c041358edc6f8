"""What time it is by the clocks of a majority of nodes: no single clock that is ahead makes anything old.

Every message between nodes tells the sender's wall clock. From then on it is taken to go as fast as this node's
monotonic clock; the way that the message took makes it seem late by that much, never early.
"""

from collections.abc import Callable, Mapping

from cluster.types import NodeId
from cluster.world import Clock

NS_PER_S = 1_000_000_000


class StampClock:
    """One that is behind most others goes with them: what it stamps would be old before its time. See Clock.

    `come_ns`: the latest time that has come by a majority's clocks.
    """

    def __init__(self, clock: Clock, come_ns: Callable[[], int]) -> None:
        self._clock = clock
        self._come_ns = come_ns

    def monotonic_s(self) -> float:
        """See Clock."""
        return self._clock.monotonic_s()

    def wall_ns(self) -> int:
        """See Clock."""
        return max(self._clock.wall_ns(), self._come_ns())


class Clocks:
    """Those of other nodes, as one node was told of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[NodeId, tuple[int, float]] = {}

    def tell(self, node: NodeId, wall_ns: int) -> None:
        """That node's wall clock, in nanoseconds since 1970, just now; 0: it does not say."""
        if wall_ns:
            self._told[node] = (wall_ns, self._clock.monotonic_s())

    def come_ns(self, others: Mapping[NodeId, bool]) -> int:
        """The latest time that has come by the clocks of a majority, of this node and `others`, in nanoseconds.

        `others`: whether each is heard now: what one said an hour ago may have been a clock that was wrong. 0, and so
        nothing is old, where too few are heard, or have said what time it is.
        """
        now_s = self._clock.monotonic_s()
        walls_ns = [self._clock.wall_ns()]
        for node, is_heard in others.items():
            wall_ns, at_s = self._told.get(node, (0, now_s)) if is_heard else (0, now_s)
            walls_ns.append(wall_ns + int((now_s - at_s) * NS_PER_S))
        return sorted(walls_ns, reverse=True)[len(walls_ns) // 2]
