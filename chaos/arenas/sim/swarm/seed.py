"""One seed: a whole cluster under load and faults in virtual time, then heal, progress, comparison, and the verdict.

Checked after every turn of every replica: the invariants. Twice a second, after every fault and at the end: no node
ended by itself. At the end: clients' histories (chaos.checkers), all replicas equal, in memory and on disk.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from chaos.arenas.sim.arena import SimArena
from chaos.arenas.sim.cluster import CheckedCluster
from chaos.arenas.sim.swarm.nemesis import Nemesis
from chaos.arenas.sim.swarm.plan import Plan, draw
from chaos.arenas.sim.swarm.seen import Seen
from chaos.checkers.anomaly import Anomaly
from chaos.checkers.groups import redelivered
from chaos.history import History
from chaos.run import note_copy
from chaos.verdict import count_operations
from chaos.workloads.groups import GroupsWorkload
from cluster.records import EntryKind
from cluster.sim.clock import SimLoop, simulate

HEAL_S_MAX = 60.0
WATCH_S = 0.5


class SeedFailure(Exception):
    """What went wrong, in a sentence."""


class PlannedCluster(CheckedCluster):
    """Nodes with the options that the seed drew."""

    @classmethod
    def planned(cls, plan: Plan) -> Plan:
        """What a seed drew, as it is; tests that look for one bug say more of it."""
        return plan

    def __init__(self, loop: SimLoop, plan: Plan) -> None:
        super().__init__(loop, nodes=plan.nodes, latency_s=plan.latency_s, adjust=plan.adjust)
        self.plan = plan
        for disk in self.disks.values():
            disk.torn = plan.torn


class Seed:
    """One run. Which of two things that are ready comes first is drawn by their places: what begins when is fixed."""

    def __init__(self, loop: SimLoop, plan: Plan, cluster_class: type[PlannedCluster]) -> None:
        self.loop = loop
        self.plan = plan
        chance = random.Random(loop.random.getrandbits(64))
        self.cluster = cluster_class(loop, plan)
        self.arena = SimArena(self.cluster, chance)
        self.history = History()
        self.outcome = Seen()
        self.nemesis = Nemesis(self.arena, plan, self.outcome)
        self.work = GroupsWorkload(self.arena, self.history, plan.load)
        self._watching: asyncio.Task[None] | None = None

    async def run(self) -> Seen:
        """The whole seed; SeedFailure if something is wrong, or what the watcher saw, for that was first."""
        try:
            return await self._steps()
        finally:
            self.arena.dropped.over()
            watching = self._watching
            if watching is not None and watching.done() and not watching.cancelled():
                watching.result()

    async def _steps(self) -> Seen:
        await self.cluster.start_all()
        admin = self.cluster.client("admin")
        await self.arena.ready(admin)
        await self.work.make_topic(admin)
        clients = [asyncio.create_task(client) for client in self.work.senders()]
        self._watching = asyncio.create_task(self._watch())
        clients += [asyncio.create_task(client) for client in self.work.others()]
        await self.nemesis.run(self.arena.check)
        await self.nemesis.heal()
        await self.arena.heal()
        await self._progress(clients)
        await self.work.finish()
        anomalies, copies = await self.arena.examine(self.work.topics)
        for topic, copy in copies:
            note_copy(self.history, topic, copy, self.loop.now_s)
        self._watching.cancel()
        anomalies += self.work.judge(self.history.events, self.plan.load)
        if anomalies:
            raise SeedFailure(_told(anomalies))
        await self._count()
        return self.outcome

    async def _progress(self, clients: "list[asyncio.Task[None]]") -> None:
        before = self.work.load.counts["acknowledged"]
        await asyncio.sleep(self.plan.progress_s)
        self.work.stop()
        await asyncio.wait_for(asyncio.gather(*clients), HEAL_S_MAX)
        if self.work.load.counts["acknowledged"] <= before:
            raise SeedFailure("no progress after everything was healed")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            self.arena.check()
            self.nemesis.start_again()

    async def _count(self) -> None:
        seen, counts = self.outcome, self.outcome.counts
        seen.steps, seen.virtual_s = self.loop.steps, self.loop.now_s
        counts.update(self.work.load.counts)
        seen.sent, seen.acknowledged = counts.pop("sent", 0), counts.pop("acknowledged", 0)
        counts.update((await self.arena.stop()).counts)
        seen.operations.update(count_operations(self.history.events))
        counts["redelivered"] = redelivered(self.history.events)
        for running in self.cluster.running.values():
            for run in running.broker.running.values():
                log = run.replica.log
                counts["trimmed"] += log.first_index > 1
                counts["doubtful_tail"] += bool(log.recovered.doubts)
                counts["recovered_damage"] += log.recovered.recovering
                entries: Any = log.entries(
                    log.first_index, last=run.replica.raft.commit, bytes_max=1 << 40, count_max=1 << 40
                )
                counts["no_ops"] += sum(entry.kind is EntryKind.NO_OP for entry in entries)


def _told(anomalies: list[Anomaly]) -> str:
    return "; ".join(f"{anomaly.name}: {anomaly.detail}" for anomaly in anomalies[:3])


def run_seed(
    seed: int,
    cluster_class: type[PlannedCluster] = PlannedCluster,
    draw: Callable[[random.Random], Plan] = draw,
) -> Seen:
    """One seed from its number, with what is drawn for it; SeedFailure if something is wrong."""

    async def work() -> Seen:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        return await Seed(loop, cluster_class.planned(draw(random.Random(seed))), cluster_class).run()

    return simulate(work(), seed)[0]
