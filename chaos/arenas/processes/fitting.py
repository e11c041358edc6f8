"""The contract of what is fitted around nodes before they start: proxies, file systems, namespaces, preloads.

A fitting changes how nodes are launched, and brings the faults that become possible by it. Several are stacked; each
sees what those before it have changed. It ends everything that it has made, whatever happened in between. A node may
come later (`machines.py`): it is fitted, too, before it starts, or the fitting says why that cannot be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from chaos.arenas.arena import Injector
from cluster.config import NodeConfig


@dataclass
class Launch:
    """How one node is started; fittings change it."""

    node: int
    folder: Path
    """Of this node alone: its configuration and its log. Its data is in `config.data_dir`."""
    config: NodeConfig
    before: list[str] = field(default_factory=list)
    """Put before the command, such as `ip netns exec NAME`."""
    environment: dict[str, str] = field(default_factory=dict)
    """Beside what this process has."""
    ways: dict[str, str] = field(default_factory=dict)
    """Addresses of the node that this process reaches by others only (`ways.py`)."""


class Nodes(Protocol):
    """The processes, as fittings and injectors may use them. Nodes are numbered from 1."""

    @property
    def launches(self) -> Mapping[int, Launch]:
        """By node: of all that there ever were."""
        ...

    @property
    def on(self) -> Sequence[int]:
        """Those that are meant to run: not those that were switched off for good, which `start` leaves alone."""
        ...

    def pid(self, node: int) -> int | None:
        """Its process, if it runs."""
        ...

    async def start(self, node: int) -> None:
        """Start it if it does not run; returns when the process is there, which may be before it answers."""
        ...

    async def kill(self, node: int) -> None:
        """SIGKILL; the process is gone when this returns. Nothing if it does not run."""
        ...

    async def terminate(self, node: int) -> None:
        """SIGTERM; gone when this returns. A stop that takes over 10 s is noted as an anomaly of the run."""
        ...

    def expect_end(self, node: int) -> None:
        """From now on this node may end by itself (its disk fails, say) until it is started again, or as follows."""
        ...

    def expect_no_end(self, node: int) -> None:
        """It has survived what might have ended it. Nothing if it does not run: then its end was expected."""
        ...

    def note(self, node: int, what: str) -> None:
        """What becomes of a node, into the run's history."""
        ...


class Fitting(Protocol):
    """Something around the nodes of one arena."""

    def missing(self) -> str:
        """Why it cannot be fitted on this machine, in a sentence; "" if it can."""
        ...

    async def fit(self, nodes: Nodes) -> Mapping[str, Injector]:
        """Before the first node starts: change the launches; the faults that are now possible, by name."""
        ...

    def why_fixed(self) -> str:
        """Why no node can come later where this is fitted, in a sentence; "" if one can."""
        ...

    async def fit_later(self, launch: Launch) -> None:
        """A node that has come, before it starts: change its launch as those of the others. RuntimeError."""
        ...

    async def remove(self) -> Mapping[str, int]:
        """After the last node has ended: nothing of it is left. What it counted."""
        ...


@runtime_checkable
class Fronting(Protocol):
    """A fitting with something in front of nodes, by which others reach them."""

    def fronted(self, config: NodeConfig) -> NodeConfig:
        """Of a node that will come, and has no number yet: the same, with the addresses that others are told."""
        ...
