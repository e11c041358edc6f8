"""The run's side of the warden: start it, change what happens to packets, end it.

Several faults at a time: each has effects on some pairs, and what a packet meets is the sum of them.
"""

import asyncio
import itertools
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from chaos.arenas.processes.netspace.fabric import Effects, Pair
from chaos.arenas.processes.netspace.namespaces import Names

Wiring = Literal["switch", "bridge"]
ROOT = Path(__file__).parents[4]
ANSWER_S_MAX = 30.0
END_S_MAX = 30.0


class Control:
    """One warden."""

    def __init__(self, names: Names, *, wiring: Wiring, seed: int) -> None:
        self._names = names
        self._wiring = wiring
        self._seed = seed
        self._process: asyncio.subprocess.Process | None = None
        self._faults: dict[int, tuple[list[Pair], Effects]] = {}
        self._numbers = itertools.count(1)
        self._turn = asyncio.Lock()

    async def start(self, folder: Path, relays: Mapping[str, tuple[str, int]]) -> None:
        """Everything is there when this returns. `folder` is the warden's from now on. RuntimeError if it cannot be."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chaos.arenas.processes.netspace.warden"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )
        answer = await self._ask(
            {
                "run": self._names.run,
                "net": self._names.net,
                "nodes": list(self._names.nodes),
                "wiring": self._wiring,
                "seed": self._seed,
                "folder": str(folder),
                "relays": relays,
            }
        )
        if "error" in answer:
            raise RuntimeError(answer["error"])

    async def add(self, pairs: Iterable[Pair], effects: Effects) -> int:
        """From now on; a number to remove them by."""
        number = next(self._numbers)
        self._faults[number] = (list(pairs), effects)
        await self._tell()
        return number

    async def remove(self, number: int) -> None:
        """Packets that are on their way still come as they would have."""
        del self._faults[number]
        await self._tell()

    async def counts(self) -> dict[str, int]:
        """What the switch has done so far."""
        return dict((await self._ask({}))["counts"])

    async def end(self) -> None:
        """Nothing is left when this returns."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(END_S_MAX):
                await process.wait()
        except TimeoutError:
            process.terminate()
            await process.wait()

    async def _tell(self) -> None:
        sums: dict[Pair, Effects] = {}
        for pairs, effects in self._faults.values():
            for pair in pairs:
                sums[pair] = sums.get(pair, Effects()) + effects
        await self._ask({"effects": [[*pair, effects.to_plain()] for pair, effects in sums.items()]})

    async def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process is not None, "the warden runs"
        assert process.stdin is not None
        assert process.stdout is not None
        async with self._turn, asyncio.timeout(ANSWER_S_MAX):
            process.stdin.write(json.dumps(question).encode() + b"\n")
            answer = await process.stdout.readline()
        if not answer:
            raise RuntimeError("the warden of the namespaces has ended")
        return dict(json.loads(answer))
