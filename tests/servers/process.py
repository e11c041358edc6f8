"""A server in one process, on a port of loopback and data of its own: started, killed, started again."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from tests.servers import environment, require_program

PORTS = range(25200, 25990, 10)
CLAIM = 9
"""Of each ten ports the last is held as long as the first is somebody's, also while his server is down."""
START_S_MAX = 20.0
STOP_S_MAX = 20.0
LOOK_S = 0.005


class ServerProcess(ABC):
    """`start` before use, `stop` at the end (which removes the data). What is run is `command`."""

    start_s_max = START_S_MAX

    def __init__(self, name: str) -> None:
        self.program = require_program(name)
        self._claim, self.port = _claim()
        self.directory = Path(tempfile.mkdtemp(prefix=f"riverrun-{name}-"))
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str | Path]:
        """The program and its arguments."""

    def accepts(self) -> bool:
        """Whether it takes connections, and means it."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def start(self) -> None:
        """On the same data and port as before; when it returns it takes connections."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, cwd=self.directory, env=environment(self.program)
            )
        end = time.perf_counter() + self.start_s_max
        while not self.accepts():
            alive = self._process.poll() is None
            assert alive, (self.directory / "log").read_text()[-2000:]
            late = time.perf_counter() > end
            assert not late, f"it takes too long to start\n{(self.directory / 'log').read_text()[-2000:]}"
            time.sleep(LOOK_S)

    def kill(self) -> None:
        """At once, as a power failure would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def shut_down(self) -> None:
        """As an administrator does it: it saves what it has."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_S_MAX)
            self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It hangs meanwhile: connections stay, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it and remove its data."""
        self.kill()
        self._claim.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def _claim() -> tuple[socket.socket, int]:
    for port in PORTS:
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", port + CLAIM))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        return claim, port
    raise AssertionError("no free port")
