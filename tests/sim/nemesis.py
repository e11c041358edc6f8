"""What goes wrong in a seed: faults as its plan has them, aimed at whoever leads most or at anybody; and their end."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from functools import partial

from cluster.log.frame import MAGIC
from cluster.sim.clock import SimClock, SimLoop
from cluster.sim.cluster import SimCluster
from tests.sim.seen import Seen
from tests.sim.swarm import Plan

ROOMY_BYTES = 1 << 40
MID_WRITE_OPERATIONS = 12
"""Of a disk: within so many more its power goes."""
FRAME_MAGIC = MAGIC.to_bytes(4, "little")
HEAD_SHARE = 0.3
"""Of the damages to a log of several segments: the head of its first one."""
HEAD_BYTES = 60
CUT_SHARE = 0.3
"""Of the damages to a file: it ends before its last frame, as if that had never been written."""


class Nemesis:
    """Breaks one cluster; what it did is counted and told in `outcome`."""

    def __init__(self, loop: SimLoop, plan: Plan, cluster: SimCluster, chance: random.Random, outcome: Seen) -> None:
        self.loop = loop
        self.plan = plan
        self.cluster = cluster
        self.random = chance
        self.outcome = outcome
        self.flipped: set[int] = set()
        self._restarting: dict[int, asyncio.Task[None]] = {}

    async def run(self, check: Callable[[], None]) -> None:
        """Fault after fault, as the plan has it, while the load lasts; `check` after each."""
        end_s = self.loop.now_s + self.plan.load_s
        while self.loop.now_s < end_s:
            await asyncio.sleep(self.random.uniform(0.3, 1.7) * self.plan.every_s)
            await getattr(self, f"_fault_{self.random.choice(self.plan.faults)}")()
            check()

    def _target(self) -> int:
        leading = Counter(
            node
            for node, run in self.cluster.running.items()
            for r in run.broker.running.values()
            if r.replica.raft.is_leader
        )
        if leading and self.random.random() < self.plan.aim_at_leader:
            return leading.most_common(1)[0][0]
        return self.random.choice(self.cluster.nodes)

    def _note(self, fault: str, detail: object = "") -> None:
        self.outcome.counts[f"fault_{fault}"] += 1
        self.outcome.trace.append(f"{self.loop.now_s:9.3f} {fault} {detail}")

    async def _fault_crash(self) -> None:
        node = self._target()
        if node in self.cluster.running and not self._is_restarting(node):
            self._note("crash", node)
            self._fail_power(node, off_s=self.random.choice((0.05, 1.0, 6.0)))

    async def _fault_power_loss(self) -> None:
        self._note("power_loss")
        for node in list(self.cluster.running):
            if self._is_restarting(node):
                self.cluster.crash(node)
            else:
                self._fail_power(node, off_s=self.random.uniform(0.01, 2.0))

    def _is_restarting(self, node: int) -> bool:
        """Whether its power has failed, or is about to, and somebody is there who starts it again."""
        return node in self._restarting and not self._restarting[node].done()

    def _fail_power(self, node: int, off_s: float) -> None:
        """At once, or in the middle of what its disk does next; back after `off_s`, which may meet the same fate."""
        running = self.cluster.running[node]
        if self.random.random() < self.plan.mid_write:
            self.cluster.crash_in_mid_write(node, self.random.randint(0, MID_WRITE_OPERATIONS))
        else:
            self.cluster.crash(node)

        async def off_and_on() -> None:
            await asyncio.sleep(off_s)
            if self.cluster.running.get(node) is running:
                self.cluster.crash(node)  # its disk did nothing
            again = self.random.random() < self.plan.mid_write / 4
            if again:
                self.cluster.crash_in_mid_write(node, self.random.randint(0, MID_WRITE_OPERATIONS))
            while not await self._start(node):
                self.outcome.trace.append(f"{self.loop.now_s:9.3f} its power went again at the start {node}")

        self._restarting[node] = asyncio.create_task(off_and_on())
        self._restarting[node].add_done_callback(partial(self._back, node))

    def _back(self, node: int, done: "asyncio.Task[None]") -> None:
        if error := done.exception():
            self.cluster.fatal.append((node, error))

    async def _start(self, node: int) -> bool:
        self.outcome.counts["restart"] += 1
        return await self.cluster.start(node)

    async def _fault_cut(self) -> None:
        one, other = self.random.sample(self.cluster.nodes, 2)
        self._note("cut", (one, other))
        self.cluster.cut(one, other)
        self.loop.call_later(self.random.uniform(1, 8), self.cluster.fabric.heal)

    async def _fault_cut_one_way(self) -> None:
        one, other = self.random.sample(self.cluster.nodes, 2)
        self._note("cut_one_way", (one, other))
        self.cluster.cut(one, other, both=False)
        self.loop.call_later(self.random.uniform(1, 8), self.cluster.fabric.heal)

    async def _fault_isolate(self) -> None:
        node = self._target()
        self._note("isolate", node)
        for other in self.cluster.nodes:
            if other != node:
                self.cluster.cut(node, other)
        self.loop.call_later(self.random.uniform(1, 8), self.cluster.fabric.heal)

    async def _fault_pause(self) -> None:
        node = self._target()
        self._note("pause", node)
        self.cluster.pause(node, self.random.uniform(0.2, 6))

    async def _fault_slow_disk(self) -> None:
        node = self._target()
        self._note("slow_disk", node)
        self.cluster.disks[node].latency_s = self.random.choice((0.0005, 0.02, 0.2))

    async def _fault_slow_network(self) -> None:
        self._note("slow_network")
        self.cluster.fabric.delay_s_max = self.random.choice((0.001, 0.02, 0.1))

    async def _fault_full_disk(self) -> None:
        """No room for more than a few records, for a while."""
        disk = self.cluster.disks[self._target()]
        self._note("full_disk")
        disk.capacity_bytes = ROOMY_BYTES - disk.free_bytes() + self.random.choice((0, 1000, 10_000))

        def make_room() -> None:
            disk.capacity_bytes = ROOMY_BYTES

        self.loop.call_later(self.random.uniform(1, 10), make_room)

    async def _fault_clock_jump(self) -> None:
        """A node's wall clock is set, by up to an hour in either direction."""
        node = self._target()
        running = self.cluster.running.get(node)
        if running is not None:
            self._note("clock_jump", node)
            clock = running._world.clock
            assert isinstance(clock, SimClock)
            clock.offset_ns += int(self.random.uniform(-3600, 3600) * 1e9)

    async def _fault_flip(self) -> None:
        """Damage the end of one log of one node, which then restarts; always the same node: a minority."""
        node = min(self.flipped) if self.flipped else self._target()
        disk = self.cluster.disks[node]
        logs = [path for path in disk.paths() if path.endswith(".log") and path.startswith("replicas/")]
        if node not in self.cluster.running or self._is_restarting(node) or not logs:
            return
        self.flipped.add(node)
        self.cluster.crash(node)
        path = self.random.choice(logs)
        data = disk.open(path).read(0, disk.size_of(path)).rstrip(b"\0") if path in disk.paths() else b""
        last_frame = data.rfind(FRAME_MAGIC)
        log = [other for other in logs if other.rpartition("/")[0] == path.rpartition("/")[0]]
        if len(log) > 1 and self.random.random() < HEAD_SHARE:
            self._note("flip_head", node)
            disk.flip(min(log), self.random.randrange(HEAD_BYTES * 8))
            data, last_frame = b"", 0
        if last_frame > 0 and self.random.random() < CUT_SHARE:
            self._note("file_cut", node)
            disk.cut(path, last_frame)
        elif len(data) > 400:
            self._note("flip", node)
            disk.flip(path, self.random.randrange((len(data) - 300) * 8, len(data) * 8))
        await asyncio.sleep(0.5)
        await self._start(node)

    async def heal(self) -> None:
        """Everything works again, and every node runs."""
        self.cluster.fabric.heal()
        self.cluster.fabric.delay_s_max = 0.002
        for disk in self.cluster.disks.values():
            disk.latency_s = 0.001
            disk.capacity_bytes = ROOMY_BYTES
        await asyncio.gather(*self._restarting.values(), return_exceptions=True)
        for disk in self.cluster.disks.values():
            disk.crash_at_operation = None
        for node in self.cluster.nodes:
            if node not in self.cluster.running:  # its power went in the middle of a write after it had been back
                await self._start(node)
        self.outcome.counts["power_lost_in_mid_write"] = self.cluster.crashes_in_mid_write
