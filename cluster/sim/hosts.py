"""User code in the simulator: in its own process, in virtual time, with processes that end and hang as told.

`CodeFile.content` is the name of a module that can be imported, and `app` what the app is called in it. The tasks of a
code file share a simulated process: one work at a time, in the order asked, and its end is the end of all.

A runner wants state at once, and here it is read by waiting. So a work is run until it wants what is not there, and
given up; when that has been read, it is run again. User code that does more than compute sees that.
"""

import asyncio
import random
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from cluster.config import ProcessingOptions
from cluster.errors import HostFailed, InvalidApp, ProcessorFailed, StateUnreadable, Unavailable
from cluster.processing.app import App
from cluster.processing.hosting.loading import load_module
from cluster.processing.hosting.restarts import Restarts
from cluster.processing.hosting.workers import Workers
from cluster.processing.hosts import CodeFile, Host, ReadState, Seat, Word
from cluster.processing.processor import Stage
from cluster.processing.runner import Runner
from cluster.processing.snapshot import Place
from cluster.processing.spec import ProcessorSpec
from cluster.processing.work import Effects, Work

T = TypeVar("T")


class SimHosts:
    """See `Hosts`. Of one node, until it crashes. `work_s_max`: of the virtual time that a work takes, drawn anew."""

    def __init__(
        self,
        options: ProcessingOptions,
        chance: random.Random,
        *,
        work_s_max: float = 0.002,
        workers: Workers | None = None,
    ) -> None:
        self._workers = workers
        self.options = options
        self.chance = chance
        self.work_s_max = work_s_max
        self._programs: dict[tuple[str, str, bytes], SimProgram] = {}
        self._crash_in: int | None = None
        self._hang_s = 0.0
        self.crashes = 0
        """Processes that ended, or hung and were ended, as told."""

    async def describe(self, code: CodeFile) -> list[ProcessorSpec]:
        """See `Hosts`."""
        known = None if self._workers is None else self._workers.described(code)
        return known if known is not None else (await self._program(code).process(wait=False)).app.specs()

    async def open(self, code: CodeFile, seat: Seat, read_state: ReadState, *, external: bool) -> Host:
        """See `Hosts`."""
        if external:
            if self._workers is None:
                raise Unavailable("this node takes no external workers")
            return await self._workers.open(code, seat, read_state)
        return SimHost(await self._program(code).process(wait=True), seat, read_state)

    def trouble(self, code: CodeFile) -> str:
        """See `Hosts`."""
        program = self._programs.get(_key(code))
        trouble = "" if program is None else program.trouble()
        return trouble or ("" if self._workers is None else self._workers.trouble(code))

    async def close(self) -> None:
        """See `Hosts`."""
        if self._workers is not None:
            await self._workers.close()
        for program in self._programs.values():
            program.end("exit", "this node closes")

    # --- faults

    def crash_next_work(self, *, after: int = 0) -> None:
        """A process ends in the middle of the next work of this node, or after some more."""
        self._crash_in = after

    def hang_next_work(self, seconds: float) -> None:
        """The next work of this node takes so long: beyond `ProcessingOptions.work_s_max` its process is ended."""
        self._hang_s = seconds

    def fate(self) -> tuple[bool, float]:
        """Of a work that begins: whether its process ends, and for how long it stands still."""
        crash, hang_s = self._crash_in == 0, self._hang_s
        self._crash_in = None if crash or self._crash_in is None else self._crash_in - 1
        self._hang_s = 0.0
        return crash, hang_s

    def _program(self, code: CodeFile) -> "SimProgram":
        key = _key(code)
        if key not in self._programs:
            self._programs[key] = SimProgram(code, self)
        return self._programs[key]


class SimProgram:
    """One code file, and the process that it runs in, if it does."""

    def __init__(self, code: CodeFile, hosts: SimHosts) -> None:
        self.hosts = hosts
        self._code = code
        self._restarts = Restarts(hosts.options.restart_s_min, hosts.options.restart_s_max)
        self._process: SimProcess | None = None

    async def process(self, *, wait: bool) -> "SimProcess":
        """The one that runs; `wait`: until it may be started again."""
        loop = asyncio.get_running_loop()
        while wait and self._process is None and (wait_s := self._restarts.wait_s(loop.time())):  # noqa: ASYNC110
            await asyncio.sleep(wait_s)
        if self._process is None:
            try:
                app = load_module(self._code.content.decode(), self._code.app)
            except InvalidApp as error:
                self._restarts.ended(loop.time(), error.message)
                raise
            self._process = SimProcess(app, self)
            self._restarts.started(loop.time())
        return self._process

    def trouble(self) -> str:
        """See `Hosts`."""
        return self._restarts.trouble(asyncio.get_running_loop().time(), self._code.name)

    def end(self, cause: str, why: str) -> None:
        """Its process ends."""
        if self._process is not None:
            process, self._process = self._process, None
            process.ended = (cause, why)
            for host in list(process.idle):
                host.on_end(HostFailed(why, cause=cause, at_work="no"))
            self._restarts.ended(asyncio.get_running_loop().time(), why)


