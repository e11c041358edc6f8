"""A network in memory: streams that are ordered and at most once, calls with deadlines, and cuts in either direction.

It carries the same encoded messages as gRPC does. A cut is a black hole: what was sent into it is lost, and the stream
breaks when a keepalive would have noticed. A crashed host's connections break a moment later. Handlers run on the host
that listens, callers on theirs.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from cluster.errors import (
    DeadlineExceeded,
    OutcomeUnknown,
    RefusedToStart,
    RiverrunError,
    Unavailable,
    Unsupported,
)
from cluster.sim.clock import Host
from cluster.wire.status import error_of, status_of
from cluster.world import Route

KEEPALIVE_S = 2.0
WINDOW_MESSAGES = 16


@dataclass
class Fabric:
    """What lies between the hosts. Addresses are `host:port` names; nothing real listens."""

    random: random.Random
    delay_s_min: float = 0.0002
    delay_s_max: float = 0.002
    cuts: set[tuple[str, str]] = field(default_factory=set)
    listeners: dict[str, tuple[Host, Mapping[str, Route]]] = field(default_factory=dict)
    streams: "list[SimStream]" = field(default_factory=list)
    sent: int = 0
    lost: int = 0

    def delay_s(self) -> float:
        """For one message."""
        return self.random.uniform(self.delay_s_min, self.delay_s_max)

    def is_cut(self, source: Host, target: Host) -> bool:
        """Whether nothing gets from one to the other."""
        return (source.name, target.name) in self.cuts

    def cut(self, source: str, target: str) -> None:
        """From now on nothing gets from one to the other."""
        self.cuts.add((source, target))

    def heal(self) -> None:
        """Everything gets everywhere."""
        self.cuts.clear()

    def crash(self, host: Host) -> None:
        """The host is gone: nobody listens there, and its streams break."""
        for address in [address for address, (listening, _) in self.listeners.items() if listening is host]:
            del self.listeners[address]
        for stream in list(self.streams):
            if host in {stream.client, stream.server}:
                asyncio.get_running_loop().call_later(self.delay_s(), stream.broken)


class SimNetwork:
    """See World; one for each host."""

    def __init__(self, fabric: Fabric, host: Host) -> None:
        self._fabric = fabric
        self._host = host

    async def listen(self, address: str, routes: Mapping[str, Route], *, public: bool) -> "SimListener":
        """See World."""
        del public
        if address in self._fabric.listeners:
            raise RefusedToStart(f"cannot listen on {address}: is another process using the port?")
        self._fabric.listeners[address] = (self._host, routes)
        return SimListener(address, self._fabric)

    def channel(self, address: str) -> "SimChannel":
        """See World."""
        return SimChannel(self._fabric, self._host, address)


class SimListener:
    """See World."""

    def __init__(self, address: str, fabric: Fabric) -> None:
        self.address = address
        self._fabric = fabric

    async def close(self, grace_s: float) -> None:
        """See World."""
        del grace_s
        self._fabric.listeners.pop(self.address, None)
        for stream in [stream for stream in self._fabric.streams if stream.address == self.address]:
            stream.broken()


@dataclass(frozen=True, slots=True)
class _Call:
    caller: str
    sent: Mapping[str, str]
    end_s: float | None

    def peer(self) -> str:
        return self.caller

    def time_left_s(self) -> float | None:
        return None if self.end_s is None else self.end_s - asyncio.get_running_loop().time()

    def metadata(self) -> Mapping[str, str]:
        return self.sent


class SimChannel:
    """See World."""

    def __init__(self, fabric: Fabric, host: Host, address: str) -> None:
        self._fabric = fabric
        self._host = host
        self._address = address

    async def call(
        self, method: str, request: bytes, *, timeout_s: float, metadata: Mapping[str, str] | None = None
    ) -> bytes:
        """See World."""
        stream = self._open(method, metadata, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                await stream.send(request)
                await stream.finish()
                answer = await stream.receive()
        except TimeoutError:
            raise DeadlineExceeded(f"{self._address} did not answer in time") from None
        finally:
            stream.cancel()
        if answer is None:
            raise OutcomeUnknown(f"{self._address} ended without an answer")
        return answer

    def stream(self, method: str, *, metadata: Mapping[str, str] | None = None) -> "SimStream":
        """See World."""
        return self._open(method, metadata, None)

    async def close(self) -> None:
        """See World."""
        for stream in list(self._fabric.streams):
            if stream.client is self._host and stream.address == self._address:
                stream.cancel()

    def _open(self, method: str, metadata: Mapping[str, str] | None, timeout_s: float | None) -> "SimStream":
        loop = asyncio.get_running_loop()
        call = _Call(self._host.name, dict(metadata or {}), None if timeout_s is None else loop.time() + timeout_s)
        return SimStream(self._fabric, self._host, self._address, method, call)


class _Pipe:
    """One direction of a stream: in order, at most once, a bounded number of messages not yet taken."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes | RiverrunError | None] = asyncio.Queue()
        self.room = asyncio.Semaphore(WINDOW_MESSAGES)
        self.under_way: deque[bytes | RiverrunError | None] = deque()
        """In order: two that arrive at the same moment must not overtake each other."""
        self.last_s = 0.0
        self.ended = False

    def give_up(self) -> None:
        """Whoever waits for room waits no more: what is sent now is lost."""
        for _ in range(WINDOW_MESSAGES):
            self.room.release()

    def arrive_next(self) -> None:
        """The oldest one under way comes out."""
        self.arrive(self.under_way.popleft())

    def arrive(self, item: bytes | RiverrunError | None) -> None:
        """Something comes out."""
        if not self.ended:
            self.ended = not isinstance(item, bytes)
            self.arrived.put_nowait(item)

    async def take(self) -> bytes | None:
        """The next message; None at the end; the error it broke with."""
        item = await self.arrived.get()
        if isinstance(item, bytes):
            self.room.release()
            return item
        self.arrived.put_nowait(item)  # whoever asks again gets the same end
        if isinstance(item, RiverrunError):
            raise item
        return None


