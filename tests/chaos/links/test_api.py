"""Each hole of the library `toxiproxy` on the real server: there it is, and here it is closed."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import toxiproxy
import toxiproxy.api
import toxiproxy.exceptions

from chaos.arenas.processes.links.api import Api
from chaos.arenas.processes.links.control import Control, Toxic
from chaos.arenas.processes.links.errors import (
    AddressTaken,
    AlreadyThere,
    NotTaken,
    NotThere,
    ServerFailed,
    TooSlow,
    Unreachable,
)
from chaos.arenas.processes.links.ports import PortBlock
from chaos.arenas.processes.links.server import Server
from tests.chaos.links.conftest import require_server
from tests.chaos.links.echoes import Echo, connected, echoed
from tests.chaos.links.pausing import paused

pytestmark = pytest.mark.slow
SHORT_S = 0.3


@pytest.fixture
def stock(server: Server) -> Iterator[toxiproxy.Toxiproxy]:
    """The library as it comes, for the same server."""
    consumer = toxiproxy.api.APIConsumer
    before = consumer.host, consumer.port
    library = toxiproxy.Toxiproxy()
    library.update_api_consumer("127.0.0.1", server.control.port)
    yield library
    library.update_api_consumer(*before)


@pytest.fixture
def taken() -> Iterator[str]:
    """An address where somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


async def test_a_proxy_that_cannot_be_enabled(control: Control, stock: toxiproxy.Toxiproxy, echo: Echo) -> None:
    """The library says that it is enabled whatever the server answered: here it is an error."""
    listen = await control.create("link", listen="127.0.0.1:0", upstream=echo.address)
    await control.disable("link")
    host, port = listen.split(":")
    with socket.create_server((host, int(port))):
        proxy = await asyncio.to_thread(stock.get_proxy, "link")
        await asyncio.to_thread(proxy.enable)

        assert proxy.enabled, "says the library"
        assert {"link": False} == await control.proxies()
        with pytest.raises(AddressTaken, match="address already in use"):
            await control.enable("link")
    await control.enable("link")

    assert {"link": True} == await control.proxies()
    assert b"here" == await echoed(listen)


async def test_a_proxy_whose_address_is_taken(control: Control, stock: toxiproxy.Toxiproxy, taken: str) -> None:
    """The library stumbles over the answer, which it takes for the proxy: here the error says what is wrong."""
    with pytest.raises(KeyError, match="name"):
        await asyncio.to_thread(stock.create, "127.0.0.1:1", "link", taken)
    with pytest.raises(AddressTaken, match=f"listen tcp {taken}: bind: address already in use"):
        await control.create("link", listen=taken, upstream="127.0.0.1:1")

    assert {} == await control.proxies()


async def test_a_toxic_is_changed_where_it_is(
    control: Control, stock: toxiproxy.Toxiproxy, proxy: str, echo: Echo
) -> None:
    """The library can only remove it and add another one, which for `timeout` ends connections: here it is changed."""
    assert not hasattr(stock, "update_toxic")
    assert not hasattr(toxiproxy.Proxy, "update_toxic")
    await control.add("link", Toxic(name="slow", type="timeout", stream="upstream", attributes={"timeout": 0}))
    async with connected(proxy) as (reader, writer):
        writer.write(b"lost")
        await control.update("link", "slow", timeout=60_000)

        assert {"timeout": 60_000} == (await control.toxics("link"))["slow"].attributes
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), SHORT_S)
        await control.remove("link", "slow")

        assert b"" == await reader.read(1), "removed, it closes the connection"
    assert b"" == echo.got


async def test_a_server_that_does_not_answer(server: Server, stock: toxiproxy.Toxiproxy) -> None:
    """The library waits for ever: here there is a bound, and the loop runs on meanwhile."""
    assert server.pid is not None
    patient = threading.Thread(target=stock.proxies)
    with paused(server.pid):
        patient.start()
        turns = 0
        waiting = asyncio.create_task(Control(server.control.port, call_s_max=SHORT_S).proxies())
        while not waiting.done():
            await asyncio.sleep(0.01)
            turns += 1

        with pytest.raises(TooSlow, match=f"within {SHORT_S} s"):
            await waiting
        assert turns > 10
        assert patient.is_alive(), "the library waits"
    patient.join()


