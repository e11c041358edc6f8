"""Machines of a simulated cluster: see `chaos.arenas.machines`."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from chaos.arenas.sim.cluster import CheckedCluster
from cluster.errors import RiverrunError
from cluster.sim.clock import Host

ADD_S_MAX = 60.0
"""For the cluster to take a node's addresses, and again for it to be alive there."""
STOP_S_MAX = 30.0
"""A node that has not stopped by then is killed, as whoever supervises it would do."""
LOOK_S = 0.2


class SimMachines:
    """Of one arena. Whoever starts a node holds its lock: a fault's end and an operator may want it at once."""

    def __init__(self, cluster: CheckedCluster, try_start: Callable[[int], Awaitable[bool]]) -> None:
        self._cluster = cluster
        self._try_start = try_start
        self._locks: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.stops_forced = 0
        """Nodes that did not stop in their time."""

    @property
    def on(self) -> Sequence[int]:
        """See Machines."""
        return self._cluster.nodes

    async def start(self, node: int) -> None:
        """It runs, however often its power goes at the start; nothing if it was switched off."""
        async with self._locks[node]:
            await self._start(node)

    async def _start(self, node: int) -> None:
        while node in self._cluster.nodes and node not in self._cluster.running:
            await self._try_start(node)

    async def add(self) -> int:
        """See Machines."""
        cluster = self._cluster
        number = cluster.next_node
        client = cluster.client(f"adds-{number}")
        client_address, peer_address = cluster.addresses(number)

        async def record() -> bool:
            view = await client.add_node(client_address=client_address, peer_address=peer_address)
            if view.node != number:
                raise RuntimeError(f"the node that was added is {view.node}, not {number}")
            return True

        async def is_alive() -> bool:
            view = await client.cluster_status()
            return any(node.node == number and node.alive for node in view.nodes)

        try:
            await self._until(record, f"node {number} could not be added")
            cluster.give_machine(number)
            await self.start(number)
            await self._until(is_alive, f"node {number} was added and is not alive")
        finally:
            await client.abandon()
        return number

    async def _until(self, done: Callable[[], Awaitable[bool]], why: str) -> None:
        end_s = self._cluster.loop.now_s + ADD_S_MAX
        last = ""
        while True:
            try:
                if await done():
                    return
            except RiverrunError as error:
                last = f": {error.message}"
            if self._cluster.loop.now_s > end_s:
                raise RuntimeError(f"{why}{last}")
            await asyncio.sleep(LOOK_S)

    async def switch_off(self, node: int) -> None:
        """See Machines."""
        self._cluster.switch_off(node)

    async def wipe(self, node: int) -> None:
        """See Machines."""
        self._cluster.switch_off(node)
        self._cluster.wipe(node)

    async def restart(self, node: int) -> None:
        """See Machines. One that a fault has ended is started."""
        async with self._locks[node]:
            if node in self._cluster.running:
                host = self._cluster.hosts[node]
                try:
                    async with asyncio.timeout(STOP_S_MAX):
                        await self._cluster.stop(node)
                except TimeoutError:
                    self._kill(node, host)
            await self._start(node)

    def _kill(self, node: int, host: Host) -> None:
        if self._cluster.hosts[node] is host and host.alive:
            self.stops_forced += 1
            self._cluster.kill(node)
