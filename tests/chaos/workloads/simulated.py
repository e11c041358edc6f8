"""A simulated cluster as an arena, and a run of a workload on it with faults drawn from a seed."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from chaos.arenas.arena import Figures, Injector, Roles
from chaos.checkers.anomaly import Anomaly
from chaos.history import Event, History
from chaos.workloads.workload import Workload
from cluster.client.client import Client
from cluster.config import ClientOptions, NodeConfig
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster

READY_S_MAX = 60.0
FINISH_S_MAX = 600.0


class Nodes(SimCluster):
    """Take apps from anywhere: there is no loopback between simulated hosts."""

    def _config(self, number: int) -> NodeConfig:
        config = super()._config(number)
        return replace(config, processing=replace(config.processing, deploy_from_anywhere=True, work_s_max=2.0))


class SmallSim:
    """See `Arena`. Faults come from `break_things`, not from injectors."""

    name = "sim"
    injectors: Mapping[str, Injector] = {}

    def __init__(self, loop: SimLoop, cluster_class: type[SimCluster] = Nodes) -> None:
        self.loop = loop
        self.random = random.Random(loop.random.getrandbits(64))
        self.cluster = cluster_class(loop)
        self.nodes: Sequence[int] = self.cluster.nodes
        self.faults = 0

    def now_s(self) -> float:
        """See Arena."""
        return self.loop.now_s

    async def start(self) -> None:
        """See Arena."""
        await self.cluster.start_all()
        await self._ready()

    def client(self, name: str, options: ClientOptions | None = None) -> Client:
        """See Arena."""
        return self.cluster.client(name, options)

    def code(self, module: str) -> bytes:
        """See Arena."""
        return module.encode()

    def cut_off(self, client: str, seconds: float) -> None:
        """See Arena."""
        self.cluster.cut_off(client, seconds)

    async def roles(self) -> Roles:
        """Nobody asks."""
        return Roles({}, None, {}, list(self.cluster.running))

    def check(self) -> None:
        """See Arena."""
        assert [] == self.cluster.fatal

    async def heal(self) -> None:
        """See Arena."""
        self.cluster.fabric.heal()
        await self.cluster.start_all()
        await self._ready()

    async def examine(self) -> list[Anomaly]:
        """See Arena."""
        return []

    async def stop(self) -> Figures:
        """See Arena."""
        return Figures("sim")

    async def break_things(self, seconds: float, every_s: float) -> None:
        """One fault after the other: crashes, cuts, isolation, pauses; and user code that ends or hangs."""
        end_s = self.loop.now_s + seconds
        chance = self.random
        while self.loop.now_s < end_s:
            await asyncio.sleep(chance.uniform(0.3, 1.7) * every_s)
            self.faults += 1
            node, other = chance.sample(self.nodes, 2)
            lasts_s = chance.choice((0.2, 1.5, 5.0))
            match chance.choice(("crash", "crash", "cut", "one way", "isolate", "pause", "user code")):
                case "crash":
                    self.cluster.crash(node)
                    await asyncio.sleep(lasts_s)
                    await self.cluster.start(node)
                case "cut":
                    self.cluster.cut(node, other)
                case "one way":
                    self.cluster.cut(node, other, both=False)
                case "isolate":
                    for peer in self.nodes:
                        if peer != node:
                            self.cluster.cut(node, peer)
                case "pause":
                    self.cluster.pause(node, lasts_s)
                case "user code" if chance.random() < 0.5:
                    self.cluster.user_code[node].crash_next_work(after=chance.randint(0, 3))
                case "user code":
                    self.cluster.user_code[node].hang_next_work(chance.choice((0.5, 3.0)))
            await asyncio.sleep(lasts_s)
            self.cluster.fabric.heal()
            self.check()

    async def _ready(self) -> None:
        client = self.cluster.client("ready")
        async with asyncio.timeout(READY_S_MAX):
            while True:
                try:
                    view = await client.cluster_status()
                except Exception:  # noqa: BLE001  it is asked again
                    view = None
                if view and view.controller and sum(node.alive for node in view.nodes) == len(self.nodes):
                    break
                await asyncio.sleep(0.1)
        await client.abandon()


def run_seed(
    workload_class: type[Workload],
    seed: int,
    *,
    seconds: float = 30.0,
    every_s: float = 3.0,
    cluster_class: type[SimCluster] = Nodes,
    **options: Any,
) -> tuple[Sequence[Event], list[Anomaly]]:
    """A whole run in virtual time: its history, and what is wrong with it."""

    async def run() -> History:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        arena, history = SmallSim(loop, cluster_class), History()
        await arena.start()
        workload = workload_class(arena, history.scoped(workload_class.name), options)
        await workload.prepare()
        working = asyncio.create_task(workload.run())
        await arena.break_things(seconds, every_s)
        workload.stop()
        await arena.heal()
        await asyncio.wait_for(working, FINISH_S_MAX)
        await asyncio.wait_for(workload.finish(), FINISH_S_MAX)
        arena.check()
        return history

    history, _ = simulate(run(), seed)
    return history.events, workload_class.judge(history.events, options)