async def test_two_servers(server: Server, stock: toxiproxy.Toxiproxy, tmp_path: Path) -> None:
    """To the library they are one, for all of the process: here each has its own."""
    ports = PortBlock()
    second = Server(require_server(), port=ports.take(), log=tmp_path / "second.log")
    await second.start()
    try:
        other = toxiproxy.Toxiproxy()
        other.update_api_consumer("127.0.0.1", second.control.port)
        await asyncio.to_thread(other.create, "127.0.0.1:1", "theirs")

        assert ["theirs"] == list(await asyncio.to_thread(stock.proxies)), "the first asks the second server"
        await server.control.create("ours", listen="127.0.0.1:0", upstream="127.0.0.1:1")
        assert ["ours"] == list(await server.control.proxies())
        assert ["theirs"] == list(await second.control.proxies())
    finally:
        await second.end()
        ports.close()


async def test_a_machine_with_a_proxy_of_its_own(
    control: Control, stock: toxiproxy.Toxiproxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library goes through HTTP_PROXY even to loopback: here nothing of the environment counts."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(requests.exceptions.ProxyError):
        await asyncio.to_thread(stock.proxies)
    assert {} == await control.proxies()


async def test_the_version(control: Control, stock: toxiproxy.Toxiproxy) -> None:
    """The library gives the answer's bytes: here it is a version."""
    assert b'{"version": "2.12.0"}\n' == await asyncio.to_thread(stock.version)
    assert "2.12.0" == await control.version()


async def test_a_toxic_that_is_there_already(control: Control, stock: toxiproxy.Toxiproxy, proxy: str) -> None:
    """The library says that a proxy exists: here the error says of what there is one already."""
    toxic = Toxic(name="slow", type="latency", stream="upstream", attributes={"latency": 1})
    await control.add("link", toxic)
    link = await asyncio.to_thread(stock.get_proxy, "link")
    with pytest.raises(toxiproxy.exceptions.ProxyExists, match="toxic already exists"):
        await asyncio.to_thread(lambda: link.add_toxic(type="latency", stream="upstream", name="slow"))
    with pytest.raises(AlreadyThere, match="POST /proxies/link/toxics with 409: toxic already exists"):
        await control.add("link", toxic)

    assert b"here" == await echoed(proxy)


async def test_what_the_server_refuses(control: Control, proxy: str) -> None:
    """Whatever is not there, or not right, has an error of its own, with the server's words."""
    slow = Toxic(name="slow", type="latency", stream="upstream", attributes={"latency": 1})
    with pytest.raises(NotThere, match="proxy not found"):
        await control.add("other", slow)
    with pytest.raises(NotThere, match="toxic not found"):
        await control.update("link", "other", latency=1)
    with pytest.raises(NotThere, match="toxic not found"):
        await control.remove("link", "other")
    with pytest.raises(NotTaken, match="invalid toxic type"):
        await control.add("link", Toxic(name="slow", type="molasses", stream="upstream"))
    with pytest.raises(NotTaken, match="can be either upstream or downstream"):
        await control.add("link", Toxic(name="slow", type="latency", stream="sideways"))
    with pytest.raises(AlreadyThere, match="a proxy 'link' already"):
        await control.create("link", listen="127.0.0.1:0", upstream="127.0.0.1:1")
    with pytest.raises(ServerFailed, match="PATCH /reset with 405"):
        await asyncio.to_thread(Api("127.0.0.1", control.port, timeout_s=1.0).patch, "/reset", None)

    assert b"here" == await echoed(proxy)


async def test_a_server_that_is_gone(server: Server) -> None:
    """Nobody listens there: that is not known to be done, and said so."""
    await server.end()

    with pytest.raises(Unreachable, match="cannot be reached at 127"):
        await server.control.proxies()
    assert server.pid is None


async def test_a_server_that_cannot_start(server: Server, tmp_path: Path) -> None:
    """Where somebody else has its port, or the program is none, it is said why, and nothing is left."""
    false = Server(Path("/bin/false"), port=server.control.port + 1, log=tmp_path / "false.log")

    with pytest.raises(RuntimeError, match="/bin/false does not run"):
        await false.start()
    assert false.pid is None
