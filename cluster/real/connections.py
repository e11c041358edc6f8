"""One address's connection: made anew when certificates have changed, or when nothing comes back on it.

What is under way ends on the old one.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from grpc import aio

from cluster.real.tls import ChannelTls


class Connection:
    """A gRPC channel, and how many calls are under way on it."""

    def __init__(self, channel: aio.Channel, version: int) -> None:
        self.channel = channel
        self.version = version
        self.calls = 0
        self.answered_s = float("-inf")
        """When a call was last answered on it."""
        self._unary: dict[str, Any] = {}
        self.on_idle: Callable[[], object] | None = None

    def unary(self, method: str) -> Any:
        """What calls a method, made once."""
        found = self._unary.get(method)
        if found is None:
            found = self._unary[method] = self.channel.unary_unary(method)
        return found

    def begin(self) -> None:
        """A call begins."""
        self.calls += 1

    def end(self) -> None:
        """A call has ended."""
        self.calls -= 1
        if not self.calls and self.on_idle is not None:
            self.on_idle()


class Connections:
    """To one address."""

    def __init__(self, address: str, tls: ChannelTls | None, options: Sequence[tuple[str, int]]) -> None:
        self._address = address
        self._tls = tls
        self._options = options
        self._current: Connection | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._old: set[Connection] = set()

    def current(self) -> Connection:
        """The one to use now."""
        version = 0 if self._tls is None else self._tls.version()
        current = self._current
        if current is None or current.version != version:
            if current is not None:
                self._retire(current)
            self._current = current = Connection(self._made(), version)
        return current

    def give_up(self, connection: Connection) -> None:
        """Use another one from now on."""
        if connection is self._current:
            self._current = None
            self._retire(connection)

    async def close(self) -> None:
        """Drop all, and what is under way."""
        current, self._current = self._current, None
        for connection in [*self._old, *([current] if current is not None else [])]:
            connection.on_idle = None
            await connection.channel.close()
        self._old.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _made(self) -> aio.Channel:
        if self._tls is None:
            return aio.insecure_channel(self._address, options=self._options)
        return aio.secure_channel(self._address, self._tls.credentials(), options=self._options)

    def _retire(self, connection: Connection) -> None:
        self._old.add(connection)
        connection.on_idle = lambda: self._drop(connection)
        if not connection.calls:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        connection.on_idle = None
        self._old.discard(connection)
        closing = asyncio.ensure_future(connection.channel.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
