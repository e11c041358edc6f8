"""Carries a schedule out: each fault at its time, on whoever has the role then, and its end; all in the history.

A fault that hit nobody, for the node did not run, say, is `fail`: it has not happened, and is not counted. The nodes of
all others are those that were hit. One that could not be mended is `info`: what it broke is broken until the arena
heals. Faults begin and end one after the other, however many last at a time: nothing is left half-way but by whoever
cancels that.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

from chaos.arenas.arena import Arena, Choosing, HitNobody, Mend
from chaos.history import History, Kind
from chaos.nemeses.roles import resolve
from chaos.nemeses.schedule import Planned, Schedule

MEND_S_MAX = 120.0
UNDER_WAY_S_MAX = 150.0
"""What has begun to begin or to end when everything is to heal; longer than any mend may take."""


@dataclass
class _Under:
    """A fault that lasts."""

    operation: int
    planned: Planned
    nodes: list[int]
    mend: Mend | None = None
    """Not there before it has begun."""
    ends_s: float = 0.0


class Nemesis:
    """One run's."""

    def __init__(self, arena: Arena, history: History, schedule: Schedule) -> None:
        self._arena = arena
        self._history = history.scoped("nemesis")
        self._schedule = schedule
        self._random = random.Random(f"nemesis/{schedule.seed}")
        self._lasting: list[_Under] = []
        """From before the first thing is done until it is mended."""
        self._busy = asyncio.Lock()
        """Whoever holds it begins or ends a fault."""
        self._running: asyncio.Task[None] | None = None
        self._waiting = False
        self._stopping = False
        self.counts: Counter[str] = Counter()
        """Faults that happened, by name."""

    @property
    def lasting(self) -> list[str]:
        """What is broken now, for people."""
        return [f"{under.planned.fault} {under.nodes}" for under in self._lasting]

    async def run(self) -> None:
        """From now on, to the last fault's end, or until it is healed."""
        self._running = asyncio.current_task()
        began_s = self._arena.now_s()
        for planned in self._schedule.faults:
            await self._mend_until(began_s + planned.at_s)
            await self._mend_what_was_over(planned)
            if self._stopping:
                return
            await self.inject(planned, began_s)
        await self._mend_until(max((under.ends_s for under in self._lasting), default=0.0))

    async def heal(self) -> None:
        """No more faults: what is under way is done, and whatever still lasts ends now. RuntimeError if it does not."""
        self._stopping = True
        if self._waiting and self._running is not None:
            self._running.cancel()
        if self._busy.locked():
            try:
                async with asyncio.timeout(UNDER_WAY_S_MAX), self._busy:
                    pass
            except TimeoutError as error:
                raise RuntimeError(f"{', '.join(self.lasting)}: not done within {UNDER_WAY_S_MAX:.0f} s") from error
        for under in list(self._lasting):
            await self._mend(under)

    async def _mend_until(self, at_s: float) -> None:
        """Ends what ends before, and returns at that time."""
        while True:
            due = min(self._lasting, key=lambda under: under.ends_s, default=None)
            until_s = at_s if due is None else min(at_s, due.ends_s)
            await self._wait(max(until_s - self._arena.now_s(), 0.0))
            if self._stopping or due is None or due.ends_s > at_s:
                return
            await self._mend(due)

    async def _wait(self, seconds: float) -> None:
        """So long, or until everything is to heal."""
        assert self._running is not None, "somebody runs it"
        if self._stopping:
            return
        self._waiting = True
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if not self._stopping or self._running.uncancel():
                raise
        finally:
            self._waiting = False

    async def _mend_what_was_over(self, planned: Planned) -> None:
        """However late both are: what was to end before this one begins has ended then."""
        for under in list(self._lasting):
            if under.planned.at_s + under.planned.lasts_s <= planned.at_s:
                await self._mend(under)

    async def inject(self, planned: Planned, began_s: float | None = None) -> list[int]:
        """One fault, now; the nodes that it hit. It lasts until `heal`, or as planned where `run` does it.

        None begins any more when everything is to heal.
        """
        began_s = self._arena.now_s() if began_s is None else began_s
        roles = await self._arena.roles()
        if self._stopping:
            return []  # whoever heals has looked by now at what lasts
        nodes = resolve(planned.role, roles, self._arena.nodes, self._random)
        if "node" in planned.options:  # it is always the same one's disk that lies and forgets
            nodes = [int(planned.options["node"])]
        injector = self._arena.injectors[planned.fault]
        aimed = nodes
        if isinstance(injector, Choosing):
            nodes = injector.whom(nodes)
        said = {"role": planned.role, "nodes": nodes, "options": planned.options}
        operation = self._history.invoke("nemesis", planned.fault, self._arena.now_s(), **said)
        under = _Under(operation, planned, nodes)
        if aimed and not nodes:
            self._ended(under, Kind.FAIL, error=f"nothing to hit on {aimed}")
            return []
        self._lasting.append(under)
        try:
            async with self._busy:
                under.mend = await injector.inject(nodes, planned.options)
        except HitNobody as error:
            self._lasting.remove(under)
            self._ended(under, Kind.FAIL, error=str(error))
            return []
        except (OSError, RuntimeError):
            self._lasting.remove(under)
            raise
        self.counts[planned.fault] += 1
        under.ends_s = max(began_s + planned.at_s + planned.lasts_s, self._arena.now_s())
        if under.mend is None:
            self._lasting.remove(under)
            self._ended(under, Kind.OK)
        return nodes

    async def hit(self, planned: Planned) -> list[int]:
        """The same for whoever needs it to happen. HitNobody: it has not."""
        before = self.counts[planned.fault]
        nodes = await self.inject(planned)
        if self.counts[planned.fault] == before:
            why = self._history.events[-1].value["error"] if not self._stopping else "all is to heal"
            raise HitNobody(f"{planned.fault} hit nobody: {why}")
        return nodes

    async def _mend(self, under: _Under) -> None:
        async with self._busy:
            if under not in self._lasting:
                return  # somebody else has done it meanwhile
            try:
                if under.mend is not None:
                    async with asyncio.timeout(MEND_S_MAX):
                        await under.mend()
            except (OSError, RuntimeError) as error:
                self._lasting.remove(under)
                self._ended(under, Kind.INFO, error=str(error))
                raise RuntimeError(f"{under.planned.fault} on {under.nodes} could not be mended: {error}") from error
            self._lasting.remove(under)
            self._ended(under, Kind.OK)

    def _ended(self, under: _Under, kind: Kind, **said: str) -> None:
        self._history.end(under.operation, "nemesis", kind, under.planned.fault, self._arena.now_s(), **said)
