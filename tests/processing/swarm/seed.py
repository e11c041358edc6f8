"""One seed: an app on a cluster under load and faults, then heal, a fix, a redrive, and the verdict.

Tills sell, with retries that cannot duplicate; now and then a sale is one that the app's first code cannot handle. What
stands in the topic of sales at the end is the truth: each sale has to be counted once by each of two processors, in its
till's order, whatever was killed, cut off, damaged or fenced meanwhile; and the windows have to add up to all of them.
"""

import asyncio
import random
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import msgspec

from chaos.arenas.sim.arena import SimArena
from chaos.arenas.sim.swarm.nemesis import Nemesis
from chaos.arenas.sim.swarm.plan import Plan, draw
from chaos.arenas.sim.swarm.seed import PlannedCluster
from chaos.arenas.sim.swarm.seen import Seen
from cluster.client.client import Client
from cluster.config import ClientOptions, NodeConfig
from cluster.errors import CorruptStorage, RiverrunError
from cluster.processing.app import App
from cluster.processing.internal_topics import tasks_topic
from cluster.processing.ledger import Ledger
from cluster.sim.clock import SimLoop, simulate
from cluster.types import PartitionId
from tests.processing.tasks import shop
from tests.processing.tasks.deployed import CodeNode, a_node, deploy
from tests.processing.tasks.shop import Count, Sale, Total

PARTITIONS = 3
MODULE = "tests.processing.tasks.shop"
STAGES = ("count", "strict", "totals")
SETTLE_S_MAX = 180.0
HOST_FAULTS = ("crash", "hang")


class SeedFailure(Exception):
    """What went wrong, in a sentence."""


class AppCluster(PlannedCluster):
    """Nodes whose code is a module, with the options that the seed drew."""

    def __init__(self, loop: SimLoop, plan: Plan, chance: random.Random) -> None:
        super().__init__(loop, plan)
        self.node_class = type("CodeNode", (CodeNode, self.node_class), {})
        self.processing = {
            "flush_interval_s": chance.choice((0.2, 1.0, 5.0)),
            "lagging_bytes_max": chance.choice((0, 0, 64 << 20)),
            "snapshot_chunk_bytes": chance.choice((200, 1 << 20)),
            "work_records_max": chance.choice((3, 20, 10_000)),
            "uncommitted_works_max": chance.choice((1, 2, 4)),
            "unshipped_bytes_max": chance.choice((2_000, 16 << 20)),
            "work_s_max": 2.0,
        }

    def _config(self, number: int) -> NodeConfig:
        config = super()._config(number)
        return replace(config, processing=replace(config.processing, **self.processing))


