"""What one producer holds for one topic: a buffer and a window for each partition."""

import asyncio

from cluster.client.accumulator import PartitionBuffer
from cluster.client.calls import Calls
from cluster.client.routing import StickyPartition, TopicRoute
from cluster.client.window import Window
from cluster.config import ClientOptions


class Outlet(PartitionBuffer):
    """One partition: records gather in the buffer, batches leave through the window."""

    __slots__ = ("finding", "identified_before", "identifying", "route", "wake", "window")

    def __init__(self, route: TopicRoute, partition: int, *, calls: Calls, options: ClientOptions, named: bool) -> None:
        super().__init__(route.name, partition)
        self.route = route
        self.window = Window(
            self.closed,
            in_flight_max=options.batches_in_flight_max,
            backoff=calls.backoff(),
            renewable=not named,
            owner=self,
        )
        self.identified_before = False
        self.identifying: asyncio.Task[None] | None = None
        self.finding: asyncio.Task[None] | None = None
        self.wake: asyncio.TimerHandle | None = None


class TopicOutlets:
    """All partitions of one topic."""

    def __init__(self, route: TopicRoute, *, first: int, calls: Calls, options: ClientOptions, named: bool) -> None:
        self.route = route
        self.partitions = route.partitions
        self.outlets = [
            Outlet(route, number, calls=calls, options=options, named=named) for number in range(route.partitions)
        ]
        self._sticky = StickyPartition(route.partitions, first)

    def keyless(self) -> int:
        """The partition of the next record without a key: while its batch is open, the same one."""
        current = self._sticky.current
        if self.outlets[current].open is not None:
            return current
        return self._sticky.advance(lambda number: self.outlets[number].window.is_well)
