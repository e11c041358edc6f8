"""Real nodes, each a process started from a file of its own: what fittings change and faults hit.

Node i of 1 … n listens on a port for clients, one for peers and one for HTTP, all on loopback unless a fitting says
otherwise. A node that ends and was not expected to is an anomaly of the run, and so is a stop that takes too long.
Others may come later (`add`), and any may be switched off for good: then whoever would start it again, such as a
fault's end, does nothing.
"""

import asyncio
import atexit
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from chaos.arenas.processes.fitting import Launch
from chaos.checkers.absences import STARTED, UP
from chaos.checkers.anomaly import Anomaly
from cluster.cli.config_file import write_config
from cluster.cli.local import HTTP_PORT_STEP, PEER_PORT_STEP
from cluster.config import ListenerConfig, NodeConfig, PeerConfig

STOP_S_MAX = 10.0
"""Of a node that was asked to stop (SIGTERM); a longer one is an anomaly, and the node is killed."""
LOOK_S = 0.01
UP_LOOK_S = 0.1
NODE_READY = b'"node_ready"'
"""In the log of one that has started."""
Noted = Callable[[int, str], None]
"""Is told of a node and what became of it: added, started, up, killed, terminated, ended, removed, off, and in a
restart that goes round: restarting, ready."""
REMOVED = "was removed from this cluster"
"""What a node says in the end that learnt so from the others."""


