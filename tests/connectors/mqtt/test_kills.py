"""The broker and our process killed at random moments: what was acknowledged is there, some of it twice.

Mosquitto 2.0 acknowledges a message before it saves it, also when it saves after every change. So it loses some of what
it has acknowledged if it is killed, and nobody can mend that but who has published it. If it is shut down (SIGTERM) it
loses nothing. Both are tested, with what they promise: where it loses messages, its log says who had acknowledged them.
"""

import contextlib
from collections.abc import Iterator

import pytest

from cluster.connectors.contract import Arrival, Delivery
from cluster.connectors.mqtt.options import MqttSink, MqttSource
from tests.connectors.kills import Killable, kill_sink, kill_source
from tests.connectors.mqtt.devices import Device, wait_until
from tests.servers.mosquitto import MosquittoServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
IN_FLIGHT_MAX = 10
SEED = 11
CLIENT = f"riverrun-kills-{SEED}"
RECORDS = 300
"""Few: the broker writes all that it has to its disk for each of them."""
SETTLED_MIN = 11
"""So many messages at least we have acknowledged to the broker when a run ends."""
POINTS = [5, pytest.param(20, marks=pytest.mark.long)]


class Orderly:
    """A broker that is shut down where others are killed."""

    def __init__(self, server: MosquittoServer) -> None:
        self._server = server

    def kill(self) -> None:
        self._server.shut_down()

    def start(self) -> None:
        self._server.start()


