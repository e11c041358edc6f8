"""One run, in any arena: start → load and faults → heal → progress → final reads → compare → judge.

What ends a run early (an exception of ours, a cluster that does not come back) is its `failure`; of a history without
its final reads only that is judged which needs none. Everything that the arena made is gone when this returns.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from chaos.arenas.arena import Arena, Figures
from chaos.checkers.anomaly import Anomaly
from chaos.checkers.replicas import Copy
from chaos.history import Event, History, Kind
from chaos.judging import ENDED, READ, asked, judge, judge_unread
from chaos.nemeses.nemesis import Nemesis
from chaos.nemeses.schedule import Schedule
from chaos.report.meanings import checked
from chaos.report.unavailability import unavailable, worst
from chaos.scenario import Scenario
from chaos.verdict import Verdict, count_operations
from chaos.workloads import workload_class
from chaos.workloads.workload import Workload

SETTLE_S = 3.0
"""After everything is healed the load goes on for so long."""
STOP_S_MAX = 240.0
"""Operations that are under way then have an outcome, at the latest: clients give up before, by the margin."""
MARGIN_S = 20.0
FINISH_S_MAX = 180.0
"""Of one workload."""
LOOK_S = 0.5
UNHARMED = "faults were wanted, and none has happened: this proves little"
ROLES_EVERY = 2
"""Roles are written down at every so many looks."""


class Run:
    """A run under way; what it says of itself is for progress."""

    def __init__(self, scenario: Scenario, arena: Arena, history: History, schedule: Schedule) -> None:
        self.scenario = scenario
        self.arena = arena
        self.history = history
        self.nemesis = Nemesis(arena, history, schedule)
        self.phase = "starting"
        self._said = history.scoped("run")
        self._workloads: list[Workload] = []
        self._failure = ""
        self._read_all = False
        self._examined = False
        self._anomalies: list[tuple[str, Anomaly]] = []

    async def run(self) -> Verdict:
        """To its end."""
        try:
            await self._steps()
        except asyncio.CancelledError:
            await self.arena.stop()
            raise
        except BaseExceptionGroup as group:
            self._failure = f"{self.phase}: {'; '.join(_sentence(error) for error in group.exceptions)}"
        except Exception as error:  # noqa: BLE001  whatever it is, the run is over, and that is told
            self._failure = f"{self.phase}: {_sentence(error)}"
        if not self._examined:
            await self._salvage()
        self.phase = "stopping"
        figures = await self.arena.stop()
        self._failure = "; ".join([*([self._failure] if self._failure else []), *figures.failures])
        return self._verdict(figures)

    async def _steps(self) -> None:
        await self.arena.start()
        for name, options in self.scenario.workloads.items():
            cls = workload_class(name)
            self._workloads.append(cls(self.arena, self.history.scoped(name), {**cls.options, **options}))
        for workload in self._workloads:
            await workload.prepare()
        self._say("load")
        self.phase = "load and faults"
        async with self._loaded() as loads:
            await _while(self._faults(loads), loads)
            self._say("quiet")
            self.phase = "healing"
            await self.nemesis.heal()
            await self.arena.heal()
            self._say("healed")
            self.phase = "ending the load"
            await _while(asyncio.sleep(SETTLE_S), loads)
            for workload in self._workloads:
                workload.stop()
            async with asyncio.timeout(STOP_S_MAX):
                await asyncio.gather(*loads)
        self.phase = "reading everything"
        for workload in self._workloads:
            async with asyncio.timeout(FINISH_S_MAX):
                await workload.finish()
        self._say(READ)
        self._read_all = True
        self.phase = "comparing replicas"
        await self._compare()
        self._say(ENDED)

    async def _compare(self) -> None:
        """What the arena finds wrong by itself; every replica's copy goes into its workload's history."""
        owners = {topic: workload.name for workload in self._workloads for topic in workload.topics}
        self._examined = True
        anomalies, copies = await self.arena.examine(list(owners))
        self._anomalies += [("", anomaly) for anomaly in anomalies]
        for topic, copy in copies:
            note_copy(self.history.scoped(owners[topic]), topic, copy, self.arena.now_s())

    async def _salvage(self) -> None:
        """Of a run that broke off: why it did may be what nodes have said, and nobody has read."""
        try:
            self._anomalies += [("", anomaly) for anomaly in await self.arena.salvage()]
        except Exception as error:  # noqa: BLE001  the run has failed already
            self._failure = "; ".join([*([self._failure] if self._failure else []), f"salvaging: {_sentence(error)}"])

    async def _faults(self, loads: "Sequence[asyncio.Task[None]]") -> None:
        ends_s = self.arena.now_s() + self.scenario.seconds
        await self.nemesis.run()
        left_s = max(ends_s - self.arena.now_s(), 0.0)
        named = zip(loads, self._workloads, strict=True)
        until = [load for load, workload in named if workload.name == self.scenario.until]
        if until:
            await asyncio.wait(until, timeout=left_s)
        else:
            await asyncio.sleep(left_s)

    @contextlib.asynccontextmanager
    async def _loaded(self) -> "AsyncIterator[list[asyncio.Task[None]]]":
        """The workloads at work, and somebody who looks; both are over behind it."""
        loads = [asyncio.create_task(workload.run()) for workload in self._workloads]
        watching = asyncio.create_task(self._watch())
        try:
            yield [*loads]
        finally:
            for task in [*loads, watching]:
                task.cancel()
            outcomes = await asyncio.gather(*loads, watching, return_exceptions=True)
        if isinstance(outcomes[-1], Exception):
            raise outcomes[-1]

    async def _watch(self) -> None:
        looks = 0
        while True:
            self.arena.check()
            if looks % ROLES_EVERY == 0:
                roles = await self.arena.roles()
                leaders = {f"{topic}/{number}": node for (topic, number), node in sorted(roles.leaders.items())}
                self._say("roles", leaders=leaders, controller=roles.controller, alive=list(roles.alive))
            looks += 1
            await asyncio.sleep(LOOK_S)

    def _say(self, name: str, **value: Any) -> None:
        operation = self._said.invoke("run", name, self.arena.now_s(), **value)
        self._said.end(operation, "run", Kind.OK, name, self.arena.now_s(), **value)

    def _verdict(self, figures: Figures) -> Verdict:
        events = self.history.events
        workloads = self.scenario.workloads
        judged = (judge if self._read_all else judge_unread)(workloads, events)
        return Verdict(
            anomalies=[*self._anomalies, *judged],
            operations=count_operations(events),
            faults=dict(self.nemesis.counts),
            seconds=events[-1].time_s if events else 0.0,
            figures=dict(figures.counts),
            checked=checked(workloads if self._read_all else (), asked(workloads, events)),
            notes=[*figures.notes, *([UNHARMED] if self.scenario.faults and not self.nemesis.counts.total() else [])],
            longest=_longest(events),
            failure=self._failure,
        )


def _longest(events: Sequence[Event]) -> tuple[str, float, float] | None:
    found = worst(unavailable(events, 0.0))
    return None if found is None else (found[0], round(found[1].start_s, 3), round(found[1].seconds, 3))


def note_copy(history: History, topic: str, copy: Copy, now_s: float) -> None:
    """What one replica holds in the end, for the checkers."""
    operation = history.invoke("run", "copy", now_s, topic=topic, node=copy.node)
    history.end(operation, "run", Kind.OK, "copy", now_s, topic=topic, **copy.plain())


async def _while(work: Any, loads: "list[asyncio.Task[None]]") -> None:
    """Do it while the loads are at work: one that fails ends the run at once."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task, *loads], return_when=asyncio.FIRST_COMPLETED)
        while not task.done():
            for load in loads:
                if load.done():
                    load.result()
            going = [load for load in loads if not load.done()]
            await asyncio.wait([task, *going], return_when=asyncio.FIRST_COMPLETED)
        await task
    finally:
        task.cancel()


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error) or 'it took too long'}"
