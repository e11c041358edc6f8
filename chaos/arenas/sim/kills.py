"""Nodes that end, or stand still: killed, without power, paused; and those whose wall clock is set.

A node whose process was killed has written what it has written; one whose power failed may have lost what was not
synced. It is started again when the fault is mended.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from chaos.arenas.arena import Mend
from chaos.arenas.sim.injector import End, SimFault, every
from cluster.sim.cluster import SimCluster

Start = Callable[[int], Awaitable[None]]
"""Starts a node that does not run; returns when it runs, however often its power goes meanwhile."""


class _Restarted(SimFault):
    """Nodes end, and are started again."""

    def __init__(self, cluster: SimCluster, start: Start) -> None:
        super().__init__(cluster)
        self._start = start

    def whom(self, nodes: Sequence[int]) -> list[int]:
        """See Choosing: those that run."""
        return self.running(nodes)

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        hit = self.running(nodes)
        end = self.begin(hit, options)
        if not hit:
            return None

        async def mend() -> None:
            if end is not None:
                end()
            for node in hit:
                await self._start(node)

        return mend


class Kill(_Restarted):
    """As kill -9 does it."""

    def begin(self, nodes: Sequence[int], options: Mapping[str, Any]) -> End | None:
        """They are gone."""
        del options
        for node in self.running(nodes):
            self.cluster.kill(node)
        return None


class PowerLoss(_Restarted):
    """At once, or (`operations`) in the middle of what the disk does after so many more operations."""

    def begin(self, nodes: Sequence[int], options: Mapping[str, Any]) -> End | None:
        """They are gone, or about to be. The end: those whose disk has done nothing since are gone, too."""
        operations = options.get("operations")
        if operations is None:
            for node in self.running(nodes):
                self.cluster.crash(node)
            return None
        return every([self._armed(node, operations) for node in self.running(nodes)])

    def _armed(self, node: int, operations: int) -> End:
        incarnation = self.cluster.running[node]
        self.cluster.crash_in_mid_write(node, operations)

        def end() -> None:
            if self.cluster.running.get(node) is incarnation:
                self.cluster.crash(node)

        return end


class Pause(SimFault):
    """As SIGSTOP does it."""

    def whom(self, nodes: Sequence[int]) -> list[int]:
        """See Choosing: those that run."""
        return self.running(nodes)

    def begin(self, nodes: Sequence[int], options: Mapping[str, Any]) -> End | None:
        """They stand still."""
        del options
        hosts = [self.cluster.hosts[node] for node in self.running(nodes)]
        for host in hosts:
            host.pause()
        return every([lambda host=host: host.resume(self.cluster.loop) for host in hosts])  # type: ignore[misc]


class ClockJump(SimFault):
    """`by_s`: by how much a wall clock is set until it is corrected; what measures time is not."""

    def whom(self, nodes: Sequence[int]) -> list[int]:
        """See Choosing: those that run."""
        return self.running(nodes)

    def begin(self, nodes: Sequence[int], options: Mapping[str, Any]) -> End | None:
        """It is set, and set back; a node that is started anew has the right time."""
        clocks, by_ns = [self.cluster.clocks[node] for node in self.running(nodes)], int(options["by_s"] * 1e9)
        for clock in clocks:
            clock.offset_ns += by_ns

        def correct() -> None:
            for clock in clocks:
                clock.offset_ns -= by_ns

        return correct
