"""A child process with user code, and the connection to it.

A thread of its own starts it, waits for its end and clears up behind it. So the event loop waits for nothing, the
process is reaped when its group is gone, and the system's rule "end me when the thread that started me ends" (Linux)
means: when the node does.
"""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import uvloop

from cluster.errors import RefusedToStart
from cluster.processing.hosting.child import Settings
from cluster.processing.hosting.conversation import End
from cluster.real.host_output import HostOutput

CHILD = "cluster.processing.hosting.child"
LENGTH = struct.Struct("<I")
READ_AHEAD_BYTES = 1024 * 1024
OUTPUT_S_MAX = 0.5
"""For what is left in the pipes of a process that has ended: somebody else may hold their other end."""


class Exit(NamedTuple):
    """How a process ended: a negative code is a signal's number.

    `peak_bytes`: of its resident memory; 0: no more than that of the process that started it, so it is not known.
    """

    code: int
    peak_bytes: int

    def __str__(self) -> str:
        if self.code >= 0:
            return f"its process ended with exit code {self.code}"
        name = signal.Signals(-self.code).name if -self.code in set(signal.Signals) else "unknown"
        return f"its process ended by signal {-self.code} ({name})"


class HostProcess:
    """One process. It is a Pipe (see `conversation`) once `start` has returned."""

    def __init__(
        self, *, log: Callable[[str, str], None], lines_per_s_max: int, bytes_per_s_max: int, frame_bytes_max: int
    ) -> None:
        """`log`: takes the name of an output stream and a line of it."""
        self._log = log
        self._lines_max, self._bytes_max = lines_per_s_max, bytes_per_s_max
        self._frame_bytes_max = frame_bytes_max
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[Exit] = self._loop.create_future()
        self._started: asyncio.Future[subprocess.Popen[bytes]] = self._loop.create_future()
        self._started.add_done_callback(_look)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._killed = False
        self._process: subprocess.Popen[bytes] | None = None
        """While its group may be signalled: from its start until it is reaped."""
        self._outputs: list[HostOutput] = []
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        directory: Path,
        prepare: Callable[[], None],
    ) -> None:
        """`prepare`, then run the child's program.

        OSError: there is no room for it; and whatever `prepare` raises.
        """
        ours, theirs = socket.socketpair()
        said = msgspec.json.encode(settings).decode()
        command = [sys.executable, "-P", "-m", CHILD, str(theirs.fileno()), said]

        def spawn() -> "subprocess.Popen[bytes]":
            with theirs:
                prepare()
                return subprocess.Popen(  # noqa: S603  it is our own program
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    cwd=directory,
                    env=dict(environment),
                    process_group=0,  # not a session: the system would give that as much time as all nodes here
                )

        self._thread = threading.Thread(target=self._keep, args=(spawn,), name="host", daemon=True)
        self._thread.start()
        try:
            process = await asyncio.shield(self._started)
            for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
                await self._listen(name, pipe)
            ours.setblocking(False)
            self._reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=READ_AHEAD_BYTES)
        except BaseException:
            ours.close()
            self.kill()
            raise

    async def send(self, frame: bytes) -> None:
        """See Pipe."""
        assert self._writer is not None, "it was started"
        if self._writer.is_closing():
            raise ConnectionResetError("the connection was closed")
        if len(frame) < READ_AHEAD_BYTES:
            self._writer.write(LENGTH.pack(len(frame)) + frame)
        else:
            self._writer.writelines((LENGTH.pack(len(frame)), frame))
        await self._writer.drain()

    async def receive(self) -> bytes | None:
        """See Pipe. RefusedToStart: it says that more comes than is allowed."""
        assert self._reader is not None, "it was started"
        try:
            (size,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            if size > self._frame_bytes_max + READ_AHEAD_BYTES:
                raise RefusedToStart(f"it would send {size} bytes at once, at most {self._frame_bytes_max}")
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError:
            return None

    @property
    def last_line(self) -> str:
        """The last one that it has written to stderr."""
        return self._outputs[-1].last_line if self._outputs else ""

    async def ended(self, patience_s: float) -> Exit | None:
        """Wait until it has ended, then for the rest of its output; None: it was killed, for it took too long."""
        if self._thread is None:
            return None
        self.hang_up()
        exit_ = None
        with contextlib.suppress(TimeoutError):
            exit_ = await asyncio.wait_for(asyncio.shield(self._exit), patience_s)
        if exit_ is None:
            self.kill()
            await asyncio.shield(self._exit)
        outputs = [output.ended for output in self._outputs]
        if outputs:
            await asyncio.wait(outputs, timeout=OUTPUT_S_MAX)
        for output in self._outputs:
            output.close()
        return exit_

    def hang_up(self) -> None:
        """Close our end of the connection: it has nothing more to do."""
        if self._writer is not None:
            self._writer.close()

    def kill(self) -> None:
        """End it, and what it has started, at once (SIGKILL)."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                _kill_group(self._process.pid)

    # --- its thread

    def _keep(self, spawn: "Callable[[], subprocess.Popen[bytes]]") -> None:
        try:
            process = spawn()
        except BaseException as error:  # noqa: BLE001  whoever starts it gets it
            self._tell(self._started, None, error)
            self._tell(self._exit, Exit(1, 0), None)
            return
        with self._lock:
            self._process = process
            if self._killed:
                _kill_group(process.pid)
        self._tell(self._started, process, None)
        inherited = _peak_bytes(resource.getrusage(resource.RUSAGE_SELF))
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            _kill_group(process.pid)  # what it has started; while it is not reaped its number is nobody else's
            self._process = None
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        peak = _peak_bytes(usage)  # that of this process, from before it was another program, is counted as its own
        self._tell(self._exit, Exit(process.returncode, peak if peak > inherited else 0), None)

    def _tell(self, future: "asyncio.Future[Any]", value: object, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(_settle, future, value, error)

    async def _listen(self, name: str, pipe: IO[bytes] | None) -> None:
        assert pipe is not None, "it was asked for"

        def left_out(count: int) -> None:
            self._log(name, f"({count} more lines were left out)")

        output = HostOutput(
            lambda line: self._log(name, line), left_out, lines_max=self._lines_max, bytes_max=self._bytes_max
        )
        await self._loop.connect_read_pipe(lambda: output, lent(self._loop, pipe))
        self._outputs.append(output)


def lent(loop: asyncio.AbstractEventLoop, pipe: IO[bytes]) -> IO[bytes]:
    """What to give to the loop instead of a pipe, which belongs to it from now on.

    uvloop has libuv close the descriptor, and closes the file as well, passing over EBADF. In between another thread
    may have opened a file of that number: a log lost its descriptor so. This one's `close` closes nothing.
    """
    if not isinstance(loop, uvloop.Loop):
        return pipe
    descriptor = os.dup(pipe.fileno())
    pipe.close()
    return open(descriptor, "rb", buffering=0, closefd=False)


async def end_of(process: HostProcess, patience_s: float, memory_bytes_max: int) -> End:
    """Why a process ended whose connection has; it is killed if it has not after `patience_s`."""
    exit_ = await process.ended(patience_s)
    said = f"; the last it said: {process.last_line}" if process.last_line else ""
    if exit_ is None:
        return End("exit", f"its process closed the connection and was ended{said}")
    short = -exit_.code == signal.SIGKILL and 0 < 0.75 * memory_bytes_max < exit_.peak_bytes
    if short or "MemoryError" in process.last_line:
        return End("memory", f"{exit_}, for want of memory{said}")
    return End("exit", f"{exit_}{said}")


def _kill_group(number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(number, signal.SIGKILL)


def _peak_bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _look(future: "asyncio.Future[Any]") -> None:
    """What nobody waits for is no fault."""
    if not future.cancelled():
        future.exception()


def _settle(future: "asyncio.Future[Any]", value: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
