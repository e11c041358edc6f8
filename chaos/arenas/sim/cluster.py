"""A simulated cluster whose replicas are looked at after every turn; tests plant bugs in its nodes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

from chaos.arenas.sim.invariants import CheckedReplica, Invariants
from cluster.broker.groups.state import Groups
from cluster.config import NodeConfig
from cluster.node import Node
from cluster.sim.clock import SimLoop
from cluster.sim.cluster import SimCluster

Adjust = Callable[[NodeConfig], NodeConfig]
"""Sets a node's options."""


def small_logs(config: NodeConfig) -> NodeConfig:
    """Segments that are full after seconds, and looked at every second: there is something to trim and to compact.

    What was read between stages is deleted every two.
    """
    return replace(
        config,
        log=replace(config.log, segment_bytes_max=16 << 10, allocate_bytes_min=4096),
        broker=replace(config.broker, retention_check_s=1.0, segment_age_s_min=1.0, compaction_check_s=1.0),
        processing=replace(config.processing, delete_read_s=2.0),
    )


def frugal(config: NodeConfig) -> NodeConfig:
    """The same, and one partition for all groups, whose replicas turn half as often."""
    config = small_logs(config)
    return replace(config, broker=replace(config.broker, group_partitions=1, tick_s=0.1))


class CheckedCluster(SimCluster):
    """What was seen of it is in `invariants`."""

    replica_class: ClassVar[type[CheckedReplica]] = CheckedReplica
    groups_class: ClassVar[type[Groups]] = Groups
    """Tests plant bugs in these."""

    def __init__(
        self, loop: SimLoop, *, nodes: int = 3, latency_s: Sequence[float] = (), adjust: Adjust | None = None
    ) -> None:
        super().__init__(loop, nodes=nodes, latency_s=latency_s)
        self.invariants = Invariants()
        self._adjust = adjust
        looked_at = type("LookedAt", (self.replica_class,), {"invariants": self.invariants})
        planted = {"replica_class": looked_at, "groups_class": self.groups_class}
        self.node_class = type("CheckedNode", (Node,), planted)

    def _config(self, number: int) -> NodeConfig:
        config = super()._config(number)
        takes_apps = replace(config.processing, deploy_from_anywhere=True)  # no client is on a node's own machine
        config = replace(config, processing=takes_apps)
        return self._adjust(config) if self._adjust is not None else config
