"""The HTTP listener itself, on real sockets: what it bounds, and how it ends. The application is a few lines here."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cluster.config import HttpOptions
from cluster.errors import RefusedToStart
from cluster.real.web import RealWeb
from cluster.world import HttpApp, Listener

CHUNK = bytes(64 * 1024)
CHUNKS = 2_000
"""125 MiB: more than any buffers on the way."""
ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body that came."""
    del scope
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(app: HttpApp = hello, **options: Any) -> AsyncIterator[Listener]:
    """A listener on a free port."""
    listener = await RealWeb().serve(app, "127.0.0.1:0", HttpOptions(**options))
    try:
        yield listener
    finally:
        await listener.close(0)


class Raw:
    """A connection that says exactly what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, data: bytes) -> tuple[int, bytes]:
        """Status and body of one answer that names its length."""
        self.writer.write(data)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None, head
        return int(head.split()[1]), await self.reader.readexactly(int(length[1]))

    async def is_closed(self) -> bool:
        """Whether nothing more can come; waits for it."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionResetError:
            return True


@asynccontextmanager
async def connected(listener: Listener) -> AsyncIterator[Raw]:
    """A connection to it."""
    host, port = listener.address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


async def test_one_connection_asks_many_times() -> None:
    """The port that was bound is told, and a connection is kept between requests."""
    async with served() as listener, connected(listener) as raw:
        assert not listener.address.endswith(":0")
        for body in (b"", b"one", b"x" * 200_000):
            assert (200, body) == await raw.ask(
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )


async def test_a_taken_port_is_refused_in_one_sentence() -> None:
    """Like the other listeners'."""
    async with served() as listener:
        with pytest.raises(RefusedToStart, match="another process"):
            await RealWeb().serve(hello, listener.address, HttpOptions())
    for address in ("127.0.0.1:none", "127.0.0.1:70000", "203.0.113.1:0"):
        with pytest.raises(RefusedToStart, match="cannot listen on"):
            await RealWeb().serve(hello, address, HttpOptions())