@pytest.fixture
def broker() -> Iterator[MosquittoServer]:
    """Which saves what it has."""
    server = MosquittoServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Sensor:
    """Publishes numbers, each to a topic of its own, a few at a time, and knows which of them were acknowledged."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._device: Device | None = None
        self.next = 0
        self.acknowledged: set[int] = set()

    def feed(self) -> None:
        """Some more; what was not acknowledged when a connection is lost is left."""
        try:
            self.publish(range(self.next, self.next + IN_FLIGHT_MAX))
        except (OSError, AssertionError):
            self._device = None

    def publish(self, numbers: "range | list[int]") -> set[int]:
        """And wait for the acknowledgements, as long as the connection lasts: those that came."""
        if self._device is None or not self._device.client.is_connected():
            self._device = Device(self._port)
        device = self._device
        self.next = max(self.next, numbers[-1] + 1)
        sent = {device.publish(f"pump/{number}", b"%d" % number): number for number in numbers}
        with contextlib.suppress(AssertionError):
            wait_until(lambda: sent.keys() <= device.acknowledged or not device.client.is_connected())
        acknowledged = {number for mid, number in sent.items() if mid in device.acknowledged}
        self.acknowledged |= acknowledged
        return acknowledged


def begin_session(port: int, *, modern: bool = True) -> None:
    """As an earlier run of the route has left it: the broker keeps messages from now on."""
    device = Device(port, client_id=CLIENT, keeps=True, modern=modern)
    device.listen("pump/+")
    device.close()


def numbers_of(records: list[Arrival]) -> list[int]:
    """What the sensor published."""
    return [record.value for record in records]


@pytest.mark.parametrize("points", POINTS)
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_source_loses_nothing_that_its_broker_keeps(broker: MosquittoServer, version: str, points: int) -> None:
    """Every acknowledged message is captured, the first time in order, and then acknowledged; some come again."""
    sensor = Sensor(broker.port)
    written = MqttSource(host="127.0.0.1", port=broker.port, topics=["pump/+"], version=version, timeout="2s")
    begin_session(broker.port, modern=version == "5")

    def done(found: list[Arrival]) -> bool:
        published = {f"pump/{number}" for number in sensor.acknowledged}
        return sensor.acknowledged <= set(numbers_of(found)) and published <= broker.taken_by(CLIENT)

    records = kill_source(
        written,
        truth_done=done,
        peer=Orderly(broker),
        points=points,
        seed=SEED,
        feed=sensor.feed,
        zombies=True,
    )

    first = list(dict.fromkeys(numbers_of(records)))
    assert sorted(first) == first
    assert set(first) <= set(range(sensor.next))
    assert len(first) >= 10 * points
    _taken_is_captured(broker, first)


@pytest.mark.parametrize("points", POINTS)
def test_a_source_when_the_broker_is_killed(broker: MosquittoServer, points: int) -> None:
    """What it loses we had not acknowledged; with sensors that repeat it all is there."""
    sensor = Sensor(broker.port)
    written = MqttSource(host="127.0.0.1", port=broker.port, topics=["pump/+"], timeout="2s")
    begin_session(broker.port)
    behind: set[int] = set()  # the kills: what was published before that and does not come before it is lost
    repeated: set[int] = set()

    def done(found: list[Arrival]) -> bool:
        if not behind:
            behind.update(sensor.publish([sensor.next]))
        missing = sensor.acknowledged - set(numbers_of(found))
        lost = missing - repeated
        if lost and behind and behind <= set(numbers_of(found)):
            assert set() == broker.taken_by(CLIENT) & {f"pump/{number}" for number in lost}
            repeated.update(sensor.publish(sorted(lost)))
        return bool(behind) and not missing and len(broker.taken_by(CLIENT)) >= SETTLED_MIN

    records = kill_source(written, truth_done=done, peer=broker, points=points, seed=SEED, feed=sensor.feed)

    assert set(numbers_of(records)) <= set(range(sensor.next))
    _taken_is_captured(broker, numbers_of(records))


def _taken_is_captured(broker: MosquittoServer, captured: list[int]) -> None:
    """What we have acknowledged to the broker, which is something, has been committed here.

    A record is acknowledged only when its commit is made: whoever ends a run at the commit may see next to nothing.
    """
    taken = broker.taken_by(CLIENT)

    assert len(taken) >= SETTLED_MIN
    assert taken <= {f"pump/{number}" for number in captured}


def heard_after(broker: MosquittoServer, peer: Killable, points: int) -> list[tuple[str, str]]:
    """Payloads and ids that somebody hears who was away all the time, of all records."""
    listener = Device(broker.port, client_id="listener", keeps=True)
    listener.listen("alerts/#")
    listener.close()
    deliveries = [
        Delivery(value={"n": n}, key=b"k%d" % (n % 5), timestamp_ns=0, headers=(), offset=n, id=f"r/t/{n}")
        for n in range(RECORDS)
    ]
    written = MqttSink(
        host="127.0.0.1", port=broker.port, topic="alerts/{n}", in_flight_max=IN_FLIGHT_MAX, timeout="2s"
    )
    kill_sink(written, deliveries, peer=peer, points=points, seed=SEED, lanes=2, wait_s=90)
    listener = Device(broker.port, client_id="listener", keeps=True)
    listener.publish("alerts/end", b"end")
    wait_until(lambda: any(message.payload == b"end" for message in listener.heard))
    listener.close()
    return [
        (message.payload.decode(), dict(message.properties.UserProperty)["riverrun-id"])
        for message in listener.heard
        if message.payload != b"end"
    ]


@pytest.mark.parametrize("points", POINTS)
def test_a_sink_loses_nothing_that_its_broker_keeps(broker: MosquittoServer, points: int) -> None:
    """Every record is heard, in its key's order the first time; what is heard again has the same id."""
    heard = heard_after(broker, Orderly(broker), points)
    first = list(dict.fromkeys(heard))

    assert {(f'{{"n":{n}}}', f"r/t/{n}") for n in range(RECORDS)} == set(first)
    by_key: dict[int, list[int]] = {}
    for _, identity in first:
        number = int(identity.rsplit("/", 1)[1])
        by_key.setdefault(number % 5, []).append(number)
    assert {key: sorted(numbers) for key, numbers in by_key.items()} == by_key


@pytest.mark.parametrize("points", POINTS)
def test_a_sink_when_the_broker_is_killed(broker: MosquittoServer, points: int) -> None:
    """It had acknowledged every record; nothing is heard that was not sent."""
    heard = set(heard_after(broker, broker, points))
    sent = {(f'{{"n":{n}}}', f"r/t/{n}") for n in range(RECORDS)}

    assert set() == heard - sent
    assert {f"alerts/{n}" for n in range(RECORDS)} <= broker.taken_from(f"riverrun-kills-{SEED}-")
