"""Publishes records, and waits until the broker has acknowledged them.

Of a batch so many are in flight as the options and the broker allow, in order. A batch that fails in the middle is sent
again as a whole: what it holds has the same ids. A record that the broker does not take is refused when all before it
are acknowledged; the rest of its batch has not been sent, but for what was in flight.
"""

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from paho.mqtt.properties import Properties

from cluster.connectors.contract import Delivery, Position
from cluster.connectors.durations import duration_s
from cluster.connectors.mqtt.connection import Connection
from cluster.connectors.mqtt.messages import payload, properties
from cluster.connectors.mqtt.options import MqttSink
from cluster.connectors.mqtt.topics import BYTES_MAX, FIELD_FORBIDDEN
from cluster.connectors.templates import Template
from cluster.errors import InvalidRoute, RecordRefused, Unreachable

PAYLOAD_BYTES_MAX = 268_435_455
HEAD_BYTES_MAX = 16
"""Of a packet: its kind, its lengths, its number."""
NOT_AUTHORIZED, QUOTA = 0x87, 0x97
OF_THE_RECORD = {0x90: "its topic is not one", 0x95: "it is too large", 0x99: "its format is not as it says"}


class _Message(NamedTuple):
    topic: str
    payload: bytes
    properties: Properties | None


class MessageSink:
    """Connects at the first write."""

    def __init__(self, options: MqttSink, *, name: str) -> None:
        self._options, self._name = options, name
        self._topic = Template(options.topic, "topic")
        self._timeout_s = duration_s(options.timeout, "timeout")
        self._connection: Connection | None = None

    async def last_position(self, lane: str) -> int | None:  # noqa: ARG002  a broker keeps none
        """A broker has no place for it."""
        return None

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:  # noqa: ARG002
        """True when the broker has acknowledged all."""
        messages = [self._message(delivery, place) for place, delivery in enumerate(batch)]
        if not messages:
            return True
        connection = await self._connected()
        for place, message in enumerate(messages):
            self._check_size(message, connection, place)
        if self._options.qos == 0:
            for message in messages:
                connection.send(
                    message.topic, message.payload, qos=0, retain=self._options.retain, properties=message.properties
                )
            await connection.barrier()
            connection.settled.clear()
        else:
            await self._publish(connection, messages)
        return True

    async def settle(self) -> None:
        """Nothing is held."""

    async def close(self) -> None:
        """Of its session nothing is left."""
        if self._connection is not None:
            await self._connection.close()

    async def _connected(self) -> Connection:
        if self._connection is not None:
            try:
                self._connection.check()
            except Unreachable:
                # While nothing was in flight: a broker that was started again, or went away and came back.
                self._connection = None
        if self._connection is None:
            # Nothing is resumed, so the id is for the broker's log only; there may be several of one deployment.
            client_id = f"riverrun-{self._name}-{secrets.token_hex(4)}"
            connection = Connection(self._options, client_id, session_s=None)
            await connection.connect()
            self._connection = connection
        return self._connection

    async def _publish(self, connection: Connection, messages: Sequence[_Message]) -> None:
        """With QoS 1. After the first refusal nothing more is sent, and what is in flight is waited for."""
        window = min(self._options.in_flight_max, connection.in_flight_max)
        waiting: dict[int, int] = {}
        refused: dict[int, int] = {}
        place = 0
        while waiting or (place < len(messages) and not refused):
            while place < len(messages) and len(waiting) < window and not refused:
                topic, content, extra = messages[place]
                number = connection.send(topic, content, qos=1, retain=self._options.retain, properties=extra)
                waiting[number] = place
                place += 1
            if not connection.settled and not await connection.news(self._timeout_s):
                raise Unreachable(f"mqtt {self._options.address}: no acknowledgement within {self._options.timeout}")
            for number, reason in connection.settled.items():
                settled = waiting.pop(number, None)
                if settled is not None and reason >= 0x80:
                    refused[settled] = reason
            connection.settled.clear()
        if refused:
            first = min(refused)
            raise self._refusal(messages[first].topic, refused[first], first)

    def _refusal(self, topic: str, reason: int, place: int) -> Exception:
        where = f"mqtt {self._options.address}"
        if reason == NOT_AUTHORIZED:
            what = f"{where} does not let us publish to {topic!r}"
            return InvalidRoute(what) if self._topic.fixed else RecordRefused(what, place=place)
        if reason in OF_THE_RECORD:
            return RecordRefused(f"{where} does not take a record for {topic!r}: {OF_THE_RECORD[reason]}", place=place)
        full = "it has no room" if reason == QUOTA else f"reason 0x{reason:02x}"
        return Unreachable(f"{where} does not take a record for {topic!r} now: {full}")

    def _message(self, delivery: Delivery, place: int) -> _Message:
        filled = self._topic.fill(delivery.value, delivery.key, place=place, forbidden=FIELD_FORBIDDEN)
        try:
            topic = filled.decode()
        except UnicodeDecodeError as error:
            raise RecordRefused(f"the topic {self._topic.written!r} would not be text", place=place) from error
        if len(filled) > BYTES_MAX or topic.startswith("$"):
            raise RecordRefused(f"nothing can be published to {topic[:80]!r}", place=place)
        extra = properties(delivery) if self._options.version == "5" else None
        return _Message(topic, payload(delivery.value), extra)

    def _check_size(self, message: _Message, connection: Connection, place: int) -> None:
        extra = len(message.properties.pack()) if message.properties else 0  # type: ignore[no-untyped-call]
        size = HEAD_BYTES_MAX + len(message.topic.encode()) + extra + len(message.payload)
        most = connection.packet_bytes_max or PAYLOAD_BYTES_MAX
        if size > most:
            what = f"mqtt {self._options.address} takes messages of up to {most:,} bytes: one has {size:,}"
            raise RecordRefused(what, place=place)