async def test_what_is_no_http_hurts_nobody_else() -> None:
    """It gets a 400 and is closed; the next connection is served."""
    async with served() as listener:
        async with connected(listener) as raw:
            status, _ = await raw.ask(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            assert 400 == status
            assert await raw.is_closed()
        async with connected(listener) as raw:
            assert (200, b"") == await raw.ask(ASK)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nA: " + b"x" * 5_000, b"GET /" + b"x" * 5_000])
async def test_a_head_over_the_limit_is_not_kept(sent: bytes) -> None:
    """Whether it has ended or not: the parser itself would keep all of it."""
    async with served(head_bytes_max=4_000) as listener, connected(listener) as raw:
        status, said = await raw.ask(sent)
        assert (400, b"the request's head is over 4000 bytes") == (status, said)
        assert await raw.is_closed()


async def test_a_long_body_is_no_long_head() -> None:
    """Nor is a second request's, on the same connection."""
    async with served(head_bytes_max=200) as listener, connected(listener) as raw:
        for _ in range(3):
            status, body = await raw.ask(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"y" * 1_000)
            assert (200, 1_000) == (status, len(body))


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost:", ASK + b"GET / HT"])
async def test_a_head_that_does_not_come_is_not_waited_for(sent: bytes) -> None:
    """Neither the first nor a later one."""
    async with served(head_wait_s_max=0.05) as listener, connected(listener) as raw:
        raw.writer.write(sent)
        async with asyncio.timeout(5):
            await raw.reader.read()


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answers without a look at the body."""
    del scope, receive
    await send({"type": "http.response.start", "status": 415, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("asked", "after"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", b"12345"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", b"1234567890"),
        (ASK, b"\r\n"),
    ],
)
async def test_a_connection_that_goes_idle_after_an_answer_is_closed(asked: bytes, after: bytes) -> None:
    """Whatever comes behind it: the rest of a body that nobody reads, or what begins no request."""
    async with served(refuse, idle_s_max=1) as listener, connected(listener) as raw:
        assert (415, b"") == await raw.ask(asked)
        raw.writer.write(after)
        async with asyncio.timeout(3):
            assert await raw.is_closed()


async def test_what_comes_behind_an_answer_does_not_close_a_connection_that_asks_again() -> None:
    """The rest of the body is passed over, and the next request is one as ever."""
    async with served(refuse, idle_s_max=1) as listener, connected(listener) as raw:
        for _ in range(2):
            head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
            assert (415, b"") == await raw.ask(head)
            raw.writer.write(b"1234567890")
        assert (415, b"") == await raw.ask(ASK)


async def test_connections_are_counted() -> None:
    """One too many is closed at once; when another one has gone there is room again."""
    async with served(connections_max=1) as listener:
        async with connected(listener) as first:
            assert (200, b"") == await first.ask(ASK)
            async with connected(listener) as second:
                second.writer.write(ASK)
                assert await second.is_closed()
            assert (200, b"") == await first.ask(ASK)
        async with asyncio.timeout(5):
            while True:
                async with connected(listener) as third:
                    third.writer.write(ASK)
                    if not await third.is_closed():
                        break


async def test_whoever_does_not_read_is_not_written_to() -> None:
    """The application waits in `send`, and goes on when its client reads."""
    sent = asyncio.Semaphore(0)
    count = 0

    async def pour(scope: Any, receive: Any, send: Any) -> None:
        nonlocal count
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(CHUNKS):
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
            count += 1
            sent.release()
        await send({"type": "http.response.body", "body": b""})

    async with served(pour) as listener, connected(listener) as raw:
        raw.writer.write(ASK)
        try:
            while True:
                await asyncio.wait_for(sent.acquire(), 0.1)
        except TimeoutError:
            held_at = count
        assert held_at < CHUNKS
        while count == held_at:
            await raw.reader.read(1 << 20)
        assert count > held_at


async def test_a_request_under_way_may_end() -> None:
    """New connections are refused at once, what runs has the grace."""
    go = asyncio.Event()
    came = asyncio.Event()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        came.set()
        await go.wait()
        await hello(scope, receive, send)

    listener = await RealWeb().serve(late, "127.0.0.1:0", HttpOptions())
    async with connected(listener) as raw:
        raw.writer.write(ASK)
        await came.wait()
        closing = asyncio.create_task(listener.close(5))
        while await _is_open(listener):
            pass
        go.set()
        assert (200, b"") == await raw.ask(b"")
        await closing


async def test_an_endless_answer_is_asked_to_end() -> None:
    """Before anything is cut: the application hears of the end at once."""

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await scope["state"]["closing"].wait()
        await send({"type": "http.response.body", "body": b"ended"})
        del receive

    listener = await RealWeb().serve(endless, "127.0.0.1:0", HttpOptions())
    async with connected(listener) as raw:
        raw.writer.write(ASK)
        await raw.reader.readuntil(b"begun\r\n")
        async with asyncio.timeout(5):
            await listener.close(60)
        assert b"5\r\nended\r\n0\r\n\r\n" == await raw.reader.read()


async def _is_open(listener: Listener) -> bool:
    try:
        async with connected(listener):
            return True
    except ConnectionError:
        return False


@pytest.mark.slow
async def test_what_does_not_end_is_cut() -> None:
    """A stream of events, and a client that does not even read: neither holds up the node's end."""
    ended = asyncio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        finally:
            ended.set()

    listener = await RealWeb().serve(endless, "127.0.0.1:0", HttpOptions())
    async with connected(listener) as raw:
        raw.writer.write(ASK)
        await raw.reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(5):
            await listener.close(0.1)
        assert ended.is_set()
        try:
            while await raw.reader.read(1 << 20):
                pass
        except ConnectionResetError:
            return
        assert raw.reader.at_eof()
