"""Control groups of a run's own, in either version of the kernel's interface; removed with it.

Version 1 has a hierarchy for each controller, version 2 one for all of them. What can be set is called a *knob*; where
a machine offers it in both, version 1 is taken, for there the controllers are mounted. A group of version 1 lies below
the one that this process is in, so that nobody gets out of a limit that was there before.
"""

import asyncio
import contextlib
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REMOVE_S_MAX = 5.0
_RUNS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Knob:
    """One limit: its controller, and the file it is written to, by version."""

    one: tuple[str, str]
    two: tuple[str, str]
    """The controller "" is a part of every group."""


KNOBS: Mapping[str, Knob] = {
    "memory": Knob(("memory", "memory.limit_in_bytes"), ("memory", "memory.max")),
    "cpu": Knob(("cpu", "cpu.cfs_quota_us"), ("cpu", "cpu.max")),
    "freeze": Knob(("freezer", "freezer.state"), ("", "cgroup.freeze")),
    "pids": Knob(("pids", "pids.max"), ("pids", "pids.max")),
    "io": Knob(("blkio", "blkio.throttle.write_bps_device"), ("io", "io.max")),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where groups with a knob can be made on this machine."""

    parent: Path
    file: str
    version: int


def place_of(name: str) -> Place | str:
    """Where, or why nowhere."""
    if os.geteuid():
        return "only root may make control groups"
    knob = KNOBS[name]
    controller, file = knob.one
    mounted = _mounted()
    if controller in mounted:
        return Place(_own(mounted[controller], controller), file, 1)
    controller, file = knob.two
    if "cgroup2" not in mounted:
        return f"no control groups with the controller {controller or 'freezer'} are mounted here"
    root = mounted["cgroup2"]
    if controller and controller not in (root / "cgroup.subtree_control").read_text().split():
        return f"the controller {controller} is not handed down from {root} (cgroup.subtree_control)"
    return Place(root, file, 2)


def _mounted() -> dict[str, Path]:
    """The mount point of each controller of version 1, and of `cgroup2`."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        if kind == "cgroup":
            found |= dict.fromkeys(options.split(","), Path(point))
        elif kind == "cgroup2":
            found["cgroup2"] = Path(point)
    return found


def _own(mount: Path, controller: str) -> Path:
    """The group of this process; in a namespace of its own that may be beyond what is mounted."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") and (own := mount / path.lstrip("/")).is_dir():
            return own
    return mount


class Group:
    """What one node's processes are in: a directory for each place, of which version 2 needs only one."""

    def __init__(self, name: str, places: Mapping[str, Place]) -> None:
        self._places = places
        self._directories = {knob: place.parent / name for knob, place in places.items()}
        for directory in set(self._directories.values()):
            directory.mkdir()

    @property
    def directories(self) -> list[Path]:
        """All of them."""
        return sorted(set(self._directories.values()))

    def version(self, knob: str) -> int:
        """Of the interface, in which values differ."""
        return self._places[knob].version

    def write(self, knob: str, value: str) -> None:
        """Set it; OSError if the kernel refuses the value."""
        (self._directories[knob] / self._places[knob].file).write_text(value)

    def read(self, knob: str, file: str) -> str:
        """Another file beside the knob's."""
        return (self._directories[knob] / file).read_text()

    def figures(self, knob: str, file: str) -> dict[str, int]:
        """A file of lines `name number`."""
        pairs = (line.split() for line in self.read(knob, file).splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}

    async def remove(self) -> None:
        """After its processes have ended; who is left goes to the group above."""
        for directory in self.directories:
            async with asyncio.timeout(REMOVE_S_MAX):
                while directory.exists():
                    try:
                        directory.rmdir()
                    except OSError:  # one that has ended counts for a moment
                        for pid in (directory / "cgroup.procs").read_text().split():
                            with contextlib.suppress(OSError):
                                (directory.parent / "cgroup.procs").write_text(pid)
                        await asyncio.sleep(0.02)


def enter(group: Group) -> list[str]:
    """What is put before a command, so that its process is in the group from its first allocation on."""
    into = "; ".join(f"echo $$ > '{directory}/cgroup.procs'" for directory in group.directories)
    return ["/bin/sh", "-c", f'set -e; {into}; exec "$@"', "sh"]


def run_name() -> str:
    """Begins the names of a run's groups: two runs never meet."""
    return f"riverrun-{os.getpid()}-{next(_RUNS)}"
