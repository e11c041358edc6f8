"""Messages of a broker become records; it forgets them when they are committed, and not before."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog

from cluster.connectors.contract import Arrival
from cluster.connectors.mqtt.options import MqttSource
from cluster.connectors.mqtt.source import MessageSource
from tests.connectors.mqtt.devices import Device
from tests.servers.mosquitto import MosquittoServer

pytestmark = [pytest.mark.slow]
WAIT_S = 10.0


@pytest.fixture
def device(broker: MosquittoServer) -> Iterator[Device]:
    """Connected."""
    made = Device(broker.port)
    yield made
    made.close()


def options(broker: MosquittoServer, written: str, **more: Any) -> MqttSource:
    """Checked, of that broker."""
    found = MqttSource(**{"host": "127.0.0.1", "port": broker.port, "topics": [written], "timeout": "5s"} | more)
    found.check()
    return found


@contextlib.asynccontextmanager
async def opened(written: MqttSource, identity: str, share: str = "") -> AsyncIterator[MessageSource]:
    """Closed at the end."""
    source = written.open(share, identity)
    assert isinstance(source, MessageSource)
    try:
        yield source
    finally:
        await source.close()


async def begin(written: MqttSource, identity: str, share: str = "") -> None:
    """From now on the broker keeps messages for it."""
    async with opened(written, identity, share) as source:
        await source._connect(None)


async def take(
    source: MessageSource, number: int, cursor: bytes | None = None, *, commit: bool = True
) -> list[Arrival]:
    """So many records, or the test fails."""
    records: list[Arrival] = []
    async with asyncio.timeout(WAIT_S):
        while len(records) < number:
            arrived = await source.read(cursor)
            records += arrived.records
            cursor = arrived.cursor
            if commit:
                await source.committed(cursor)
    return records


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_messages_are_captured_in_order(broker: MosquittoServer, device: Device, version: str) -> None:
    """In both versions of MQTT; garbage among them comes as it is, and what follows comes, too."""
    written = options(broker, f"order/{version}/+", version=version, key="level:3")
    await begin(written, f"order-{version}")
    topic = f"order/{version}/p1"
    await asyncio.to_thread(device.publish_all, (topic, b'{"n":0}'), (topic, b"\xff{garbage"), (topic, b'{"n":2}'))

    async with opened(written, f"order-{version}") as source:
        records = await take(source, 3)

    assert [{"n": 0}, b"\xff{garbage", {"n": 2}] == [record.value for record in records]
    assert [b"p1"] * 3 == [record.key for record in records]
    assert [False, True, False] == ["rr-undecoded" in dict(record.headers) for record in records]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_what_is_not_committed_comes_again(broker: MosquittoServer, device: Device, version: str) -> None:
    """And what is committed does not."""
    name = f"again/{version}"
    written = options(broker, name, version=version)
    await begin(written, name)
    await asyncio.to_thread(device.publish_all, *[(name, b"%d" % n) for n in range(5)])

    async with opened(written, name) as source:
        assert 5 == len(await take(source, 5, commit=False))
        await source.committed(b"2")
    async with opened(written, name) as source:
        assert [2, 3, 4] == [record.value for record in await take(source, 3, b"2")]
    await asyncio.to_thread(device.publish_all, (name, b"5"))
    async with opened(written, name) as source:
        assert [5] == [record.value for record in await take(source, 1, b"5")]


async def test_so_many_are_unacknowledged_at_once(broker: MosquittoServer, device: Device) -> None:
    """Then the broker waits, and a read ends with nothing for a commit to be told of."""
    written = options(broker, "bounded", receive_max=3)
    await begin(written, "bounded")
    await asyncio.to_thread(device.publish_all, *[("bounded", b"%d" % n) for n in range(10)])

    async with opened(written, "bounded") as source:
        assert 3 == len(await take(source, 3, commit=False))
        nothing = await source.read(b"3")
        assert ([], b"3") == (list(nothing.records), nothing.cursor)
        await source.committed(b"3")
        assert 7 == len(await take(source, 7, b"3"))


async def test_reads_are_bounded(broker: MosquittoServer, device: Device) -> None:
    """By bytes: what is too large for one read comes in the next, and one larger record alone."""
    written = options(broker, "large", format="bytes")
    await begin(written, "large")
    await asyncio.to_thread(device.publish_all, *[("large", bytes(190_000))] * 12)

    async with opened(written, "large") as source:
        sizes, cursor = [], None
        while sum(sizes) < 12:
            await asyncio.sleep(0.05)  # for the inbox to fill: reads of one each would prove nothing
            arrived = await source.read(cursor)
            cursor = arrived.cursor
            sizes.append(len(arrived.records))
            await source.committed(cursor)
    assert max(sizes) <= 5, sizes


async def test_qos_0_is_captured_while_somebody_listens(broker: MosquittoServer, device: Device) -> None:
    """It wants no acknowledgement."""
    written = options(broker, "qos0")
    async with opened(written, "qos0") as source:
        reading = asyncio.create_task(take(source, 2))
        while not reading.done():
            device.publish("qos0", b"1", qos=0)
            await asyncio.sleep(0.02)
        assert [1, 1] == [record.value for record in await reading][:2]


async def test_retained_messages(broker: MosquittoServer, device: Device) -> None:
    """Taken at each connection, with a new subscription only, or not at all; they are marked."""
    device.publish("kept/a", b"1", retain=True)
    await asyncio.to_thread(device.publish_all, ("kept/b", b"2"))
    found: dict[str, list[set[tuple[Any, bool]]]] = {}
    for retained in ("take", "new", "skip"):
        written = options(broker, "kept/#", retained=retained)
        for _ in range(2):
            async with opened(written, f"kept-{retained}") as source:
                live = asyncio.create_task(_tell(device, "kept/b"))
                records, cursor = [], None
                while sum(record.value == "live" for record in records) < 5:
                    records += await take(source, 1, cursor)
                    cursor = b"%d" % len(records)
                live.cancel()
                seen = {(r.value, "mqtt_retain" in dict(r.headers)) for r in records}
                found.setdefault(retained, []).append(seen)

    kept, live_one = (1, True), ("live", False)
    assert {"take": [{kept, live_one}] * 2, "new": [{kept, live_one}, {live_one}], "skip": [{live_one}] * 2} == found


async def _tell(device: Device, topic: str) -> None:
    """Something live, until it is heard."""
    while True:
        device.publish(topic, b'"live"')
        await asyncio.sleep(0.05)


async def test_readers_share_the_messages(broker: MosquittoServer, device: Device) -> None:
    """Each comes to one of them; what one of them had goes with it when it comes back."""
    written = options(broker, "shared/+", readers=3)
    for share in written.shares():
        await begin(written, "shared", share)
    await asyncio.to_thread(device.publish_all, *[(f"shared/{n % 7}", b"%d" % n) for n in range(60)])

    found: list[list[int]] = []
    for share in written.shares():
        async with opened(written, "shared", share) as source:
            found.append([record.value for record in await take(source, 20)])

    assert list(range(60)) == sorted(itertools.chain(*found))


async def test_a_lost_session_is_told(broker: MosquittoServer, device: Device) -> None:
    """What was published meanwhile is lost with it, which nobody can mend; the log has it."""
    written = options(broker, "lost", client_id="lost-client")
    await begin(written, "lost")
    Device(broker.port, client_id="lost-client").close()  # begins anew, and leaves nothing
    with structlog.testing.capture_logs() as told:
        async with opened(written, "lost") as source:
            reading = asyncio.create_task(take(source, 1, b"17"))
            while not reading.done():
                device.publish("lost", b"1")
                await asyncio.sleep(0.02)

    assert ["mqtt_session_lost"] == [line["event"] for line in told]
