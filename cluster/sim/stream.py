"""A stream in memory, with what its client and its server may rely on over gRPC, and nothing more.

Rules:
1. Each direction is a pipe: in order, at most once, at most `WINDOW_MESSAGES` that were not taken yet.
2. What the server said before its end or its error comes out before it.
3. Whoever ends it frees everybody who waits on it: a writer without room, a reader, a handler (which is cancelled).
4. A cancelled `send` or `receive` drops the stream: what it may have taken or sent cannot come again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from cluster.errors import OutcomeUnknown, RiverrunError, Unavailable, Unsupported
from cluster.sim.clock import Host
from cluster.sim.fabric import KEEPALIVE_S, REPEAT_S, Fabric, after, at
from cluster.wire.status import error_of, refuse_oversized, status_of
from cluster.world import Route

WINDOW_MESSAGES = 16
Item = bytes | RiverrunError | None
"""What goes through a pipe: messages, then one end or error."""


@dataclass(frozen=True, slots=True)
class SimCall:
    """See World."""

    caller: str
    sent: Mapping[str, str]
    end_s: float | None

    def peer(self) -> str:
        """See World."""
        return self.caller

    def time_left_s(self) -> float | None:
        """See World."""
        return None if self.end_s is None else self.end_s - asyncio.get_running_loop().time()

    def metadata(self) -> Mapping[str, str]:
        """See World."""
        return self.sent

    def certified(self) -> None:
        """See World: there is no TLS here."""


class _Pipe:
    """One direction. `on_end` is told when the end has come out, or nothing more can."""

    def __init__(self, fabric: Fabric, is_cut: Callable[[], bool], on_end: Callable[[], None]) -> None:
        self.ended = False
        self._fabric = fabric
        self._is_cut = is_cut
        self._on_end = on_end
        self._room = asyncio.Semaphore(WINDOW_MESSAGES)
        self._closed = False
        self._under_way: deque[Item] = deque()
        """In order: two that arrive at the same moment must not overtake each other."""
        self._last_s = 0.0
        self._arrived: asyncio.Queue[Item] = asyncio.Queue()

    async def wait_room(self) -> bool:
        """Wait until one more message may be put; False if none may be any more."""
        await self._room.acquire()
        if self._closed:
            self._room.release()  # for the next one who waits
        return not self._closed

    def put(self, item: Item) -> None:
        """Send it on its way. Whoever puts a message has waited for room."""
        self._fabric.sent += 1
        self._under_way.append(item)
        self._last_s = max(self._last_s, asyncio.get_running_loop().time() + self._fabric.delay_s())
        at(self._last_s, self._arrive_next)

    def end_with(self, item: RiverrunError) -> None:
        """Nothing more comes out than what has arrived, and this error."""
        self._fabric.lost += len(self._under_way)
        self._under_way.clear()
        self._come_out(item)

    def forget(self) -> None:
        """What has arrived is not wanted any more."""
        while not self._arrived.empty():
            self._arrived.get_nowait()

    def close(self) -> None:
        """Nothing more may be put."""
        self._closed = True
        self._room.release()

    async def take(self) -> bytes | None:
        """The next message; None at the end; the error it broke with."""
        item = await self._arrived.get()
        if isinstance(item, bytes):
            self._room.release()
            return item
        self._arrived.put_nowait(item)  # whoever asks again gets the same end
        if isinstance(item, RiverrunError):
            raise item
        return None

    def _arrive_next(self) -> None:
        if not self._under_way:
            return  # it was lost in the meantime
        if self._is_cut():
            after(REPEAT_S, self._arrive_next)
        else:
            self._come_out(self._under_way.popleft())

    def _come_out(self, item: Item) -> None:
        if not self.ended:
            self._arrived.put_nowait(item)
            if not isinstance(item, bytes):
                self.ended = True
                self._on_end()


class _Requests:
    """The server's side of the pipe that comes from the client."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe

    def __aiter__(self) -> "_Requests":
        return self

    async def __anext__(self) -> bytes:
        message = await self._pipe.take()
        if message is None:
            raise StopAsyncIteration
        return message


