"""Nodes that are killed, stopped, held, restarted in turn, and restored in another order; all by signals.

`kill` and `terminate` are over when they are mended: then the node is started again.
"""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos.arenas.arena import Injector, Mend
from chaos.arenas.processes.emptying import empty
from chaos.arenas.processes.fitting import Launch, Nodes
from chaos.arenas.processes.readiness import why_not_ready
from chaos.arenas.processes.ways import Ways
from chaos.checkers.absences import READY, RESTARTING
from cluster.real.network import RealNetwork

Ready = Callable[[int], Awaitable[None]]
"""Returns when this node runs and answers, and the cluster with it; RuntimeError if that takes too long."""
Options = Mapping[str, Any]
READY_S_MAX = 60.0
LOOK_S = 0.1


class Kills:
    """See Fitting: nothing has to be changed for it."""

    def missing(self) -> str:
        """See Fitting."""
        return ""

    async def fit(self, nodes: Nodes) -> Mapping[str, Injector]:
        """See Fitting."""

        async def ready(node: int) -> None:
            address, why = nodes.launches[node].config.client.address, "it was not asked"
            network = Ways(RealNetwork(), nodes.launches[node].ways)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READY_S_MAX):
                    while why := await why_not_ready(address, nodes.on, network):  # noqa: ASYNC110
                        await asyncio.sleep(LOOK_S)
            if why:
                raise RuntimeError(f"node {node} was not ready within {READY_S_MAX:.0f} s: {why}")

        return {
            "kill": Kill(nodes),
            "terminate": Terminate(nodes),
            "pause": Pause(nodes),
            "rolling_restart": RollingRestart(nodes, ready),
            "swizzle": Swizzle(nodes),
            "wipe": Wipe(nodes),
        }

    def why_fixed(self) -> str:
        """See Fitting."""
        return ""

    async def fit_later(self, launch: Launch) -> None:
        """See Fitting: nothing has to be changed for it."""

    async def remove(self) -> Mapping[str, int]:
        """See Fitting."""
        return {}


class _ByNodes:
    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def missing(self) -> str:
        """See Injector."""
        return ""

    def whom(self, nodes: Sequence[int]) -> list[int]:
        """See Choosing: those that run."""
        return [node for node in nodes if self._nodes.pid(node) is not None]

    def _starting(self, nodes: Sequence[int]) -> Mend:
        async def mend() -> None:
            for node in nodes:
                await self._nodes.start(node)

        return mend


class Kill(_ByNodes):
    """SIGKILL, to all at the same moment."""

    async def inject(self, nodes: Sequence[int], _: Options) -> Mend | None:
        """See Injector."""
        await asyncio.gather(*map(self._nodes.kill, nodes))
        return self._starting(nodes)


class Terminate(_ByNodes):
    """SIGTERM: what is under way is finished; `Nodes` notes who takes too long."""

    async def inject(self, nodes: Sequence[int], _: Options) -> Mend | None:
        """See Injector."""
        await asyncio.gather(*map(self._nodes.terminate, nodes))
        return self._starting(nodes)


class Pause(_ByNodes):
    """SIGSTOP, and SIGCONT when it is mended: a process that stood still and does not know it."""

    async def inject(self, nodes: Sequence[int], _: Options) -> Mend | None:
        """See Injector."""
        held = [pid for node in nodes if (pid := self._nodes.pid(node)) is not None]
        for pid in held:
            os.kill(pid, signal.SIGSTOP)

        async def mend() -> None:
            for pid in held:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

        return mend


class RollingRestart(_ByNodes):
    """Each node in its turn by SIGTERM, as an upgrade does: the next one when the cluster answers again."""

    def __init__(self, nodes: Nodes, ready: Ready) -> None:
        super().__init__(nodes)
        self._ready = ready

    def whom(self, nodes: Sequence[int]) -> list[int]:
        """See Choosing: one that does not run is started in its turn."""
        return list(nodes)

    async def inject(self, nodes: Sequence[int], _: Options) -> Mend | None:
        """See Injector: over when it returns."""
        for node in nodes:
            self._nodes.note(node, RESTARTING)
            await self._nodes.terminate(node)
            await self._nodes.start(node)
            await self._ready(node)
            self._nodes.note(node, READY)
        return None


class Swizzle(_ByNodes):
    """They go one by one, and come back one by one in another order: for a while there may be no majority."""

    async def inject(self, nodes: Sequence[int], options: Options) -> Mend | None:
        """See Injector. Options: `pause_s` between two of them, `seed` for both orders."""
        chance, pause_s = random.Random(options["seed"]), float(options["pause_s"])
        going, coming = list(nodes), list(nodes)
        chance.shuffle(going)
        while coming == list(nodes) or coming == going:
            chance.shuffle(coming)
            if len(nodes) < 3:
                break  # of two there are no more orders
        for node in going:
            await self._nodes.kill(node)
            await asyncio.sleep(pause_s)

        async def mend() -> None:
            for node in coming:
                await self._nodes.start(node)
                await asyncio.sleep(pause_s)

        return mend


class Wipe(_ByNodes):
    """SIGKILL, and the data directory is empty when it is started again."""

    def whom(self, nodes: Sequence[int]) -> list[int]:
        """See Choosing: one that does not run has a directory, too."""
        return list(nodes)

    async def inject(self, nodes: Sequence[int], _: Options) -> Mend | None:
        """See Injector."""
        for node in nodes:
            await self._nodes.kill(node)
            await asyncio.to_thread(empty, Path(self._nodes.launches[node].config.data_dir))
        return self._starting(nodes)
