"""Where a contract is checked: the same two parties, a server and a client, in the real world and in the simulated one.

`@in_both_worlds` turns `async def test(place)` into one test for each world. The simulated one runs with several seeds,
because each of them orders what happens at the same moment in another way.
"""

import asyncio
import functools
import inspect
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pytest

from cluster.real.clock import RealClock
from cluster.real.disk import RealDisk
from cluster.real.network import RealNetwork
from cluster.real.tls import NodeTls
from cluster.sim.clock import Host, SimClock, simulate
from cluster.sim.disk import SimDisk
from cluster.sim.network import Fabric, SimNetwork
from cluster.world import Channel, Clock, Disk, Listener, Network, Route, Stream
from tests.certificates import node_tls, shared_authority

SEEDS = range(1, 4)
PATIENCE_S = 10.0
"""What a test waits for comes, or the test fails after so long. No test waits this long when all is well."""


@dataclass(kw_only=True)
class Place:
    """One world as two parties see it. What it opened, it closes."""

    name: str
    server: Network
    client: Network
    clock: Clock
    disk: Disk
    any_port: str
    """An address to listen on whose port is free."""
    short_s: float
    """A moment in which something that is not held back does happen."""
    _open: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def closes(self, close: Callable[[], Awaitable[None]]) -> None:
        """Close this, too, at the end."""
        self._open.append(close)

    async def listen(self, routes: Mapping[str, Route], address: str = "") -> Listener:
        """Serve `routes`."""
        listener = await self.server.listen(address or self.any_port, routes, public=False)
        self.closes(lambda: listener.close(0))
        return listener

    def channel(self, address: str) -> Channel:
        """A channel of the client's."""
        channel = self.client.channel(address)
        self.closes(channel.close)
        return channel

    async def serve(self, **handlers: object) -> Channel:
        """Serve each handler as `/contract.Test/<name>`, and give a channel to there."""
        return self.channel((await self.listen(routes(**handlers))).address)

    async def close(self) -> None:
        """Close everything, the youngest first."""
        for close in reversed(self._open):
            await close()


def routes(**handlers: object) -> dict[str, Route]:
    """A route for each handler; generators are streaming ones."""
    return {
        method(name): Route(streaming=handler) if inspect.isasyncgenfunction(handler) else Route(unary=handler)
        for name, handler in handlers.items()
    }


def method(name: str) -> str:
    """Its full name."""
    return f"/contract.Test/{name}"


async def all_of(stream: Stream) -> list[bytes]:
    """What comes until the end."""
    return [message async for message in messages_of(stream)]


async def messages_of(stream: Stream):
    """What comes, one after another."""
    while (message := await stream.receive()) is not None:
        yield message


async def within(waiting: Awaitable, seconds: float = PATIENCE_S):
    """The result; a test that waits for ever fails here."""
    async with asyncio.timeout(seconds):
        return await waiting


async def until(happened: Callable[[], bool]) -> None:
    """Let others run until it happened."""
    async with asyncio.timeout(PATIENCE_S):
        while not happened():  # noqa: ASYNC110  what it looks at belongs to both worlds and neither sets an event
            await asyncio.sleep(0.001)


async def still(number: Callable[[], int], turns: int = 50) -> int:
    """The number, once it has risen and did not change for a while."""
    async with asyncio.timeout(PATIENCE_S):
        unchanged, last = 0, 0
        while unchanged < turns:
            await asyncio.sleep(0.001)
            unchanged = unchanged + 1 if last and number() == last else 0
            last = number()
    return last


def in_both_worlds(test: Callable[[Place], Awaitable[None]]) -> Callable[..., None]:
    """One test for each world."""
    return _in_worlds(test, "real", "sim")


def on_all_networks(test: Callable[[Place], Awaitable[None]]) -> Callable[..., None]:
    """One test for each network: the real one in plain text and with TLS as between nodes, and the simulated one."""
    return _in_worlds(test, "real", "tls", "sim")


def _in_worlds(test: Callable[[Place], Awaitable[None]], *worlds: str) -> Callable[..., None]:
    @pytest.mark.parametrize("world", worlds)
    def run(world: str, tmp_path) -> None:
        if world == "sim":
            for seed in SEEDS:
                simulate(_in_sim(test, seed), seed)
        else:
            with asyncio.Runner() as runner:
                runner.run(_in_real(test, tmp_path, node_tls(shared_authority(), None) if world == "tls" else None))

    functools.update_wrapper(run, test, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
    del run.__wrapped__
    return run


async def _in_real(test: Callable[[Place], Awaitable[None]], root, tls: NodeTls | None) -> None:
    disk = RealDisk(root / "data")
    network = RealNetwork(tls)
    place = Place(
        name="real",
        server=network,
        client=network,
        clock=RealClock(),
        disk=disk,
        any_port="127.0.0.1:0",
        short_s=0.05,
    )
    try:
        await _whole(test, place)
    finally:
        disk.close()


async def _in_sim(test: Callable[[Place], Awaitable[None]], seed: int) -> None:
    loop = asyncio.get_running_loop()
    fabric = Fabric(random.Random(seed))
    place = Place(
        name="sim",
        server=SimNetwork(fabric, Host("server")),
        client=SimNetwork(fabric, Host("client")),
        clock=SimClock(loop),
        disk=SimDisk(random.Random(seed)),
        any_port="server:0",
        short_s=1.0,
    )
    await _whole(test, place)


async def _whole(test: Callable[[Place], Awaitable[None]], place: Place) -> None:
    try:
        await within(test(place), 3 * PATIENCE_S)
    finally:
        await place.close()
