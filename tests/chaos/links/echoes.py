"""A peer behind a proxy: it sends back what it gets, and says when its connections end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Echo:
    """Listens on loopback while it is open. `got`: all bytes of all connections."""

    def __init__(self) -> None:
        self.got = b""
        self.address = ""
        self.ended = asyncio.Event()
        """A connection has ended."""
        self._writers: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Echo"]:
        """Serve until the end of the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._writers):
                writer.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self.got += data
                writer.write(data)
                await writer.drain()
        self.ended.set()
        self._writers.discard(writer)
        writer.close()


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, closed at the end of the block."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def echoed(address: str, said: bytes = b"here", *, within_s: float = 10.0) -> bytes:
    """What comes back of it on a new connection: less, if it was closed. ConnectionError, TimeoutError."""
    got = b""
    async with asyncio.timeout(within_s), connected(address) as (reader, writer):
        writer.write(said)
        while len(got) < len(said) and (data := await reader.read(65536)):
            got += data
    return got
