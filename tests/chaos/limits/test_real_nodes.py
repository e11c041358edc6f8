"""Real nodes under load, and everything that is done to them or taken from them: nothing acknowledged is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from chaos.arenas.processes.arena import ProcessArena
from chaos.arenas.processes.expected import allowed_events
from chaos.arenas.processes.fitting import Fitting
from chaos.arenas.processes.fittings import fittings_for
from chaos.history import History
from chaos.nemeses.catalogue import CATALOGUE
from chaos.nemeses.limits import FEW
from tests.processes.test_kills import TOPIC, Load, _verify

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(120)]
FAULTS = sorted(name for name, kind in CATALOGUE.items() if kind.family in {"kill", "clock", "resource"})
HELD_S = 0.5
SOME = 50


class Cluster:
    """Three nodes and a producer."""

    def __init__(self, arena: ProcessArena) -> None:
        self.arena = arena
        self.client = arena.client("load")
        self.load = Load(self.client)

    async def hit(self, fault: str, nodes: Sequence[int], options: dict[str, Any], held_s: float = HELD_S) -> None:
        """Do it, hold it, mend it; the cluster answers afterwards. Others than the nodes go on meanwhile."""
        mend = await self.arena.injectors[fault].inject(nodes, options)
        held = asyncio.create_task(asyncio.sleep(held_s))
        if len(nodes) == 1:
            await self.load.goes_on(SOME)
        await held
        if mend is not None:
            await mend()
        await self.arena.heal()
        await self.load.goes_on(SOME)


@contextlib.asynccontextmanager
async def _running(folder: Path, faults: Sequence[str]) -> AsyncIterator[Cluster]:
    """With what these faults need; at the end everything is read, and no node has ended that may not."""
    fitted, possible, why = fittings_for(faults)
    if set(faults) - set(possible):
        pytest.skip("; ".join(why))
    fittings: list[Fitting] = fitted
    arena = ProcessArena(
        folder,
        nodes=3,
        seed=1,
        fittings=fittings,
        history=History(),
        allowed=allowed_events(faults),
    )
    try:
        await arena.start()
        cluster = Cluster(arena)
        await cluster.client.create_topic(TOPIC, partitions=3, replicas=3)
        running = asyncio.create_task(cluster.load.run())
        await cluster.load.goes_on(SOME)
        yield cluster
        cluster.load.stopping = True
        await running
        await _verify(cluster.load, cluster.client)
        await cluster.client.close()
        anomalies, copies = await arena.examine([TOPIC])
        assert [] == anomalies
        assert len({copy.node for _, copy in copies}) >= 2
    finally:
        await arena.stop()


async def _leader(cluster: Cluster) -> int:
    topic = await cluster.client.describe_topic(TOPIC)
    return next(int(part.leader) for part in topic.partitions if part.leader is not None)


@pytest.mark.long
async def test_whatever_anybody_may_do(tmp_path: Path):
    """Clocks that jump, ahead for a leader and back for all; clocks at double speed; and no descriptors are left.

    Without descriptors what is connected goes on, and whoever comes new is answered when there are some again.
    """
    async with _running(tmp_path, ["clock_jump", "clocks_rate", "descriptors"]) as cluster:
        await cluster.hit("clock_jump", [await _leader(cluster)], {"by_s": 60.0}, 0.0)
        await cluster.hit("clock_jump", [1, 2, 3], {"by_s": -60.0}, 0.2)
        await cluster.hit("clocks_rate", [await _leader(cluster)], {"rate": 2.0, "monotonic": True})
        await cluster.hit("clocks_rate", [1, 2, 3], {"rate": 2.0, "monotonic": True})
        victim = await _leader(cluster)
        pid = cluster.arena.processes.pid(victim)
        await cluster.hit("descriptors", [victim], {"spare": 0})
        assert pid == cluster.arena.processes.pid(victim)


@pytest.mark.root
async def test_what_root_may_do(tmp_path: Path):
    """A leader lacks threads, then processor time, is frozen, and at last wants memory and is killed by the kernel."""
    async with _running(tmp_path, ["threads", "cpu", "freeze", "memory"]) as cluster:
        await cluster.hit("threads", [await _leader(cluster)], {"spare": 0}, 0.0)
        await cluster.hit("cpu", [await _leader(cluster)], {"share": 0.2})
        await cluster.hit("freeze", [await _leader(cluster)], {})
        await cluster.client.create_topic("large", partitions=1, replicas=3)
        (part,) = (await cluster.client.describe_topic("large")).partitions
        assert part.leader is not None
        mend = await cluster.arena.injectors["memory"].inject([int(part.leader)], {"headroom_kib": 0})
        assert mend is not None
        while cluster.arena.processes.pid(int(part.leader)) is not None:
            await cluster.client.publish("large", bytes(900_000))
        await mend()
        await cluster.arena.heal()
        await cluster.load.goes_on(SOME)


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_with_all_options(tmp_path: Path, fault: str):
    """On a leader, on whoever follows and, where it may be, on all at once; each time as a schedule would draw it."""
    kind = CATALOGUE[fault]
    async with _running(tmp_path, [fault]) as cluster:
        for number in range(3):
            everybody = number == 2 and kind.roles != FEW
            nodes = [1, 2, 3] if everybody or not set(kind.roles) & set(FEW) else [await _leader(cluster)]
            options = kind.draw(cluster.arena.random)
            await cluster.hit(fault, nodes, options, sum(kind.lasts_s) / 2)


async def test_a_wiped_node_refuses_to_run(tmp_path: Path):
    """It comes back with an empty disk: its peers know it, so it ends with a sentence; the others go on."""
    async with _running(tmp_path, ["kill"]) as cluster:
        nodes, victim = cluster.arena.processes, await _leader(cluster)
        mend = await cluster.arena.injectors["wipe"].inject([victim], {})
        assert mend is not None
        nodes.expect_end(victim)
        await mend()
        nodes.expect_end(victim)
        async with asyncio.timeout(20):
            while nodes.pid(victim) is not None:
                await cluster.load.goes_on(SOME)
        await cluster.load.goes_on(SOME)
        assert "data directory is empty, but node" in nodes.last_words(victim)
        assert f"knows node {victim} as one that has voted" in nodes.last_words(victim)
