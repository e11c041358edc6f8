"""Memory, descriptors, threads, processor time and the disk's speed, taken from a node while it runs.

By control groups, one a node and run, and by prlimit where the kernel counts for each process. A limit is set where it
begins to hurt: at what the node uses when it is injected, and a little more. What a node does then is its own affair:
it may serve on, refuse, or end (`Nodes.expect_end`); when the fault is mended, it is started if it does not run, and
may not end any more.
"""

import asyncio
import contextlib
import errno
import os
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from chaos.arenas.arena import Injector, Mend
from chaos.arenas.processes.cgroups import Group, Place, enter, place_of, run_name
from chaos.arenas.processes.expected import over
from chaos.arenas.processes.fitting import Launch, Nodes

MIB = 1 << 20
CPU_PERIOD_US = 100_000
MEMORY_STEPS_MAX = 256
Options = Mapping[str, Any]
Apply = Callable[[int, Options], Callable[[], None]]
"""Do it to a node that runs; what is returned takes it back, and is called whether the node still runs or not."""


class ProcessLimits:
    """See Fitting: what prlimit can do, which anybody may do to processes of their own."""

    def __init__(self) -> None:
        self._counter = _Counter()

    def missing(self) -> str:
        """See Fitting."""
        return "" if hasattr(resource, "prlimit") else "there is no prlimit here: that is Linux's"

    async def fit(self, nodes: Nodes) -> Mapping[str, Injector]:
        """See Fitting."""
        by_process = _ByProcess(nodes)
        return {
            "address_space": _Limit(self._counter, nodes, by_process.address_space, may_end=True),
            "descriptors": _Limit(self._counter, nodes, by_process.descriptors, may_end=True),
        }

    def why_fixed(self) -> str:
        """See Fitting."""
        return ""

    async def fit_later(self, launch: Launch) -> None:
        """See Fitting: nothing has to be changed for it."""

    async def remove(self) -> Mapping[str, int]:
        """See Fitting."""
        return {"limits of processes": self._counter.made}


class GroupLimits:
    """See Fitting: every node in control groups of its own."""

    knobs: ClassVar[Sequence[str]] = ("memory", "pids", "cpu", "freeze")

    def __init__(self) -> None:
        self.groups: dict[int, Group] = {}
        self._name = run_name()
        self._counter = _Counter()
        self._out_of_memory = 0

    def missing(self) -> str:
        """See Fitting."""
        return next((place for knob in self.knobs if isinstance(place := place_of(knob), str)), "")

    async def fit(self, nodes: Nodes) -> Mapping[str, Injector]:
        """See Fitting."""
        for launch in nodes.launches.values():
            await self.fit_later(launch)
        return self.injectors(nodes)

    def why_fixed(self) -> str:
        """See Fitting."""
        return ""

    async def fit_later(self, launch: Launch) -> None:
        """See Fitting."""
        places = {knob: place for knob in self.knobs if isinstance(place := place_of(knob), Place)}
        group = self.groups[launch.node] = Group(f"{self._name}-node-{launch.node}", places)
        launch.before[:0] = enter(group)  # outside of `ip netns exec`, which hides the groups

    def injectors(self, nodes: Nodes) -> Mapping[str, Injector]:
        """What these groups make possible."""
        by_group = _ByGroup(self.groups)
        return {
            "memory": self.limit(nodes, by_group.memory, may_end=True),
            "threads": self.limit(nodes, by_group.threads, may_end=True),
            "cpu": self.limit(nodes, by_group.cpu),
            "freeze": self.limit(nodes, by_group.freeze),
        }

    def limit(self, nodes: Nodes, apply: Apply, *, may_end: bool = False) -> "_Limit":
        """An injector that is counted here."""
        return _Limit(self._counter, nodes, apply, may_end=may_end)

    async def remove(self) -> Mapping[str, int]:
        """See Fitting."""
        self._out_of_memory += sum(map(kills_by_memory, self.groups.values()))
        for node in list(self.groups):
            await self.groups.pop(node).remove()
        return {"limits of groups": self._counter.made, "killed for want of memory": self._out_of_memory}


class DiskSpeed(GroupLimits):
    """See Fitting: what the nodes write is throttled, in groups of version 1: writers are known at syncs."""

    knobs = ("io",)

    def missing(self) -> str:
        """See Fitting."""
        place = place_of("io")
        if isinstance(place, Place) and place.version != 1:
            return "the disk's speed is limited by control groups of version 1, and here are those of version 2"
        return place if isinstance(place, str) else ""

    def injectors(self, nodes: Nodes) -> Mapping[str, Injector]:
        """See GroupLimits."""

        def slow_disk(node: int, options: Options) -> Callable[[], None]:
            """So many bytes are written in a second."""
            device = device_of(Path(nodes.launches[node].config.data_dir))
            if not device:
                raise OSError(errno.ENODEV, "the nodes' data lies on no disk whose speed could be limited")
            self.groups[node].write("io", f"{device} {int(options['bytes_per_s'])}")
            return lambda: self.groups[node].write("io", f"{device} 0")

        return {"slow_disk": self.limit(nodes, slow_disk)}

    async def remove(self) -> Mapping[str, int]:
        """See Fitting."""
        for node in list(self.groups):
            await self.groups.pop(node).remove()
        return {"disks throttled": self._counter.made}


