"""Clocks of one node that jump, and that run at double speed: never the machine's, which everybody shares.

A small library of ours (`clock.c`) is preloaded and reads from a mapped file what time it is. It is compiled once, into
a folder that git ignores, under a name made of its source. The mending of a wall clock is a jump back to the truth; a
monotonic clock stays where it has got to and runs at its old speed again, for it may never go back.
"""

import asyncio
import hashlib
import mmap
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaos.arenas.arena import Injector, Mend
from chaos.arenas.processes.fitting import Launch, Nodes

SOURCE = Path(__file__).with_name("clock.c")
BUILD = Path(__file__).parents[3] / ".tools" / "preload"
_GENERATION = struct.Struct("=Q")
_SLOT = struct.Struct("=qqdqqd")
_BYTES = _GENERATION.size + 2 * _SLOT.size


@dataclass(frozen=True, slots=True)
class Told:
    """A clock as a process sees it: `told_ns` when it was truly `true_ns`, and from there at this rate."""

    true_ns: int = 0
    told_ns: int = 0
    rate: float = 1.0

    def at(self, true_ns: int) -> int:
        """What is told at a moment of the true clock."""
        since = true_ns - self.true_ns
        return self.told_ns + since + int((self.rate - 1) * since)

    def changed(self, true_ns: int, *, by_ns: int = 0, rate: float) -> "Told":
        """From this moment on so much further, and at this rate."""
        return Told(true_ns, self.at(true_ns) + by_ns, rate)


TRUE = Told()


class Clock:
    """The file of one node, and what it says. Starts that follow find it as it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wall = TRUE
        self.monotonic = TRUE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _BYTES)
        self._generation = 0
        for _ in range(2):
            self._write()

    def jump(self, by_s: float) -> None:
        """Set the wall clock ahead, or back."""
        self.wall = self.wall.changed(time.time_ns(), by_ns=int(by_s * 1e9), rate=self.wall.rate)
        self._write()

    def run(self, rate: float, *, monotonic: bool) -> None:
        """The wall clock's speed, and with `monotonic` that of both."""
        self.wall = self.wall.changed(time.time_ns(), rate=rate)
        if monotonic:
            self.monotonic = self.monotonic.changed(time.monotonic_ns(), rate=rate)
        self._write()

    def correct(self) -> None:
        """The wall clock tells the truth, and the monotonic one runs at its speed."""
        self.wall = TRUE
        self.monotonic = replace(self.monotonic.changed(time.monotonic_ns(), rate=1.0))
        self._write()

    def close(self) -> None:
        """No more changes."""
        self._map.close()

    def _write(self) -> None:
        """The slot that nobody reads, then the generation: a reader between them takes the old one."""
        self._generation += 1
        wall, monotonic = self.wall, self.monotonic
        slot = _GENERATION.size + (self._generation & 1) * _SLOT.size
        values = (wall.true_ns, wall.told_ns, wall.rate, monotonic.true_ns, monotonic.told_ns, monotonic.rate)
        _SLOT.pack_into(self._map, slot, *values)
        _GENERATION.pack_into(self._map, 0, self._generation)


class Clocks:
    """See Fitting: every node gets clocks that can be set."""

    def __init__(self) -> None:
        self._clocks: dict[int, Clock] = {}
        self._jumps = 0

    def missing(self) -> str:
        """See Fitting."""
        return "" if compiler() else "there is no C compiler (cc), which the clocks' library is made with"

    async def fit(self, nodes: Nodes) -> Mapping[str, Injector]:
        """See Fitting."""
        for launch in nodes.launches.values():
            await self.fit_later(launch)
        run = _Faulty(self, _run)
        return {"clock_jump": _Faulty(self, _jump), "clock_rate": run, "clocks_rate": run}

    def why_fixed(self) -> str:
        """See Fitting."""
        return ""

    async def fit_later(self, launch: Launch) -> None:
        """See Fitting."""
        library = await asyncio.to_thread(built, SOURCE)
        clock = self._clocks[launch.node] = Clock(launch.folder / "clock")
        preload(launch.environment, library)
        launch.environment["RIVERRUN_CLOCK"] = str(clock.path)

    async def remove(self) -> Mapping[str, int]:
        """See Fitting."""
        for clock in self._clocks.values():
            clock.close()
            clock.path.unlink(missing_ok=True)
        self._clocks.clear()
        return {"clocks set": self._jumps}

    def change(self, node: int) -> Clock:
        """The clock of a node, to be set."""
        self._jumps += 1
        return self._clocks[node]


def _jump(clock: Clock, options: Mapping[str, Any]) -> None:
    clock.jump(float(options["by_s"]))


def _run(clock: Clock, options: Mapping[str, Any]) -> None:
    clock.run(float(options["rate"]), monotonic=bool(options["monotonic"]))


@dataclass(frozen=True, slots=True)
class _Faulty:
    clocks: Clocks
    act: Any

    def missing(self) -> str:
        """See Injector."""
        return ""

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        for node in nodes:
            self.act(self.clocks.change(node), options)

        async def mend() -> None:
            for node in nodes:
                self.clocks.change(node).correct()

        return mend


# --- libraries that are preloaded


def compiler() -> str | None:
    """The C compiler of this machine."""
    return shutil.which(os.environ.get("CC", "cc"))


def built(source: Path) -> Path:
    """The shared library made of a C file, which it is once. RuntimeError with what the compiler said."""
    name = f"{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    library = BUILD / f"{name}.so"
    if not library.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        new = BUILD / f"{name}.{os.getpid()}.new"
        command = [compiler() or "cc", "-shared", "-fPIC", "-O2", "-Wall", "-o", str(new), str(source), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{source.name} does not compile: {done.stderr.strip()}")
        new.replace(library)  # at once: two runs may make it
    return library


def preload(environment: dict[str, str], library: Path) -> None:
    """Behind what others preload."""
    environment["LD_PRELOAD"] = " ".join(filter(None, (environment.get("LD_PRELOAD", ""), str(library))))
