"""What user code prints, line by line, at a bounded rate: so many lines are logged a second, so many bytes read.

What is not logged is counted, and the count logged. The last line is kept whatever the rate: it mostly says why the
process ended.
"""

import asyncio
from collections.abc import Callable
from typing import cast

LINE_BYTES_MAX = 2_000
"""Of a line that is logged: its beginning."""


class HostOutput(asyncio.Protocol):
    """One of a process's output streams. `log`: takes a line; `left_out`: takes how many lines were not logged."""

    def __init__(
        self, log: Callable[[str], None], left_out: Callable[[int], None], *, lines_max: int, bytes_max: int
    ) -> None:
        self._log = log
        self._left_out = left_out
        self._lines_max = lines_max
        self._bytes_max = bytes_max
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.ReadTransport | None = None
        self._rest = b""
        self._last = b""
        self._second_s = self._loop.time()
        self._lines = self._bytes = self._dropped = 0
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Set when nothing more will come."""

    @property
    def last_line(self) -> str:
        """The last line that was not empty, or its beginning."""
        return _text(self._rest.strip() or self._last)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast("asyncio.ReadTransport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        now_s = self._loop.time()
        if now_s - self._second_s >= 1:
            self._new_second(now_s)
        self._bytes += len(data)
        first, newline, behind = data.partition(b"\n")
        if not newline:
            self._rest = (self._rest + data)[: LINE_BYTES_MAX + 1]
        else:
            self._line((self._rest + first)[: LINE_BYTES_MAX + 1])
            self._rest = self._lines_of(behind)
        if self._bytes >= self._bytes_max and self._transport is not None:
            self._transport.pause_reading()
            self._loop.call_later(max(0.0, self._second_s + 1 - now_s), self._resume)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        del exc
        if self._rest:
            self._line(self._rest)
            self._rest = b""
        self._new_second(self._loop.time())
        if not self.ended.done():
            self.ended.set_result(None)

    def close(self) -> None:
        """Whatever else comes is of no interest."""
        if self._transport is not None:
            self._transport.close()

    def _lines_of(self, data: bytes) -> bytes:
        """Take the whole lines; what is behind the last one."""
        while self._lines < self._lines_max:
            line, newline, behind = data.partition(b"\n")
            if not newline:
                return data[: LINE_BYTES_MAX + 1]
            self._line(line)
            data = behind
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            self._dropped += whole.count(b"\n") + 1
            self._last = (whole.rstrip().rpartition(b"\n")[2] or self._last)[: LINE_BYTES_MAX + 1]
        return rest[: LINE_BYTES_MAX + 1]

    def _line(self, line: bytes) -> None:
        if line.strip():
            self._last = line
        if self._lines < self._lines_max:
            self._lines += 1
            self._log(_text(line))
        else:
            self._dropped += 1

    def _new_second(self, now_s: float) -> None:
        if self._dropped:
            self._left_out(self._dropped)
        self._second_s = now_s
        self._lines = self._bytes = self._dropped = 0

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


def _text(line: bytes) -> str:
    text = line[:LINE_BYTES_MAX].decode(errors="replace").rstrip()
    return text + " …" if len(line) > LINE_BYTES_MAX else text
