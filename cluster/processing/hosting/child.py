"""The program of a child process with user code: `python -m cluster.processing.hosting.child DESCRIPTOR SETTINGS`.

DESCRIPTOR: an inherited stream socket, frames on it with their length (4 bytes, little endian) first. SETTINGS: JSON,
see `Settings`. It ends when the node closes its end, or is gone: then nobody wants to know what else would come of it.
"""

import contextlib
import ctypes
import gc
import io
import os
import resource
import signal
import socket
import struct
import sys
import threading
from pathlib import Path

import msgspec

from cluster.processing.app import App
from cluster.processing.hosting.loading import load_app, load_module
from cluster.processing.hosting.serving import serve

LENGTH = struct.Struct("<I")
END_S_MAX = 1.0
"""Whatever user code has left running may go on for so long after the node has closed its end."""
PR_SET_PDEATHSIG = 1
PIECE_BYTES = 256 * 1024


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is told.

    `path`: of the file; or `module`: what it can import. `parent`: the process that it is not to outlive.
    `memory_bytes_max` 0: no limit.
    """

    path: str = ""
    module: str = ""
    app: str
    parent: int
    memory_bytes_max: int
    frame_bytes_max: int


class SocketPipe:
    """Frames on a stream socket, blocking."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, frame: bytes) -> None:
        """See BlockingPipe. SystemExit: nobody is there to send it to."""
        try:
            self._connection.sendall(LENGTH.pack(len(frame)))
            self._connection.sendall(frame)
        except ConnectionError:
            raise SystemExit(0) from None

    def receive(self) -> bytes | None:
        """See BlockingPipe."""
        try:
            head = self._exactly(LENGTH.size)
            return None if head is None else self._exactly(LENGTH.unpack(head)[0])
        except ConnectionError:
            return None

    def close(self) -> None:
        """In a process that user code forks: it is not its conversation."""
        self._connection.close()

    def _exactly(self, size: int) -> bytes | None:
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            count = self._connection.recv_into(view[got:], min(size - got, PIECE_BYTES))
            if not count:
                return None
            got += count
        return bytes(data)


def main() -> None:
    """Serve one app until the node has had enough of it."""
    descriptor, settings = int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Settings)
    restrict(settings)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.argv[:] = [settings.path or settings.module]
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    pipe = SocketPipe(connection)
    os.register_at_fork(after_in_child=lambda: _forked(pipe))
    try:
        serve(lambda: _load(settings), pipe, frame_bytes_max=settings.frame_bytes_max)
    finally:
        _end_soon()


NICENESS = 5
FILES_MAX = 4096
"""Open at once: who forgets to close them is told before it takes a lot of the machine's."""
GC_THRESHOLD = 50_000
"""Objects between collections of the youngest: a batch of records is many, and none of them is garbage in a circle."""


def _load(settings: Settings) -> App:
    if settings.module:
        return load_module(settings.module, settings.app)
    return load_app(Path(settings.path), settings.app)


def _end_soon() -> None:
    end = threading.Timer(END_S_MAX, os._exit, (1,))
    end.daemon = True
    try:
        end.start()
    except (RuntimeError, MemoryError):  # no room for a thread
        os._exit(1)


def restrict(settings: Settings) -> None:
    """Limits of this process, before any user code is in it, and what it yields to: the node's own work comes first."""
    os.nice(NICENESS)
    gc.set_threshold(GC_THRESHOLD)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    files_max = FILES_MAX if files_max == resource.RLIM_INFINITY else min(FILES_MAX, files_max)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    if settings.memory_bytes_max:
        resource.setrlimit(resource.RLIMIT_AS, (settings.memory_bytes_max, settings.memory_bytes_max))
    with contextlib.suppress(OSError):  # where memory is short all over, this one goes before the node does
        Path("/proc/self/oom_score_adj").write_text("500")
    die_with(settings.parent)


def die_with(parent: int) -> None:
    """End this process when the thread that started it ends (Linux), at once if the parent is gone already."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _forked(pipe: SocketPipe) -> None:
    """What user code forks has no part in the conversation, and is not to be left over either."""
    pipe.close()
    die_with(os.getppid())


if __name__ == "__main__":
    main()
