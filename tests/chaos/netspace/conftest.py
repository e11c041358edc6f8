"""Places that are wired and can be broken, with nothing in them; without root, a visible skip."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.arenas.arena import Injector
from chaos.arenas.processes.fitting import Launch
from chaos.arenas.processes.netspace.control import Wiring
from chaos.arenas.processes.netspace.fitting import NetSpace
from chaos.arenas.processes.netspace.namespaces import find_ip
from cluster.config import ListenerConfig, NodeConfig
from tests.servers import require_program

PROBE = str(Path(__file__).parent / "probe.py")


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
    """The namespaces of three nodes, and probes in them."""

    def __init__(self, space: NetSpace, injectors: "dict[str, Injector]") -> None:
        self.space = space
        self.injectors = injectors
        self._servers: list[subprocess.Popen[str]] = []

    def command(self, place: int, *arguments: str) -> list[str]:
        """A probe in that place."""
        return [find_ip() or "ip", "netns", "exec", self.space.names.space(place), sys.executable, PROBE, *arguments]

    def serve(self, place: int) -> None:
        """A probe that counts and echoes there."""
        server = subprocess.Popen(
            self.command(place, "serve", self.space.names.address(place)), stdout=subprocess.PIPE, text=True
        )
        self._servers.append(server)
        assert server.stdout is not None
        assert "up\n" == server.stdout.readline()

    async def ask(self, source: int, what: str, target: int, *arguments: str) -> Any:
        """What a probe measured from one place to another."""
        command = self.command(source, what, self.space.names.address(target), *arguments)
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        said, _ = await process.communicate()
        return json.loads(said)

    async def arrived(self, source: int, target: int, count: int) -> Sequence[int]:
        """The numbers that came of so many datagrams, in the order in which they came."""
        await self.ask(source, "send", target, str(count))
        await asyncio.sleep(0.1)  # nothing says that a datagram will not come any more
        return list(await self.ask(target, "numbers", target))

    async def inject(self, name: str, nodes: Sequence[int], **options: Any) -> Callable[[], Awaitable[None]]:
        """One fault."""
        injector = self.injectors[name]
        assert injector.missing() == ""
        mend = await injector.inject(nodes, options)
        assert mend is not None
        return mend

    async def close(self) -> None:
        """Probes first."""
        for server in self._servers:
            server.kill()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()
        await self.space.remove()


@pytest.fixture
async def make_places(tmp_path: Path) -> AsyncIterator[Callable[[Wiring], Awaitable[Places]]]:
    """Makes places with this wiring, and takes them away."""
    made: list[Places] = []

    async def make(wiring: Wiring) -> Places:
        require_spaces(wiring)
        space = NetSpace(seed=7, wiring=wiring)
        injectors = await space.fit(SimpleNamespace(launches=launches(tmp_path, 3)))  # type: ignore[arg-type]
        made.append(Places(space, dict(injectors)))
        return made[-1]

    yield make
    for places in made:
        await places.close()
