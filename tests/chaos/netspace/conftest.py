"""Places that are wired and can be broken, with nothing in them but sockets of the test's own; without root, a skip."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.arenas.arena import Injector
from chaos.arenas.processes.fitting import Launch
from chaos.arenas.processes.netspace.control import Wiring
from chaos.arenas.processes.netspace.fitting import NetSpace
from chaos.arenas.processes.netspace.namespaces import inside
from cluster.config import ListenerConfig, NodeConfig
from tests.servers import require_program

SILENCE_S = 0.4
"""What has not come by then does not come: nothing says that a datagram was lost."""
RECEIVE_BUFFER_FORCE, RECEIVE_BYTES = 33, 8 << 20
"""SO_RCVBUFFORCE, which root may set beyond the limit, and Python has no name for."""


def require_spaces(wiring: Wiring = "switch") -> None:
    """Root, `ip`, TUN devices, nft."""
    reason = NetSpace(wiring=wiring).missing()
    if reason:
        pytest.skip(reason)
    require_program("nft")


def launches(folder: Path, count: int) -> dict[int, Launch]:
    """Of so many nodes that nobody starts."""
    nobody = ListenerConfig(bind="127.0.0.1:1")
    config = {"cluster_id": "0" * 32, "data_dir": str(folder), "client": nobody, "peer": nobody, "peers": ()}
    return {node: Launch(node, folder, NodeConfig(node=node, **config)) for node in range(1, count + 1)}  # type: ignore[arg-type]


class Places:
    """The namespaces of three nodes and of clients, and sockets in them, all of this process."""

    def __init__(self, space: NetSpace, injectors: "dict[str, Injector]", end: ExitStack) -> None:
        self.space = space
        self.injectors = injectors
        self._end = end
        self._loop = asyncio.get_running_loop()

    def open(self, place: int, kind: socket.SocketKind) -> socket.socket:
        """One that was made there, and so sends and hears there; bound to the place's address."""
        with inside(self.space.names.space(place)):
            made = self._end.enter_context(socket.socket(socket.AF_INET, kind))
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER_FORCE, RECEIVE_BYTES)
        made.bind((self.space.names.address(place), 0))
        return made

    async def arrived(self, source: int, target: int, count: int, *, at_most: int | None = None) -> Sequence[int]:
        """Numbers of the datagrams that came, of `count` sent, in their order; at most so many are awaited."""
        there, here = self.open(source, socket.SOCK_DGRAM), self.open(target, socket.SOCK_DGRAM)
        for number in range(count):
            there.sendto(b"%d" % number, here.getsockname())
            if number % 20 == 0:
                await asyncio.sleep(0.002)  # not faster than the switch takes it
        came: list[int] = []
        try:
            while len(came) < (at_most or count):
                async with asyncio.timeout(SILENCE_S):
                    came.append(int(await self._loop.sock_recv(here, 100)))
        except TimeoutError:
            return came
        return came

    async def trip_s(self, source: int, target: int) -> float:
        """How long a datagram takes there and back."""
        there, here = self.open(source, socket.SOCK_DGRAM), self.open(target, socket.SOCK_DGRAM)
        began_s = time.perf_counter()
        async with asyncio.timeout(10):
            there.sendto(b"there", here.getsockname())
            _, back = await self._loop.sock_recvfrom(here, 100)
            here.sendto(b"back", back)
            await self._loop.sock_recv(there, 100)
        return time.perf_counter() - began_s

    async def connection(self, source: int, target: int) -> tuple[socket.socket, socket.socket]:
        """Both ends of a TCP connection."""
        listener, there = self.open(target, socket.SOCK_STREAM), self.open(source, socket.SOCK_STREAM)
        listener.listen()
        async with asyncio.timeout(10):
            await self._loop.sock_connect(there, listener.getsockname())
            here, _ = await self._loop.sock_accept(listener)
        self._end.enter_context(here)
        here.setblocking(False)
        return there, here

    async def carry(self, source: int, target: int, size: int) -> tuple[float, int]:
        """So many zeros over a connection: how many seconds they take, and how many bits of them are ones then."""
        there, here = await self.connection(source, target)
        began_s = time.perf_counter()
        sending = asyncio.ensure_future(self._loop.sock_sendall(there, bytes(size)))
        came = b""
        async with asyncio.timeout(30):
            while len(came) < size:
                came += await self._loop.sock_recv(here, 1 << 20)
            await sending
        return time.perf_counter() - began_s, int.from_bytes(came, "big").bit_count()

    async def inject(self, name: str, nodes: Sequence[int], **options: Any) -> Callable[[], Awaitable[None]]:
        """One fault."""
        injector = self.injectors[name]
        assert injector.missing() == ""
        mend = await injector.inject(nodes, options)
        assert mend is not None
        return mend


@pytest.fixture
async def make_places(tmp_path: Path) -> AsyncIterator[Callable[[Wiring], Awaitable[Places]]]:
    """Makes places with this wiring, and takes them away."""
    made: list[Places] = []
    with ExitStack() as end:

        async def make(wiring: Wiring) -> Places:
            require_spaces(wiring)
            space = NetSpace(seed=7, wiring=wiring)
            injectors = await space.fit(SimpleNamespace(launches=launches(tmp_path, 3)))  # type: ignore[arg-type]
            made.append(Places(space, dict(injectors), end))
            return made[-1]

        yield make
    for places in made:
        await places.space.remove()
