"""Each toxic does to bytes what it says, measured through the real server to a peer that sends back what it gets."""

import asyncio
import time

import pytest

from chaos.arenas.processes.links.control import Control, Toxic
from tests.chaos.links.echoes import Echo, connected, echoed

pytestmark = pytest.mark.slow
SHORT_S = 0.3
PATIENCE_S = 10.0


def _toxic(kind: str, stream: str = "upstream", **attributes: int) -> Toxic:
    return Toxic(name=f"{kind}-{stream}", type=kind, stream=stream, attributes=attributes)


async def _took_s(address: str, said: bytes = b"here") -> float:
    """How long it takes on a new connection; it all comes back."""
    began = time.perf_counter()
    async with asyncio.timeout(PATIENCE_S):
        assert said == await echoed(address, said)
    return time.perf_counter() - began


async def _nothing_comes(reader: asyncio.StreamReader) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), SHORT_S)


async def test_latency(control: Control, proxy: str) -> None:
    """Each direction is delayed by what it says, and varied; it can be changed meanwhile, and ends when removed."""
    plain_s = await _took_s(proxy)
    await control.add("link", _toxic("latency", "upstream", latency=100, jitter=20))
    await control.add("link", _toxic("latency", "downstream", latency=100, jitter=20))
    slow_s = await _took_s(proxy)
    await control.update("link", "latency-upstream", latency=400, jitter=0)
    slower_s = await _took_s(proxy)
    await control.remove("link", "latency-upstream")
    await control.remove("link", "latency-downstream")

    assert plain_s < 0.1
    assert 0.16 <= slow_s < 0.35
    assert 0.48 <= slower_s < 0.75
    assert await _took_s(proxy) < 0.1


async def test_bandwidth(control: Control, proxy: str) -> None:
    """100 kB at 200 kB/s take half a second, and no other direction is slowed."""
    await control.add("link", _toxic("bandwidth", rate=200))

    assert 0.35 <= await _took_s(proxy, bytes(100_000)) < 1.0


async def test_slicer(control: Control, proxy: str) -> None:
    """What is said at once comes in small pieces, each a while after the one before; none is lost."""
    said = bytes(range(200))
    await control.add("link", _toxic("slicer", "downstream", average_size=20, size_variation=5, delay=20_000))
    async with connected(proxy) as (reader, writer):
        writer.write(said)
        pieces = []
        while sum(map(len, pieces)) < len(said):
            pieces.append(await asyncio.wait_for(reader.read(65536), PATIENCE_S))

    assert said == b"".join(pieces)
    assert 6 <= len(pieces) <= 20
    assert max(map(len, pieces)) <= 40


async def test_slow_close(control: Control, proxy: str, echo: Echo) -> None:
    """The peer learns later that the connection was closed; what was said before it has at once."""
    await control.add("link", _toxic("slow_close", delay=500))
    async with connected(proxy) as (reader, writer):
        writer.write(b"here")
        assert b"here" == await reader.read(4)
    began = time.perf_counter()
    await asyncio.wait_for(echo.ended.wait(), PATIENCE_S)

    assert 0.4 <= time.perf_counter() - began < 1.5


async def test_limit_data(control: Control, proxy: str) -> None:
    """A connection ends after so many bytes: those before arrive, no other does; the next connection has as many."""
    await control.add("link", _toxic("limit_data", "downstream", bytes=7))

    assert b"1234567" == await asyncio.wait_for(echoed(proxy, b"123456789"), PATIENCE_S)
    assert b"1234567" == await asyncio.wait_for(echoed(proxy, b"123456789"), PATIENCE_S)


