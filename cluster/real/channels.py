"""The calling side of gRPC below the Network protocol: raw bytes out and in, errors with details.

Defaults of gRPC that would hurt are replaced: reconnects back off to half a second instead of two minutes, dead
connections are found by pings within seconds (a ping is waited for by `ping_timeout_ms`, a minute if nothing is said:
`keepalive_timeout_ms` alone finds only what the kernel does not acknowledge), messages may be 32 MiB. Every call has a
deadline.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from grpc import aio

from cluster.errors import (
    Closed,
    DeadlineExceeded,
    OutcomeUnknown,
    RiverrunError,
    Unavailable,
    Untrusted,
)
from cluster.real.connections import Connection, Connections
from cluster.real.tls import ClientTls, NodeTls
from cluster.real.tls_trouble import Trouble
from cluster.wire.status import STATUS_KEY, error_of, error_of_code, refuse_oversized
from cluster.world import MESSAGE_BYTES_MAX

OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.ping_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
CHANNEL_OPTIONS = [
    *OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
]
NO_METHOD = "Method not found!"
"""What gRPC says where nobody serves a method."""
UNANSWERED_S_MAX = 1.0
"""A stream that was dropped after so long, and was never answered, is the last one on its connection: it may be damaged
where neither TCP nor a ping finds it out. So is a call, if no other one was answered since it began."""


class RealChannel:
    """See World."""

    def __init__(self, address: str, tls: NodeTls | ClientTls | None = None) -> None:
        channels = None if tls is None else tls.channels
        self._address = address
        self._trouble = Trouble(address, channels)
        self._connections = Connections(address, channels, CHANNEL_OPTIONS)
        self._closed = False

    async def call(
        self, method: str, request: bytes, *, timeout_s: float, metadata: Mapping[str, str] | None = None
    ) -> bytes:
        """See World."""
        refuse_oversized(request)
        if self._closed:
            raise Closed(f"the channel to {self._address} was closed")
        if timeout_s <= 0:
            raise DeadlineExceeded(f"no time was left to ask {self._address}")
        connection = self._connections.current()
        pairs = tuple((metadata or {}).items())
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        connection.begin()
        try:
            answer: bytes | None = await connection.unary(method)(request, timeout=timeout_s, metadata=pairs)
        except aio.AioRpcError as error:
            self._failed(connection, since_s, error)
            _refuse_if_cancelled()
            raise await _error_of(error, self._address, self._trouble) from error
        except asyncio.CancelledError:
            self._failed(connection, since_s)
            if _is_own_cancellation() or not self._closed:
                raise
            raise OutcomeUnknown(f"the channel to {self._address} was closed") from None
        finally:
            connection.end()
        connection.answered_s = loop.time()
        if answer is None:  # that is what gRPC makes of a good end before which nothing came: a flipped bit does that
            raise OutcomeUnknown(f"{self._address} answered with nothing")
        return answer

    def _failed(self, connection: Connection, since_s: float, error: aio.AioRpcError | None = None) -> None:
        """A call has failed: it was answered with that, or was not, and then its connection may be given up."""
        now_s = asyncio.get_running_loop().time()
        if error is not None and (error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED or error.trailing_metadata()):
            connection.answered_s = now_s
        elif now_s - since_s >= UNANSWERED_S_MAX and connection.answered_s < since_s:
            self._connections.give_up(connection)

    def stream(self, method: str, *, metadata: Mapping[str, str] | None = None) -> "RealStream":
        """See World."""
        if self._closed:
            raise Closed(f"the channel to {self._address} was closed")
        connection = self._connections.current()
        call: Any = connection.channel.stream_stream(method)(metadata=tuple((metadata or {}).items()))
        connection.begin()
        call.add_done_callback(lambda _: connection.end())
        return RealStream(
            call, self._address, self._trouble, on_unanswered=lambda: self._connections.give_up(connection)
        )

    async def close(self) -> None:
        """See World."""
        self._closed = True
        await self._connections.close()


class RealStream:
    """See World."""

    def __init__(
        self, call: Any, address: str, trouble: Trouble, *, on_unanswered: Callable[[], None] = lambda: None
    ) -> None:
        self._call = call
        self._on_unanswered: Callable[[], None] | None = on_unanswered
        self._loop = asyncio.get_running_loop()
        self._since_s = self._loop.time()
        self._trouble = trouble
        self._address = address
        self._finished = False

    async def send(self, message: bytes) -> None:
        """See World."""
        refuse_oversized(message)
        if self._finished or self._call.done():
            raise Unavailable(f"the stream to {self._address} has ended")
        try:
            await self._call.wait_for_connection()
            # Not `write`: where that meets a stream which the server has ended, it makes INTERNAL the call's status,
            # and what the server said before (messages, its error) can never be read.
            await self._call._cython_call.send_serialized_message(message)  # noqa: SLF001
        except aio.AioRpcError as error:
            _refuse_if_cancelled()
            found = await _error_of(error, self._address, self._trouble)
            if isinstance(found, Untrusted):
                raise found from error
            raise Unavailable(f"the stream to {self._address} has ended") from error
        except aio.InternalError as error:
            raise Unavailable(f"the stream to {self._address} has ended") from error
        except asyncio.CancelledError:
            self._call.cancel()
            raise self._dropped() from None

    async def receive(self) -> bytes | None:
        """See World."""
        try:
            message = await self._call.read()
            self._on_unanswered = None
            if message is not aio.EOF:
                return bytes(message)
            code = await self._call.code()
            if code is grpc.StatusCode.OK:
                return None
            details, trailing = await self._call.details() or "", await self._call.trailing_metadata()
            raise await _error_of_call(code, details, trailing, self._address, self._trouble)
        except aio.AioRpcError as error:
            _refuse_if_cancelled()
            raise await _error_of(error, self._address, self._trouble) from error
        except asyncio.InvalidStateError as error:
            raise Unavailable(f"the stream to {self._address} has ended") from error
        except asyncio.CancelledError:
            raise self._dropped() from None

    async def finish(self) -> None:
        """See World."""
        self._finished = True
        try:
            await self._call.done_writing()
        except (aio.AioRpcError, asyncio.InvalidStateError):
            return  # it has ended already: whoever reads learns why
        except asyncio.CancelledError:
            if _is_own_cancellation():
                raise

    def cancel(self) -> None:
        """See World."""
        if self._on_unanswered is not None and self._loop.time() - self._since_s >= UNANSWERED_S_MAX:
            self._on_unanswered()
        self._on_unanswered = None
        self._call.cancel()

    def _dropped(self) -> BaseException:
        """What a cancelled wait means: gRPC cancels whoever waits on a call that was cancelled."""
        if _is_own_cancellation():
            return asyncio.CancelledError()
        return Unavailable(f"the stream to {self._address} was dropped")


def _refuse_if_cancelled() -> None:
    """To whoever was cancelled meanwhile gRPC says how its call has ended: a task that is to end would go on."""
    if _is_own_cancellation():
        raise asyncio.CancelledError


def _is_own_cancellation() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _error_of(error: aio.AioRpcError, address: str, trouble: Trouble) -> RiverrunError:
    return await _error_of_call(error.code(), error.details() or "", error.trailing_metadata(), address, trouble)


async def _error_of_call(
    code: grpc.StatusCode, details: str, trailing: Any, address: str, trouble: Trouble
) -> RiverrunError:
    for key, value in trailing or ():
        if key == STATUS_KEY:
            found = error_of(value if isinstance(value, bytes) else value.encode())
            if found is not None:
                return found
    # gRPC says in words only whether the connection was ever there.
    unknown = "errors resolving" in details or "DNS resolution failed" in details
    sent = not (unknown or "failed to connect" in details or "Connection refused" in details)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{address} did not answer in time")
    if not sent and (untrusted := await trouble.of(details)) is not None:
        return untrusted
    if code is grpc.StatusCode.UNIMPLEMENTED and details == NO_METHOD:
        details = "there is no such request: is this the port for clients, and a node of this version?"
    message = f"{address}: {details}" if sent else f"no node answers at {address}"
    if unknown:
        message = f"no host is known by the name of {address.rpartition(':')[0]}"
    return error_of_code(code.name, message, sent=sent)
