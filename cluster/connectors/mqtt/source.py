"""A share of the messages of an MQTT broker.

The broker's session is the cursor: it knows what is unacknowledged, and sends that again, in order, to the next
connection with the same id. So a cursor of ours only counts the messages since the source began, and says which of this
connection's may be acknowledged. It is committed with the records, but nobody ever begins from it.
"""

from collections import deque

import msgspec
import structlog

from cluster.connectors.contract import Arrival, Arrived, Progress
from cluster.connectors.durations import duration_s
from cluster.connectors.mqtt.connection import Connection
from cluster.connectors.mqtt.messages import arrival
from cluster.connectors.mqtt.options import MqttSource
from cluster.connectors.mqtt.topics import key_level
from cluster.errors import Unreachable

log_event = structlog.get_logger()
READ_RECORDS_MAX = 1000
READ_BYTES_MAX = 1 << 20
ASK_S = 0.2
"""A read that waits, with messages unacknowledged, ends after so long with nothing, for a commit to be told of: the
broker may be waiting for that before it sends more."""
_RETAIN_HANDLING = {"take": 0, "new": 1, "skip": 2}


class _Unacknowledged(msgspec.Struct, frozen=True):
    count: int
    message: int
    """The broker's number of it; 0: it wants no acknowledgement (QoS 0)."""


class MessageSource:
    """Connects at the first read, and at the first one after a connection was lost."""

    def __init__(self, options: MqttSource, *, client_id: str, group: str) -> None:
        self._options, self._client_id = options, client_id
        self._filters = [f"$share/{group}/{written}" if group else written for written in options.topics]
        self._key_level = key_level(options.key)
        usual = "skip" if group else "new" if options.version == "5" else "take"
        self._retained = options.retained or usual
        self._connection: Connection | None = None
        self._count = 0
        self._unacknowledged: deque[_Unacknowledged] = deque()

    async def read(self, cursor: bytes | None) -> Arrived:
        """As the contract says. It gives nothing, and the same cursor, while the broker waits for acknowledgements."""
        connection = await self._connected(cursor)
        while not connection.inbox:
            if not await connection.news(ASK_S if self._unacknowledged else None):
                return Arrived(records=(), cursor=b"%d" % self._count)
        connection.check()
        records: list[Arrival] = []
        size = 0
        while connection.inbox and len(records) < READ_RECORDS_MAX:
            size += len(connection.inbox[0].payload)
            if records and size > READ_BYTES_MAX:
                break
            message = connection.inbox.popleft()
            self._count += 1
            if message.qos > 0:
                self._unacknowledged.append(_Unacknowledged(self._count, message.mid))
            if not (message.retain and self._retained == "skip"):
                records.append(arrival(message, self._key_level, self._options.format))
        return Arrived(records=records, cursor=b"%d" % self._count)

    async def committed(self, cursor: bytes) -> None:
        """Acknowledge what was read on this connection, up to there."""
        if self._connection is None:
            return
        self._connection.check()
        while self._unacknowledged and self._unacknowledged[0].count <= int(cursor):
            self._connection.acknowledge(self._unacknowledged.popleft().message)

    async def close(self) -> None:
        """The broker keeps the session."""
        if self._connection is not None:
            await self._connection.close()

    def progress(self) -> Progress | None:
        """It has no end."""
        return None

    async def _connected(self, cursor: bytes | None) -> Connection:
        if self._connection is not None:
            try:
                self._connection.check()
            except Unreachable:
                self._connection.cut()
            else:
                return self._connection
        return await self._connect(cursor)

    async def _connect(self, cursor: bytes | None) -> Connection:
        """What was not acknowledged comes again on the new one, under other numbers of the broker."""
        options = self._options
        self._connection = None
        self._unacknowledged.clear()
        self._count = int(cursor or 0)
        connection = Connection(
            options,
            self._client_id,
            session_s=duration_s(options.session_expiry, "session_expiry"),
            receive_max=options.receive_max,
        )
        await connection.connect()
        if cursor is not None and not connection.session_present:
            log_event.warning("mqtt_session_lost", broker=options.address, client_id=self._client_id)
        try:
            await connection.subscribe_all(self._filters, _RETAIN_HANDLING[self._retained])
        except BaseException:
            connection.cut()
            raise
        self._connection = connection
        return connection
