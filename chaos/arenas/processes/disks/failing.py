"""Faults of a node's own calls: those of the library in front of libc. What ends a node starts it again when mended.

The promise that is attacked: a failed sync or write ends the process (nothing is tried again on the same file), and
nothing that was acknowledged is lost; a slow disk, or one that takes less than it was given, only costs time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from chaos.arenas.arena import Mend
from chaos.arenas.processes.disks.catching_up import caught_up
from chaos.arenas.processes.disks.loop import missing_for_mounting
from chaos.arenas.processes.disks.shim import SETTINGS, Control, missing_for_shim
from chaos.arenas.processes.expected import over
from chaos.arenas.processes.fitting import Nodes

ENDS_WITHIN_S = 10.0
"""A node whose sync has failed."""
MAY_END_S = 2.0
"""One whose write has failed, if it does."""
Lost = Callable[[Sequence[int]], Awaitable[Mend]]
"""Takes nodes' power, and gives it back."""


def settings_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the library is told: of the options those that it knows."""
    return {name: value for name, value in options.items() if name in {"only", *SETTINGS}}


class FailingCalls:
    """Calls fail, lie, wait or do less, until it is mended."""

    def __init__(self, nodes: Nodes, controls: Mapping[int, Control], *, may_end: bool) -> None:
        self._nodes = nodes
        self._controls = controls
        self._may_end = may_end

    def missing(self) -> str:
        """See Injector."""
        return missing_for_shim()

    def whom(self, nodes: Sequence[int]) -> list[int]:
        """See Choosing: those that run."""
        return [node for node in nodes if self._nodes.pid(node) is not None]

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        before = {node: self._controls[node].counts() for node in self.whom(nodes)}
        for node in before:
            if self._may_end:
                self._nodes.expect_end(node)
            self._controls[node].set(**settings_of(options))

        async def mend() -> None:
            for node, counts in before.items():
                syncs = self._controls[node].counts()["syncs_refused"] - counts["syncs_refused"]
                writes = self._controls[node].counts()["writes_refused"] - counts["writes_refused"]
                if syncs and not await self._ends(node, ENDS_WITHIN_S):
                    raise RuntimeError(f"{syncs} syncs of node {node} have failed, and it goes on")
                if writes:
                    await self._ends(node, MAY_END_S)  # not by each of them: a task's state is opened again
                self._controls[node].clear()
                await over(self._nodes, node)

        return mend

    async def _ends(self, node: int, within_s: float) -> bool:
        deadline = asyncio.get_running_loop().time() + within_s
        while self._nodes.pid(node) is not None:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True


class LyingSyncs:
    """Syncs say that they are done, and do nothing; at the end the power fails, and what they lied about is gone.

    One node's only, and always the same one's: of two of three replicas no system survives this.
    """

    def __init__(self, nodes: Nodes, controls: Mapping[int, Control], lose_power: Lost) -> None:
        self._nodes = nodes
        self._controls = controls
        self._lose_power = lose_power

    def missing(self) -> str:
        """See Injector."""
        return missing_for_shim() or missing_for_mounting()

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector. Of the nodes, the one that `options` names, or the first."""
        node = int(options.get("node", nodes[0]))
        self._controls[node].set(sync_lie=1)

        async def mend() -> None:
            power_back = await self._lose_power([node])
            self._controls[node].clear()
            await power_back()
            await caught_up(node, [launch.config.client.address for launch in self._nodes.launches.values()])

        return mend
