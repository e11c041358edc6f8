"""Disks that are slow, full, or that have changed while nobody looked: a flipped bit, a file without its end."""

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.arenas.arena import Mend
from chaos.arenas.sim.injector import End, SimFault, every
from chaos.arenas.sim.kills import PowerLoss, Start
from cluster.log.frame import MAGIC
from cluster.sim.cluster import SimCluster
from cluster.sim.disk import SimDisk

ROOMY_BYTES = 1 << 40
LATENCY_S = 0.001
FRAME_MAGIC = MAGIC.to_bytes(4, "little")
HEAD_BYTES = 60
TAIL_BYTES = 300
SHORT_BYTES = 400
"""A log that is shorter is not damaged."""
CUT_FRAMES_MAX = 4


class SlowSync(SimFault):
    """Each job of the disk, which ends with a sync mostly, takes up to `sync_delay_ms` and half of it again."""

    def begin(self, nodes: Sequence[int], options: Mapping[str, Any]) -> End | None:
        """From now on."""
        return every([self.slow(self.cluster.disks[node], options["sync_delay_ms"] / 1000) for node in nodes])

    @staticmethod
    def slow(disk: SimDisk, latency_s: float) -> End:
        """One disk."""
        before_s, disk.latency_s = disk.latency_s, latency_s

        def end() -> None:
            disk.latency_s = before_s

        return end


class FullDisk(SimFault):
    """Room for `left_kib` more, and no more."""

    def begin(self, nodes: Sequence[int], options: Mapping[str, Any]) -> End | None:
        """From now on."""
        return every([self.fill(self.cluster.disks[node], options["left_kib"] << 10) for node in nodes])

    @staticmethod
    def fill(disk: SimDisk, bytes_left: int) -> End:
        """One disk."""
        disk.capacity_bytes = ROOMY_BYTES - disk.free_bytes() + bytes_left

        def end() -> None:
            disk.capacity_bytes = ROOMY_BYTES

        return end


@dataclass(frozen=True, slots=True)
class Frames:
    """A file of a log: how long it is without the zeros behind it, and where its last frames begin, at most a few."""

    size: int
    last: tuple[int, ...]

    def end(self, place: float) -> int:
        """Where one of them begins, chosen by a share; 0 if there is none."""
        return self.last[int(place * len(self.last))] if self.last else 0


def logs_of(disk: SimDisk) -> list[str]:
    """The files with partitions' records, by name."""
    return [path for path in disk.paths() if path.endswith(".log") and path.startswith("replicas/")]


def frames_of(disk: SimDisk, path: str) -> Frames:
    """Of a file that need not be there."""
    data = disk.open(path).read(0, disk.size_of(path)).rstrip(b"\0") if path in disk.paths() else b""
    begins = [found.start() for found in re.finditer(re.escape(FRAME_MAGIC), data)]
    return Frames(len(data), tuple(begins[-CUT_FRAMES_MAX:]))


class Victims:
    """Whose disk may change: always the same node, for two are a majority of three, which no cluster survives."""

    def __init__(self) -> None:
        self.nodes: set[int] = set()

    def among(self, nodes: Sequence[int]) -> list[int]:
        """The one that was hit first, whoever is asked for."""
        if not self.nodes:
            self.nodes.update(nodes[:1])
        return sorted(self.nodes)


class _Damage(PowerLoss):
    """Something happens to the files of a node while its power is off. `file`, `place`: shares that choose where."""

    def __init__(self, cluster: SimCluster, start: Start, victims: Victims) -> None:
        super().__init__(cluster, start)
        self._victims = victims
        self.done = 0

    def whom(self, nodes: Sequence[int]) -> list[int]:
        """See Choosing: it is the same node every time, if it runs."""
        return self.running(self._victims.among(nodes))

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector; it is the same node every time."""
        return await super().inject(self._victims.among(nodes), options)

    def begin(self, nodes: Sequence[int], options: Mapping[str, Any]) -> End | None:
        """The power goes, and one file of each node is damaged, if it has any."""
        for node in self.running(nodes):
            self.cluster.crash(node)
            disk = self.cluster.disks[node]
            long = [path for path in logs_of(disk) if frames_of(disk, path).size > SHORT_BYTES]
            if long:
                self.done += 1
                self.damage(disk, long[int(options["file"] * len(long))], options["place"])
        return None

    @abstractmethod
    def damage(self, disk: SimDisk, path: str, place: float) -> None:
        """One file of one disk."""


class FlipBit(_Damage):
    """One bit of a log, anywhere in what was written."""

    def damage(self, disk: SimDisk, path: str, place: float) -> None:
        """See _Damage."""
        disk.flip(path, int(place * frames_of(disk, path).size * 8))


class TruncateFile(_Damage):
    """A log ends before one of its last frames, as if what follows had never been written."""

    def damage(self, disk: SimDisk, path: str, place: float) -> None:
        """See _Damage."""
        disk.cut(path, frames_of(disk, path).end(place))
