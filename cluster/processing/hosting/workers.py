"""External workers: hosts that connect to a node from elsewhere, and wait for its tasks.

A worker serves an app by its name, as long as the code that it runs is what was deployed, or whatever was deployed if
it says so. A task gets the one that has the fewest; whoever has waited longest, if they are alike. A worker that is
lost takes its tasks with it, as a process here does, only that no work is to blame for that.
"""

import asyncio
from collections.abc import AsyncIterator

import structlog

from cluster.config import ProcessingOptions
from cluster.errors import HostFailed, InvalidRequest, LimitReached, RiverrunError
from cluster.processing.hosting.conversation import Conversation, End
from cluster.processing.hosting.frames import PROTOCOL
from cluster.processing.hosts import CodeFile, Host, ReadState, Seat
from cluster.processing.spec import ProcessorSpec
from cluster.wire.work import WORK, Pieces, hello_in, pieces_of, response, welcome, worker_pb2
from cluster.world import Call, Route

log_event = structlog.get_logger()

PIECES_WAITING_MAX = 4
LOST = "lost"
CLOSED = End("closed", "this node closes")


class Workers:
    """Those of one node. Its route is public."""

    def __init__(self, options: ProcessingOptions, *, version: str) -> None:
        self._options = options
        self._version = version
        self._workers: list[Worker] = []
        """Whoever got a task last is at the end."""
        self._connected = 0
        self._waiting: dict[tuple[bytes, str, int], int] = {}
        """How many tasks of a stage wait for a worker."""
        self._changed = asyncio.Event()
        self._closed = False

    def routes(self) -> dict[str, Route]:
        """What the client listener serves."""
        return {WORK: Route(streaming=self.work)}

    async def open(self, code: CodeFile, seat: Seat, read_state: ReadState) -> Host:
        """A runner in one of the workers, as soon as there is one that fits. HostFailed: it went away just now."""
        while not self._closed:
            fitting = [worker for worker in self._workers if worker.fits(code, seat)]
            if fitting:
                chosen = min(fitting, key=lambda worker: len(worker.conversation.seats))
                self._workers.remove(chosen)
                self._workers.append(chosen)
                return await chosen.conversation.open(seat, read_state)
            await self._wait((code.sha256, seat.stage, seat.version))
        raise HostFailed(CLOSED.why, cause="exit", at_work="no")

    def described(self, code: CodeFile) -> list[ProcessorSpec] | None:
        """What is in that code, if a worker that runs it has said so: it need not import here then."""
        for worker in self._workers:
            if worker.sha256 == code.sha256 and code.app in {"", worker.app}:
                return worker.specs
        return None

    def trouble(self, code: CodeFile) -> str:
        """Why tasks of that code wait, in a sentence; empty: none does."""
        stages = [f"{stage}@{version}" for sha256, stage, version in self._waiting if sha256 == code.sha256]
        if not stages:
            return ""
        what = f"no worker for {', '.join(sorted(stages))} of {code.name} is connected"
        if not self._workers:
            return f"{what}: start one with `riverrun worker {code.name} --connect HOST:PORT`"
        there = sorted(f"{worker.name} ({worker.app}, {worker.told})" for worker in self._workers)
        return f"{what}; there are {', '.join(there)}"

    async def close(self) -> None:
        """End the conversations."""
        self._closed = True
        self._tell()
        for worker in list(self._workers):
            worker.conversation.stop(CLOSED)

    async def work(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        """See WorkerService.Work. InvalidRequest, LimitReached; HostFailed: the node ends it, and says why."""
        said = hello_in(await anext(requests, b""))
        self._check(said)
        pipe = StreamPipe(requests, self._options.host_frame_bytes_max)
        name = said.worker or call.peer()
        conversation = Conversation(
            pipe,
            work_s_max=self._options.work_s_max,
            works_max=self._options.host_works_max,
            why=lambda: _lost(name),
            on_idle=lambda: None,
            on_end=lambda end: self._on_end(worker, end),
        )
        worker = Worker(name, said, conversation)
        self._connected += 1
        talking = asyncio.create_task(conversation.run(), name=f"worker {name}")
        listing = asyncio.create_task(self._list(worker))
        talking.add_done_callback(lambda _: pipe.close())
        try:
            yield welcome(self._version)
            while (piece := await pipe.next_piece()) is not None:
                yield response(piece)
            end = await talking
            if end.cause != LOST:
                raise HostFailed(end.why, cause=end.cause)
        finally:
            self._connected -= 1
            listing.cancel()
            conversation.stop(End(LOST, f"worker {name} was lost"))
            talking.cancel()

    def _check(self, said: worker_pb2.WorkerHello) -> None:
        if said.protocol != PROTOCOL:
            raise InvalidRequest(
                f"the worker is of another version of riverrun ({said.version}; this node: {self._version})"
            )
        if self._connected >= self._options.workers_max:
            raise LimitReached(f"{self._options.workers_max} workers are connected to this node, and no more may be")
        if self._closed:
            raise HostFailed(CLOSED.why, cause="exit", at_work="no")

    async def _list(self, worker: "Worker") -> None:
        """It may be chosen as soon as it has said what it has."""
        try:
            async with asyncio.timeout(self._options.host_start_s_max):
                specs = await asyncio.shield(worker.conversation.described)
        except TimeoutError:
            worker.conversation.stop(End(LOST, f"worker {worker.name} does not say what it has"))
            return
        except RiverrunError as error:
            log_event.warning("worker_refused", worker=worker.name, app=worker.app, why=error.message)
            worker.conversation.stop(End("exit", error.message))
            return
        worker.specs = specs
        self._workers.insert(0, worker)
        self._tell()
        log_event.info("worker_connected", worker=worker.name, app=worker.app)

    def _on_end(self, worker: "Worker", end: End) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
            log_event.warning("worker_ended", worker=worker.name, app=worker.app, cause=end.cause, why=end.why)

    async def _wait(self, wanted: tuple[bytes, str, int]) -> None:
        """Until there may be another worker."""
        self._waiting[wanted] = self._waiting.get(wanted, 0) + 1
        changed = self._changed
        try:
            await changed.wait()
        finally:
            self._waiting[wanted] -= 1
            if not self._waiting[wanted]:
                del self._waiting[wanted]

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Worker:
    """One that is connected."""

    def __init__(self, name: str, said: worker_pb2.WorkerHello, conversation: Conversation) -> None:
        self.name = name
        self.app = said.app
        self.conversation = conversation
        self.specs: list[ProcessorSpec] = []
        self.sha256 = said.code_sha256

    @property
    def told(self) -> str:
        """Which code it runs, for people."""
        return f"code {self.sha256.hex()[:12]}" if self.sha256 else "any code"

    def fits(self, code: CodeFile, seat: Seat) -> bool:
        """Whether it may run the task."""
        if self.app != seat.app or self.sha256 not in {b"", code.sha256}:
            return False
        return any((spec.app, spec.name, spec.version) == (seat.app, seat.stage, seat.version) for spec in self.specs)


class StreamPipe:
    """A Pipe over a stream that a worker has opened."""

    def __init__(self, requests: AsyncIterator[bytes], frame_bytes_max: int) -> None:
        self._requests = requests
        self._pieces = Pieces(frame_bytes_max)
        self._outgoing: asyncio.Queue[worker_pb2.FramePiece | None] = asyncio.Queue(PIECES_WAITING_MAX)
        self._closed = asyncio.Event()

    async def send(self, frame: bytes) -> None:
        """See Pipe."""
        for piece in pieces_of(frame):
            await self._outgoing.put(piece)

    async def receive(self) -> bytes | None:
        """See Pipe."""
        async for data in self._requests:
            frame = self._pieces.take_request(data)
            if frame is not None:
                return frame
        return None

    async def next_piece(self) -> worker_pb2.FramePiece | None:
        """What is to be sent; None: nothing more is."""
        if self._outgoing.empty():
            getting = asyncio.ensure_future(self._outgoing.get())
            closing = asyncio.ensure_future(self._closed.wait())
            try:
                await asyncio.wait({getting, closing}, return_when=asyncio.FIRST_COMPLETED)
                return getting.result() if getting.done() else None
            finally:
                getting.cancel()
                closing.cancel()
        return self._outgoing.get_nowait()

    def close(self) -> None:
        """Nothing more is said."""
        self._closed.set()


async def _lost(name: str) -> End:
    return End(LOST, f"worker {name} was lost")
