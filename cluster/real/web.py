"""HTTP below the Web protocol: uvicorn on the node's own loop, and limits on what it keeps of a request's head.

Of uvicorn only the protocol and the orderly end are used: no process of its own, no signal handlers, no log of
accesses, no lifespan, and no timer, so that an idle port costs nothing.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cluster.config import HttpOptions
from cluster.errors import RefusedToStart
from cluster.world import HttpApp

BACKLOG = 256
PORT_MAX = 65_535
CUT_S_MAX = 1.0
"""Requests that were cut have so long to end."""


class RealWeb:
    """See World. `context`: makes that of TLS; None from it: plain text."""

    def __init__(self, context: Callable[[], ssl.SSLContext | None] = lambda: None) -> None:
        self._context = context

    async def serve(self, app: HttpApp, address: str, options: HttpOptions) -> "WebListener":
        """See World."""
        bound = _bound(address)
        config = uvicorn.Config(
            app,
            http=partial(_Protocol, options=options),  # type: ignore[arg-type]  # called like the class
            ws="none",
            loop="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",  # what the application does not catch itself would be its bug, and it logs those
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=options.idle_s_max,
        )
        config.load()
        config.ssl = self._context()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        server.lifespan.state["closing"] = closing = asyncio.Event()
        await server.startup(sockets=[bound])
        host = address.rsplit(":", 1)[0]
        return WebListener(f"{host}:{bound.getsockname()[1]}", server, bound, closing)


class WebListener:
    """See World."""

    def __init__(self, address: str, server: uvicorn.Server, bound: socket.socket, closing: asyncio.Event) -> None:
        self.address = address
        self._closing = closing
        self._server = server
        self._bound = bound

    async def close(self, grace_s: float) -> None:
        """See World."""
        self._closing.set()
        self._server.config.timeout_graceful_shutdown = grace_s  # type: ignore[assignment]  # seconds, as wait_for has
        await self._server.shutdown(sockets=[self._bound])
        left = list(self._server.server_state.tasks)
        if left:
            await asyncio.wait(left, timeout=CUT_S_MAX)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()  # whoever does not read what was said is not waited for


class _Protocol(HttpToolsProtocol):
    """One connection. uvicorn's parser keeps a head of any size for any time; this one does not."""

    def __init__(self, *, options: HttpOptions, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._options = options
        self._in_head = True
        self._head_bytes = 0
        self._head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._options.connections_max:
            transport.abort()
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self._options.head_bytes_max and not self.transport.is_closing():
            self.send_400_response(f"the request's head is over {self._options.head_bytes_max} bytes")
        self._expect_request()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def _expect_request(self) -> None:
        """Uvicorn waits for one only from an answer to the next byte, which may begin none: a body that nobody read."""
        is_answered = self.cycle is not None and self.cycle.response_complete and not self.pipeline
        is_watched = self._in_head or self.timeout_keep_alive_task is not None
        if is_answered and not is_watched and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _expect_head(self) -> None:
        self._in_head = True
        if self._head_due is None:
            self._head_due = self.loop.call_later(self._options.head_wait_s_max, self.transport.close)

    def _head_came(self) -> None:
        self._in_head, self._head_bytes = False, 0
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None


def _bound(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not port.isdecimal() or int(port) > PORT_MAX:
        raise RefusedToStart(f"cannot listen on {address}: it is no host:port")
    try:
        return socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        said = "is another process using the port?" if taken else error.strerror
        raise RefusedToStart(f"cannot listen on {address}: {said}") from error
