"""What is left of a simulated world when its run is over, and somebody still holds on to a piece of it."""

import asyncio
import gc
import random
import sys
from typing import Any

import pytest

from cluster.sim.clock import Host, simulate
from cluster.sim.network import Fabric, SimNetwork
from tests.contracts.places import method, routes


async def waits(requests: Any, call: Any) -> Any:
    """A handler that never answers."""
    del call
    async for _ in requests:
        await asyncio.Event().wait()
    yield b""


def test_a_stream_that_outlives_its_world_goes_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was collected in the middle of another test, which failed for what could not be raised there."""
    held: list[Any] = []

    async def run() -> None:
        fabric = Fabric(random.Random(1))
        await SimNetwork(fabric, Host("server")).listen("server:1", routes(waits=waits), public=False)
        stream = SimNetwork(fabric, Host("client")).channel("server:1").stream(method("waits"))
        held.append(stream)
        await stream.send(b"")
        await asyncio.sleep(1)

    simulate(run(), 1)
    gc.collect()
    said: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    assert held[0].work is not None
    held.clear()
    gc.collect()
    assert [] == said
