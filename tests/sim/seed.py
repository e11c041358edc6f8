"""One seed: a whole cluster under load and faults in virtual time, then heal, progress, comparison, and the verdict.

Checked after every turn of every replica: the `invariants`. Twice a second, after every fault and at the end: no node
ended by itself. At the end: clients' histories (chaos.checkers), all replicas equal, in memory and on disk.
"""

import asyncio
import random
from dataclasses import replace

from chaos.checkers.groups import check_group, redelivered
from chaos.checkers.log import check_log
from chaos.history import History, Kind
from cluster.broker.groups.state import Groups
from cluster.broker.replica import Replica
from cluster.client.client import Client
from cluster.client.verifying import CopyState
from cluster.config import NodeConfig
from cluster.errors import CorruptStorage, OffsetOutOfRange, RiverrunError
from cluster.node import Node
from cluster.records import EntryKind
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.types import PartitionId
from tests.sim.contents import first_difference, table_of
from tests.sim.group_load import GroupLoad
from tests.sim.invariants import CheckedReplica, Invariants, look_at_all
from tests.sim.load import TOPIC, Load, plain
from tests.sim.nemesis import Nemesis
from tests.sim.seen import Seen
from tests.sim.swarm import Plan, draw

READY_S_MAX = 30.0
HEAL_S_MAX = 60.0
VERIFIED = 5
"""Records of each partition whose copies are looked at on all disks at the end."""


class SeedFailure(Exception):
    """What went wrong, in a sentence."""


class PlannedCluster(SimCluster):
    """Nodes with the options that the seed drew, their replicas looked at after every turn."""

    replica_class: type[CheckedReplica] = CheckedReplica
    groups_class: type[Groups] = Groups

    def __init__(self, loop: SimLoop, plan: Plan) -> None:
        super().__init__(loop, nodes=plan.nodes, latency_s=plan.latency_s)
        self.plan = plan
        self.invariants = Invariants()
        looked_at = type("LookedAt", (self.replica_class,), {"invariants": self.invariants})
        planted = {"replica_class": looked_at, "groups_class": self.groups_class}
        self.node_class = type("CheckedNode", (Node,), planted)
        for disk in self.disks.values():
            disk.torn = plan.torn

    def _config(self, number: int) -> NodeConfig:
        config = super()._config(number)
        return replace(
            config,
            raft=replace(
                config.raft,
                pre_vote=self.plan.pre_vote,
                idle_ticks_before_sleep=self.plan.idle_ticks,
                entries_per_append_max=self.plan.entries_per_append,
            ),
            broker=replace(
                config.broker,
                tick_s=self.plan.tick_s,
                retention_check_s=1.0,
                segment_age_s_min=1.0,
                group_partitions=1,
                compaction_check_s=1.0,
                compaction_chunk_bytes=1_000,
                compaction_keys_max=self.plan.compaction_keys,
            ),
            log=replace(
                config.log,
                segment_bytes_max=self.plan.log_bytes,
                folded_segment_bytes_max=self.plan.folded_segment_bytes,
                allocate_bytes_min=4096,
            ),
        )


