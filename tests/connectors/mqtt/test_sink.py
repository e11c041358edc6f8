"""Records become messages, and count when the broker has acknowledged them; what it does not take is named."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from cluster.connectors.contract import Delivery, Position, Sink
from cluster.connectors.mqtt.options import MqttSink
from cluster.connectors.mqtt.sink import MessageSink
from cluster.errors import InvalidRoute, RecordRefused, Unreachable
from tests.connectors.mqtt.devices import Device, wait_until
from tests.servers.mosquitto import MosquittoServer

pytestmark = [pytest.mark.slow]
ACL = "topic readwrite open/#\n"
NOWHERE = Position(lane="r/t/0", begin=0, end=1)


@pytest.fixture(scope="module")
def guarded() -> Iterator[MosquittoServer]:
    """Where only `open/…` may be written."""
    server = MosquittoServer(acl=ACL, saves=False)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def listener(broker: MosquittoServer) -> Iterator[Device]:
    """Connected, and listening to nothing yet."""
    made = Device(broker.port)
    yield made
    made.close()


def options(broker: MosquittoServer, topic: str, **more: Any) -> MqttSink:
    """Checked, of that broker."""
    found = MqttSink(**{"host": "127.0.0.1", "port": broker.port, "topic": topic, "timeout": "2s"} | more)
    found.check()
    return found


@contextlib.asynccontextmanager
async def opened(written: MqttSink) -> AsyncIterator[Sink]:
    """Closed at the end."""
    sink = written.open("alerts")
    try:
        yield sink
    finally:
        await sink.close()


def deliveries(*values: Any, headers: tuple[tuple[str, bytes], ...] = ()) -> Sequence[Delivery]:
    """Of keys k0, k1 and so on."""
    return [
        Delivery(value=value, key=b"k%d" % n, timestamp_ns=0, headers=headers, offset=n, id=f"r/t/0/{n}")
        for n, value in enumerate(values)
    ]


@pytest.mark.parametrize(("version", "qos"), [("5", 1), ("5", 0), ("3.1.1", 1), ("3.1.1", 0)])
async def test_records_arrive_in_order(broker: MosquittoServer, listener: Device, version: str, qos: int) -> None:
    """More than are in flight at once; with QoS 0 the broker has read them when a write returns."""
    await asyncio.to_thread(listener.listen, "order/#")
    batch = deliveries(*[{"n": n, "of": "a"} for n in range(300)], headers=(("unit", b"C"),))
    async with opened(options(broker, "order/{of}", version=version, qos=qos)) as sink:
        assert await sink.last_position("r/t/0") is None
        assert await sink.write(batch, NOWHERE)
        assert await sink.write([], NOWHERE)
    await asyncio.to_thread(wait_until, lambda: len(listener.heard) >= 300)

    assert [("order/a", b'{"n":%d,"of":"a"}' % n) for n in range(300)] == [(m.topic, m.payload) for m in listener.heard]
    found = [dict(getattr(message.properties, "UserProperty", [])) for message in listener.heard]
    assert [{"riverrun-id": f"r/t/0/{n}", "unit": "C"} if version == "5" else {} for n in range(300)] == found


async def test_retained_values_and_their_deletion(broker: MosquittoServer, listener: Device) -> None:
    """A tombstone is an empty message, which is how a broker forgets what it retains."""
    async with opened(options(broker, "state/{key}", retain=True)) as sink:
        await sink.write(deliveries({"t": 1}, b"\x00raw", "text"), NOWHERE)
        await sink.write(deliveries(None), NOWHERE)
    await asyncio.to_thread(listener.listen, "state/#")
    await asyncio.to_thread(wait_until, lambda: len(listener.heard) >= 2)

    assert {"state/k1": b"\x00raw", "state/k2": b'"text"'} == {m.topic: m.payload for m in listener.heard}


@pytest.mark.parametrize(
    ("topic", "value", "expected"),
    [
        ("a/{region}", {"place": 1}, "needs 'region', which the record lacks"),
        ("a/{region}", None, "needs 'region'"),
        ("a/{region}", {"region": "eu/+"}, "a character that the topic must not have"),
        ("{region}/a", {"region": "$SYS"}, "nothing can be published to '\\$SYS/a'"),
        ("a/{region}", {"region": "x" * 70_000}, "nothing can be published to 'a/xxx"),
        ("a", b"x" * 250_000, "takes messages of up to 200,000 bytes: one has 250,0.."),
    ],
)
async def test_a_record_that_cannot_be_sent(broker: MosquittoServer, topic: str, value: Any, expected: str) -> None:
    """Is named by its place, and nothing of its batch is sent."""
    listener = Device(broker.port)
    await asyncio.to_thread(listener.listen, "a/#")
    async with opened(options(broker, topic)) as sink:
        with pytest.raises(RecordRefused, match=expected) as refused:
            await sink.write(deliveries({"region": "eu"}, value, {"region": "us"}), NOWHERE)
    listener.publish("a/end", b"")
    await asyncio.to_thread(wait_until, lambda: bool(listener.heard))
    listener.close()

    assert 1 == refused.value.place
    assert ["a/end"] == [message.topic for message in listener.heard]


async def test_what_is_not_allowed(guarded: MosquittoServer) -> None:
    """One record's topic is that record's, the route's is the route's."""
    async with opened(options(guarded, "{where}/x")) as sink:
        batch = deliveries(*[{"where": "closed" if n == 7 else "open"} for n in range(20)])
        with pytest.raises(RecordRefused, match="does not let us publish to 'closed/x'") as refused:
            await sink.write(batch, NOWHERE)
        assert 7 == refused.value.place
        assert await sink.write([*batch[:7], *batch[8:]], NOWHERE)
    async with opened(options(guarded, "closed/x")) as sink:
        with pytest.raises(InvalidRoute, match="does not let us publish to 'closed/x'"):
            await sink.write(deliveries({}), NOWHERE)


async def test_a_broker_that_was_started_again_meanwhile(broker: MosquittoServer) -> None:
    """Is connected to again, when nothing was in flight."""
    async with opened(options(broker, "again")) as sink:
        assert isinstance(sink, MessageSink)
        assert await sink.write(deliveries(1), NOWHERE)
        broker.shut_down()
        broker.start()
        connection = sink._connection
        with contextlib.suppress(Unreachable):
            while True:
                await asyncio.wait_for(connection.news(), 5)
        assert await sink.write(deliveries(2), NOWHERE)


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_broker_that_hangs(broker: MosquittoServer, qos: int) -> None:
    """Is waited for as long as the options say."""
    async with opened(options(broker, "hangs", qos=qos, timeout="500ms")) as sink:
        assert await sink.write(deliveries(1), NOWHERE)
        with broker.frozen(), pytest.raises(Unreachable, match=f"mqtt 127.0.0.1:{broker.port}"):
            await asyncio.wait_for(sink.write(deliveries(2), NOWHERE), 5)


async def test_a_broker_that_is_away() -> None:
    """Is waited for."""
    server = MosquittoServer(saves=False)
    try:
        async with opened(options(server, "away")) as sink:
            with pytest.raises(Unreachable, match="connection refused"):
                await sink.write(deliveries(1), NOWHERE)
    finally:
        server.stop()
