"""A network in memory: streams that are ordered and at most once, calls with deadlines.

It carries the same encoded messages as gRPC does, and fails as it does; what lies between the hosts, and its faults,
is the `Fabric`'s. Handlers run on the host that listens, callers on theirs.
"""

import asyncio
from collections.abc import Mapping

from cluster.errors import Closed, DeadlineExceeded, OutcomeUnknown, RefusedToStart
from cluster.sim.clock import Host
from cluster.sim.fabric import Fabric, Listening
from cluster.sim.stream import SimCall, SimStream
from cluster.wire.status import refuse_oversized
from cluster.world import Route

__all__ = ["Fabric", "SimChannel", "SimListener", "SimNetwork", "SimStream"]


class SimNetwork:
    """See World; one for each host."""

    def __init__(self, fabric: Fabric, host: Host) -> None:
        self._fabric = fabric
        self._host = host

    async def listen(self, address: str, routes: Mapping[str, Route], *, public: bool) -> "SimListener":
        """See World."""
        del public
        name, port = address.rsplit(":", 1)
        bound = f"{name}:{self._fabric.free_port()}" if port == "0" else address
        if bound in self._fabric.listeners:
            raise RefusedToStart(f"cannot listen on {address}: is another process using the port?")
        return SimListener(bound, self._fabric, Listening(self._host, routes))

    def channel(self, address: str) -> "SimChannel":
        """See World."""
        return SimChannel(self._fabric, self._host, address)


class SimListener:
    """See World."""

    def __init__(self, address: str, fabric: Fabric, listening: Listening) -> None:
        self.address = address
        self._fabric = fabric
        self._listening = listening
        fabric.listeners[address] = listening

    async def close(self, grace_s: float) -> None:
        """See World."""
        if self._fabric.listeners.get(self.address) is not self._listening:
            return
        del self._fabric.listeners[self.address]
        served = [
            (stream, stream.work)
            for stream in self._fabric.streams
            if (stream.address, stream.server) == (self.address, self._listening.host) and stream.work is not None
        ]
        if served:
            await asyncio.wait([work for _, work in served], timeout=grace_s)
        left = [(stream, work) for stream, work in served if not work.done()]
        for stream, _ in left:
            stream.broken()
        if left:
            await asyncio.wait([work for _, work in left])


class SimChannel:
    """See World."""

    def __init__(self, fabric: Fabric, host: Host, address: str) -> None:
        self._fabric = fabric
        self._host = host
        self._address = address
        self._closed = False
        self._streams: dict[SimStream, None] = {}

    async def call(
        self, method: str, request: bytes, *, timeout_s: float, metadata: Mapping[str, str] | None = None
    ) -> bytes:
        """See World."""
        refuse_oversized(request)
        if timeout_s <= 0:
            raise DeadlineExceeded(f"no time was left to ask {self._address}")
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

    def stream(self, method: str, *, metadata: Mapping[str, str] | None = None) -> SimStream:
        """See World."""
        return self._open(method, metadata, None)

    async def close(self) -> None:
        """See World."""
        self._closed = True
        for stream in self._streams:
            stream.drop(stream.unanswered(f"the channel to {self._address} was closed"))
        self._streams.clear()

    def _open(self, method: str, metadata: Mapping[str, str] | None, timeout_s: float | None) -> SimStream:
        if self._closed:
            raise Closed(f"the channel to {self._address} was closed")
        loop = asyncio.get_running_loop()
        call = SimCall(self._host.name, dict(metadata or {}), None if timeout_s is None else loop.time() + timeout_s)
        stream = SimStream(self._fabric, self._host, self._address, method, call)
        self._streams = {other: None for other in self._streams if other in self._fabric.streams}
        self._streams[stream] = None
        return stream
