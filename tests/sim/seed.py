"""One seed: a whole cluster under load and faults in virtual time, then heal, progress, comparison, and the verdict.

Checked after every turn of every replica: the `invariants`. Twice a second, after every fault and at the end: no node
ended by itself. At the end: clients' histories (chaos.checkers), all replicas equal, in memory and on disk.
"""

import asyncio
import random
from collections import Counter
from dataclasses import replace

from chaos.checkers.groups import check_group, redelivered
from chaos.checkers.log import check_log
from chaos.history import History, Kind
from cluster.broker.groups.state import Groups
from cluster.client.client import Client
from cluster.client.decoding import ReadRecord
from cluster.client.delivery import Delivery
from cluster.client.verifying import CopyState
from cluster.config import ClientOptions, NodeConfig
from cluster.errors import CorruptStorage, OffsetConflict, OffsetOutOfRange, Outcome, RiverrunError
from cluster.metadata import TopicConfig
from cluster.node import Node
from cluster.records import EntryKind
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.types import PartitionId
from tests.sim.group_load import GroupLoad
from tests.sim.invariants import CheckedReplica, Invariants, look_at_all
from tests.sim.nemesis import Nemesis
from tests.sim.seen import Seen
from tests.sim.swarm import Plan, draw

TOPIC = "t"
READY_S_MAX = 30.0
HEAL_S_MAX = 60.0
VERIFIED = 5
"""Records of each partition whose copies are looked at on all disks at the end."""
WRONG_SHARE = 0.2
"""Of the conditions: they expect more than is there, and may come true while the request is under way."""


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
        self.stopping = False
        self.nemesis = Nemesis(loop, plan, self.cluster, self.random, self.outcome)
        self.group = GroupLoad(loop, self.cluster, TOPIC, self.history, self.outcome, self.random, cut_off=plan.cut_off)

    async def run(self) -> Seen:
        """The whole seed; SeedFailure if something is wrong."""
        await self.cluster.start_all()
        admin = self.cluster.client("admin")
        await self._ready(admin)
        await admin.create_topic(TOPIC, partitions=self.plan.partitions, replicas=3, config=self.plan.limits)
        producers = [asyncio.create_task(self._produce(number)) for number in range(self.plan.producers)]
        producers += [asyncio.create_task(self._append(number)) for number in range(self.plan.appenders)]
        watcher = asyncio.create_task(self._watch())
        others = [asyncio.create_task(self._delete())] if self.plan.deletes_every_s else []
        readers = [asyncio.create_task(self._read(number)) for number in range(self.plan.readers)]
        members = [asyncio.create_task(self.group.member(number)) for number in range(self.plan.members)]
        await self.nemesis.run(self.check)
        await self._heal()
        before = self.outcome.acknowledged
        await asyncio.sleep(5)
        self.stopping = self.group.stopping = True
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

    # --- load

    async def _produce(self, number: int) -> None:
        options = ClientOptions(linger_s=self.plan.linger_s, delivery_timeout_s=200.0)
        client = self.cluster.client(f"producer-{number}", options)
        pending: set[asyncio.Task[None]] = set()
        count = 0
        while not self.stopping:
            for _ in range(self.random.randint(1, 6)):
                value, key = f"{number}.{count}", f"k{self.random.randrange(12)}"
                count += 1
                partition = _partition(key, self.plan.partitions)
                operation = self.history.invoke(
                    f"p{number}", "send", self.loop.now_s, partition=partition, key=key, value=value
                )
                self.outcome.sent += 1
                try:
                    delivery = await client.produce(TOPIC, value.encode(), key=key.encode())
                except RiverrunError as error:
                    self._ended(operation, f"p{number}", error)
                    continue
                task = asyncio.create_task(self._await(operation, f"p{number}", delivery))
                pending.add(task)
                task.add_done_callback(pending.discard)
            await asyncio.sleep(self.random.uniform(0.05, self.plan.think_s))
            while len(pending) > 200:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if pending:
            await asyncio.wait(pending)
        await client.abandon()

    async def _await(self, operation: int, process: str, delivery: Delivery) -> None:
        try:
            receipt = await delivery
        except RiverrunError as error:
            self._ended(operation, process, error)
            return
        self.outcome.acknowledged += 1
        self.outcome.counts["duplicate_answered"] += receipt.duplicate
        self.history.end(operation, process, Kind.OK, "send", self.loop.now_s, offset=receipt.offset)

    async def _append(self, number: int) -> None:
        """Read the end, append if it is still there; one after the other."""
        client = self.cluster.client(f"appender-{number}", ClientOptions(delivery_timeout_s=20.0))
        process, count = f"a{number}", 0
        while not self.stopping:
            await asyncio.sleep(self.random.uniform(0.1, self.plan.think_s))
            partition, value = self.random.randrange(self.plan.partitions), f"a{number}.{count}"
            count += 1
            try:
                end = (await client.offsets(TOPIC, [partition]))[partition].end
            except RiverrunError:
                continue
            end += self.random.random() < WRONG_SHARE
            place = {"partition": partition, "key": "c", "value": value, "expected_end": end}
            operation = self.history.invoke(process, "send", self.loop.now_s, **place)
            self.outcome.sent += 1
            try:
                receipt = await client.publish(TOPIC, value.encode(), key=b"c", partition=partition, expected_end=end)
            except RiverrunError as error:
                self.outcome.counts["conflict"] += isinstance(error, OffsetConflict)
                self._ended(operation, process, error)
                continue
            self.outcome.acknowledged += 1
            self.outcome.counts["appended_on_condition"] += 1
            self.history.end(operation, process, Kind.OK, "send", self.loop.now_s, offset=receipt.offset)
        await client.abandon()

    async def _read(self, number: int) -> None:
        """Follow partitions while everything happens; what was read before an error was read all the same."""
        client = self.cluster.client(f"reader-{number}")
        process, positions = f"r{number}", Counter[int]()
        while not self.stopping:
            await asyncio.sleep(self.random.uniform(0.1, 2 * self.plan.think_s))
            partition = self.random.randrange(self.plan.partitions)
            operation = self.history.invoke(process, "read", self.loop.now_s, partition=partition)
            records, told = [], {}
            try:
                async with asyncio.timeout(20):
                    async for record in client.read(
                        TOPIC, partitions=[partition], start=positions[partition], until="latest"
                    ):
                        records.append(_plain(record))  # noqa: PERF401  what came before an error counts
            except OffsetOutOfRange as error:
                self.outcome.counts["read_out_of_range"] += 1
                told = {"first": int(error.metadata["first"])}
            except (RiverrunError, TimeoutError):
                self.outcome.counts["reads_broken"] += 1
            positions[partition] = max(records[-1][0] + 1 if records else positions[partition], *told.values(), 0)
            self.outcome.counts["records_read"] += len(records)
            self.history.end(
                operation, process, Kind.OK, "read", self.loop.now_s, partition=partition, records=records, **told
            )
        await client.abandon()

    async def _delete(self) -> None:
        """Now and then somebody deletes records, from the beginning to anywhere."""
        client = self.cluster.client("deleter")
        while not self.stopping:
            await asyncio.sleep(self.random.uniform(0.1, 2 * self.plan.deletes_every_s))
            partition = self.random.randrange(self.plan.partitions)
            try:
                place = (await client.offsets(TOPIC, [partition]))[partition]
            except RiverrunError:
                continue
            before = self.random.randint(place.first, place.end)
            operation = self.history.invoke("d", "delete", self.loop.now_s, partition=partition, before=before)
            kind = Kind.OK
            try:
                first = await client.delete_records(TOPIC, partition, before=before)
                if first < before:
                    raise SeedFailure(f"deleted before {before}, and told that {first} is left")
            except RiverrunError as error:
                kind = Kind.INFO if error.outcome is Outcome.UNKNOWN else Kind.FAIL
            self.outcome.counts["deleted"] += kind is Kind.OK
            self.history.end(operation, "d", kind, "delete", self.loop.now_s, partition=partition, before=before)
        await client.abandon()

    def _ended(self, operation: int, process: str, error: RiverrunError) -> None:
        kind = Kind.INFO if error.outcome is Outcome.UNKNOWN else Kind.FAIL
        self.history.end(operation, process, kind, "send", self.loop.now_s, error=error.reason)

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
                return
            await asyncio.sleep(0.2)
        raise SeedFailure(f"replicas did not become equal: {states}")

    async def _read_all(self, client: Client) -> None:
        for partition in range(self.plan.partitions):
            number = self.history.invoke("final", "read", self.loop.now_s, partition=partition)
            while True:
                first = (await client.offsets(TOPIC, [partition]))[partition].first
                reader = client.read(TOPIC, partitions=[partition], start=first, until="latest")
                try:
                    records = [_plain(record) async for record in reader]
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
        if any(copy.state is CopyState.TRIMMED for copy in found.copies) and self.plan.limits != TopicConfig():
            return  # its limits have deleted it since it was read
        if not found.is_safe or {copy.state for copy in found.copies} != {CopyState.HELD}:
            raise SeedFailure(f"partition {partition}: {found.verdict()}: {found.copies}")
        self.outcome.counts["receipts_verified"] += 1

    def _judge(self) -> None:
        anomalies = check_log(self.history.events, retention=self.plan.limits != TopicConfig())
        anomalies += check_group(self.history.events)
        if anomalies:
            raise SeedFailure("; ".join(f"{a.name}: {a.detail}" for a in anomalies[:3]))
        counts = self.outcome.counts
        counts["elections"] = len(self.cluster.invariants.leaders)
        counts["turns"] = self.cluster.invariants.turns
        counts["redelivered"] = redelivered(self.history.events)
        counts["reinstalled"] = self.cluster.invariants.reinstalled
        for running in self.cluster.running.values():
            for run in running.broker.running.values():
                counts["trimmed"] += run.replica.log.first_index > 1
                counts["doubtful_tail"] += run.replica.log.recovered.doubtful is not None
                counts["recovered_damage"] += run.replica.log.recovered.recovering
                counts["no_ops"] += sum(
                    entry.kind is EntryKind.NO_OP
                    for entry in run.replica.log.entries(
                        run.replica.log.first_index, last=run.replica.raft.commit, bytes_max=1 << 40, count_max=1 << 40
                    )
                )


def _plain(record: ReadRecord) -> list[int | str]:
    """As histories have it."""
    return [record.offset, (record.key or b"").decode(), record.value.decode()]


def _partition(key: str, partitions: int) -> int:
    from cluster.client.routing import partition_of_key  # noqa: PLC0415

    return partition_of_key(key.encode(), partitions)


def run_seed(seed: int, cluster_class: type[PlannedCluster] = PlannedCluster) -> Seen:
    """One seed from its number; SeedFailure if something is wrong."""

    async def work() -> Seen:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        return await Seed(loop, draw(random.Random(seed)), cluster_class).run()

    return simulate(work(), seed)[0]
