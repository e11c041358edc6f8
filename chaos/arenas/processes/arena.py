"""A cluster of real processes on this machine, and whatever its fittings can do to it."""

import asyncio
import contextlib
import importlib.util
import random
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from chaos.arenas.arena import Figures, Injector, Roles
from chaos.arenas.processes.fitting import Fitting
from chaos.arenas.processes.machines import ProcessMachines
from chaos.arenas.processes.nodes import ProcessNodes
from chaos.arenas.processes.ports import claimed_ports
from chaos.arenas.processes.readiness import why_not_ready
from chaos.arenas.processes.stopped import copies_on
from chaos.arenas.processes.ways import Ways
from chaos.arenas.seats import ClientVanish, Seats
from chaos.arenas.watching import Watcher
from chaos.checkers.anomaly import Anomaly
from chaos.checkers.node_logs import TOLD_OF_THE_END, check_node_log
from chaos.checkers.replicas import Copy
from chaos.checkers.traces import judged_events, trace_events
from chaos.history import History, Kind
from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.errors import RiverrunError
from cluster.real.clock import RealClock, real_random
from cluster.real.network import RealNetwork
from cluster.world import Network

READY_S_MAX = 60.0
LOOK_S = 0.1


class ProcessArena:
    """See `chaos.arenas.arena.Arena`. Its nodes' files are below `folder`/nodes, and stay there."""

    name = "processes"

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int,
        seed: int,
        history: History,
        fittings: Sequence[Fitting] = (),
        allowed: frozenset[str] = frozenset(),
    ) -> None:
        """`allowed`: severe events that are no anomaly here, for faults make nodes say them (`expected.py`)."""
        self.random = random.Random(f"arena/{seed}")
        self.seats = Seats()
        self.injectors: dict[str, Injector] = {"client_vanish": ClientVanish(self.seats)}
        self._history = history.scoped("run")
        self._began_s = time.monotonic()  # noqa: TID251  here time is real
        self._began_wall_s = time.time()  # noqa: TID251
        self._allowed = allowed
        self._fittings = fittings
        self._fitted: list[Fitting] = []
        self._end = contextlib.ExitStack()
        port = self._end.enter_context(claimed_ports(nodes))
        self.processes = ProcessNodes(folder / "nodes", nodes=nodes, port=port, noted=self._note)
        self.machines = ProcessMachines(
            self.processes, fittings=self._fitted, client=self.client, ready=self.wait_node_ready
        )
        self._end.callback(self.machines.close)
        self._watcher: Watcher | None = None

    @property
    def nodes(self) -> Sequence[int]:
        """See Arena."""
        return self.processes.on

    def now_s(self) -> float:
        """See Arena."""
        return time.monotonic() - self._began_s  # noqa: TID251

    async def start(self) -> None:
        """See Arena."""
        for fitting in self._fittings:
            self._fitted.append(fitting)
            self.injectors.update(await fitting.fit(self.processes))
        await asyncio.gather(*(self.processes.start(node) for node in self.nodes))
        await self.wait_ready(self.nodes)
        self._watcher = Watcher(self.client("watcher"), lambda: self.processes.alive)

    def client(self, name: str, options: ClientOptions | None = None) -> Client:
        """See Arena."""
        del name
        servers = [self.processes.launches[node].config.client.address for node in self.nodes]
        return Client(servers, network=self._network(), clock=RealClock(), random=real_random(), options=options)

    def _network(self) -> Network:
        ways: dict[str, str] = {}
        for launch in self.processes.launches.values():
            ways |= launch.ways
        return Ways(RealNetwork(), ways)

    def code(self, module: str) -> bytes:
        """See Arena: its file."""
        found = importlib.util.find_spec(module)
        assert found is not None, f"there is a module {module}"
        assert found.origin is not None, f"{module} is a file"
        return Path(found.origin).read_bytes()

    def cut_off(self, client: str, seconds: float) -> None:
        """See Arena: nothing."""

    async def roles(self) -> Roles:
        """See Arena."""
        assert self._watcher is not None, "the arena has started"
        return await self._watcher.look()

    def check(self) -> None:
        """See Arena. Nodes that ended are anomalies, told by `examine`, and do not end the run."""
        self.processes.look()

    async def heal(self) -> None:
        """See Arena."""
        for node in self.nodes:
            self.processes.signal(node, signal.SIGCONT)
            await self.processes.start(node)
        await self.wait_ready(self.nodes)

    async def wait_ready(self, nodes: Sequence[int]) -> None:
        """Each of these answers, and the controller takes all of them to be alive. RuntimeError if not in time."""
        end_s = self.now_s() + READY_S_MAX
        for node in nodes:
            await self._wait_ready(node, nodes, end_s)

    async def wait_node_ready(self, node: int, alive: Sequence[int]) -> None:
        """It answers, and takes these to be alive. RuntimeError if not in time."""
        await self._wait_ready(node, alive, self.now_s() + READY_S_MAX)

    async def _wait_ready(self, node: int, alive: Sequence[int], end_s: float) -> None:
        while why := await self._not_ready(node, alive):
            if self.now_s() > end_s:
                raise RuntimeError(f"node {node} was not ready within {READY_S_MAX:.0f} s: {why}")
            await asyncio.sleep(LOOK_S)

    async def _not_ready(self, node: int, nodes: Sequence[int]) -> str:
        if self.processes.pid(node) is None:
            return f"it does not run: {self.processes.last_words(node)}"
        address = self.processes.launches[node].config.client.address
        return await why_not_ready(address, nodes, self._network())

    async def examine(self, topics: Sequence[str]) -> tuple[list[Anomaly], list[tuple[str, Copy]]]:
        """See Arena."""
        self.processes.look()
        assert self._watcher is not None, "the arena has started"
        ids = await self._watcher.topic_ids(topics)
        await self._watcher.close()
        await self.processes.stop()
        found = list(self.processes.anomalies)
        copies = []
        for node, launch in self.processes.launches.items():
            if node in self.nodes:
                try:
                    copies += await asyncio.to_thread(lambda config: list(copies_on(config, ids)), launch.config)
                except (RiverrunError, ValueError, OSError) as error:
                    found.append(Anomaly("unreadable copy", f"node {node}: {error}"))
            found += await asyncio.to_thread(self._read_log, node)
        return found, copies

    async def salvage(self) -> list[Anomaly]:
        """See Arena. Its nodes may still run: their logs are what they have said so far."""
        self.processes.look()
        found = list(self.processes.anomalies)
        for node in self.processes.launches:
            if self.processes.log_path(node).exists():
                found += await asyncio.to_thread(self._read_log, node)
        return found

    def _read_log(self, node: int) -> list[Anomaly]:
        """What must not be there; what it says of terms goes into the history."""
        lines, ending, position = [], set(), 0
        excused, lives, later = self.processes.excused(node), self.processes.lives(node)[1:], []
        with self.processes.log_path(node).open("rb") as log:
            for number, line in enumerate(log, start=1):
                lines.append(line.decode(errors="replace"))
                if any(position in life for life in excused):
                    ending.add(number)
                while lives and position >= lives[0]:
                    later.append(number)
                    lives.pop(0)
                position += len(line)
        for event in judged_events(trace_events(node, lines, began_s=self._began_wall_s), later):
            self._history.add(event)
        allowed = self._allowed if node in self.nodes else self._allowed | TOLD_OF_THE_END
        return check_node_log(node, lines, allowed=allowed, ending=ending)

    async def stop(self) -> Figures:
        """See Arena."""
        self.processes.abandon()
        counts: dict[str, int] = {"restarts": self.processes.restarts, "clients_vanished": self.seats.vanished}
        failures = []
        for fitting in reversed(self._fitted):
            try:
                removed: Mapping[str, int] = await fitting.remove()
                counts.update(removed)
            except Exception as error:  # noqa: BLE001  the others have to go, too
                failures.append(f"{type(fitting).__name__}: {error}")
        self._end.close()
        return Figures("processes", counts, failures=failures)

    def _note(self, node: int, what: str) -> None:
        number = self._history.invoke("run", "node", self.now_s(), node=node, what=what)
        self._history.end(number, "run", Kind.OK, "node", self.now_s())
