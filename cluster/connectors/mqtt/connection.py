"""One connection to a broker: aiomqtt's, and what that keeps to itself.

Which is, of paho underneath: manual acknowledgement, the reasons that acknowledgements have in MQTT 5, whether there
was a session, and what the broker allows. Messages are taken as paho has them, without a task for each.

Whatever goes wrong with a connection is one error for all who wait: Unreachable, or InvalidRoute where a person has to
do something. A connection is made once, and is not mended.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any

import aiomqtt
import structlog
from aiomqtt.exceptions import MqttCodeError
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from cluster.connectors.durations import duration_s
from cluster.connectors.mqtt.options import PORT, TLS_PORT, MqttBroker
from cluster.errors import InvalidRoute, Unreachable

log_event = structlog.get_logger()
_SILENT = logging.getLogger("riverrun.mqtt")
"""What paho would say of a connection; whoever uses it is told, and says it where it belongs."""
_SILENT.setLevel(logging.CRITICAL)
INBOX_MAX = 10_000
"""Messages of QoS 0 that find so many waiting are dropped, as a broker would do; others are bounded by
`receive_max`."""
CLOSE_S = 1.0
"""A farewell may take so long."""
REFUSED = {0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x9B, 0x9C, 0x9D, 0x9E, 0xA1, 0xA2, 0x8F, 0x90}
"""Reasons (MQTT 5 §2.4) that only a person can change: versions, ids, passwords, rights, filters, another server."""
UNSPECIFIED, TAKEN_OVER = 0x80, 0x8E


class Connection(aiomqtt.Client):
    """Connected when `connect` returns; `cut` or `close` ends it. Everything else raises what has ended it."""

    def __init__(self, options: MqttBroker, client_id: str, *, session_s: float | None, receive_max: int = 0) -> None:
        """`session_s`: the broker keeps the session for so long; None: there is none, nor was there."""
        self.address, self.client_id = options.address, client_id
        self._modern = modern = options.version == "5"
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        if session_s is not None:
            properties.SessionExpiryInterval = int(session_s)
        if receive_max:
            properties.ReceiveMaximum = receive_max
        super().__init__(
            options.host,
            options.port or (TLS_PORT if options.tls else PORT),
            username=options.user or None,
            password=options.password or None,
            logger=_SILENT,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if modern else aiomqtt.ProtocolVersion.V311,
            clean_session=None if modern else session_s is None,
            clean_start=session_s is None if modern else MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties if modern else None,
            timeout=duration_s(options.timeout, "timeout"),
            keepalive=int(duration_s(options.keepalive, "keepalive")),
            tls_context=_tls(options) if options.tls else None,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],  # else each acknowledgement waits for another
            max_inflight_messages=0,  # the window is kept by whoever publishes
        )
        self._client.manual_ack_set(on=True)
        self._client.connect_timeout = self.timeout
        self.inbox: deque[MQTTMessage] = deque()
        self.settled: dict[int, int] = {}
        """The reason of each acknowledgement (0: it was taken), by the number that `publish` gave."""
        self.session_present = False
        self.in_flight_max, self.packet_bytes_max = 65535, 0
        self._news = asyncio.Event()
        self._dropped = 0

    async def connect(self) -> None:
        """Unreachable, InvalidRoute. Cancelled: the attempt goes on behind, and ends with nothing."""
        entering = asyncio.ensure_future(self.__aenter__())
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            entering.add_done_callback(self._entered_for_nothing)
            raise
        except aiomqtt.MqttError as error:
            self.cut()
            raise self._failure(error) from error
        except UnicodeError as error:
            raise InvalidRoute(f"mqtt {self.address}: the host's name is none") from error
        if self._client.socket() is None:
            # It ended before aiomqtt looked, which forgets that then.
            raise self._failure("it has hung up")
        self._disconnected.add_done_callback(self._ended)

    def _ended(self, disconnected: "asyncio.Future[None]") -> None:
        if not disconnected.cancelled():
            disconnected.exception()  # somebody has looked
        self._news.set()

    def _entered_for_nothing(self, entering: "asyncio.Future[Any]") -> None:
        if not entering.cancelled():
            entering.exception()
        self.cut()

    def _client_connect(self) -> None:
        try:
            super()._client_connect()
        except ssl.SSLCertVerificationError as error:
            raise aiomqtt.MqttError from error

    def check(self) -> None:
        """What has ended the connection, if something has."""
        if self._disconnected.done():
            raise self._failure(self._disconnected.exception() or "the connection is closed")

    async def news(self, wait_s: float | None = None) -> bool:
        """Wait for a message, an acknowledgement or the end; False: there was none within `wait_s`."""
        self.check()
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._news.wait()
                return True
        return False

    def acknowledge(self, message: int) -> None:
        """The broker may forget the message of that number."""
        self._client.ack(message, 1)

    def send(self, topic: str, payload: bytes, *, qos: int, retain: bool, properties: Properties | None) -> int:
        """Publish; the number under which it will be settled."""
        self.check()
        info = self._client.publish(topic, payload, qos, retain, properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._failure(MqttCodeError(info.rc))
        return info.mid

    async def subscribe_all(self, filters: Sequence[str], retain_handling: int) -> None:
        """QoS 1 of each. InvalidRoute: the broker does not let us, or not with QoS 1."""
        if self._modern:
            options = SubscribeOptions(qos=1, retainHandling=retain_handling)
            asked: Any = [(written, options) for written in filters]
        else:
            asked = [(written, 1) for written in filters]
        try:
            granted: Any = await self.subscribe(asked)
        except aiomqtt.MqttError as error:
            raise self._failure(error) from error
        for written, reason in zip(filters, granted, strict=True):
            code = reason.value if isinstance(reason, ReasonCode) else int(reason)
            if code >= 0x80:
                kind = Unreachable if code == 0x97 else InvalidRoute
                raise kind(f"mqtt {self.address} does not let us subscribe to {written!r}: {str(reason).lower()}")
            if code == 0:
                raise InvalidRoute(f"mqtt {self.address} has only QoS 0 for {written!r}: messages would be lost")

    async def barrier(self) -> None:
        """The broker has read all that was sent before: it answers in order."""
        try:
            await self.unsubscribe("riverrun/nothing")
        except aiomqtt.MqttError as error:
            raise self._failure(error) from error

    async def close(self) -> None:
        """With a word to the broker, if it listens."""
        if not self._disconnected.done() and self._connected.done() and self._connected.exception() is None:
            self._client.disconnect()
            await asyncio.wait([self._disconnected], timeout=CLOSE_S)
        self.cut()

    def cut(self) -> None:
        """Without a word. What is not acknowledged comes again."""
        found: Any = self._client.socket()
        if found is not None:
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                future.exception()  # somebody has looked

    def _failure(self, error: BaseException | str) -> Unreachable | InvalidRoute:
        code = getattr(error, "rc", None)
        if isinstance(error, MqttCodeError) and isinstance(code, ReasonCode):
            what = str(code).lower()
            if code.value == TAKEN_OVER:
                return Unreachable(f"mqtt {self.address}: another client has come as {self.client_id!r}")
            if code.value in REFUSED:
                return InvalidRoute(f"mqtt {self.address} refuses us: {what}")
            if code.value == UNSPECIFIED:  # which is what paho makes of a lost connection
                what = "the connection is lost"
            return Unreachable(f"mqtt {self.address}: {what}")
        cause = getattr(error, "__cause__", None)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return InvalidRoute(f"mqtt {self.address}: its certificate is not to be trusted: {cause.verify_message}")
        return Unreachable(f"mqtt {self.address}: {str(error).lower() or type(error).__name__}")

    def _on_connect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.session_present = flags.session_present
        self.in_flight_max = getattr(properties, "ReceiveMaximum", 65535)
        self.packet_bytes_max = getattr(properties, "MaximumPacketSize", 0)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.done():
            # aiomqtt would wait for its whole time-out.
            self._connected.set_exception(aiomqtt.MqttError("it has hung up before it said a word"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        if not self._disconnected.done():
            self._disconnected.set_result(None)

    def _on_message(self, client: PahoClient, userdata: Any, message: MQTTMessage) -> None:  # noqa: ARG002
        if message.qos == 0 and len(self.inbox) >= INBOX_MAX:
            if not self._dropped:
                log_event.warning("mqtt_qos_0_dropped", broker=self.address, topic=message.topic)
            self._dropped += 1
            return
        self.inbox.append(message)
        self._news.set()

    def _on_publish(
        self,
        client: PahoClient,  # noqa: ARG002
        userdata: Any,  # noqa: ARG002
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,  # noqa: ARG002
    ) -> None:
        self.settled[mid] = reason_code.value
        self._news.set()


class _TidySocket(ssl.SSLSocket):
    """paho forgets a socket whose handshake fails."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  as it is there
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _tls(options: MqttBroker) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca or None)
        context.sslsocket_class = _TidySocket
        if options.cert:
            context.load_cert_chain(options.cert, options.key_file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidRoute(f"mqtt {options.address}: the files of TLS cannot be used: {error}") from error
    return context