async def test_timeout(control: Control, proxy: str, echo: Echo) -> None:
    """Nothing gets through, and the connection ends so long after the last byte: each one begins the time anew."""
    await control.add("link", _toxic("timeout", timeout=400))
    async with connected(proxy) as (reader, writer):
        began = time.perf_counter()
        for _ in range(6):
            writer.write(b"lost")
            await asyncio.sleep(0.1)
        assert b"" == await asyncio.wait_for(reader.read(1), PATIENCE_S)

    assert 0.8 <= time.perf_counter() - began < 2.0, "with what was said in between it lasted longer than 0.4 s"
    assert b"" == echo.got


async def test_a_reset_of_what_connects(control: Control, proxy: str) -> None:
    """A new connection is reset (RST) so long after the first byte."""
    await control.add("link", _toxic("reset_peer", "upstream", timeout=100))
    await control.add("link", _toxic("reset_peer", "downstream", timeout=100))
    async with connected(proxy) as (reader, writer):
        began = time.perf_counter()
        writer.write(b"lost")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), PATIENCE_S)

    assert 0.08 <= time.perf_counter() - began < 1.0


async def test_a_reset_of_what_is_connected(control: Control, proxy: str, echo: Echo) -> None:
    """A connection that was there before ends with the next byte, which is lost; whether by RST is not promised."""
    async with connected(proxy) as (reader, writer):
        writer.write(b"here")
        assert b"here" == await reader.read(4)
        await control.add("link", _toxic("reset_peer", "upstream", timeout=0))
        writer.write(b"lost")
        try:
            end = await asyncio.wait_for(reader.read(1), PATIENCE_S)
        except ConnectionResetError:
            end = b""

    assert b"" == end
    assert b"here" == echo.got


async def test_a_cut_is_one_way(control: Control, proxy: str, echo: Echo) -> None:
    """With `timeout` 0 on one stream the other one goes on, on a connection that is there and on a new one."""
    await control.add("link", _toxic("timeout", "downstream", timeout=0))
    async with connected(proxy) as (reader, writer):
        writer.write(b"heard")
        await _nothing_comes(reader)
        assert b"heard" == echo.got

        await control.add("link", _toxic("timeout", "upstream", timeout=0))
        writer.write(b"lost")
        await _nothing_comes(reader)

        assert b"heard" == echo.got
        await control.remove("link", "timeout-upstream")


async def test_a_cut_of_what_is_connected_ends_with_it(control: Control, proxy: str, echo: Echo) -> None:
    """Nothing says that there is a cut; mended, it ends the connections, for something is missing in them."""
    async with connected(proxy) as (reader, writer):
        writer.write(b"here")
        assert b"here" == await reader.read(4)
        await control.add("link", _toxic("timeout", "upstream", timeout=0))
        writer.write(b"lost")
        await _nothing_comes(reader)
        await control.remove("link", "timeout-upstream")

        assert b"" == await asyncio.wait_for(reader.read(1), PATIENCE_S)
    await asyncio.wait_for(echo.ended.wait(), PATIENCE_S)

    assert b"here" == echo.got
    assert b"again" == await echoed(proxy, b"again")


async def test_a_proxy_that_is_down(control: Control, proxy: str) -> None:
    """Its connections end, and new ones are refused, until it is enabled."""
    async with connected(proxy) as (reader, writer):
        writer.write(b"here")
        assert b"here" == await reader.read(4)
        await control.disable("link")

        assert b"" == await asyncio.wait_for(reader.read(1), PATIENCE_S)
    with pytest.raises(ConnectionRefusedError):
        await echoed(proxy)
    await control.enable("link")

    assert b"here" == await echoed(proxy)


async def test_bytes_are_counted_when_a_connection_ends(control: Control, proxy: str) -> None:
    """What each side has said, once its connection has ended: before that there is nothing."""
    async with connected(proxy) as (reader, writer):
        writer.write(bytes(1000))
        await reader.readexactly(1000)
        assert {} == await control.received()
    async with asyncio.timeout(PATIENCE_S):
        while not (received := await control.received()).get("link"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    assert 1000 == received["link"].upstream
    assert 1000 == received["link"].downstream
