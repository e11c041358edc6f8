"""A run of one workload in the simulated arena, with crude faults; and with user code that ends or hangs."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from chaos.arenas.sim.arena import SimArena
from chaos.checkers.anomaly import Anomaly
from chaos.history import Event, History
from chaos.workloads.workload import Workload
from cluster.config import NodeConfig
from cluster.sim.clock import simulate

END_S_MAX = 600.0
HANG_S = 1.5
"""A work that takes longer is ended."""


def run_seed(
    workload_class: type[Workload], seed: int, *, seconds: float = 30.0, every_s: float = 3.0, **options: Any
) -> tuple[Sequence[Event], list[Anomaly]]:
    """A whole run in virtual time: its history, and what is wrong with it."""

    async def run() -> History:
        arena, history = SimArena.make(seed, adjust=_impatient), History()
        await arena.start()
        workload = workload_class(arena, history.scoped(workload_class.name), options)
        await workload.prepare()
        working = asyncio.create_task(workload.run())
        await break_things(arena, seconds, every_s)
        workload.stop()
        await arena.heal()
        await asyncio.wait_for(working, END_S_MAX)
        await asyncio.wait_for(workload.finish(), END_S_MAX)
        anomalies, _ = await arena.examine(workload.topics)
        assert [] == anomalies
        return history

    history, _ = simulate(run(), seed)
    return history.events, workload_class.judge(history.events, options)


def _impatient(config: NodeConfig) -> NodeConfig:
    return replace(config, processing=replace(config.processing, work_s_max=HANG_S))


async def break_things(arena: SimArena, seconds: float, every_s: float) -> None:
    """One fault after the other: crashes, cuts, isolation, pauses; and user code that ends or hangs."""
    chance, cluster = arena.random, arena.cluster
    end_s = arena.now_s() + seconds
    while arena.now_s() < end_s:
        await asyncio.sleep(chance.uniform(0.3, 1.7) * every_s)
        node, other = chance.sample(arena.nodes, 2)
        lasts_s = chance.choice((0.2, 1.5, 5.0))
        match chance.choice(("crash", "crash", "cut", "one way", "isolate", "pause", "user code")):
            case "crash":
                cluster.crash(node)
                await asyncio.sleep(lasts_s)
                await arena.start_node(node)
            case "cut":
                cluster.cut(node, other)
            case "one way":
                cluster.cut(node, other, both=False)
            case "isolate":
                for peer in set(arena.nodes) - {node}:
                    cluster.cut(node, peer)
            case "pause":
                cluster.pause(node, lasts_s)
            case "user code" if chance.random() < 0.5:
                cluster.user_code[node].crash_next_work(after=chance.randint(0, 3))
            case "user code":
                cluster.user_code[node].hang_next_work(chance.choice((0.5, 2 * HANG_S)))
        await asyncio.sleep(lasts_s)
        cluster.fabric.heal()
        arena.check()
