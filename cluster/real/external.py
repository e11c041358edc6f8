"""An external worker: an app's code in processes here, one for each node of the cluster, whose tasks it serves.

It finds the nodes by asking any of them, again and again, and connects to each. What a node and a process say to each
other it passes on as it is. Whichever ends takes the other with it, and both are started again after a while.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from cluster.client.client import Client
from cluster.config import WorkerOptions
from cluster.errors import HostFailed, InvalidApp, RefusedToStart, RiverrunError
from cluster.processing.hosting.child import Settings
from cluster.processing.hosting.conversation import End
from cluster.processing.hosting.frames import PROTOCOL, Described, Ended, Failed, decode_host_frame, encode, error_in
from cluster.processing.hosting.restarts import Restarts
from cluster.real.clock import RealClock, real_random
from cluster.real.host_process import HostProcess, end_of
from cluster.real.network import RealNetwork
from cluster.real.tls import ClientTls
from cluster.wire.work import WORK, Pieces, hello, pieces_of, request
from cluster.world import Stream

END_S_MAX = 1.0


class Served(NamedTuple):
    """What a worker serves: a file or a module, and what the app is called in it ("": the only one)."""

    path: Path | None
    module: str
    app: str

    @property
    def sha256(self) -> bytes:
        """Of the file; empty: whatever was deployed."""
        return b"" if self.path is None else hashlib.sha256(self.path.read_bytes()).digest()

    def __str__(self) -> str:
        return self.module if self.path is None else self.path.name


def served(text: str) -> Served:
    """From `retail.py`, `retail.py:app`, `shop.whl:module:app`, `package.module:app`. InvalidApp: no such file."""
    for ending in (".py", ".whl"):
        name, found, app = text.partition(ending)
        if found and (not app or app.startswith(":")):
            path = Path(name + ending).absolute()
            if not path.is_file():
                raise InvalidApp(f"there is no file {name + ending}")
            return Served(path, "", app[1:])
    module, _, app = text.partition(":")
    return Served(None, module, app)


class ExternalWorker:
    """Serves until it is cancelled. `say`: takes what people are to know; `log`: a stream's name and a line of it."""

    def __init__(
        self,
        code: Served,
        servers: Sequence[str] | str,
        options: WorkerOptions,
        *,
        name: str,
        version: str,
        any_code: bool,
        tls: ClientTls | None = None,
        say: Callable[[str], None],
        log: Callable[[str, str], None],
    ) -> None:
        self._code = code
        self._servers = servers
        self._options = options
        self._name = name
        self._version = version
        self._any_code = any_code
        self._say = say
        self._log = log
        self._network = RealNetwork(tls)
        self._nodes: dict[str, asyncio.Task[None]] = {}
        self._app = ""

    async def run(self) -> None:
        """InvalidApp, HostFailed: the code does not load."""
        process = await self._start()
        try:
            self._app = self._app_in(await self._first(process))
        finally:
            process.kill()
            await process.ended(END_S_MAX)
        client = Client(self._servers, network=self._network, clock=RealClock(), random=real_random())
        try:
            async with asyncio.TaskGroup() as group:
                await self._follow(client, group)
        finally:
            await client.close()

    # --- the cluster

    async def _follow(self, client: Client, group: asyncio.TaskGroup) -> None:
        """Serve whatever nodes there are."""
        told = ""
        while True:
            try:
                view = await client.cluster_status(timeout_s=self._options.request_timeout_s)
            except RiverrunError as error:
                if told != error.message:
                    told = error.message
                    self._say(f"no node says which others there are: {told}; asking again")
                await asyncio.sleep(min(1.0, self._options.nodes_interval_s))
                continue
            addresses = {node.client_address for node in view.nodes if node.client_address}
            for address in sorted(addresses - self._nodes.keys()):
                self._nodes[address] = group.create_task(self._serve(address))
            for address in sorted(self._nodes.keys() - addresses):
                self._nodes.pop(address).cancel()
            await asyncio.sleep(self._options.nodes_interval_s)

    async def _serve(self, address: str) -> None:
        """One node, again and again."""
        loop = asyncio.get_running_loop()
        restarts = Restarts(self._options.retry_s_min, self._options.retry_s_max)
        told = ""
        while True:
            restarts.started(loop.time())
            try:
                why = await self._serve_once(address)
            except (RiverrunError, OSError) as error:
                why = str(error)
            restarts.ended(loop.time(), why)
            if why != told:
                told = why
                self._say(f"not serving {address}: {why}; trying again")
            await asyncio.sleep(restarts.wait_s(loop.time()))

    async def _serve_once(self, address: str) -> str:
        """Until the node, or the process, has ended; why."""
        channel = self._network.channel(address)
        process: HostProcess | None = None
        try:
            stream = channel.stream(WORK)
            sha256 = b"" if self._any_code else self._code.sha256
            said = hello(app=self._app, code_sha256=sha256, worker=self._name, version=self._version, protocol=PROTOCOL)
            await stream.send(said)
            if await stream.receive() is None:
                return "it takes no workers"
            process = await self._start()
            self._say(f"serving {self._app} at {address}")
            return await self._relay(process, stream)
        finally:
            if process is not None:
                process.kill()
                await process.ended(END_S_MAX)
            await channel.close()

    # --- between a node and a process

    async def _relay(self, process: HostProcess, stream: Stream) -> str:
        up = asyncio.ensure_future(self._up(process, stream))
        down = asyncio.ensure_future(self._down(stream, process))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if up.done() and up.exception() is None:  # the process has ended: the node is told why
                end = await end_of(process, END_S_MAX, 0)
                for piece in pieces_of(encode(Ended(cause=end.cause, why=f"worker {self._name}: {end.why}"))):
                    await stream.send(request(piece))
                await stream.finish()
                await asyncio.wait({down}, timeout=END_S_MAX)
                return end.why
            for ended in (down, up):
                if ended.done():
                    ended.result()
            return "it has ended the conversation"
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            stream.cancel()

    @staticmethod
    async def _up(process: HostProcess, stream: Stream) -> None:
        while (frame := await process.receive()) is not None:
            for piece in pieces_of(frame):
                await stream.send(request(piece))

    async def _down(self, stream: Stream, process: HostProcess) -> None:
        pieces = Pieces(2**32)  # a node is trusted
        while (data := await stream.receive()) is not None:
            frame = pieces.take_response(data)
            if frame is not None:
                await process.send(frame)

    # --- processes

    async def _start(self) -> HostProcess:
        options = self._options
        process = HostProcess(
            log=self._log,
            lines_per_s_max=options.output_lines_per_s_max,
            bytes_per_s_max=options.output_bytes_per_s_max,
            frame_bytes_max=options.frame_bytes_max,
        )
        code = self._code
        settings = Settings(
            path="" if code.path is None else str(code.path),
            module=code.module,
            app=code.app,
            parent=os.getpid(),
            memory_bytes_max=0,
            frame_bytes_max=options.frame_bytes_max,
        )
        beside = Path.cwd() if code.path is None else code.path.parent
        inherited = os.environ.get("PYTHONPATH", "")
        paths = os.pathsep.join([str(beside), *([inherited] if inherited else [])])
        await process.start(settings, {**os.environ, "PYTHONPATH": paths}, Path.cwd(), lambda: None)
        return process

    async def _first(self, process: HostProcess) -> bytes:
        """The first frame of a process. HostFailed: there is none."""
        limit_s = self._options.start_s_max
        try:
            async with asyncio.timeout(limit_s):
                frame = await process.receive()
        except TimeoutError:
            raise HostFailed(f"{self._code} takes longer than {limit_s:g} s to import", cause="hang") from None
        except (OSError, RefusedToStart) as error:
            raise HostFailed(f"{self._code}: {error}", cause="exit") from error
        if frame is None:
            end = await end_of(process, END_S_MAX, 0)
            raise HostFailed(f"{self._code}: {end.why}", cause=end.cause)
        return frame

    def _app_in(self, data: bytes) -> str:
        frame = decode_host_frame(data)
        if isinstance(frame, Failed):
            raise error_in(frame)
        if isinstance(frame, Ended):
            raise HostFailed(f"{self._code}: {End(frame.cause, frame.why).why}", cause=frame.cause)
        names = {spec.app for spec in frame.specs} if isinstance(frame, Described) else set[str]()
        if len(names) != 1:
            raise InvalidApp(f"{self._code}: its app has no processors")
        return names.pop()