class ProcessNodes:
    """See `chaos.arenas.processes.fitting.Nodes`."""

    def __init__(self, folder: Path, *, nodes: int, port: int, noted: Noted) -> None:
        """Everything is below `folder`; `port` and its neighbours are free (`ports.claimed_ports`)."""
        self.folder = folder
        self.program: tuple[str, ...] = ("-m", "cluster.cli")
        self.anomalies: list[Anomaly] = []
        self.restarts = 0
        self._noted = noted
        atexit.register(self.abandon)  # whatever happens to whoever runs this
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._expected: set[int] = set()
        self._may_end: set[int] = set()
        """Those that a fault may end now; each of them is expected, too."""
        self._killed: set[int] = set()
        self._off: set[int] = set()
        self._removed: set[int] = set()
        """Those that ended because the cluster removed them, and were not switched off yet."""
        self._began: dict[int, list[int]] = {}
        """Where in its log each of a node's lives begins."""
        self._excused: dict[int, list[range]] = {}
        self._starting: set[asyncio.Task[None]] = set()
        cluster_id = secrets.token_hex(16)
        numbers = range(1, nodes + 1)
        peers = tuple(
            PeerConfig(node=node, peer=_loopback(port, node, PEER_PORT_STEP), client=_loopback(port, node, 0))
            for node in numbers
        )
        self.launches = {
            node: Launch(node, self.folder_of(node), _config(self.folder_of(node), cluster_id, node, port, peers))
            for node in numbers
        }

    def log_path(self, node: int) -> Path:
        """Where a node's log goes."""
        return self.launches[node].folder / "node.log"

    def pid(self, node: int) -> int | None:
        """See Nodes."""
        process = self._processes.get(node)
        return process.pid if process is not None and process.poll() is None else None

    @property
    def alive(self) -> list[int]:
        """Those that run."""
        return [node for node in self.launches if self.pid(node) is not None]

    @property
    def on(self) -> list[int]:
        """See Nodes."""
        return [node for node in self.launches if node not in self._off]

    def add(self, config: NodeConfig) -> Launch:
        """A node more, which does not run yet: how it will be started, for fittings to change."""
        folder = self.folder_of(config.node)
        launch = self.launches[config.node] = Launch(config.node, folder, config)
        self._noted(config.node, "added")
        return launch

    def folder_of(self, node: int) -> Path:
        """Where its files are."""
        return self.folder / f"node-{node}"

    async def start(self, node: int) -> None:
        """See Nodes."""
        if node in self._off or self.pid(node) is not None:
            return
        self._start(node, self.launches[node])
        self._noted(node, STARTED)
        starting = asyncio.create_task(self._note_up(node, self._processes[node], self.lives(node)[-1]))
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)

    async def _note_up(self, node: int, process: "subprocess.Popen[bytes]", began: int) -> None:
        """As soon as it says so, in this life, which is where its log goes on from there."""
        said = b""
        with self.log_path(node).open("rb") as log:
            log.seek(began)
            while process.poll() is None:
                said = said[-len(NODE_READY) :] + log.read()
                if NODE_READY in said:
                    self._noted(node, UP)
                    return
                await asyncio.sleep(UP_LOOK_S)

    def _start(self, node: int, launch: Launch) -> None:
        self.look()  # nobody else sees what is replaced here
        launch.folder.mkdir(parents=True, exist_ok=True)
        path = launch.folder / "node.toml"
        write_config(launch.config, path)
        command = [*launch.before, sys.executable, *self.program, "node", "--config", str(path), "--log-level", "debug"]
        with self.log_path(node).open("ab") as log:
            self.restarts += node in self._processes
            self._note_life(node, log.tell())
            self._expected.discard(node)
            self._may_end.discard(node)
            self._killed.discard(node)
            self._processes[node] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **launch.environment},
                start_new_session=True,
            )

    async def kill(self, node: int) -> None:
        """See Nodes."""
        if self.pid(node) is None:
            return
        self._expected.add(node)
        self._killed.add(node)
        self._processes[node].kill()
        await self._ended(node, within_s=STOP_S_MAX)
        self._noted(node, "killed")

    async def terminate(self, node: int) -> None:
        """See Nodes."""
        if self.pid(node) is None:
            return
        self._expected.add(node)
        process = self._processes[node]
        process.send_signal(signal.SIGCONT)
        process.terminate()
        if not await self._ended(node, within_s=STOP_S_MAX):
            self.anomalies.append(Anomaly("slow stop", f"node {node} did not stop within {STOP_S_MAX:.0f} s"))
            await self.kill(node)
        elif process.returncode and node not in self._off | self._killed:
            self.anomalies.append(
                Anomaly("failed stop", f"node {node} was stopped and ended with {process.returncode}")
            )
        self._noted(node, "terminated")

    async def switch_off(self, node: int) -> None:
        """It is asked to stop, and never started again; how it ends is its own affair: it may have been removed."""
        if node in self._off:
            return
        self._off.add(node)
        self._removed.discard(node)
        await self.terminate(node)
        self._noted(node, "off")

    async def kill_for_good(self, node: int) -> None:
        """SIGKILL, and it is never started again."""
        self._off.add(node)
        await self.kill(node)
        self._noted(node, "off")

    def signal(self, node: int, number: signal.Signals) -> bool:
        """Send a signal that does not end it; whether there was a process."""
        if self.pid(node) is None:
            return False
        self._processes[node].send_signal(number)
        return True

    def expect_end(self, node: int) -> None:
        """See Nodes."""
        self._expected.add(node)
        self._may_end.add(node)

    def expect_no_end(self, node: int) -> None:
        """See Nodes."""
        if self.pid(node) is not None:
            self._expected.discard(node)
            self._may_end.discard(node)

    def note(self, node: int, what: str) -> None:
        """See Nodes."""
        self._noted(node, what)

    def excused(self, node: int) -> list[range]:
        """Of its log the bytes of those lives that ended while an end was expected."""
        here = self.log_path(node).stat().st_size
        last = [range((self.lives(node) or [0])[-1], here)] if node in self._may_end and self.pid(node) is None else []
        return [*self._excused.get(node, ()), *last]

    def lives(self, node: int) -> list[int]:
        """Of its log the bytes with which its lives begin."""
        return self._began.get(node, [])

    def _note_life(self, node: int, end: int) -> None:
        """One begins at the end of its log; the one before is over."""
        if node in self._may_end:
            self._excused.setdefault(node, []).append(range(self._began[node][-1], end))
        self._began.setdefault(node, []).append(end)

    def look(self) -> None:
        """Note who has ended by itself, once."""
        for node, process in self._processes.items():
            if process.poll() is not None and node not in self._expected | self._off:
                self._expected.add(node)
                said = self.last_words(node)
                if REMOVED in said:
                    self._removed.add(node)
                    self._noted(node, "removed")
                    continue
                self._noted(node, "ended")
                self.anomalies.append(Anomaly("node ended", f"node {node} ended with {process.returncode}: {said}"))

    def last_words(self, node: int, lines: int = 3) -> str:
        """The end of a node's log, for messages."""
        with contextlib.suppress(OSError):
            return " | ".join(self.log_path(node).read_text(errors="replace").splitlines()[-lines:])
        return ""

    async def stop(self) -> None:
        """All stop, at the same time; what does not is killed."""
        for node in sorted(self._removed):
            self.anomalies.append(Anomaly("node ended", f"node {node} was removed, and nobody had asked for that"))
        await asyncio.gather(*(self.terminate(node) for node in self.launches))

    def abandon(self) -> None:
        """After a failure: no process of ours is left."""
        for starting in self._starting:
            with contextlib.suppress(RuntimeError):  # its loop is over
                starting.cancel()
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        atexit.unregister(self.abandon)

    async def _ended(self, node: int, *, within_s: float) -> bool:
        process = self._processes[node]
        end_s = time.monotonic() + within_s  # noqa: TID251  real processes take real time
        while process.poll() is None and time.monotonic() < end_s:  # noqa: ASYNC110, TID251
            await asyncio.sleep(LOOK_S)
        return process.poll() is not None


def _loopback(port: int, node: int, step: int) -> str:
    return f"127.0.0.1:{port + step + node - 1}"


def _config(folder: Path, cluster_id: str, node: int, port: int, peers: tuple[PeerConfig, ...]) -> NodeConfig:
    return NodeConfig(
        cluster_id=cluster_id,
        node=node,
        data_dir=str(folder / "data"),
        client=ListenerConfig(bind=_loopback(port, node, 0)),
        peer=ListenerConfig(bind=_loopback(port, node, PEER_PORT_STEP)),
        http=ListenerConfig(bind=_loopback(port, node, HTTP_PORT_STEP)),
        peers=peers,
    )
