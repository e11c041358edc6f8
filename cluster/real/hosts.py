"""Processes with user code: one for each code file, started when it is first used, shared by the tasks that use it.

A stage that is connected to the world outside (a source, a sink) has one of its own, for what lies there may be slow.

A file is at `code/<sha256>/<name>` below the data directory while a process runs that may read it: it is looked at
again before each start, and gone when nothing runs that has it. The cluster keeps it elsewhere (`code_store.py`).
"""

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import structlog

from cluster.config import ProcessingOptions
from cluster.errors import HostFailed, InvalidApp, RiverrunError, Unavailable
from cluster.processing.hosting.child import Settings
from cluster.processing.hosting.conversation import Conversation, End
from cluster.processing.hosting.restarts import Restarts
from cluster.processing.hosting.workers import Workers
from cluster.processing.hosts import CodeFile, Host, ReadState, Seat
from cluster.processing.spec import ProcessorSpec
from cluster.real.host_process import HostProcess, end_of

log_event = structlog.get_logger()

CODE = "code"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+!-]{0,199}\.(py|whl|toml)")
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH")
CLOSED = End("closed", "this node closes")


class RealHosts:
    """See `Hosts`. `data_dir`: the node's; `workers`: external ones. It belongs to the running event loop."""

    def __init__(self, data_dir: Path, options: ProcessingOptions, workers: Workers | None = None) -> None:
        self._workers = workers
        self._directory = data_dir.absolute() / CODE
        self._options = options
        self._programs: dict[tuple[str, str, bytes, str], Program] = {}
        self._closed = False
        shutil.rmtree(
            self._directory, ignore_errors=True
        )  # what was left behind by a node that ended in some other way

    async def describe(self, code: CodeFile) -> list[ProcessorSpec]:
        """See `Hosts`. Code that a worker has need not import here."""
        known = None if self._workers is None else self._workers.described(code)
        if known is not None:
            return known
        conversation = await self._program(code).conversation(wait=False)
        return conversation.described.result()

    async def open(self, code: CodeFile, seat: Seat, read_state: ReadState, *, external: bool) -> Host:
        """See `Hosts`."""
        if external:
            if self._workers is None:
                raise Unavailable("this node takes no external workers")
            return await self._workers.open(code, seat, read_state)
        conversation = await self._program(code, seat.stage if seat.alone else "").conversation(wait=True)
        return await conversation.open(seat, read_state)

    def trouble(self, code: CodeFile) -> str:
        """See `Hosts`."""
        programs = [program for key, program in self._programs.items() if key[:3] == _key(code)[:3]]
        trouble = next(filter(None, (program.trouble() for program in programs)), "")
        return trouble or ("" if self._workers is None else self._workers.trouble(code))

    async def close(self) -> None:
        """See `Hosts`."""
        self._closed = True
        if self._workers is not None:
            await self._workers.close()
        await asyncio.gather(*(program.close() for program in self._programs.values()))

    def _program(self, code: CodeFile, stage: str = "") -> "Program":
        """`stage`: one that is alone in its process."""
        if self._closed:
            raise HostFailed(CLOSED.why, cause="exit", at_work="no")
        if not NAME.fullmatch(code.name):
            raise InvalidApp(
                f"{code.name!r}: code is one Python file (.py), wheel (.whl) or route file (.toml), by its name alone"
            )
        key = _key(code, stage)
        if key not in self._programs:
            options = replace(self._options, work_s_max=self._options.connector_work_s_max) if stage else self._options
            directory = self._directory / code.sha256.hex()
            self._programs[key] = Program(
                code,
                directory,
                options,
                forget=lambda: self._programs.pop(key, None),
                clean=lambda: self._clean(code.sha256, directory),
            )
        return self._programs[key]

    def _clean(self, sha256: bytes, directory: Path) -> None:
        """A process has ended: its file goes, unless another one may want it."""
        if not any(program.is_used for key, program in self._programs.items() if key[2] == sha256):
            shutil.rmtree(directory, ignore_errors=True)


