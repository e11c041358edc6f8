"""Three real nodes in namespaces: partitions, one-way cuts, loss, and bits that flip without TCP's notice."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from chaos.arenas.processes.arena import ProcessArena
from chaos.arenas.processes.netspace.fitting import NetSpace
from chaos.history import History
from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.errors import RiverrunError
from tests.chaos.netspace.conftest import require_spaces

pytestmark = [pytest.mark.root, pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(240)]
TOPIC, PARTITIONS = "orders", 2
IN_TIME_S = 60.0


@contextlib.asynccontextmanager
async def _arena(folder: Path, seed: int) -> AsyncIterator[ProcessArena]:
    """Three nodes behind a switch, and a topic; stopped and removed, whatever happens."""
    require_spaces()
    arena = ProcessArena(folder, nodes=3, seed=seed, fittings=[NetSpace(seed=seed)], history=History())
    try:
        await arena.start()
        async with arena.client("topics") as client:
            await client.create_topic(TOPIC, partitions=PARTITIONS)
        yield arena
    finally:
        await arena.processes.stop()
        await arena.stop()


async def _leader(client: Client) -> int:
    """Who leads partition 0."""
    async with asyncio.timeout(IN_TIME_S):
        while True:
            view = await client.describe_topic(TOPIC)
            if (leader := view.partitions[0].leader) is not None:
                return int(leader)
            await asyncio.sleep(0.05)


async def _read_all(arena: ProcessArena, partition: int) -> list[bytes]:
    """Everything, with a client that has seen nothing yet."""
    async with arena.client("final") as client, asyncio.timeout(IN_TIME_S):
        return [r.value async for r in client.read(TOPIC, partitions=[partition], until="latest")]


async def test_three_nodes_go_on_without_the_one_that_is_cut_off(data_dir: Path) -> None:
    """The leader alone, then one that is deaf, then loss and damage for all: every record is there once, in order."""
    async with _arena(data_dir, seed=1) as arena, arena.client("writer") as client:
        sent: list[bytes] = []

        async def publish(count: int) -> None:
            async with asyncio.timeout(IN_TIME_S):
                for _ in range(count):
                    sent.append(b"%d" % len(sent))
                    await client.publish(TOPIC, sent[-1], partition=0)

        await publish(5)
        for fault, options in (
            ("partition_one", {}),
            ("cut_one_way", {"direction": "to", "one": False, "grouping": 1}),
        ):
            leader = await _leader(client)
            mend = await arena.injectors[fault].inject([leader], options)
            assert mend is not None
            await publish(5)
            await mend()
            await asyncio.wait_for(arena.wait_ready(arena.nodes), IN_TIME_S)
        for fault, share in (("packet_loss", 0.05), ("packet_corrupt", 0.01)):
            mend = await arena.injectors[fault].inject([1, 2, 3], {"share": share, "links": "peers"})
            assert mend is not None
            await publish(20)
            await mend()
        await arena.heal()

        assert sent == await _read_all(arena, 0)
        assert [] == arena.processes.anomalies
        verification = await client.verify(TOPIC, 0, len(sent) - 1)
        assert verification.is_safe, verification.verdict()


class _Load:
    """Writers and readers that go on whatever they are told, and what they saw."""

    def __init__(self, arena: ProcessArena) -> None:
        self._arena = arena
        self.stopped = asyncio.Event()
        self.sent: dict[bytes, int] = {}
        self.acknowledged: dict[bytes, tuple[int, int]] = {}
        self.read: dict[int, dict[int, set[bytes]]] = defaultdict(lambda: defaultdict(set))
        self.errors: Counter[str] = Counter()

    async def _with_clients(self, work: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
        options = ClientOptions(request_timeout_s=3.0, delivery_timeout_s=20.0)
        while not self.stopped.is_set():
            client = self._arena.client("load", options)
            try:
                await client.open()
                await work(client)
            except RiverrunError as error:
                self.errors[error.reason] += 1
                await asyncio.sleep(0.05)
            finally:
                await client.abandon()

    async def write(self, writer: int, partition: int) -> None:
        """One record after the other, until it is stopped."""

        async def some(client: Client) -> None:
            while not self.stopped.is_set():
                value = b"%d/%d/%d" % (writer, partition, len(self.sent)) + bytes(300)
                self.sent[value] = partition
                receipt = await client.publish(TOPIC, value, partition=partition)
                self.acknowledged[value] = (partition, receipt.offset)

        await self._with_clients(some)

    async def follow(self, partition: int) -> None:
        """Everything, again and again from the first record, until it is stopped."""

        async def some(client: Client) -> None:
            async for record in client.read(TOPIC, partitions=[partition]):
                self.read[partition][record.offset].add(record.value)
                if self.stopped.is_set():
                    return

        await self._with_clients(some)


@pytest.mark.long
@pytest.mark.parametrize("links", ["peers", "all"])
async def test_damage_that_tcp_does_not_tell_gets_into_no_record(data_dir: Path, links: str) -> None:
    """3 % of packets for 20 s of writing and reading: no node ends, nothing that was not sent is stored or read.

    Between nodes and clients only batches have a checksum: there offsets may be wrong, which is not asked here.
    """
    async with _arena(data_dir, seed=2) as arena:
        load = _Load(arena)
        tasks = [asyncio.create_task(load.write(writer, part)) for writer in range(3) for part in range(PARTITIONS)]
        tasks += [asyncio.create_task(load.follow(part)) for part in range(PARTITIONS)]
        mend = await arena.injectors["packet_corrupt"].inject([1, 2, 3], {"share": 0.03, "links": links})
        assert mend is not None
        await asyncio.sleep(20)
        await mend()
        load.stopped.set()
        async with arena.client("last") as client:
            for partition in range(PARTITIONS):
                load.sent[b"last/%d" % partition] = partition  # so that who reads gets to see that it is over
                await client.publish(TOPIC, b"last/%d" % partition, partition=partition)
        await asyncio.wait_for(asyncio.gather(*tasks), IN_TIME_S)
        arena.check()
        assert [] == arena.processes.anomalies
        await arena.heal()
        final = {partition: await _read_all(arena, partition) for partition in range(PARTITIONS)}

        places = {value: (part, at) for part, values in final.items() for at, value in enumerate(values)}
        assert sum(map(len, final.values())) == len(places)  # none twice
        assert {value: load.sent.get(value) for value in places} == {value: part for value, (part, _) in places.items()}
        assert set(load.acknowledged) <= set(places)
        seen = {value for offsets in load.read.values() for values in offsets.values() for value in values}
        assert seen <= set(places)
        if links == "peers":
            assert load.acknowledged == {value: places[value] for value in load.acknowledged}
            assert load.read == {part: {at: {final[part][at]} for at in offsets} for part, offsets in load.read.items()}
        assert len(load.acknowledged) > 20, load.errors