class Seed:
    """One run."""

    def __init__(self, loop: SimLoop, plan: Plan, cluster_class: type[PlannedCluster]) -> None:
        self.loop = loop
        self.plan = plan
        self.random = random.Random(loop.random.getrandbits(64))
        self.cluster = cluster_class(loop, plan)
        self.history = History()
        self.outcome = Seen()
        self.nemesis = Nemesis(loop, plan, self.cluster, self.random, self.outcome)
        self.load = Load(loop, plan, self.cluster, self.history, self.outcome, self.random)
        self.group = GroupLoad(loop, self.cluster, TOPIC, self.history, self.outcome, self.random, cut_off=plan.cut_off)

    async def run(self) -> Seen:
        """The whole seed; SeedFailure if something is wrong."""
        await self.cluster.start_all()
        admin = self.cluster.client("admin")
        await self._ready(admin)
        await admin.create_topic(TOPIC, partitions=self.plan.partitions, replicas=3, config=self.plan.limits)
        producers = [asyncio.create_task(self.load.produce(number)) for number in range(self.plan.producers)]
        producers += [asyncio.create_task(self.load.append(number)) for number in range(self.plan.appenders)]
        watcher = asyncio.create_task(self._watch())
        others = [asyncio.create_task(self.load.delete())] if self.plan.deletes_every_s else []
        others += [asyncio.create_task(self.load.remake())] if self.plan.remakes else []
        readers = [asyncio.create_task(self.load.read(number)) for number in range(self.plan.readers)]
        members = [asyncio.create_task(self.group.member(number)) for number in range(self.plan.members)]
        await self.nemesis.run(self.check)
        await self._heal()
        before = self.outcome.acknowledged
        await asyncio.sleep(5)
        self.load.stopping = self.group.stopping = True
        await asyncio.wait_for(asyncio.gather(*producers, *readers, *others, *members), HEAL_S_MAX)
        if self.outcome.acknowledged <= before:
            raise SeedFailure("no progress after everything was healed")
        if members:
            await self.group.finish()
        await self._equal()
        await self._read_all(self.cluster.client("final"))
        watcher.cancel()
        self._judge()
        self.outcome.steps, self.outcome.virtual_s = self.loop.steps, self.loop.now_s
        return self.outcome

    async def _heal(self) -> None:
        await self.nemesis.heal()
        await self._ready(self.cluster.client("healer"))

    # --- checks

    async def _ready(self, client: Client) -> None:
        end_s = self.loop.now_s + READY_S_MAX
        last = "no answer"
        while self.loop.now_s < end_s:
            try:
                view = await client.cluster_status()
                last = (
                    f"{view.controller}, {[(node.node, node.alive) for node in view.nodes]}, {self.outcome.trace[-5:]}"
                )
                if view.controller and len(view.nodes) == self.plan.nodes and all(node.alive for node in view.nodes):
                    await client.abandon()
                    return
            except RiverrunError:
                pass
            await asyncio.sleep(0.1)
        raise SeedFailure(f"the cluster was not ready in time at {self.loop.now_s:.1f} s: {last}")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.check()

    def check(self) -> None:
        """The invariants so far; no node ended by itself."""
        look_at_all(self.cluster, self.cluster.invariants)
        for node, error in self.cluster.fatal:
            if not isinstance(error, CorruptStorage):
                raise SeedFailure(f"node {node} ended by itself: {error!r}")

    async def _equal(self) -> None:
        """All replicas come to hold the same committed entries."""
        end_s = self.loop.now_s + HEAL_S_MAX
        while self.loop.now_s < end_s:
            states: dict[PartitionId, set[tuple[int, int, int, bytes]]] = {}
            for running in self.cluster.running.values():
                for partition, run in running.broker.running.items():
                    raft, log = run.replica.raft, run.replica.log
                    folded = log.fold.machine.encode() if log.fold.machine is not None else b""
                    states.setdefault(partition, set()).add((raft.commit, raft.last_index, log.start_offset, folded))
            if len(states) >= self.plan.partitions and all(
                len(found) == 1 and len(set(next(iter(found))[:2])) == 1 for found in states.values()
            ):
                self.check()
                self._same_tables()
                return
            await asyncio.sleep(0.2)
        raise SeedFailure(f"replicas did not become equal: {states}")

    def _same_tables(self) -> None:
        """A key that was deleted is deleted everywhere, and whoever compacted has lost nothing else."""
        replicas: dict[PartitionId, list[Replica]] = {}
        for running in self.cluster.running.values():
            for partition, run in running.broker.running.items():
                if run.config.compacted:
                    replicas.setdefault(partition, []).append(run.replica)
        for partition, copies in replicas.items():
            differs = first_difference([table_of(replica) for replica in copies])
            if differs is not None:
                raise SeedFailure(f"partition {partition.number}: key {differs[0]!r} is {differs[1]} on its replicas")

    async def _read_all(self, client: Client) -> None:
        for partition in range(self.plan.partitions):
            number = self.history.invoke("final", "read", self.loop.now_s, partition=partition)
            while True:
                first = (await client.offsets(TOPIC, [partition]))[partition].first
                reader = client.read(TOPIC, partitions=[partition], start=first, until="latest")
                try:
                    records = [plain(record) async for record in reader]
                except OffsetOutOfRange:
                    continue  # trimmed in between
                break
            self.history.end(
                number, "final", Kind.OK, "read", self.loop.now_s, partition=partition, records=records, first=first
            )
            for record in self.random.sample(records, min(len(records), VERIFIED)):
                await self._verify(client, partition, int(record[0]))
        await client.abandon()

    async def _verify(self, client: Client, partition: int, offset: int) -> None:
        """Every replica has it on its disk, with one checksum."""
        found = await client.verify(TOPIC, partition, offset)
        if any(copy.state is CopyState.TRIMMED for copy in found.copies) and self.plan.has_retention:
            return  # its limits have deleted it since it was read
        if not found.is_safe or {copy.state for copy in found.copies} - {CopyState.HELD, CopyState.COMPACTED}:
            raise SeedFailure(f"partition {partition}: {found.verdict()}: {found.copies}")
        self.outcome.counts["receipts_verified"] += 1

    def _judge(self) -> None:
        compaction = {"compacted": bool(self.plan.limits.compacted), "tombstone_s": self.plan.tombstone_s}
        anomalies = check_log(self.history.events, retention=self.plan.has_retention, **compaction)
        anomalies += check_group(self.history.events, **compaction)
        if anomalies:
            raise SeedFailure("; ".join(f"{a.name}: {a.detail}" for a in anomalies[:3]))
        counts = self.outcome.counts
        counts["elections"] = len(self.cluster.invariants.leaders)
        counts["turns"] = self.cluster.invariants.turns
        counts["redelivered"] = redelivered(self.history.events)
        counts["reinstalled"] = self.cluster.invariants.reinstalled
        counts.update(self.cluster.invariants.counts)
        for running in self.cluster.running.values():
            for run in running.broker.running.values():
                counts["trimmed"] += run.replica.log.first_index > 1
                counts["doubtful_tail"] += bool(run.replica.log.recovered.doubts)
                counts["recovered_damage"] += run.replica.log.recovered.recovering
                counts["no_ops"] += sum(
                    entry.kind is EntryKind.NO_OP
                    for entry in run.replica.log.entries(
                        run.replica.log.first_index, last=run.replica.raft.commit, bytes_max=1 << 40, count_max=1 << 40
                    )
                )


def run_seed(seed: int, cluster_class: type[PlannedCluster] = PlannedCluster) -> Seen:
    """One seed from its number; SeedFailure if something is wrong."""

    async def work() -> Seen:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        return await Seed(loop, draw(random.Random(seed)), cluster_class).run()

    return simulate(work(), seed)[0]
