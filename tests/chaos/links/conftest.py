"""A Toxiproxy server of a test's own, and a peer behind it."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chaos.arenas.processes.links.control import Control
from chaos.arenas.processes.links.ports import PortBlock
from chaos.arenas.processes.links.server import Server, find_server
from tests.chaos.links.echoes import Echo


def require_server() -> Path:
    """Its program; where it is missing the test is skipped, visibly, and fails in CI."""
    found = find_server()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("Toxiproxy's server is missing, and CI must not pass without it: make toxiproxy")
        pytest.skip("Toxiproxy's server is missing: make toxiproxy")
    return found


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Runs until the test ends."""
    program = require_server()
    ports = PortBlock()
    server = Server(program, port=ports.take(), log=tmp_path / "toxiproxy.log")
    await server.start()
    try:
        yield server
    finally:
        await server.end()
        ports.close()


@pytest.fixture
def control(server: Server) -> Control:
    """Of that server."""
    return server.control


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """Answers until the test ends."""
    async with Echo().open() as echo:
        yield echo


@pytest.fixture
async def proxy(control: Control, echo: Echo) -> str:
    """The address of a proxy called `link`, in front of the echo."""
    return await control.create("link", listen="127.0.0.1:0", upstream=echo.address)
