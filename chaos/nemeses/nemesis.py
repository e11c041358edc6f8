"""Carries a schedule out: each fault at its time, on whoever has the role then, and its end; all in the history.

A fault that could not be mended is `info`: what it broke is broken until the arena heals.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

from chaos.arenas.arena import Arena, Mend
from chaos.history import History, Kind
from chaos.nemeses.roles import resolve
from chaos.nemeses.schedule import Planned, Schedule

MEND_S_MAX = 120.0


@dataclass
class _Under:
    """A fault that lasts."""

    operation: int
    planned: Planned
    nodes: list[int]
    mend: Mend | None
    ends_s: float


class Nemesis:
    """One run's."""

    def __init__(self, arena: Arena, history: History, schedule: Schedule) -> None:
        self._arena = arena
        self._history = history.scoped("nemesis")
        self._schedule = schedule
        self._random = random.Random(f"nemesis/{schedule.seed}")
        self._lasting: list[_Under] = []
        self.counts: Counter[str] = Counter()
        """Faults that happened, by name."""

    @property
    def lasting(self) -> list[str]:
        """What is broken now, for people."""
        return [f"{under.planned.fault} {under.nodes}" for under in self._lasting]

    async def run(self) -> None:
        """From now on, to the last fault's end."""
        began_s = self._arena.now_s()
        for planned in self._schedule.faults:
            await self._mend_until(began_s + planned.at_s)
            await self._mend_what_was_over(planned)
            await self.inject(planned, began_s)
        await self._mend_until(max((under.ends_s for under in self._lasting), default=0.0))

    async def heal(self) -> None:
        """Whatever still lasts ends now."""
        for under in list(self._lasting):
            await self._mend(under)

    async def _mend_until(self, at_s: float) -> None:
        """Ends what ends before, and returns at that time."""
        while True:
            due = min(self._lasting, key=lambda under: under.ends_s, default=None)
            until_s = at_s if due is None else min(at_s, due.ends_s)
            await asyncio.sleep(max(until_s - self._arena.now_s(), 0.0))
            if due is None or due.ends_s > at_s:
                return
            await self._mend(due)

    async def _mend_what_was_over(self, planned: Planned) -> None:
        """However late both are: what was to end before this one begins has ended then."""
        for under in list(self._lasting):
            if under.planned.at_s + under.planned.lasts_s <= planned.at_s:
                await self._mend(under)

    async def inject(self, planned: Planned, began_s: float | None = None) -> list[int]:
        """One fault, now; the nodes that it hit. It lasts until `heal`, or as planned where `run` does it."""
        began_s = self._arena.now_s() if began_s is None else began_s
        roles = await self._arena.roles()
        nodes = resolve(planned.role, roles, self._arena.nodes, self._random)
        if "node" in planned.options:  # it is always the same one's disk that lies and forgets
            nodes = [int(planned.options["node"])]
        said = {"role": planned.role, "nodes": nodes, "options": planned.options}
        operation = self._history.invoke("nemesis", planned.fault, self._arena.now_s(), **said)
        mend = await self._arena.injectors[planned.fault].inject(nodes, planned.options)
        self.counts[planned.fault] += 1
        ends_s = max(began_s + planned.at_s + planned.lasts_s, self._arena.now_s())
        under = _Under(operation, planned, nodes, mend, ends_s)
        if mend is None:
            self._ended(under, Kind.OK)
        else:
            self._lasting.append(under)
        return nodes

    async def _mend(self, under: _Under) -> None:
        self._lasting.remove(under)
        kind = Kind.OK
        try:
            if under.mend is not None:
                async with asyncio.timeout(MEND_S_MAX):
                    await under.mend()
        except (OSError, RuntimeError) as error:
            kind = Kind.INFO
            self._ended(under, kind, error=str(error))
            raise RuntimeError(f"{under.planned.fault} on {under.nodes} could not be mended: {error}") from error
        self._ended(under, kind)

    def _ended(self, under: _Under, kind: Kind, **said: str) -> None:
        self._history.end(under.operation, "nemesis", kind, under.planned.fault, self._arena.now_s(), **said)
