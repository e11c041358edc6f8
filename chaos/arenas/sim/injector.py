"""What all faults of the simulator have in common: nothing has to be waited for, neither to begin nor to end them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaos.arenas.arena import Mend
from cluster.sim.cluster import SimCluster

End = Callable[[], None]
"""Ends a fault at once."""


class SimFault(ABC):
    """See `chaos.arenas.arena.Injector`."""

    def __init__(self, cluster: SimCluster) -> None:
        self.cluster = cluster

    def missing(self) -> str:
        """Nothing is: everything here is simulated."""
        return ""

    @abstractmethod
    def begin(self, nodes: Sequence[int], options: Mapping[str, Any]) -> End | None:
        """Do it; how it ends, or None if there is nothing to end."""

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        end = self.begin(nodes, options)
        if end is None:
            return None

        async def mend() -> None:
            end()

        return mend

    def running(self, nodes: Sequence[int]) -> list[int]:
        """Those that run: the others are passed over."""
        return [node for node in nodes if node in self.cluster.running]


def every(ends: Sequence[End]) -> End:
    """All of them, in one."""

    def end() -> None:
        for one in ends:
            one()

    return end
