"""Power loss, and no room left: faults of nodes whose data lies on loop disks of their own.

Power loss: the file systems of all nodes that it hits are shut down first, one right after the other, and then their
processes are killed: what was not synced by then is gone, and nobody had time to acknowledge anything. Mended: the
journals are replayed, and the nodes start.
"""

import asyncio
import contextlib
import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos.arenas.arena import Mend
from chaos.arenas.processes.disks.loop import LoopDisk, missing_for_mounting, shut_down
from chaos.arenas.processes.fitting import Nodes

FILLER = "filler"
"""Beside the data on a full disk."""


class PowerLoss:
    """Of one node, of some, of all at the same moment."""

    def __init__(self, nodes: Nodes, disks: Mapping[int, LoopDisk]) -> None:
        self._nodes = nodes
        self._disks = disks
        self.losses = 0

    def missing(self) -> str:
        """See Injector."""
        return missing_for_mounting()

    async def inject(self, nodes: Sequence[int], _: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        return await self.lose(nodes)

    async def lose(self, nodes: Sequence[int]) -> Mend:
        """Now; how the power comes back. Nodes that did not run lose it as well, and are not started."""
        ran = [node for node in nodes if self._nodes.pid(node) is not None]
        for node in ran:
            self._nodes.expect_end(node)
        await asyncio.to_thread(self._shut_down, nodes)
        await asyncio.gather(*(self._nodes.kill(node) for node in ran))
        self.losses += len(ran)

        async def power_back() -> None:
            await asyncio.to_thread(self._remount, nodes)
            await asyncio.gather(*(self._nodes.start(node) for node in ran))

        return power_back

    def _shut_down(self, nodes: Sequence[int]) -> None:
        with contextlib.ExitStack() as opened:
            descriptors = [opened.enter_context(self._disks[node].descriptor()) for node in nodes]
            for descriptor in descriptors:
                shut_down(descriptor)

    def _remount(self, nodes: Sequence[int]) -> None:
        for node in nodes:
            self._disks[node].detach()
            self._disks[node].attach()


class FullDisk:
    """Another file takes all the room that is left, but for so many KiB (`left_kib`). No node may end by it."""

    def __init__(self, disks: Mapping[int, LoopDisk]) -> None:
        self._disks = disks

    def missing(self) -> str:
        """See Injector."""
        return missing_for_mounting()

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        left = int(options.get("left_kib", 0)) * 1024
        fillers = [self._disks[node].path / FILLER for node in nodes]
        for filler in fillers:
            await asyncio.to_thread(fill, filler, left)

        async def mend() -> None:
            for filler in fillers:
                filler.unlink(missing_ok=True)

        return mend


def fill(filler: Path, left: int) -> None:
    """Make a file that leaves so many bytes free on its file system, or a block more. Blocks."""
    with filler.open("ab") as file:
        piece = 1 << 30
        while piece >= 4096:
            free = shutil.disk_usage(filler.parent).free - left
            wanted = min(piece, free)
            if wanted < 4096:
                return
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, wanted)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                piece = wanted // 2  # the file system needs some of it to remember where the file is