class SimProcess:
    """One life of a process."""

    def __init__(self, app: App, program: SimProgram) -> None:
        self.app = app
        self.program = program
        self.turn = asyncio.Lock()
        """Held by the work that is in hand."""
        self.ended: tuple[str, str] | None = None
        self.idle: dict[SimHost, None] = {}
        """Those of which no work is in hand, or waits for its turn."""

    def stage(self, seat: Seat) -> Stage:
        """InvalidApp: there is none of that name and version."""
        for processor in self.app.processors.values():
            for stage in processor.stages:
                if (stage.spec.name, stage.spec.version) == (seat.stage, seat.version):
                    return stage
        raise InvalidApp(f"{self.app.name} has no processor {seat.stage} of version {seat.version} in this file")


class SimHost:
    """See `Host`."""

    def __init__(self, process: SimProcess, seat: Seat, read_state: ReadState) -> None:
        self._process = process
        self._hosts = process.program.hosts
        self._read_state = read_state
        self._known: dict[Place, bytes | None] = {}
        stage = process.stage(seat)
        self._runner = Runner(stage, self._read, task=seat.task, tasks=seat.tasks, partitions=seat.partitions)
        self._threaded = stage.binding is not None and stage.binding.is_async
        self._closed = False
        self.on_end: Callable[[HostFailed], None] = lambda _: None
        self.on_word: Callable[[Word], None] = lambda _: None
        process.idle[self] = None

    async def run(self, work: Work) -> Effects:
        """See `Host`."""
        self._process.idle.pop(self, None)
        try:
            async with self._process.turn:
                effects = await self._run(work)
        except (ProcessorFailed, StateUnreadable):
            self._process.idle[self] = None
            raise
        except BaseException:
            self.close()
            raise
        self._process.idle[self] = None
        return effects

    def committed(self, n: int) -> None:
        """See `Host`."""
        self._runner.committed(n)

    def close(self, *, forget: bool = False) -> None:  # noqa: ARG002  nothing here knows of anything outside
        """See `Host`."""
        self._process.idle.pop(self, None)
        if not self._closed:
            self._closed = True
            self._runner.close()

    async def _run(self, work: Work) -> Effects:
        self._refuse(at_work=False)
        crash, hang_s = self._hosts.fate()
        limit_s = self._hosts.options.work_s_max
        await asyncio.sleep(min(hang_s, limit_s) or self._hosts.chance.random() * self._hosts.work_s_max)
        self._refuse(at_work=True)
        if hang_s >= limit_s:
            self._end("hang", f"a work took longer than {limit_s:g} s")
        if crash and self._hosts.chance.random() < 0.5:
            self._end("exit", "its process ended before it had done anything, as told")
        effects = await self._with_state(work)
        self._refuse(at_work=True)
        if crash:
            self._end("exit", "its process ended before it had said what came of it, as told")
        return effects

    def _end(self, cause: str, why: str) -> None:
        self._hosts.crashes += 1
        self._process.program.end(cause, why)
        self._refuse(at_work=True)

    def _refuse(self, *, at_work: bool) -> None:
        """HostFailed if the process is gone."""
        if self._closed:
            raise HostFailed("the runner was closed", cause="exit", at_work="no")
        if self._process.ended is not None:
            cause, why = self._process.ended
            raise HostFailed(why, cause=cause, at_work="yes" if at_work else "no")

    async def _with_state(self, work: Work) -> Effects:
        self._known.clear()
        while True:
            try:
                return self._call(lambda: self._runner.run(work))
            except Missing as missing:
                places = sorted(missing.places)
            values = await self._read_state(places)
            self._known.update(zip(places, values, strict=True))

    def _call(self, call: Callable[[], T]) -> T:
        return in_thread(call) if self._threaded else call()

    def _read(self, places: Sequence[Place]) -> list[bytes | None]:
        missing = {place for place in places if place not in self._known}
        if missing:
            raise Missing(missing)
        return [self._known[place] for place in places]


class Missing(BaseException):
    """State that has to be read first. Not an Exception, so that user code does not take it for its own."""

    def __init__(self, places: set[Place]) -> None:
        super().__init__()
        self.places = places


def in_thread(call: Callable[[], T]) -> T:
    """Call it in a thread, and stand still meanwhile: an event loop of its own can run there, and nothing beside it."""
    result: list[T] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            result.append(call())
        except BaseException as error:  # noqa: BLE001  whoever called gets it
            raised.append(error)

    thread = threading.Thread(target=work, name="user code")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return result[0]


def _key(code: CodeFile) -> tuple[str, str, bytes]:
    return code.name, code.app, code.sha256
