"""`cluster.world.Network` inside one process: calls and streams with delay, loss, silence and breaks."""

# ruff: noqa: D101  the methods are those of the Protocol or of the API that is played here

import asyncio
import random
from collections.abc import Mapping

from cluster.errors import DeadlineExceeded, OutcomeUnknown, Unavailable
from cluster.world import Route


class MemoryCall:
    """The server's side of one request."""

    def __init__(self, timeout_s=None):
        self._timeout_s = timeout_s

    def peer(self):
        return "memory"

    def time_left_s(self):
        return self._timeout_s

    def metadata(self):
        return {}

    def certified(self):
        return None


class MemoryNetwork:
    """Addresses with routes. `down` refuses, `frozen` swallows; answers of calls are lost by chance `loss`."""

    def __init__(self, seed=0, *, delay_s=0.001, window=8):
        self.random = random.Random(seed)
        self.delay_s = delay_s
        self.window = window
        self.loss = 0.0
        self.routes: dict[str, Mapping[str, Route]] = {}
        self.down: set[str] = set()
        self.frozen: set[str] = set()
        self.streams: list[MemoryStream] = []
        self.calls: list[tuple[str, str]] = []

    async def listen(self, address, routes, *, public):
        del public
        self.routes[address] = routes

    def channel(self, address):
        return MemoryChannel(self, address)

    def delay(self):
        return self.delay_s * (0.5 + self.random.random())

    def cut(self, address):
        """Break every stream to a node. What has been sent still arrives there; its answers do not come back."""
        for stream in list(self.streams):
            if stream.address == address:
                stream.break_off(Unavailable(f"{address} was cut off"))

    async def close(self):
        for stream in list(self.streams):
            await stream.end()


class MemoryChannel:
    def __init__(self, network, address):
        self._network = network
        self.address = address
        self._open = []

    async def call(self, method, request, *, timeout_s, metadata=None):
        del metadata
        network = self._network
        network.calls.append((self.address, method.rpartition("/")[2]))
        await asyncio.sleep(network.delay())
        if self.address in network.down:
            raise Unavailable(f"{self.address} refuses connections", reached="no")
        if self.address in network.frozen:
            await asyncio.sleep(timeout_s)
            raise DeadlineExceeded(f"{self.address} did not answer")
        answer = await network.routes[self.address][method].unary(request, MemoryCall(timeout_s))
        await asyncio.sleep(network.delay())
        if network.random.random() < network.loss:
            raise OutcomeUnknown("the answer was lost")
        return answer

    def stream(self, method, *, metadata=None):
        del metadata
        stream = MemoryStream(self._network, self.address, method)
        self._open.append(stream)
        return stream

    async def close(self):
        for stream in self._open:
            stream.cancel()
            await stream.end()


class MemoryStream:
    """Both ways in order. At most `network.window` messages wait each way, then the sender does."""

    def __init__(self, network, address, method):
        self._network = network
        self.address = address
        self.method = method
        self._to_server = asyncio.Queue(network.window)
        self._to_client = asyncio.Queue(network.window)
        self._broken = None
        self._torn = asyncio.Event()
        self._last_due_s = 0.0
        network.streams.append(self)
        self._serving = asyncio.create_task(self._serve())

    def _due_s(self):
        """When a message that is sent now arrives: later than those before it, and many can be on their way."""
        self._last_due_s = max(self._last_due_s, asyncio.get_running_loop().time() + self._network.delay())
        return self._last_due_s

    # --- the client's side

    async def send(self, message):
        await self._or_break(self._to_server.put((self._due_s(), message)))

    async def receive(self):
        item = await self._or_break(_arrival(self._to_client))
        if isinstance(item, Exception):
            raise item
        return item

    async def finish(self):
        await self._or_break(self._to_server.put((self._due_s(), None)))

    def cancel(self):
        self.break_off(Unavailable("the stream was cancelled"))

    # --- the server's side

    async def _serve(self):
        network = self._network
        try:
            await asyncio.sleep(network.delay())
            if self.address in network.down:
                self.break_off(Unavailable(f"{self.address} refuses connections"))
                return
            handler = network.routes[self.address][self.method].streaming
            try:
                async for answer in handler(self._requests(), MemoryCall()):
                    await self._while_frozen()
                    if self._broken is not None:
                        continue  # what had been sent is still worked off
                    await self._put(answer)
                await self._put(None)
            except Exception as error:  # noqa: BLE001  errors travel to the client
                await self._put(error)
        finally:
            if self in network.streams:
                network.streams.remove(self)

    async def _put(self, item):
        putting = asyncio.ensure_future(self._to_client.put((self._due_s(), item)))
        torn = asyncio.ensure_future(self._torn.wait())
        try:
            await asyncio.wait({putting, torn}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            putting.cancel()
            torn.cancel()

    async def _requests(self):
        while True:
            await self._while_frozen()
            if self._broken is not None and self._to_server.empty():
                return
            message = await self._or_end(_arrival(self._to_server))
            if message is None:
                return
            yield message

    async def _while_frozen(self):
        while self.address in self._network.frozen:  # noqa: ASYNC110  virtual time: waiting costs nothing
            await asyncio.sleep(0.05)

    # --- how it breaks

    def break_off(self, error):
        if self._broken is None:
            self._broken = error
            self._torn.set()

    async def end(self):
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)

    async def _or_break(self, work):
        """The client's waiting ends when the stream breaks."""
        doing = asyncio.ensure_future(work)
        torn = asyncio.ensure_future(self._torn.wait())
        try:
            await asyncio.wait({doing, torn}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done() and self._broken is None:
                return doing.result()
            raise self._broken
        finally:
            doing.cancel()
            torn.cancel()

    async def _or_end(self, work):
        """The server's waiting ends when the stream breaks and nothing is left to read."""
        doing = asyncio.ensure_future(work)
        torn = asyncio.ensure_future(self._torn.wait())
        try:
            await asyncio.wait({doing, torn}, return_when=asyncio.FIRST_COMPLETED)
            return doing.result() if doing.done() else None
        finally:
            doing.cancel()
            torn.cancel()


async def _arrival(queue):
    """The next message, when it is due."""
    due_s, message = await queue.get()
    await asyncio.sleep(max(due_s - asyncio.get_running_loop().time(), 0))
    return message