class SimStream:
    """See World; the client's side, and the work of the server's."""

    def __init__(self, fabric: Fabric, client: Host, address: str, method: str, call: _Call) -> None:
        self.client = client
        self.address = address
        self.server: Host | None = None
        self._fabric = fabric
        self._there, self._back = _Pipe(), _Pipe()
        self._sent = False
        self._work: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        fabric.streams.append(self)
        self._loop.call_later(fabric.delay_s(), self._connect, method, call)

    async def send(self, message: bytes) -> None:
        """See World."""
        if self._back.ended:
            raise Unavailable(f"the stream to {self.address} has ended")
        await self._there.room.acquire()
        if self._back.ended:
            raise Unavailable(f"the stream to {self.address} has ended")
        self._sent = True
        self._carry(self._there, message, forth=True)

    async def receive(self) -> bytes | None:
        """See World."""
        return await self._back.take()

    async def finish(self) -> None:
        """See World."""
        self._carry(self._there, None, forth=True)

    def cancel(self) -> None:
        """See World."""
        self._back.arrive(Unavailable(f"the stream to {self.address} was dropped"))
        self._there.give_up()
        if self in self._fabric.streams:
            self._fabric.streams.remove(self)
            self._loop.call_later(self._fabric.delay_s(), self._end_server)

    def broken(self) -> None:
        """The connection is gone, for both sides."""
        if self in self._fabric.streams:
            self._fabric.streams.remove(self)
        message = f"the connection to {self.address} broke"
        self._back.arrive(OutcomeUnknown(message) if self._sent else Unavailable(message))
        self._there.give_up()
        self._end_server()

    def _end_server(self) -> None:
        self._back.give_up()
        self._there.arrive(Unavailable("the caller is gone"))
        if self._work is not None:
            self._work.cancel()

    def _connect(self, method: str, call: _Call) -> None:
        found = self._fabric.listeners.get(self.address)
        if found is None or not found[0].alive:
            self._back.arrive(Unavailable(f"no node answers at {self.address}"))
            self.cancel()
            return
        self.server, routes = found
        route = routes.get(method)
        if route is None:
            self._back.arrive(Unsupported(f"{self.address} does not know {method}"))
            return
        self._work = self.server.run(self._serve(route, call), name=f"serve {method}")

    async def _serve(self, route: Route, call: _Call) -> None:
        try:
            if route.unary is not None:
                request = await self._there.take()
                if request is not None:
                    await self._answer(await route.unary(request, call))
            else:
                assert route.streaming is not None
                async for message in route.streaming(self._requests(), call):
                    await self._answer(message)
            self._carry(self._back, None, forth=False)
        except RiverrunError as error:
            # As bytes and back: what does not travel is not seen here either.
            self._carry(self._back, error_of(status_of(error).SerializeToString()) or error, forth=False)

    async def _requests(self) -> AsyncIterator[bytes]:
        while (message := await self._there.take()) is not None:
            yield message

    async def _answer(self, message: bytes) -> None:
        await self._back.room.acquire()
        self._carry(self._back, message, forth=False)

    def _carry(self, pipe: _Pipe, item: bytes | RiverrunError | None, *, forth: bool) -> None:
        fabric, loop = self._fabric, self._loop
        fabric.sent += 1
        if self.server is not None:
            source, target = (self.client, self.server) if forth else (self.server, self.client)
            if fabric.is_cut(source, target):
                fabric.lost += 1
                loop.call_later(KEEPALIVE_S, self.broken)
                return
        elif (
            forth and (found := fabric.listeners.get(self.address)) is not None and fabric.is_cut(self.client, found[0])
        ):
            fabric.lost += 1
            loop.call_later(KEEPALIVE_S, self.broken)
            return
        pipe.under_way.append(item)
        pipe.last_s = max(pipe.last_s, loop.time() + fabric.delay_s())
        loop.call_at(pipe.last_s, pipe.arrive_next)
