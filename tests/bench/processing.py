"""User code: a filter-map and a keyed count, by plain loops, by the runner, and by others' engines.

All figures are records per second of processor time, over all processes that take part, so that a core is a core,
however busy the machine is. The records are the same each time: batches as they are stored, uncompressed, of 1,000
records; works are as large as a node makes them for a task that is behind. What came of them is compared with what the
plain loops came to.
"""

import asyncio
import gc
import json
import subprocess
import time
from collections.abc import Callable, Sequence, Sized
from pathlib import Path

import msgspec

from cluster.config import ProcessingOptions
from cluster.processing.hosts import CodeFile, Host, Seat
from cluster.processing.runner import Runner
from cluster.processing.work import Effects
from cluster.real.hosts import RealHosts
from tests.bench import loops, purchases
from tests.bench.loops import Input
from tests.bench.machine import children, cpu_s

RECORDS = 100_000
PASSES = 3
"""Over all records, in one measurement."""
FILTER_MAP, COUNT = "filter-map", "keyed count"
PROCESSORS = {FILTER_MAP: purchases.dear, COUNT: purchases.count}
DECODED = "plain loop over decoded records"
STORED = "plain loop over stored batches"
RUNNER = "riverrun's runner, in process"
CHILD = "riverrun, through a child process"
NODE = "the node's part of it"
UNIT = ", ns a record"
LOOPS: dict[str, dict[str, Callable[[Input], Sized]]] = {
    FILTER_MAP: {DECODED: loops.decoded_filter_map, STORED: loops.stored_filter_map},
    COUNT: {DECODED: loops.decoded_count, STORED: loops.stored_count},
}
ROOT = Path(__file__).parents[2]
PEERS_PYTHON = ROOT / ".venv-peers/bin/python"
PEERS = ("tests.bench.peer_bytewax", "tests.bench.peer_quix")
PEERS_S_MAX = 600.0
CODE = CodeFile(name="purchases.py", app="", content=Path(purchases.__file__).read_bytes())


class Check:
    """What the effects of a pass add up to."""

    def __init__(self, kind: str, input_: Input) -> None:
        self._kind, self._input = kind, input_
        self._outputs = 0
        self._state: dict[bytes, bytes | None] = {}

    def take(self, effects: Effects) -> None:
        """Of one work."""
        self._outputs += len(effects.outputs)
        self._state |= {change.key: change.value for change in effects.state if change.store == "seen"}

    def finish(self, passes: int) -> None:
        """After so many passes, of which the last one was taken."""
        expected: dict[bytes, bytes | None] = {}
        if self._kind == COUNT:
            expected = {
                key.encode(): msgspec.msgpack.encode(count * passes) for key, count in self._input.counts.items()
            }
        if self._state != expected or self._outputs != (self._input.dear if self._kind == FILTER_MAP else 0):
            raise AssertionError(f"the {self._kind} came to something else than a plain loop")


class InProcess:
    """A runner, warm: its state is in memory."""

    def __init__(self, kind: str, input_: Input) -> None:
        self._input = input_
        self._check = Check(kind, input_)
        self._runner = Runner(PROCESSORS[kind].stages[0], lambda places: [None] * len(places))
        self._passes = 0
        self._pass(1)

    def measure(self) -> float:
        """CPU seconds for PASSES, and one more pass that is looked at."""
        begin_s = time.process_time()
        self._pass(PASSES)
        spent_s = time.process_time() - begin_s
        self._pass(1, self._check)
        self._check.finish(self._passes)
        return spent_s

    def _pass(self, passes: int, check: Check | None = None) -> None:
        for work in self._input.works(self._passes * len(self._input.batches) + 1, passes):
            effects = self._runner.run(work)
            self._runner.committed(work.n)
            if check is not None:
                check.take(effects)
        self._passes += passes


class ThroughChild:
    """The same runner in a child process, as a node has it; opened before it is measured, and warm."""

    def __init__(self, kind: str, input_: Input, host: Host, pid: int) -> None:
        self._input = input_
        self._check = Check(kind, input_)
        self._host, self._pid = host, pid
        self._passes = 0

    async def measure(self) -> tuple[float, float]:
        """CPU seconds of both processes for PASSES, and what this one had of it."""
        await self._pass(1)
        begin_s, begin_child_s = time.process_time(), cpu_s(self._pid)
        await self._pass(PASSES)
        node_s, child_s = time.process_time() - begin_s, cpu_s(self._pid) - begin_child_s
        await self._pass(1, self._check)
        self._check.finish(self._passes)
        return node_s + child_s, node_s

    async def _pass(self, passes: int, check: Check | None = None) -> None:
        for work in self._input.works(self._passes * len(self._input.batches) + 1, passes):
            effects = await self._host.run(work)
            self._host.committed(work.n)
            if check is not None:
                check.take(effects)
        self._passes += passes


async def measure_child(kind: str, input_: Input, directory: Path) -> tuple[float, float]:
    """CPU seconds of both processes for PASSES, and what this one had of it."""
    spec = PROCESSORS[kind].stages[0].spec
    before = children()
    hosts = RealHosts(directory, ProcessingOptions())
    try:
        seat = Seat(stage=spec.name, version=spec.version, task=0, tasks=1, partitions=1)
        host = await hosts.open(CODE, seat, _no_state, external=False)
        (pid,) = children() - before
        try:
            return await ThroughChild(kind, input_, host, pid).measure()
        finally:
            host.close()
    finally:
        await hosts.close()


def measure_peers(input_: Input, directory: Path) -> dict[str, float]:
    """What the engines in .venv-peers do in a second; nothing if there are none."""
    found: dict[str, float] = {}
    path = directory / "purchases.jsonl"
    path.write_bytes(b"\n".join(input_.values))
    for module in PEERS if PEERS_PYTHON.exists() else ():
        command = [PEERS_PYTHON, "-m", module, path, str(PASSES)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=PEERS_S_MAX, check=True)
        found |= json.loads(done.stdout)
    return found


async def measure(directory: Path, scale: float, note: Callable[[str, float], None]) -> None:
    """One round of everything."""
    input_ = Input(max(1, int(RECORDS * scale / loops.BATCH)) * loops.BATCH)
    records = len(input_.decoded) * PASSES
    gc.freeze()  # what is there is the benchmark's own: nobody who is measured is to look through it
    for kind, plain in LOOPS.items():
        for name, loop in plain.items():
            begin_s = time.process_time()
            for _ in range(PASSES):
                found = loop(input_)
            note(f"{kind}: {name}", records / (time.process_time() - begin_s))
            assert len(found) == (input_.dear if kind == FILTER_MAP else len(input_.counts))
        note(f"{kind}: {RUNNER}", records / InProcess(kind, input_).measure())
        spent_s, node_s = await measure_child(kind, input_, directory)
        note(f"{kind}: {CHILD}", records / spent_s)
        note(f"{kind}: {NODE}{UNIT}", node_s / records * 1e9)
    for name, rate in (await asyncio.to_thread(measure_peers, input_, directory)).items():
        note(name, rate)


async def _no_state(places: Sequence[tuple[str, bytes]]) -> list[bytes | None]:
    return [None] * len(places)
