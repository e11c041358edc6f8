"""Workloads of chaos on real nodes that are killed and stopped in turn: nothing is wrong with what clients saw."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from chaos.arenas.arena import Figures, Injector, Roles
from chaos.checkers.anomaly import Anomaly
from chaos.history import History, Kind
from chaos.workloads.metadata import Metadata
from chaos.workloads.processing import Processing
from chaos.workloads.workload import Workload
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.real.clock import RealClock, real_random
from cluster.real.network import RealNetwork

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(240)]
ROOT = Path(__file__).parent.parent.parent


class SmallArena:
    """See `Arena`. Faults come from `break_things`, not from injectors."""

    name = "processes"
    injectors: Mapping[str, Injector] = {}

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.nodes: Sequence[int] = cluster.nodes
        self.random = random.Random(1)
        self._clock = RealClock()
        self._began_s = self._clock.monotonic_s()

    def now_s(self) -> float:
        """See Arena."""
        return self._clock.monotonic_s() - self._began_s

    async def start(self) -> None:
        """See Arena."""
        self.cluster.start_all()
        await wait_ready(self.cluster)

    def client(self, name: str, options: ClientOptions | None = None) -> Client:
        """See Arena."""
        del name
        return Client(
            self.cluster.addresses, network=RealNetwork(), clock=RealClock(), random=real_random(), options=options
        )

    def code(self, module: str) -> bytes:
        """See Arena."""
        return (ROOT / f"{module.replace('.', '/')}.py").read_bytes()

    def cut_off(self, client: str, seconds: float) -> None:
        """It cannot."""

    async def roles(self) -> Roles:
        """Nobody asks."""
        return Roles({}, None, {}, self.nodes)

    def check(self) -> None:
        """See Arena."""

    async def heal(self) -> None:
        """See Arena."""
        self.cluster.start_all()
        await wait_ready(self.cluster)

    async def examine(self) -> list[Anomaly]:
        """See Arena."""
        return []

    async def stop(self) -> Figures:
        """The fixture does it."""
        return Figures("processes")

    async def break_things(self) -> None:
        """Each node is killed once, and comes back; then one is stopped for a while."""
        for node in self.nodes:
            await asyncio.sleep(0.5)
            self.cluster.kill(node)
            await asyncio.sleep(0.7)
            self.cluster.start(node)
            await wait_ready(self.cluster)
        self.cluster.kill(self.nodes[0], signal.SIGSTOP)
        await asyncio.sleep(2)
        self.cluster.kill(self.nodes[0], signal.SIGCONT)


async def a_run(workload_class: type[Workload], arena: SmallArena, **options: Any) -> History:
    """Load, faults, heal, final reads."""
    await arena.start()
    history = History()
    workload = workload_class(arena, history.scoped(workload_class.name), options)
    await workload.prepare()
    working = asyncio.create_task(workload.run())
    await arena.break_things()
    workload.stop()
    await arena.heal()
    await asyncio.wait_for(working, 90)
    await asyncio.wait_for(workload.finish(), 120)
    assert [] == workload_class.judge(history.events, options)
    return history


async def test_topics_under_fire(make_cluster: Callable[[int], LocalCluster]) -> None:
    """Some are made, some are not; each name has one order."""
    history = await a_run(Metadata, SmallArena(make_cluster(3)), names=3, clients=4, pause_s=0.2)
    done = Counter(event.name for event in history.events if event.kind is Kind.OK)
    assert {"create", "delete", "alter", "describe", "list", "send", "read"} <= set(done)


async def test_an_app_under_fire(make_cluster: Callable[[int], LocalCluster]) -> None:
    """Each amount is counted once."""
    history = await a_run(Processing, SmallArena(make_cluster(3)), partitions=2, keys=4)
    sent = sum(event.name == "send" and event.kind is Kind.OK for event in history.events)
    assert sent > 50
