"""A PostgreSQL of the tests' own: logical WAL, a password, a database for each test; killed and started at will."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from tests.servers import environment, require_program

USER, PASSWORD = "river", "s3cret-word"
PORTS = range(25000, 25990, 10)
CLAIM = 9
"""Of each ten ports the last is held as long as the first is somebody's, also while his server is down."""
START_S_MAX = 30.0
STOP_S_MAX = 10.0
LOOK_S = 0.02
SETTINGS = {
    "wal_level": "logical",
    "max_replication_slots": "40",
    "max_wal_senders": "40",
    "max_connections": "80",
    "shared_buffers": "32MB",
    # Processes are killed here, the machine is not: what was written is there.
    "fsync": "off",
    "autovacuum": "off",
    "logging_collector": "off",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "wal_sender_timeout": "5s",
    "lc_messages": "C",
}


class PostgresServer:
    """Made with a new, empty cluster; `start` before use, `stop` at the end (which removes it)."""

    def __init__(self, **settings: str) -> None:
        self._program = require_program("postgres")
        self._settings = SETTINGS | settings
        self._as: dict[str, Any] = {}
        self._directory = Path(tempfile.mkdtemp(prefix="riverrun-postgres-"))
        if os.geteuid() == 0:
            owner = next(user for user in pwd.getpwall() if user.pw_name in {"postgres", "nobody"})
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            os.chown(self._directory, owner.pw_uid, owner.pw_gid)
        self._claim, self.port = _claim()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._make()

    def _make(self) -> None:
        password = self._directory / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        command: list[str | Path] = [self._program.parent / "initdb", "-D", self._directory / "data", "-U", USER]
        command += ["-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C", "-N"]
        made = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment(self._program), **self._as
        )
        assert made.returncode == 0, made.stdout + made.stderr

    def start(self) -> None:
        """On the same data and port as before; when it returns it takes connections."""
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-D", self._directory / "data", "-p", str(self.port), *settings],
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env=environment(self._program),
                **self._as,
            )
        end = time.perf_counter() + START_S_MAX
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                self.connect("postgres").close()
                return
            in_time = self._process.poll() is None and time.perf_counter() < end
            assert in_time, (self._directory / "log").read_text()[-2000:]
            time.sleep(LOOK_S)

    def kill(self) -> None:
        """At once, with all its processes, as a power failure would."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)  # else it would start others meanwhile
            children = _children(self._process.pid)
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.kill()
            end = time.perf_counter() + START_S_MAX
            while any(map(_runs, children)) and time.perf_counter() < end:  # they hold its shared memory until they end
                time.sleep(LOOK_S)
        self._process.wait()
        self._process = None

    def shut_down(self) -> None:
        """As an administrator does it: sessions are ended with a word."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(START_S_MAX)
        self._process = None

    def stop(self) -> None:
        """End it and remove its data."""
        self.kill()
        self._claim.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def new_database(self) -> str:
        """The name of an empty one."""
        self._databases += 1
        name = f"shop{self._databases}"
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    def connect(self, database: str, **options: Any) -> "psycopg.Connection[Any]":
        """A blocking connection of the superuser, in autocommit."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=5, **options)

    def url(self, database: str, user: str = USER, password: str = PASSWORD) -> str:
        """For a connector."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, thread.read_text().split())
    return found


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
