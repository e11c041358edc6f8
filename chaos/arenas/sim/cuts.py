"""Links that carry nothing, or carry it late. Who does not hear whom: `chaos.nemeses.cuts`.

Clients are on the good side of every cut; `SimArena.cut_off` is for them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chaos.arenas.sim.injector import End, SimFault
from chaos.nemeses.cuts import PARTITIONS
from cluster.sim.cluster import SimCluster


class Cuts:
    """All that is cut now: a pair that two faults cut is whole again when both are over."""

    def __init__(self, cluster: SimCluster) -> None:
        self._cluster = cluster
        self._cut: Counter[tuple[int, int]] = Counter()

    def begin(self, pairs: Iterable[tuple[int, int]]) -> End:
        """From now on nothing gets from the first of each pair to the second."""
        pairs = list(pairs)
        for one, other in pairs:
            self._cut[one, other] += 1
            self._cluster.cut(one, other, both=False)

        def end() -> None:
            for one, other in pairs:
                self._cut[one, other] -= 1
                if self._cut[one, other] <= 0:
                    del self._cut[one, other]
                    self._cluster.fabric.mend(f"node-{one}", f"node-{other}")

        return end

    def heal(self) -> None:
        """All is whole, clients' links, too."""
        self._cut.clear()
        self._cluster.fabric.heal()


class Partition(SimFault):
    """One of `PARTITIONS`."""

    def __init__(self, cluster: SimCluster, cuts: Cuts, name: str) -> None:
        super().__init__(cluster)
        self._cuts = cuts
        self._name = name

    def begin(self, nodes: Sequence[int], options: Mapping[str, Any]) -> End | None:
        """Cut."""
        return self._cuts.begin(sorted(PARTITIONS[self._name](nodes, self.cluster.nodes, options))) if nodes else None


class Latency(SimFault):
    """Messages take up to `latency` and `jitter` (ms): all of them, for the simulated network has one delay for all."""

    def begin(self, nodes: Sequence[int], options: Mapping[str, Any]) -> End | None:
        """From now on."""
        del nodes
        return self.slow((options["latency"] + options["jitter"]) / 1000)

    def slow(self, delay_s: float) -> End:
        """Up to that."""
        fabric = self.cluster.fabric
        before_s, fabric.delay_s_max = fabric.delay_s_max, delay_s

        def end() -> None:
            fabric.delay_s_max = before_s

        return end
