"""Three real nodes that fittings can be fitted around, and a load that remembers what was acknowledged."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.arenas.arena import Injector
from chaos.arenas.processes.disks.at_rest import NODE_LOG, Events
from chaos.arenas.processes.fitting import Fitting, Launch
from chaos.arenas.processes.ports import claimed_ports
from cluster import connect
from cluster.cli.config_file import read_config, write_config
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.client import Client
from cluster.client.verifying import CopyState
from cluster.config import ClientOptions
from cluster.errors import RiverrunError

TOPIC = "orders"
PARTITIONS = 3
HEALED_S_MAX = 20.0


class TestNodes:
    """See Nodes. A node that ends without being expected to is remembered."""

    __test__ = False

    def __init__(self, folder: Path, port: int, nodes: int = 3) -> None:
        self.local = LocalCluster(folder, nodes=nodes, port=port)
        self.launches = {
            node: Launch(node, folder / f"node-{node}", read_config(self.local.config_path(node)))
            for node in self.local.nodes
        }
        self._processes = self.local._processes
        self._expected: set[int] = set()

    def pid(self, node: int) -> int | None:
        return self.local.pid(node)

    async def start(self, node: int) -> None:
        if self.pid(node) is None:
            self._start(node)

    def _start(self, node: int) -> None:
        self._expected.discard(node)
        launch = self.launches[node]
        write_config(launch.config, self.local.config_path(node))
        with self.local.log_path(node).open("ab") as log:
            self._processes[node] = subprocess.Popen(
                [*launch.before, sys.executable, "-m", "cluster.cli", "node", "--config", self.local.config_path(node)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **launch.environment},
                start_new_session=True,
            )

    async def kill(self, node: int) -> None:
        if self.pid(node) is not None:
            self._expected.add(node)
            self.local.kill(node)

    async def terminate(self, node: int) -> None:
        self._expected.add(node)
        self.local.kill(node, signal.SIGTERM)
        await asyncio.to_thread(self._processes[node].wait, 15)

    def expect_end(self, node: int) -> None:
        self._expected.add(node)

    def expect_no_end(self, node: int) -> None:
        if self.pid(node) is not None:
            self._expected.discard(node)

    def note(self, node: int, what: str) -> None: ...

    def unexpected(self) -> dict[int, str]:
        """Nodes that have ended, and nobody said that they may."""
        return {node: self.local.last_words(node) for node in self.local.stopped() if node not in self._expected}

    def log_lines(self, node: int, event: str) -> list[dict[str, Any]]:
        """What a node has said under that name, ever."""
        events = Events(self.launches[node].folder / NODE_LOG)
        events._position = 0
        return [dict(found) for found in events.new() if found.get("event") == event]


@dataclass
class Run:
    """A cluster with disks that can fail."""

    nodes: TestNodes
    injectors: dict[str, Injector]
    client: Client
    acknowledged: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By record's number, its partition and offset."""
    _next: int = 0

    async def produce(self, count: int) -> None:
        """So many records, one after the other in each partition."""
        numbers = range(self._next, self._next + count)
        self._next += count
        await asyncio.gather(*(self._produce(numbers[part::PARTITIONS], part) for part in range(PARTITIONS)))

    async def _produce(self, numbers: Sequence[int], partition: int) -> None:
        for number in numbers:
            with contextlib.suppress(RiverrunError):
                receipt = await self.client.publish(TOPIC, b"%d" % number, key=b"%d" % number, partition=partition)
                self.acknowledged[number] = (partition, int(receipt.offset))

    @contextlib.asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Records all the time, as long as the block lasts."""
        stop = asyncio.Event()

        async def work() -> None:
            while not stop.is_set():
                await self.produce(3 * PARTITIONS)

        working = asyncio.create_task(work())
        try:
            yield
        finally:
            stop.set()
            await working

    async def more(self, count: int, within_s: float = 20.0) -> float:
        """Return when so many more records were acknowledged; how long that took."""
        wanted = len(self.acknowledged) + count
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        await self.until(lambda: len(self.acknowledged) >= wanted, within_s)
        return loop.time() - begin_s

    async def until(self, enough: Callable[[], bool], within_s: float = 15.0) -> None:
        """Return when that is so."""
        async with asyncio.timeout(within_s):
            while not enough():  # noqa: ASYNC110  of what happens elsewhere, or often
                await asyncio.sleep(0.02)

    async def started_again(self) -> None:
        """All nodes, and the cluster is whole."""
        for node in self.nodes.launches:
            await self.nodes.kill(node)
        for node in self.nodes.launches:
            await self.nodes.start(node)
        await wait_ready(self.nodes.local)
        await self.produce(PARTITIONS)

    async def nothing_lost(self) -> None:
        """All that was acknowledged is read where its receipt says, on a cluster that is whole again."""
        await wait_ready(self.nodes.local)
        assert {} == self.nodes.unexpected()
        await self.all_is_read()

    async def all_is_read(self) -> None:
        """The same, on as much of the cluster as runs."""
        found: dict[tuple[int, int], int] = {}
        async with connect(self.nodes.local.addresses) as client, asyncio.timeout(30):
            async for record in client.read(TOPIC, until="latest"):
                found[record.partition, int(record.offset)] = int(record.value)
        lost = {number: place for number, place in self.acknowledged.items() if found.get(place) != number}
        assert {} == lost
        assert len(found) == len(set(found.values())), "a record is there twice"

    async def held_everywhere(self, *, every: int = 1) -> None:
        """Each replica comes to hold each record (or one of `every`), intact and equal, on its disk."""
        for partition, offset in sorted(self.acknowledged.values())[::-every]:
            async with asyncio.timeout(HEALED_S_MAX):
                while True:
                    found = await self.client.verify(TOPIC, partition, offset)
                    if found.is_safe and all(copy.state is CopyState.HELD for copy in found.copies):
                        break
                    await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def run_with(folder: Path, *fittings: Fitting) -> AsyncIterator[Run]:
    """Three nodes with these around them, and a topic; everything is taken away at the end, whatever happened."""
    with claimed_ports(3) as port, contextlib.ExitStack() as end:
        nodes = TestNodes(folder, port)
        injectors: dict[str, Injector] = {}
        fitted: list[Fitting] = []
        end.callback(nodes.local.stop)
        try:
            for fitting in fittings:
                fitted.append(fitting)
                injectors |= await fitting.fit(nodes)
            for node in nodes.launches:
                await nodes.start(node)
            await wait_ready(nodes.local)
            options = ClientOptions(delivery_timeout_s=15.0)
            async with await connect(nodes.local.addresses, options=options) as client:
                await client.create_topic(TOPIC, partitions=PARTITIONS)
                yield Run(nodes, injectors, client)
        finally:
            for node in nodes.launches:
                await nodes.kill(node)
            for fitting in reversed(fitted):
                await fitting.remove()
