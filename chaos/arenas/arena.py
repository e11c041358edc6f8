"""The contract between a run and where it takes place. Workloads and nemeses know nothing else of a cluster.

An arena has nodes (1 … n at first; an operator adds and removes some), clients on places of their own, a clock for the
history, chance from the run's seed, and *injectors*: the faults that it can bring about. A run goes: `start` →
workloads and nemesis → `heal` → final reads → `examine` → `stop`. One that breaks off before goes on with `salvage`
instead. Every wait in between has a bound; whatever an arena starts it ends in `stop`, after a failure, too.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from chaos.checkers.anomaly import Anomaly
from chaos.checkers.replicas import Copy
from cluster.client.client import Client
from cluster.config import ClientOptions

if TYPE_CHECKING:
    from chaos.arenas.machines import Machines
    from chaos.arenas.seats import Seats

Mend = Callable[[], Awaitable[None]]
"""Ends one fault. May be called once; returns when it has taken effect."""


class HitNobody(Exception):
    """There was nothing to break, and nothing was broken; the message says why."""


class Injector(Protocol):
    """One way to break the nodes of one arena; the fault's name, roles and options: `chaos.nemeses.catalogue`."""

    def missing(self) -> str:
        """Why it cannot be done here (no root, no such tool, no such file system), in a sentence; "" if it can."""
        ...

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """Do it to these nodes; how it ends, or None if there is nothing to end. Options as the schedule drew them.

        A node that does not run is passed over where the fault needs a process. RuntimeError with a sentence if it
        turned out to be impossible: the run then fails, for a fault that did not happen proves nothing. HitNobody: not
        this time.
        """
        ...


@runtime_checkable
class Choosing(Protocol):
    """An injector that does not hit everybody that it may be aimed at."""

    def whom(self, nodes: Sequence[int]) -> list[int]:
        """Whom it would hit now if it were aimed at these."""
        ...


@dataclass(frozen=True, slots=True)
class Roles:
    """Who is what, at one moment, as far as a client could find out."""

    leaders: Mapping[tuple[str, int], int]
    """Of each partition (topic, number) its leader's node, where it has one."""
    controller: int | None
    coordinators: Mapping[str, int]
    """Of each group the node that coordinates it."""
    alive: Sequence[int]
    """Nodes whose process, or simulated twin, runs."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What an arena can say about itself at the end of a run; times in seconds."""

    kind: str
    """`sim` or `processes`, and what of it: shown in the report."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Elections, restarts, bytes through proxies, …"""
    notes: Sequence[str] = ()
    """Sentences: what this machine did not allow."""
    failures: Sequence[str] = ()
    """Sentences: what could not be taken away, or was not in use though it had to be. Then the run proves nothing."""


class Arena(Protocol):
    """A cluster, and how it is broken."""

    @property
    def name(self) -> str:
        """`sim` or `processes`."""
        ...

    @property
    def nodes(self) -> Sequence[int]:
        """1 … n at first; then those that are meant to run."""
        ...

    @property
    def machines(self) -> "Machines":
        """What an operator can do with them, besides breaking them."""
        ...

    @property
    def random(self) -> random.Random:
        """For workloads: from the run's seed. Schedules have their own."""
        ...

    @property
    def injectors(self) -> Mapping[str, Injector]:
        """What can be done to it, once it has started."""
        ...

    @property
    def seats(self) -> "Seats":
        """Where workloads' clients sit that may vanish."""
        ...

    def now_s(self) -> float:
        """Seconds since the run began; the history's clock, monotone."""
        ...

    async def start(self) -> None:
        """Every node runs and the cluster answers. RuntimeError with the reason if not within a bound."""
        ...

    def client(self, name: str, options: ClientOptions | None = None) -> Client:
        """A client on a place of its own, not opened yet. Who made it closes or abandons it."""
        ...

    def code(self, module: str) -> bytes:
        """What `Client.deploy_app` is given for the app in a module: its file, or where nodes import it, its name.

        A node takes it from any client of this arena, and runs it in processes of its own, real or simulated.
        """
        ...

    def cut_off(self, client: str, seconds: float) -> None:
        """For so long nothing gets from that client to any node, nor back. An arena that cannot does nothing."""
        ...

    async def roles(self) -> Roles:
        """As it is now; while nobody answers, what was last known."""
        ...

    def check(self) -> None:
        """What must hold at any moment (invariants, no node ended by itself); raises with a sentence."""
        ...

    async def heal(self) -> None:
        """Everything works again, every node runs, and the cluster answers, within a bound: else RuntimeError."""
        ...

    async def examine(self, topics: Sequence[str]) -> tuple[list[Anomaly], list[tuple[str, Copy]]]:
        """After the final reads; the nodes are stopped for it. What is wrong by itself, and every replica's own copy.

        Copies are of these topics' partitions, with the topic's name, read from the nodes' disks.
        """
        ...

    async def salvage(self) -> list[Anomaly]:
        """Instead of `examine`, where the run broke off: what is wrong by itself, if nobody answers any more."""
        ...

    async def stop(self) -> Figures:
        """The end: every process, file system, proxy and namespace of this arena is gone."""
        ...
