"""What an operator does with machines of real processes: nodes come, go, lose their disks, and are restarted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from chaos.arenas.processes.arena import ProcessArena
from chaos.arenas.processes.fitting import Fitting
from chaos.arenas.processes.fittings import fittings_for
from chaos.history import History
from cluster.client.client import Client
from cluster.client.views import ClusterView
from tests.chaos.links.conftest import require_server

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(180)]
PATIENCE_S = 60.0
TOPIC = "orders"


@contextlib.asynccontextmanager
async def started(folder: Path, *fittings: Fitting) -> AsyncIterator[tuple[ProcessArena, Client]]:
    """Three nodes, and a client; whatever comes later ends with the block, too."""
    arena = ProcessArena(folder, nodes=3, seed=1, history=History(), fittings=fittings)
    try:
        await arena.start()
        client = arena.client("test")
        await client.create_topic(TOPIC, partitions=3, replicas=3)
        yield arena, client
        await client.abandon()
    finally:
        figures = await arena.stop()
    assert () == tuple(figures.failures)


async def _until(client: Client, done: Callable[[ClusterView], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not done(await client.cluster_status()):  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.1)


def _is_empty(directory: str) -> bool:
    return list(Path(directory).iterdir()) == []


async def _held(arena: ProcessArena) -> dict[str, list[int]]:
    """By partition who has a copy in the end; the nodes are stopped for it. Nothing else is wrong."""
    anomalies, copies = await arena.examine([TOPIC])
    assert [] == anomalies
    held: dict[str, list[int]] = {}
    for topic, copy in copies:
        held.setdefault(f"{topic}/{copy.partition}", []).append(copy.node)
    return {partition: sorted(nodes) for partition, nodes in sorted(held.items())}


async def test_one_comes_and_another_goes(tmp_path: Path) -> None:
    """The fourth takes what the first held; the first ends when it is removed, which is no anomaly, and stays off."""
    async with started(tmp_path) as (arena, client):
        new = await arena.machines.add()
        assert 4 == new
        assert [1, 2, 3, 4] == arena.nodes
        await client.drain_node(1)
        await _until(client, lambda view: all(not node.replicas for node in view.nodes if node.node == 1))
        async with asyncio.timeout(PATIENCE_S):
            while 1 in {node.node for node in (await client.cluster_status()).nodes}:
                with contextlib.suppress(Exception):  # it has a seat in the quorum for a moment
                    await client.remove_node(1)
                await asyncio.sleep(0.1)
        await arena.machines.switch_off(1)
        await arena.machines.switch_off(1)

        assert [2, 3, 4] == arena.nodes
        await arena.heal()
        assert [2, 3, 4] == arena.processes.alive, "healing starts nobody who was switched off"
        await client.publish(TOPIC, b"x")
        assert {f"{TOPIC}/{number}": [2, 3, 4] for number in range(3)} == await _held(arena)


async def test_a_wiped_one_is_replaced_and_the_others_restarted(tmp_path: Path) -> None:
    """No end of a fault starts it; the one that takes its place is on the disk that a restart leaves as it was."""
    async with started(tmp_path, *fittings_for(["kill"])[0]) as (arena, client):
        mend = await arena.injectors["kill"].inject([2], {})
        await arena.machines.wipe(2)
        assert mend is not None
        await mend()

        assert [1, 3] == arena.processes.alive
        assert _is_empty(arena.processes.launches[2].config.data_dir)
        new = await arena.machines.add()
        await client.replace_node(2, replacement=new)
        await _until(client, lambda view: [1, 3, new] == [node.node for node in view.nodes])
        before = arena.processes.pid(new)
        for node in (1, 3, new):
            await arena.machines.restart(node)

        assert before not in {None, arena.processes.pid(new)}
        await arena.wait_ready(arena.nodes)
        await client.publish(TOPIC, b"x")
        assert {f"{TOPIC}/{number}": [1, 3, new] for number in range(3)} == await _held(arena)


async def test_one_that_came_is_cut_off_with_the_others(tmp_path: Path) -> None:
    """Proxies are put between it and those that were there: alone it is dead to them, until that is mended."""
    require_server()
    async with started(tmp_path, *fittings_for(["partition_one"])[0]) as (arena, client):
        new = await arena.machines.add()
        mend = await arena.injectors["partition_one"].inject([new], {"grouping": 1})
        await _until(client, lambda view: [new] == [node.node for node in view.nodes if not node.alive])
        assert mend is not None
        await mend()
        await arena.wait_ready(arena.nodes)
