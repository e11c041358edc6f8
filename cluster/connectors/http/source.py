"""A listener for webhooks. A request is answered when the record that it carried is committed.

The cursor only counts: what was not committed was not answered either, and the sender sends it again.
"""

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, NamedTuple

import msgspec
import uvicorn

from cluster.connectors.clock import wall_ns
from cluster.connectors.contract import Arrival, Arrived, Progress
from cluster.connectors.durations import duration_s
from cluster.connectors.http.options import Webhook
from cluster.connectors.http.signatures import Checked, Forged, check, key_of
from cluster.errors import InvalidRoute, Unreachable

READ_MAX = 500
WAITING_MAX = 2_000
"""Requests that are not answered; whoever comes then is told to come later."""
END_S_MAX = 1.0
NS_PER_S = 10**9
HEADER_KEY = "header:"
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Waiting(NamedTuple):
    """A request, until it is answered."""

    arrival: Arrival
    answered: "asyncio.Future[None]"


class Refused(Exception):
    """What a sender is told instead."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class WebhookSource:
    """See Source."""

    def __init__(self, options: Webhook) -> None:
        self._options = options
        self._key = key_of(options.secret)
        self._tolerance_s = duration_s(options.tolerance, "tolerance")
        self._answer_s = duration_s(options.answer_within, "answer_within")
        self._server: uvicorn.Server | None = None
        self._socket: socket.socket | None = None
        self._come: deque[Waiting] = deque()
        self._uncommitted: deque[tuple[int, Waiting]] = deque()
        self._something = asyncio.Event()

    @property
    def port(self) -> int:
        """That it listens on."""
        assert self._socket is not None, "it listens"
        return int(self._socket.getsockname()[1])

    async def read(self, cursor: bytes | None) -> Arrived:
        """See Source. Unreachable: somebody else listens there."""
        if self._server is None:
            await self._listen()
        while not self._come:
            self._something.clear()
            await self._something.wait()
        count = int(cursor or b"0")
        records: list[Arrival] = []
        while self._come and len(records) < READ_MAX:
            waiting = self._come.popleft()
            count += 1
            self._uncommitted.append((count, waiting))
            records.append(waiting.arrival)
        return Arrived(records=records, cursor=b"%d" % count)

    async def committed(self, cursor: bytes) -> None:
        """See Source: they are answered."""
        while self._uncommitted and self._uncommitted[0][0] <= int(cursor):
            _, waiting = self._uncommitted.popleft()
            if not waiting.answered.done():
                waiting.answered.set_result(None)

    async def close(self) -> None:
        """See Source: who waits is told to come again."""
        server, self._server = self._server, None
        for waiting in (*self._come, *(waiting for _, waiting in self._uncommitted)):
            if not waiting.answered.done():
                waiting.answered.set_exception(Refused(503, "it stops; send it again"))
                waiting.answered.exception()
        self._come.clear()
        self._uncommitted.clear()
        if server is not None and self._socket is not None:
            server.config.timeout_graceful_shutdown = END_S_MAX  # type: ignore[assignment]  # seconds
            await server.shutdown(sockets=[self._socket])

    def progress(self) -> Progress | None:
        """See Source: it has no end."""

    async def _listen(self) -> None:
        options = self._options
        bound = _bound(options.listen)
        config = uvicorn.Config(
            self._app,
            ws="none",
            loop="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ssl_certfile=options.certificate or None,
            ssl_keyfile=options.private_key or None,
        )
        try:
            config.load()
        except (OSError, ValueError) as error:
            bound.close()
            raise InvalidRoute(f"the certificate {options.certificate} is of no use: {error}") from error
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[bound])
        self._server, self._socket = server, bound

    async def _app(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            status, message = await self._answer(scope, receive)
        except Refused as refused:
            status, message = refused.status, refused.message
        headers = [(b"content-type", b"application/json")]
        if status == 503:
            headers.append((b"retry-after", b"1"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": msgspec.json.encode({"message": message})})

    async def _answer(self, scope: Message, receive: Receive) -> tuple[int, str]:
        if scope["path"] != self._options.path:
            raise Refused(404, f"nothing is taken here; POST to {self._options.path}")
        if scope["method"] in {"GET", "HEAD"}:
            return 200, "it listens"
        if scope["method"] not in {"POST", "PUT"}:
            raise Refused(405, "POST it")
        if len(self._come) + len(self._uncommitted) >= WAITING_MAX:
            raise Refused(503, "too much waits to be stored; send it again later")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        body = await self._body(headers, receive)
        try:
            checked = check(
                self._options.signature,
                self._key,
                headers,
                body,
                now_s=wall_ns() // NS_PER_S,
                tolerance_s=self._tolerance_s,
            )
        except Forged as forged:
            raise Refused(401, str(forged)) from forged
        arrival = self._arrival(body, headers, checked)
        waiting = Waiting(arrival, asyncio.get_running_loop().create_future())
        self._come.append(waiting)
        self._something.set()
        try:
            async with asyncio.timeout(self._answer_s):
                await waiting.answered
        except TimeoutError:
            raise Refused(503, "it is not stored yet; send it again") from None
        return 200, "it is stored"

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        limit = self._options.body_bytes_max
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > limit:
            raise Refused(413, f"at most {limit} bytes are taken")
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "it was cut off")
            body += message.get("body", b"")
            if len(body) > limit:
                raise Refused(413, f"at most {limit} bytes are taken")
            if not message.get("more_body"):
                return bytes(body)

    def _arrival(self, body: bytes, headers: dict[str, str], checked: Checked) -> Arrival:
        value: Any = body
        if self._options.format == "json":
            try:
                value = msgspec.json.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Refused(400, f"it is no JSON: {error}") from error
        elif self._options.format == "text":
            try:
                body.decode()
            except UnicodeDecodeError as error:
                raise Refused(400, f"it is no text in UTF-8: {error}") from error
        names: Sequence[str] = ("content-type", "user-agent")
        kept = [(name, headers[name].encode()) for name in names if name in headers]
        if checked.id:
            kept.append(("webhook-id", checked.id.encode()))
        return Arrival(value=value, key=self._key_of(value, headers), headers=tuple(kept), unique=checked.id)

    def _key_of(self, value: Any, headers: dict[str, str]) -> bytes | None:
        wanted = self._options.key
        if not wanted:
            return None
        if wanted.startswith(HEADER_KEY):
            found: Any = headers.get(wanted.removeprefix(HEADER_KEY).lower())
        else:
            found = value
            for step in wanted.split("."):
                found = found.get(step) if isinstance(found, dict) else None
        if found is None:
            raise Refused(400, f"it has no {wanted}, which is its key")
        return found.encode() if isinstance(found, str) else msgspec.json.encode(found)


def _bound(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, int(port)))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise Unreachable(f"somebody else listens on {listen}") from error
        raise InvalidRoute(f"it cannot listen on {listen}: {error.strerror or error}") from error
    return bound
