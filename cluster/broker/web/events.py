"""`GET /topics/{topic}/events`: records as Server-Sent Events, as they come (a browser's EventSource, or `curl -N`).

    id: 18
    data: {"partition":0,"offset":17, …}

`id` is the position behind the event, so that a client which comes back with `Last-Event-ID` (browsers do it by
themselves) goes on exactly there: of one partition `18`, of several `0:18,1:5`. A stream that begins at the latest, or
at a time, says first where that is, in an `id` without data, which no client shows. The query is that of a list
(`reading`), but that it begins at the latest, and does not end unless `until` or `limit` is given; then `event: end`
says so, because an EventSource would come back. An error on the way is `event: error`. Nothing is read ahead: while a
client does not take what was sent, its reads wait.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from cluster.broker.web.calls import WebCall
from cluster.broker.web.failures import error_object
from cluster.broker.web.places import EARLIEST, parse_place, positions_text
from cluster.broker.web.reading import Reading, Wanted, as_json
from cluster.config import HttpOptions
from cluster.errors import RiverrunError
from cluster.wire.api import stream_pb2

TYPE = "text/event-stream"
KEEPALIVE = b": \n\n"
HEADERS = {"content-type": TYPE, "cache-control": "no-store", "x-accel-buffering": "no"}
"""The last: proxies shall not collect events until a buffer is full."""


class Events:
    """Makes streams of events."""

    def __init__(self, reading: Reading, options: HttpOptions) -> None:
        self._reading = reading
        self._options = options

    async def answer(self, request: Request, call: WebCall) -> "EventStream":
        """The stream, its first answer awaited (for a while), so that a wrong request gets its status."""
        wanted = await self._reading.wanted(request, call, start="latest", until=None)
        last = request.headers.get("last-event-id")
        if last:
            start = parse_place(last, "Last-Event-ID", EARLIEST)
            wanted = replace(wanted, start=replace(start, at=start.at if not start.by_partition else wanted.start.at))
        wanted = await self._reading.resolved(wanted, call)
        stream = EventStream(self._events(wanted, call), self._options.events_keepalive_s)
        if request.method == "HEAD":
            await stream.close()
        else:
            await stream.begin(self._options.read_wait_s_max)
        return stream

    async def _events(self, wanted: Wanted, call: WebCall) -> AsyncIterator[bytes]:
        """Encoded events, all of one answer of the node at once."""
        positions = wanted.known_positions()
        left = wanted.limit
        done: set[int] = set()
        text = positions_text(positions, wanted.partitions) if positions else ""
        begun = f"id: {text}\n\n".encode() if text else b""
        async with aclosing(self._reading.parts(wanted, call)) as parts:
            async for part in parts:
                records = part.records[:left]
                encoded = b"".join([begun, *self._encoded(part, len(records), positions, wanted)])
                begun = b""
                if encoded:
                    yield encoded
                if len(records) == len(part.records):
                    positions[part.partition] = part.position
                if left is not None:
                    left -= len(records)
                if part.finished:
                    done.add(part.partition)
                if left == 0 or len(done) == len(wanted.partitions):
                    text = positions_text(positions, wanted.partitions)
                    yield f"event: end\nid: {text}\ndata: {{}}\n\n".encode()
                    return

    @staticmethod
    def _encoded(part: stream_pb2.ReadResponse, count: int, positions: dict[int, int], wanted: Wanted) -> list[bytes]:
        events = []
        for record in part.records[:count]:
            positions[part.partition] = record.offset + 1
            data = msgspec.json.encode(as_json(record, part.partition, as_events=wanted.as_events))
            text = positions_text(positions, wanted.partitions)
            events.append(b"id: %b\ndata: %b\n\n" % (text.encode(), data))
        return events


class EventStream:
    """An answer that goes on until its events end or its client leaves; an application after ASGI."""

    def __init__(self, events: AsyncIterator[bytes], keepalive_s: float) -> None:
        self._events = events
        self._keepalive_s = keepalive_s
        self._next: asyncio.Task[bytes | None] | None = None
        self._begun = False

    async def begin(self, wait_s: float) -> None:
        """Wait for what comes first; RiverrunError if that is one. Nothing so far is no reason not to begin."""
        if await self._has_come(wait_s):
            assert self._next is not None
            try:
                self._next.result()
            except RiverrunError:
                await self.close()
                raise

    async def close(self) -> None:
        """End what is read for it."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        await self._events.aclose()  # type: ignore[attr-defined]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until it ends, until `receive` says that nobody is there any more, or until the listener closes."""
        sending = asyncio.create_task(self._send_all(send, with_body=scope["method"] != "HEAD"))
        leaving = asyncio.create_task(_gone(receive))
        closing = asyncio.create_task(scope["state"]["closing"].wait())
        tasks = [sending, leaving, closing]
        ends_early = False
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ends_early = closing.done() and not sending.done() and not leaving.done()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.close()
        if not sending.cancelled():
            sending.result()
        elif ends_early and self._begun:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, send: Send, *, with_body: bool) -> None:
        headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        self._begun = True
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while with_body:
            try:
                body = await self._take() if await self._has_come(self._keepalive_s) else KEEPALIVE
            except RiverrunError as error:
                body = b"event: error\ndata: %b\n\n" % msgspec.json.encode(error_object(error))
                with_body = False
            if body is None:
                break
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _has_come(self, wait_s: float) -> bool:
        if self._next is None:
            self._next = asyncio.create_task(self._advance())
        await asyncio.wait([self._next], timeout=wait_s)
        return self._next.done()

    async def _take(self) -> bytes | None:
        assert self._next is not None
        taken, self._next = self._next, None
        return await taken

    async def _advance(self) -> bytes | None:
        return await anext(self._events, None)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