class Program:
    """One code file, and the process that it runs in, if it does.

    `forget`: nobody has used it for a while. `clean`: a process of it is no more.
    """

    def __init__(
        self,
        code: CodeFile,
        directory: Path,
        options: ProcessingOptions,
        *,
        forget: Callable[[], object],
        clean: Callable[[], None],
    ) -> None:
        self._code = code
        self._forget = forget
        self._clean = clean
        self._directory = directory
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._restarts = Restarts(options.restart_s_min, options.restart_s_max)
        self._now = asyncio.Event()
        """Somebody does not want to wait until it may be started again."""
        self._conversation: asyncio.Future[Conversation] | None = None
        self._lives: set[asyncio.Task[None]] = set()
        """Of the process that runs, and of those before it that have not quite ended."""

    async def conversation(self, *, wait: bool) -> Conversation:
        """The one with its process, which has described itself; `wait`: until it may be started again.

        InvalidApp: the file does not import. HostFailed: the process ended at its start.
        """
        if self._conversation is None:
            self._now.clear()
            self._conversation = self._loop.create_future()
            self._conversation.add_done_callback(_look)
            life = asyncio.create_task(self._live(self._conversation), name=f"host {self._code.name}")
            self._lives.add(life)
            life.add_done_callback(self._life_ended)
        if not wait:
            self._now.set()
        return await asyncio.shield(self._conversation)

    @property
    def is_used(self) -> bool:
        """Whether a process of it runs, or is about to."""
        return bool(self._lives)

    def trouble(self) -> str:
        """See `Hosts`."""
        return self._restarts.trouble(self._loop.time(), self._code.name)

    async def close(self) -> None:
        """End its process, and wait for that."""
        lives = list(self._lives)
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)

    def _life_ended(self, life: asyncio.Task[None]) -> None:
        self._lives.discard(life)
        self._clean()

    async def _live(self, started: "asyncio.Future[Conversation]") -> None:
        """From the start of a process to its end."""
        options = self._options
        process = HostProcess(
            log=self._log,
            lines_per_s_max=options.host_output_lines_per_s_max,
            bytes_per_s_max=options.host_output_bytes_per_s_max,
            frame_bytes_max=options.host_frame_bytes_max,
        )
        try:
            end = await self._talk(process, started)
        except asyncio.CancelledError:
            end = CLOSED
        except InvalidApp as error:
            end = End("import", error.message)
            _fail(started, error)
        except HostFailed as error:
            end = End(error.metadata.get("cause", "exit"), error.message)
        except (OSError, RuntimeError) as error:  # RuntimeError: there can be no more threads
            end = End("exit", f"its process did not start: {error}")
        self._on_end(started, end)
        if end.cause == "hang":
            process.kill()
        await self._end(process)
        if end.cause == "closed" and self._conversation is None:
            self._forget()

    def _on_end(self, started: "asyncio.Future[Conversation]", end: End) -> None:
        if self._conversation is not started:
            return  # known already
        self._conversation = None
        _fail(started, HostFailed(end.why, cause="exit" if end.cause == "closed" else end.cause, at_work="no"))
        if end.cause == "closed":
            self._restarts.stopped()
        else:
            self._restarts.ended(self._loop.time(), end.why)
            log_event.warning("host_ended", code=self._code.name, cause=end.cause, why=end.why)

    async def _talk(self, process: HostProcess, started: "asyncio.Future[Conversation]") -> End:
        await self._wait()
        await self._start(process)
        conversation = Conversation(
            process,
            work_s_max=self._options.work_s_max,
            works_max=self._options.host_works_max,
            why=lambda: end_of(process, self._options.host_end_s_max, self._options.host_memory_bytes_max),
            on_idle=lambda: self._idle(conversation),
            on_end=lambda end: self._on_end(started, end) if started.done() else None,
        )
        talking = asyncio.ensure_future(conversation.run())
        try:
            await self._described(conversation)
            self._restarts.started(self._loop.time())
            started.set_result(conversation)
            self._idle(conversation)
            return await talking
        finally:
            talking.cancel()
            await asyncio.wait({talking})

    async def _wait(self) -> None:
        """Until it may be started again, or somebody does not want to wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._restarts.wait_s(self._loop.time())):
                await self._now.wait()

    async def _start(self, process: HostProcess) -> None:
        options = self._options
        path = self._directory / self._code.name
        settings = Settings(
            path=str(path),
            app=self._code.app,
            parent=os.getpid(),
            memory_bytes_max=options.host_memory_bytes_max,
            frame_bytes_max=options.host_frame_bytes_max,
        )
        await process.start(
            settings,
            _environment(options.host_environment),
            self._directory,
            lambda: write_code(path, self._code),
        )

    async def _described(self, conversation: Conversation) -> None:
        limit_s = self._options.host_start_s_max
        try:
            await asyncio.wait_for(asyncio.shield(conversation.described), limit_s)
        except TimeoutError:
            raise HostFailed(f"{self._code.name} takes longer than {limit_s:g} s to import", cause="hang") from None

    async def _end(self, process: HostProcess) -> None:
        """Whatever it did not end by itself ends now; also when this task is cancelled meanwhile."""
        ending = asyncio.ensure_future(process.ended(self._options.host_end_s_max))
        while not ending.done():
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                process.kill()

    def _idle(self, conversation: Conversation) -> None:
        """No task uses it."""
        self._loop.call_later(self._options.host_idle_s, self._end_idle, conversation)

    @staticmethod
    def _end_idle(conversation: Conversation) -> None:
        if not conversation.seats and conversation.end is None:
            conversation.stop(End("closed", "no task uses it"))

    def _log(self, stream: str, line: str) -> None:
        log_event.info("host_output", code=self._code.name, stream=stream, line=line)


def write_code(path: Path, code: CodeFile) -> None:
    """Have the file there, as it should be; it replaces what is not."""
    if path.exists() and hashlib.sha256(path.read_bytes()).digest() == code.sha256:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(code.content)
    new.rename(path)


def _key(code: CodeFile, stage: str = "") -> tuple[str, str, bytes, str]:
    return code.name, code.app, code.sha256, stage


def _environment(allowed: tuple[str, ...]) -> dict[str, str]:
    names = (*ENVIRONMENT, *allowed)
    return {name: value for name, value in os.environ.items() if any(fnmatchcase(name, each) for each in names)}


def _fail(future: "asyncio.Future[Conversation]", error: RiverrunError) -> None:
    if not future.done():
        future.set_exception(error)


def _look(future: "asyncio.Future[Conversation]") -> None:
    """What nobody waits for is no fault."""
    if not future.cancelled():
        future.exception()
