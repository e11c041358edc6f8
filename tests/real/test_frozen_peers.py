"""A peer whose process stands still: its kernel goes on saying that it is there, and it must not be believed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cluster.errors import RiverrunError
from cluster.real.network import RealNetwork
from cluster.world import Call, Route
from tests.chaos.links.pausing import pause

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
ECHO = "/test.Frozen/Echo"
WITHIN_S = 15.0
"""Pings go out after two seconds of silence, and are waited for as long; the rest is a loaded machine's."""


async def _echo(requests: AsyncIterator[bytes], _: Call) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def _listen(address: str) -> None:
    listener = await RealNetwork().listen(address, {ECHO: Route(streaming=_echo)}, public=False)
    print("listening", flush=True)
    await asyncio.sleep(120.0)
    await listener.close(0.0)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """The process, and where it listens."""
    address = f"unix:{tmp_path / 'peer'}"
    command = [sys.executable, "-m", __name__, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert b"listening\n" == process.stdout.readline()
        try:
            yield process.pid, address
        finally:
            os.kill(process.pid, signal.SIGCONT)
            process.kill()


async def test_a_stream_to_a_frozen_process_breaks_within_seconds(peer: tuple[int, str]) -> None:
    """Whether anything is sent meanwhile or not. It took a minute: gRPC waits for its pings by another setting."""
    pid, address = peer
    channel = RealNetwork().channel(address)
    busy, idle = channel.stream(ECHO), channel.stream(ECHO)
    for stream in (busy, idle):
        await stream.send(b"there")
        assert b"there" == await stream.receive()
    pause(pid)

    async def breaks(stream: object) -> None:
        with pytest.raises(RiverrunError):
            await stream.receive()  # type: ignore[attr-defined]

    async def chatter() -> None:
        while True:
            await busy.send(b"still there?")
            await asyncio.sleep(0.2)

    chattering = asyncio.create_task(chatter())
    try:
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(breaks(busy), breaks(idle))
    finally:
        chattering.cancel()
        await asyncio.gather(chattering, return_exceptions=True)
        await channel.close()


if __name__ == "__main__":
    asyncio.run(_listen(sys.argv[1]))
