"""A client of the HTTP application without a network, and the nodes to put it on: one or three, in virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cluster.broker.web.app import make_app
from cluster.config import HttpOptions
from cluster.node import Node
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster

HOST = "127.0.0.1:7371"
JSON = "application/json"
NAME = "node.example"
"""What the listener in these tests may be called, besides addresses."""


STALLED = b"the rest of this body never comes"


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """What the body says."""
        return json.loads(self.body)


class WebClient:
    """Asks one application. It checks what every answer must have."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.closing = asyncio.Event()
        """The listener's."""

    async def ask(
        self, method: str, url: str, body: Any = b"", headers: dict[str, str] | None = None, *, kind: str = JSON
    ) -> Answer:
        """One request; a body that is no bytes is sent as JSON, an iterable of bytes in these pieces."""
        sent = {"content-type": kind} if body != b"" else {}
        async with self.open(method, url, body, sent | (headers or {})) as opened:
            pieces = [piece async for piece in opened]
            return Answer(opened.status, opened.headers, b"".join(pieces))

    async def get(self, url: str, headers: dict[str, str] | None = None) -> Answer:
        """GET."""
        return await self.ask("GET", url, headers=headers)

    async def post(self, url: str, body: Any, headers: dict[str, str] | None = None, *, kind: str = JSON) -> Answer:
        """POST."""
        return await self.ask("POST", url, body, headers, kind=kind)

    async def call(self, method: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        """A method after the Connect protocol."""
        return await self.post(f"/riverrun.v1.{method}", body, headers)

    @asynccontextmanager
    async def open(
        self, method: str, url: str, body: Any = b"", headers: dict[str, str] | None = None
    ) -> AsyncIterator["Opened"]:
        """The answer as it comes; leaving the block is leaving the connection."""
        path, _, query = url.partition("?")
        fields = {"host": HOST} | (headers or {})
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()],
            "client": ("127.0.0.1", 40_000),
            "server": ("127.0.0.1", 7371),
            "state": {"closing": self.closing},
        }
        opened = Opened(_pieces(body))
        task = asyncio.create_task(self._app(scope, opened.receive, opened.send))
        task.add_done_callback(opened.ended)
        try:
            await opened.wait_begun()
            yield opened
        finally:
            opened.leave()
            await asyncio.wait([task])


class Opened:
    """One answer, taken piece by piece: `send` waits until the piece before was taken, as on a full connection."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces_read = 0
        self._pieces = pieces
        self._gone = asyncio.Event()
        self._arrived: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue(maxsize=1)
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def receive(self) -> dict[str, Any]:
        """See ASGI."""
        if self.pieces_read < len(self._pieces) and self._pieces[self.pieces_read] is not STALLED:
            self.pieces_read += 1
            more = self.pieces_read < len(self._pieces)
            return {"type": "http.request", "body": self._pieces[self.pieces_read - 1], "more_body": more}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            assert not self.status, "an answer begins once"
            self.status = message["status"]
            self.headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
            assert "nosniff" == self.headers["x-content-type-options"]
            self._begun.set_result(None)
        elif message.get("body") and not self._gone.is_set():
            await self._arrived.put(message["body"])

    def ended(self, task: "asyncio.Task[None]") -> None:
        """The application has returned."""
        error = task.exception()
        if not self._begun.done():
            self._begun.set_exception(error or AssertionError("there was no answer"))
        elif not self._gone.is_set():
            asyncio.get_running_loop().create_task(self._arrived.put(error))

    async def wait_begun(self) -> None:
        """Return when status and headers are there."""
        await self._begun

    def leave(self) -> None:
        """The client is gone; whatever it would be sent is lost."""
        self._gone.set()
        while not self._arrived.empty():
            self._arrived.get_nowait()

    async def piece(self) -> bytes:
        """The next piece of the body; EOFError at its end."""
        found = await self._arrived.get()
        if found is None:
            raise EOFError
        if isinstance(found, BaseException):
            raise found
        return found

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces to the end."""
        try:
            while True:
                yield await self.piece()
        except EOFError:
            return


def app_of(node: Node, **options: Any) -> Any:
    """A node's application, with other limits."""
    return make_app(
        node._routes,
        options=HttpOptions(**options),
        clock=node.world.clock,
        names={NAME},
        seen=node.seeing,
    )


Body = Callable[[SimCluster], Awaitable[None]]


def on_nodes(nodes: int, seeds: Iterable[int] = (1,)) -> Callable[[Body], Callable[[], None]]:
    """A test on a cluster of so many nodes; no handler may break on the way, no answer may leave work behind."""

    def decorate(body: Body) -> Callable[[], None]:
        async def run() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SimLoop)
            cluster = SimCluster(loop, nodes=nodes)
            await cluster.start_all()
            await asyncio.sleep(3)  # of virtual time: they choose a controller
            await body(cluster)
            await asyncio.sleep(1)
            assert [] == [task for task in asyncio.all_tasks() if _is_of_an_answer(task)]
            assert [] == cluster.fabric.failed

        def test() -> None:
            for seed in seeds:
                simulate(run(), seed)

        test.__doc__ = body.__doc__
        return test

    return decorate


def on_one_node(**options: Any) -> Callable[[Callable[[WebClient], Awaitable[None]]], Callable[[], None]]:
    """A test of a client of one node."""

    def decorate(body: Callable[[WebClient], Awaitable[None]]) -> Callable[[], None]:
        async def on(cluster: SimCluster) -> None:
            await body(WebClient(app_of(cluster.running[1], **options)))

        on.__doc__ = body.__doc__
        return on_nodes(1)(on)

    return decorate


def _is_of_an_answer(task: "asyncio.Task[Any]") -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and any(part in code.co_filename for part in ("cluster/broker/web", "broker/read_service"))


def _pieces(body: Any) -> list[bytes]:
    if body is STALLED:
        return [b"[", STALLED]
    if isinstance(body, bytes):
        return [body]
    if isinstance(body, list) and body and all(isinstance(piece, bytes) for piece in body):
        return body
    return [json.dumps(body).encode()]
