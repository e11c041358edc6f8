"""Disks that can fail, fitted around nodes: what each fault needs, and no more.

Several of these may be fitted around the same nodes: a node has one loop disk and one library, whoever made it, and who
made it takes it away.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from chaos.arenas.arena import Injector
from chaos.arenas.processes.disks.at_rest import DamageAtRest
from chaos.arenas.processes.disks.failing import FailingCalls, LyingSyncs
from chaos.arenas.processes.disks.loop import LoopDisk, missing_for_loops
from chaos.arenas.processes.disks.power import FullDisk, PowerLoss
from chaos.arenas.processes.disks.shim import CONTROL, COUNTS, Control, library, missing_for_shim
from chaos.arenas.processes.disks.while_running import DamageWhileRunning
from chaos.arenas.processes.fitting import Launch, Nodes

LOOP_MIB = 512
"""Of one node's disk; the file behind it takes only what is written."""
NODES_MIN = 3
ONE_DISK = "it is always the same node's disk that lies or is damaged, and that node may be the one that goes"


class LoopDisks:
    """Each node's data lies on a file system of its own, whose power can fail and which can be full. Root only."""

    def __init__(self, mib: int = LOOP_MIB) -> None:
        self._mib = mib
        self._disks: dict[int, LoopDisk] = {}
        self._made: list[LoopDisk] = []
        self._power: PowerLoss | None = None

    def missing(self) -> str:
        """See Fitting. A run of five nodes needs more loop devices than are asked for here: `fit` says so."""
        return missing_for_loops(NODES_MIN)

    async def fit(self, nodes: Nodes) -> Mapping[str, Injector]:
        """See Fitting. RuntimeError: there are not enough loop devices."""
        power = await self.put_on(nodes)
        return {"power_loss": power, "power_loss_all": power, "full_disk": FullDisk(self._disks)}

    def why_fixed(self) -> str:
        """See Fitting."""
        return ""

    async def fit_later(self, launch: Launch) -> None:
        """See Fitting. RuntimeError: there is no loop device left."""
        await asyncio.to_thread(self._fit, launch)

    async def put_on(self, nodes: Nodes) -> PowerLoss:
        """The disks; who can take their power."""
        wanting = [launch for launch in nodes.launches.values() if LoopDisk.below(launch.config.data_dir) is None]
        why = missing_for_loops(len(wanting)) if wanting else ""
        if why:
            raise RuntimeError(why)
        for launch in nodes.launches.values():
            await asyncio.to_thread(self._fit, launch)
        self._power = PowerLoss(nodes, self._disks)
        return self._power

    async def remove(self) -> Mapping[str, int]:
        """See Fitting."""
        for disk in self._made:
            await asyncio.to_thread(disk.remove)
        self._made.clear()
        return {"power_losses": self._power.losses} if self._power is not None else {}

    def _fit(self, launch: Launch) -> None:
        disk = LoopDisk.below(launch.config.data_dir)
        if disk is None:
            launch.folder.mkdir(parents=True, exist_ok=True)
            disk = LoopDisk(launch.folder / "disk.img", launch.folder / "disk", self._mib)
            self._made.append(disk)
            launch.config = replace(launch.config, data_dir=str(disk.path / "data"))
        self._disks[launch.node] = disk


class FailingDisks:
    """A library stands before each node's calls: they fail, wait, or do less. Needs a C compiler."""

    def __init__(self) -> None:
        self.controls: dict[int, Control] = {}
        self._made: list[Control] = []

    def missing(self) -> str:
        """See Fitting."""
        return missing_for_shim()

    async def fit(self, nodes: Nodes) -> Mapping[str, Injector]:
        """See Fitting."""
        await self.put_before(nodes)
        calls = FailingCalls(nodes, self.controls, may_end=True)
        gentle = FailingCalls(nodes, self.controls, may_end=False)
        return {
            "sync_fails": calls,
            "write_fails": calls,
            "no_room": calls,
            "slow_sync": gentle,
            "short_writes": gentle,
        }

    def why_fixed(self) -> str:
        """See Fitting."""
        return ""

    async def fit_later(self, launch: Launch) -> None:
        """See Fitting."""
        self._fit(launch, await asyncio.to_thread(library))

    async def put_before(self, nodes: Nodes) -> None:
        """The library, told nothing yet."""
        for launch in nodes.launches.values():
            await self.fit_later(launch)

    async def remove(self) -> Mapping[str, int]:
        """See Fitting."""
        found: dict[str, int] = {}
        for control in self._made:
            for name, count in control.counts().items():
                if name in COUNTS[1:] and count:
                    found[name] = found.get(name, 0) + count
        for control in self.controls.values():
            control.close()
        self.controls.clear()
        self._made.clear()
        return found

    def _fit(self, launch: Launch, path: Path) -> None:
        known = launch.environment.get(CONTROL)
        control = self.controls[launch.node] = Control(Path(known or launch.folder / "disk.control"))
        if known is None:
            self._made.append(control)
            others = launch.environment.get("LD_PRELOAD")
            launch.environment["LD_PRELOAD"] = f"{others}:{path}" if others else str(path)
        launch.environment |= control.environment(Path(launch.config.data_dir).absolute())


class LyingDisks:
    """Syncs that do nothing, and then the power fails: needs both of the others, and fits them."""

    def __init__(self) -> None:
        self._loops = LoopDisks()
        self._failing = FailingDisks()

    def missing(self) -> str:
        """See Fitting."""
        return self._failing.missing() or self._loops.missing()

    async def fit(self, nodes: Nodes) -> Mapping[str, Injector]:
        """See Fitting."""
        power = await self._loops.put_on(nodes)
        await self._failing.put_before(nodes)
        return {"lying_sync": LyingSyncs(nodes, self._failing.controls, power.lose)}

    def why_fixed(self) -> str:
        """See Fitting."""
        return ONE_DISK

    async def fit_later(self, launch: Launch) -> None:
        """See Fitting: it cannot be."""
        raise RuntimeError(f"node {launch.node} came too late: {ONE_DISK}")

    async def remove(self) -> Mapping[str, int]:
        """See Fitting."""
        return {**await self._failing.remove(), **await self._loops.remove()}


class DamagedDisks:
    """Files of one node are damaged. Needs nothing."""

    def __init__(self) -> None:
        self._at_rest: DamageAtRest | None = None

    def missing(self) -> str:
        """See Fitting."""
        return ""

    async def fit(self, nodes: Nodes) -> Mapping[str, Injector]:
        """See Fitting."""
        self._at_rest = DamageAtRest(nodes)
        at_rest = dict.fromkeys(("damaged_log", "damaged_vote", "damaged_journal", "damaged_state"), self._at_rest)
        return {**at_rest, "damaged_in_use": DamageWhileRunning(nodes, self._at_rest)}

    def why_fixed(self) -> str:
        """See Fitting."""
        return ONE_DISK

    async def fit_later(self, launch: Launch) -> None:
        """See Fitting: it cannot be."""
        raise RuntimeError(f"node {launch.node} came too late: {ONE_DISK}")

    async def remove(self) -> Mapping[str, int]:
        """See Fitting."""
        return {name: count for name, count in self._at_rest.counts.items() if count} if self._at_rest else {}