@dataclass
class _Counter:
    made: int = 0


@dataclass(frozen=True, slots=True)
class _Limit:
    counter: _Counter
    nodes: Nodes
    apply: Apply
    may_end: bool = False

    def missing(self) -> str:
        """See Injector."""
        return ""

    def whom(self, nodes: Sequence[int]) -> list[int]:
        """See Choosing: those that run."""
        return [node for node in nodes if self.nodes.pid(node) is not None]

    async def inject(self, nodes: Sequence[int], options: Options) -> Mend | None:
        """See Injector."""
        undo: list[Callable[[], None]] = []
        hit = self.whom(nodes)
        try:
            for node in hit:
                if self.may_end:
                    self.nodes.expect_end(node)
                undo.append(await asyncio.to_thread(self.apply, node, options))
                self.counter.made += 1
        except OSError as error:
            for back in undo:
                back()
            raise RuntimeError(f"the limit was refused: {error}") from error

        async def mend() -> None:
            for back in undo:
                await asyncio.to_thread(back)
            if self.may_end:
                for node in hit:
                    await over(self.nodes, node)

        return mend


class _ByProcess:
    """What prlimit can do."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def descriptors(self, node: int, options: Options) -> Callable[[], None]:
        """No more files and connections than there are, but for a few."""
        pid = self._nodes.pid(node)
        assert pid is not None
        used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}  # noqa: PTH208  names, not paths
        free = (number for number in range(len(used) + 1 + int(options["spare"])) if number not in used)
        for _ in range(int(options["spare"])):
            next(free)
        return self._set(node, resource.RLIMIT_NOFILE, next(free))

    def address_space(self, node: int, options: Options) -> Callable[[], None]:
        """No more memory is mapped."""
        pid = self._nodes.pid(node)
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + int(options["headroom_kib"]) * 1024
        return self._set(node, resource.RLIMIT_AS, limit)

    def _set(self, node: int, what: int, limit: int) -> Callable[[], None]:
        """Only the soft limit: what it was can be had again."""
        pid = self._nodes.pid(node)
        assert pid is not None
        before = resource.prlimit(pid, what)
        resource.prlimit(pid, what, (limit, before[1]))

        def back() -> None:
            if self._nodes.pid(node) == pid:
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(pid, what, before)

        return back


class _ByGroup:
    """What control groups can do."""

    def __init__(self, groups: Mapping[int, Group]) -> None:
        self._groups = groups

    def memory(self, node: int, options: Options) -> Callable[[], None]:
        """What cannot be given back is all that there is, but for the headroom; whoever wants more is killed."""
        group = self._groups[node]
        first = group.version("memory") == 1
        stat = group.figures("memory", "memory.stat")
        limit = stat["rss" if first else "anon"] + int(options["headroom_kib"]) * 1024
        for _ in range(MEMORY_STEPS_MAX):
            try:
                group.write("memory", str(limit))
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                limit += MIB  # the kernel's own memory counts, too
            else:
                return lambda: group.write("memory", "-1" if first else "max")
        raise OSError(errno.EBUSY, "no limit on memory was low enough and possible")

    def threads(self, node: int, options: Options) -> Callable[[], None]:
        """No more threads and processes, but for a few."""
        group = self._groups[node]
        group.write("pids", str(int(group.read("pids", "pids.current")) + int(options["spare"])))
        return lambda: group.write("pids", "max")

    def cpu(self, node: int, options: Options) -> Callable[[], None]:
        """A part of one processor."""
        group = self._groups[node]
        quota = int(float(options["share"]) * CPU_PERIOD_US)
        if group.version("cpu") == 1:
            group.write("cpu", str(quota))
            return lambda: group.write("cpu", "-1")
        group.write("cpu", f"{quota} {CPU_PERIOD_US}")
        return lambda: group.write("cpu", f"max {CPU_PERIOD_US}")

    def freeze(self, node: int, _: Options) -> Callable[[], None]:
        """It stands still, and does not know that it did: no signal says so."""
        group = self._groups[node]
        first = group.version("freeze") == 1
        group.write("freeze", "FROZEN" if first else "1")
        return lambda: group.write("freeze", "THAWED" if first else "0")


def device_of(path: Path) -> str:
    """`major:minor` of the disk that a path is on, or will be; "" where that is none."""
    while not path.exists():
        path = path.parent
    number = path.stat().st_dev
    found = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not found.exists():
        return ""
    disk = found.resolve().parent if (found / "partition").exists() else found
    return (disk / "dev").read_text().strip()


def kills_by_memory(group: Group) -> int:
    """How often the kernel killed somebody in this group for want of memory."""
    with contextlib.suppress(KeyError, OSError):
        file = "memory.oom_control" if group.version("memory") == 1 else "memory.events"
        return group.figures("memory", file).get("oom_kill", 0)
    return 0