class SimStream:
    """See World; the client's side, and the work of the server's."""

    def __init__(self, fabric: Fabric, client: Host, address: str, method: str, call: SimCall) -> None:
        self.client = client
        self.address = address
        self.server: Host | None = None
        self.work: asyncio.Task[None] | None = None
        self._fabric = fabric
        self._there = _Pipe(fabric, self._is_cut_there, on_end=lambda: None)
        self._back = _Pipe(fabric, self._is_cut_back, on_end=self._over)
        self._sent = False
        self._finished = False
        fabric.streams[self] = None
        loop = asyncio.get_running_loop()
        after(fabric.delay_s(), self._connect, method, call, loop.time() + KEEPALIVE_S)

    # --- the client's side

    async def send(self, message: bytes) -> None:
        """See World."""
        refuse_oversized(message)
        try:
            open_still = not self._finished and not self._back.ended and await self._there.wait_room()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if not open_still:
            raise Unavailable(f"the stream to {self.address} has ended")
        self._sent = True
        self._there.put(message)

    async def receive(self) -> bytes | None:
        """See World."""
        try:
            return await self._back.take()
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def finish(self) -> None:
        """See World."""
        if not self._finished and not self._back.ended:
            self._finished = True
            self._there.put(None)

    def cancel(self) -> None:
        """See World."""
        self.drop(Unavailable(f"the stream to {self.address} was dropped"))

    def drop(self, error: RiverrunError) -> None:
        """End it from the client's side; whoever still asks gets this error."""
        if self._back.ended:
            return
        self._back.forget()
        self._back.end_with(error)
        after(KEEPALIVE_S if self._is_cut_there() else self._fabric.delay_s(), self._end_server)

    def unanswered(self, why: str) -> RiverrunError:
        """The error for an end without an answer: what was sent may have been done."""
        return OutcomeUnknown(why) if self._sent else Unavailable(why)

    # --- between the two

    def broken(self) -> None:
        """The connection is gone, for both sides."""
        self._back.end_with(self.unanswered(f"the connection to {self.address} broke"))
        self._end_server()

    def _over(self) -> None:
        """The end has reached the client: nothing that it sends matters any more."""
        self._there.close()
        self._fabric.streams.pop(self, None)

    def _end_server(self) -> None:
        self._there.end_with(Unavailable("the caller is gone"))
        if self.work is not None:
            self.work.cancel()

    def _is_cut_there(self) -> bool:
        if self.server is None:
            found = self._fabric.listening(self.address)
            return found is not None and self._fabric.is_cut(self.client, found.host)
        return self._fabric.is_cut(self.client, self.server)

    def _is_cut_back(self) -> bool:
        return self.server is not None and self._fabric.is_cut(self.server, self.client)

    def _connect(self, method: str, call: SimCall, end_s: float) -> None:
        if self._back.ended:
            return  # dropped before it got there
        found = self._fabric.listening(self.address)
        if found is None:
            self._back.end_with(Unavailable(f"no node answers at {self.address}", reached="no"))
            return
        # A new stream still gets through a connection that was made before only the way back was cut.
        cut_back = self._fabric.is_cut(found.host, self.client, for_s=KEEPALIVE_S)
        if cut_back or self._fabric.is_cut(self.client, found.host):
            if asyncio.get_running_loop().time() >= end_s:
                self.broken()
            else:
                after(REPEAT_S, self._connect, method, call, end_s)
            return
        self.server = found.host
        route = found.routes.get(method)
        if route is None:
            self._back.put(Unsupported(f"{self.address} does not know {method}"))
            return
        self.work = self.server.run(self._serve(route, call), name=f"serve {method}")

    # --- the server's side

    async def _serve(self, route: Route, call: SimCall) -> None:
        try:
            if route.unary is not None:
                request = await self._there.take()
                if request is not None:
                    await self._answer(await route.unary(request, call))
            else:
                assert route.streaming is not None
                answers: AsyncIterator[bytes] = route.streaming(_Requests(self._there), call)
                try:
                    async for message in answers:
                        await self._answer(message)
                except GeneratorExit:
                    raise  # its world is gone, and there is no loop to close anything in
                except BaseException:
                    await answers.aclose()  # type: ignore[attr-defined]
                    raise
        except RiverrunError as error:
            # As bytes and back: what does not travel is not seen here either.
            self._back.put(error_of(status_of(error).SerializeToString()) or error)
        except Exception as error:  # noqa: BLE001  a bug in the handler: its caller must hear of an end all the same
            self._fabric.failed.append(error)
            self._back.put(OutcomeUnknown(f"the handler failed: {error!r}"))
        else:
            self._back.put(None)

    async def _answer(self, message: bytes) -> None:
        refuse_oversized(message)
        await self._back.wait_room()  # once the client is gone: until this work is cancelled
        self._back.put(message)
