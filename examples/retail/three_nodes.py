"""A cluster of three real nodes on loopback, gone when it is not needed any more; and the processes below a node."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from cluster.cli.dev import wait_ready
from cluster.cli.local import HTTP_PORT_STEP, PEER_PORT_STEP, LocalCluster

NODES = 3
PROC = Path("/proc")
"""Linux tells there what runs; elsewhere `ps` is asked."""
USER_CODE = "cluster.processing.hosting.child"


@asynccontextmanager
async def three_nodes(prefix: str, *environment: str) -> AsyncIterator[LocalCluster]:
    """Up and ready; at the end stopped, and their data removed. Unavailable: they do not get ready.

    `environment`: which variables user code and routes get.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    local = LocalCluster(folder, nodes=NODES, port=_free_port(), host_environment=environment)
    try:
        local.start_all()
        await wait_ready(local)
        yield local
    finally:
        local.stop()
        shutil.rmtree(folder, ignore_errors=True)


def user_code_of(local: LocalCluster, node: int, file: str) -> set[int]:
    """The processes that run what is in a file, just now, for a node that runs: one, or of routes one for each sink."""
    return {
        pid
        for pid, parent, command in processes()
        if parent == local.pid(node) and USER_CODE in command and f'/{file}"' in command
    }


def processes() -> Iterator[tuple[int, int, str]]:
    """All that run on this machine: number, parent's number, command."""
    if not (PROC / "self").exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)  # noqa: S607
        for line in listed.stdout.splitlines():
            pid, parent, *command = line.split(maxsplit=2)
            yield int(pid), int(parent), "".join(command)
        return
    for folder in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            command_line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            if state[0] != "Z":
                yield int(folder.name), int(state[1]), command_line


def _free_port() -> int:
    """A port whose neighbours are free as well, for nodes, their peers and HTTP."""
    for port in range(17171, 27171, 10):
        try:
            for step in (0, PEER_PORT_STEP, HTTP_PORT_STEP):
                for node in range(NODES):
                    with socket.socket() as probe:
                        probe.bind(("127.0.0.1", port + step + node))
        except OSError:
            continue
        return port
    raise SystemExit("no free ports on loopback")
