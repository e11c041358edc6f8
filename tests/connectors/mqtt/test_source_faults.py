"""A broker that is away, hangs, refuses, or gives the session to another: one sentence, and the right kind of error."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.connectors.contract import Arrived
from cluster.connectors.mqtt.options import MqttSource
from cluster.errors import InvalidRoute, Unreachable
from cluster.processing.outside.background import Background
from cluster.processing.outside.inflow import Inflow
from tests.connectors.mqtt.devices import Device, wait_until
from tests.servers.mosquitto import MosquittoServer

pytestmark = [pytest.mark.slow]
USERS = {"river": "s3cret-word"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[MosquittoServer]:
    """Where one user may do everything, and nobody else anything."""
    server = MosquittoServer(users=USERS, saves=False)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def options(server: MosquittoServer, **more: Any) -> MqttSource:
    """Of that broker, with little patience."""
    return MqttSource(**{"host": "127.0.0.1", "port": server.port, "topics": ["open/#"], "timeout": "1s"} | more)


async def failure(written: MqttSource) -> Exception:
    """What a read says."""
    source = written.open("", "faults")
    try:
        async with asyncio.timeout(10):
            await source.read(None)
    except (Unreachable, InvalidRoute) as error:
        return error
    finally:
        await source.close()
    raise AssertionError


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("password", ["", "s3cret-but-wrong"])
async def test_credentials_that_are_refused(guarded: MosquittoServer, version: str, password: str) -> None:
    """Only a person can mend them."""
    error = await failure(options(guarded, user="river", password=password, version=version))

    assert isinstance(error, InvalidRoute), error
    assert f"mqtt 127.0.0.1:{guarded.port} refuses us: not authorized" == str(error)


async def test_a_filter_that_is_not_allowed() -> None:
    """Is named. Mosquitto's list of rights lets everybody subscribe, and sends nothing then; its plugin does not."""
    server = MosquittoServer(saves=False, plugin={"defaultACLAccess": {"subscribe": False}})
    server.start()
    try:
        error = await failure(options(server))
    finally:
        server.stop()

    assert isinstance(error, InvalidRoute), error
    assert f"mqtt 127.0.0.1:{server.port} does not let us subscribe to 'open/#': not authorized" == str(error)


async def test_nobody_there() -> None:
    """It is waited for."""
    server = MosquittoServer(saves=False)
    try:
        error = await failure(options(server))
        assert isinstance(error, Unreachable), error
        assert f"mqtt 127.0.0.1:{server.port}: [errno 111] connection refused" == str(error)
        assert isinstance(await failure(options(server, host="no-such-host.invalid")), Unreachable)
        assert isinstance(await failure(options(server, host="no..host")), InvalidRoute)
    finally:
        server.stop()


async def test_it_hangs(guarded: MosquittoServer) -> None:
    """While it is connected to, and while nothing comes of it."""
    good = options(guarded, user="river", password="s3cret-word", keepalive="1s")
    source = good.open("", "hangs")
    await source._connect(None)
    reading = asyncio.create_task(source.read(None))
    with guarded.frozen():
        with pytest.raises(Unreachable, match="keep alive timeout"):
            await asyncio.wait_for(reading, 10)
        await source.close()
        error = await failure(good)
    assert isinstance(error, Unreachable), error


async def test_it_is_started_again(broker: MosquittoServer) -> None:
    """Whoever reads is told, and so is whoever commits."""
    source = options(broker).open("", "restart")
    await source._connect(None)
    reading = asyncio.create_task(source.read(None))
    broker.shut_down()
    broker.start()

    with pytest.raises(Unreachable):
        await asyncio.wait_for(reading, 5)
    with pytest.raises(Unreachable):
        await source.committed(b"0")
    await source.close()


def test_a_source_goes_on_when_its_broker_is_back() -> None:
    """The same one is read again, and what came meanwhile is taken, and acknowledged on the new connection."""
    server, background = MosquittoServer(), Background()
    server.start()
    source = options(server, session_expiry="1h").open("", "back")
    inflow = Inflow(source, None, background=background, on_change=lambda: None, what="in")
    taken: list[Arrived] = []

    def has(value: int) -> bool:
        taken.extend(inflow.take(1000))
        if taken:
            inflow.committed(taken[-1].cursor)
        return value in [record.value for arrived in taken for record in arrived.records]

    try:
        wait_until(lambda: "Sending SUBACK" in (server.directory / "log").read_text())
        for number in (1, 2, 3):
            device = Device(server.port)
            device.publish_all((f"open/{number}", str(number)))
            device.close()
            wait_until(lambda number=number: has(number))
            wait_until(lambda number=number: f"open/{number}" in server.taken_by("riverrun"))
            server.shut_down()
            wait_until(lambda: bool(inflow.trouble))
            server.start()
    finally:
        inflow.close()
        background.close()
        server.stop()


async def test_a_subscription_that_is_not_answered_is_made_again(broker: MosquittoServer) -> None:
    """On a connection of its own: the one before has none, and nothing would ever come on it."""
    first, passing = [True], set[asyncio.Task[None]]()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, once: bool = False) -> None:
        while content := await reader.read(65536):
            writer.write(content)
            if once:
                await reader.read()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", broker.port)
        passing.add(asyncio.create_task(forward(reader, to_broker, once=bool(first) and first.pop())))
        passing.add(asyncio.create_task(forward(from_broker, writer)))

    relaying = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = relaying.sockets[0].getsockname()[1]
    source = options(broker, port=port).open("", "deaf")
    with pytest.raises(Unreachable):
        await asyncio.wait_for(source.read(None), 5)
    reading = asyncio.create_task(source.read(None))
    device = Device(broker.port)
    async with asyncio.timeout(5):
        while not reading.done():
            device.publish("open/deaf", b"1")
            await asyncio.wait([reading], timeout=0.2)
    assert 1 == (await reading).records[0].value
    await source.close()
    device.close()
    relaying.close()
    await asyncio.gather(*passing)


async def test_another_takes_the_session(broker: MosquittoServer) -> None:
    """As when a share has moved to another node: the first one is told so (or nothing, by Mosquitto 2.0)."""
    first, second = (options(broker).open("", "moved") for _ in range(2))
    await first._connect(None)
    reading = asyncio.create_task(first.read(None))
    later = asyncio.create_task(second.read(None))

    with pytest.raises(Unreachable, match=r"another client has come|connection is lost"):
        await asyncio.wait_for(reading, 5)
    await first.close()
    device = Device(broker.port)
    device.publish("open/x", b"1")
    assert [1] == [record.value for record in (await asyncio.wait_for(later, 5)).records]
    await second.close()
    device.close()


async def test_an_attempt_that_is_given_up(broker: MosquittoServer) -> None:
    """Comes to nothing, also behind: it does not throw out who came later."""
    given_up = options(broker, timeout="5s").open("", "given-up")
    with broker.frozen():
        reading = asyncio.create_task(given_up.read(None))
        await asyncio.sleep(0.2)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        await given_up.close()
    later = options(broker).open("", "given-up")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(later.read(None), 1.5)
    await later.close()