class AppSeed:
    """One run."""

    def __init__(self, loop: SimLoop, plan: Plan) -> None:
        self.loop = loop
        self.plan = plan
        self.random = random.Random(loop.random.getrandbits(64))
        self.cluster = AppCluster(loop, plan, self.random)
        self.arena = SimArena(self.cluster, self.random)
        self.outcome = Seen()
        self.nemesis = Nemesis(self.arena, plan, self.outcome)
        self.bad = self.random.choice((0.0, 0.01, 0.05))
        self.stopping = False
        self.sent = 0

    async def run(self) -> Seen:
        """The whole seed; SeedFailure if something is wrong."""
        await self.cluster.start_all()
        await deploy(self.cluster, shop.app, MODULE, PARTITIONS)
        tills = [asyncio.create_task(self._sell(number)) for number in range(3)]
        failing = asyncio.create_task(self._fail_hosts())
        await self.nemesis.run(self.check)
        self.stopping = True
        failing.cancel()
        await self.nemesis.heal()
        await self.arena.start_missing()
        await asyncio.wait_for(asyncio.gather(*tills), SETTLE_S_MAX)
        await asyncio.sleep(2)
        await self._settled(shop.app, strict=False)
        await deploy(self.cluster, shop.mended, MODULE, PARTITIONS, name="mended")
        await self._settled(shop.mended, strict=True)
        for number in range(PARTITIONS):
            self.outcome.counts["redriven"] += await self._redrive(number)
        await self._settled(shop.mended, strict=True)
        await self._windows_closed()
        await self._settled(shop.mended, strict=True)
        await self._judge()
        self.check()
        self.outcome.steps, self.outcome.virtual_s = self.loop.steps, self.loop.now_s
        return self.outcome

    # --- load

    async def _sell(self, number: int) -> None:
        options = ClientOptions(delivery_timeout_s=300.0, linger_s=0.0)
        client = self.cluster.client(f"till-{number}", options)
        names = [f"{number}.{till}" for till in range(3)]
        while not self.stopping:
            sale = Sale(self.random.choice(names), self.sent, bad=self.random.random() < self.bad)
            self.sent += 1
            time_ns = int((1_800_000_000 + self.loop.now_s) * 1e9)
            await client.produce("sales", msgspec.json.encode(sale), key=sale.till.encode(), timestamp_ns=time_ns)
            await asyncio.sleep(self.random.random() * self.plan.think_s)
        await client.flush()
        self.outcome.acknowledged = self.outcome.sent = self.sent
        await client.abandon()

    async def _fail_hosts(self) -> None:
        while True:
            await asyncio.sleep(self.random.uniform(0.5, 1.5) * self.plan.every_s)
            node = self.random.choice(self.cluster.nodes)
            if self.random.choice(HOST_FAULTS) == "crash":
                self.cluster.user_code[node].crash_next_work(after=self.random.randint(0, 3))
            else:
                self.cluster.user_code[node].hang_next_work(self.random.choice((0.5, 3.0)))
            self.outcome.counts["host_faults"] += 1

    # --- checks

    def check(self) -> None:
        """No node ended by itself."""
        for node, error in self.cluster.fatal:
            if not isinstance(error, CorruptStorage):
                raise SeedFailure(f"node {node} ended by itself: {error!r}")

    async def _settled(self, app: App, *, strict: bool) -> None:
        """All tasks have read all there is, and everything is at its destination."""
        end_s = self.loop.now_s + SETTLE_S_MAX
        waits = ""
        while self.loop.now_s < end_s:
            waits = self._waits_for(app, strict=strict)
            if not waits:
                return
            await asyncio.sleep(0.5)
            self.check()
        raise SeedFailure(f"the tasks were not done in time: {waits}")

    def _waits_for(self, app: App, *, strict: bool) -> str:
        for name in STAGES:
            if name == "strict" and not strict and self.bad:
                continue
            for number in range(PARTITIONS):
                why = self._task_waits_for(app, name, number)
                if why:
                    return f"{name}/{number} {why}"
        return ""

    async def _windows_closed(self) -> None:
        """The tills are idle for long enough."""
        end_s = self.loop.now_s + SETTLE_S_MAX
        while self.loop.now_s < end_s:
            timers = [self._totals_ledger(number) for number in range(PARTITIONS)]
            if all(ledger is not None and not len(ledger.timers) for ledger in timers):
                return
            await asyncio.sleep(1)
        raise SeedFailure("the windows did not close, though nothing comes any more")

    def _totals_ledger(self, number: int) -> Ledger | None:
        topic = a_node(self.cluster).broker.directory.by_name[tasks_topic("shop", "totals", 1)]
        partition = PartitionId(topic.id, number)
        leader = self._leader(partition)
        return leader.broker.running[partition].replica.log.fold.machine if leader is not None else None

    def _task_waits_for(self, app: App, name: str, number: int) -> str:
        directory = a_node(self.cluster).broker.directory
        log = PartitionId(directory.by_name[tasks_topic(app.name, name, 1)].id, number)
        sales = PartitionId(directory.by_name["sales"].id, number)
        leader = self._leader(log)
        copies = [node.broker.running.get(sales) for node in self.cluster.running.values()]
        end = max(copy.replica.readers.end for copy in copies if copy is not None)
        leading = leader.tasks.leading(log) if leader is not None and leader.tasks is not None else None
        if leading is None or leading.shipper is None or leading.working is None:
            return "is not led" if leading is None else f"is {leading.state}: {leading.why}"
        ledger = leading.ledger
        if ledger.positions.get(sales) != end:
            return f"is at {ledger.positions.get(sales)} of {end}"
        if leading.working.has_unapplied or leading.shipper.shipping.shipped_upto < ledger.n:
            return f"has shipped {leading.shipper.shipping.shipped_upto} of {ledger.n}"
        return ""

    def _leader(self, partition: PartitionId) -> Any:
        for node in self.cluster.running.values():
            running = node.broker.running.get(partition)
            if running is not None and running.replica.raft.is_leader:
                return node
        return None

    async def _redrive(self, number: int) -> int:
        total = 0
        for _ in range(100):
            directory = a_node(self.cluster).broker.directory
            log = PartitionId(directory.by_name[tasks_topic("shop", "count", 1)].id, number)
            leader = self._leader(log)
            try:
                if leader is not None:
                    total += await leader.tasks.redrive(log)
                    return total
            except RiverrunError:
                pass
            await asyncio.sleep(0.5)
        raise SeedFailure(f"the dead letters of task {number} cannot be handled")

    async def _judge(self) -> None:
        client = self.cluster.client("judge")
        sales = await self._read(client, "sales", Sale)
        if len(sales) != self.sent:
            raise SeedFailure(f"{self.sent} sales were sent, and {len(sales)} are there")
        expected: dict[str, list[int]] = defaultdict(list)
        for sale in sales:
            expected[sale.till].append(sale.number)
        for topic in ("counts", "strict-counts"):
            self._compare(topic, expected, await self._read(client, topic, Count))
        await self._judge_windows(len(sales), await self._read(client, "totals", Total))
        await client.abandon()
        for node in self.cluster.running.values():
            self.outcome.counts["states_fetched"] += node.tasks.fetched if node.tasks is not None else 0
        self.outcome.counts["processes_ended"] += sum(hosts.crashes for hosts in self.cluster.user_code.values())
        self.outcome.counts.update(self.arena.counts)
        self.outcome.counts["elections"] = len(self.cluster.invariants.leaders)

    async def _read(self, client: Client, topic: str, kind: type) -> list[Any]:
        decode = msgspec.json.Decoder(kind).decode
        return [decode(record.value) async for record in client.read(topic, start="earliest", until="latest")]

    @staticmethod
    def _compare(topic: str, expected: dict[str, list[int]], counts: list[Count]) -> None:
        """Each sale once, and its number is its place among those of its till."""
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for count in counts:
            found[count.till].append((count.count, count.number))
        for till, numbers in expected.items():
            wanted = list(enumerate(numbers, 1))
            if sorted(found[till]) != wanted:
                differs = set(found[till]) ^ set(wanted)
                raise SeedFailure(
                    f"{topic}: till {till} has {len(numbers)} sales and {len(found[till])} counts; "
                    f"they differ in {sorted(differs)[:6]}"
                )

    async def _judge_windows(self, sales: int, totals: list[Total]) -> None:
        windows = Counter((total.till, total.start) for total in totals)
        twice = [window for window, times in windows.items() if times > 1]
        if twice:
            raise SeedFailure(f"windows closed twice: {twice[:3]}")
        late = 0
        for number in range(PARTITIONS):
            ledger = self._totals_ledger(number)
            assert ledger is not None, "its windows are closed"
            late += ledger.counts.get("late", 0)
        counted = sum(total.sales for total in totals)
        self.outcome.counts["late"] += late
        if counted + late != sales:
            raise SeedFailure(f"{sales} sales; the windows have {counted}, and {late} came late")


def run_seed(seed: int) -> Seen:
    """One seed from its number; SeedFailure if something is wrong."""

    async def work() -> Seen:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        plan = draw(random.Random(seed))
        plan = replace(plan, load_s=30.0, every_s=plan.every_s / 4)
        return await AppSeed(loop, plan).run()

    return simulate(work(), seed)[0]
