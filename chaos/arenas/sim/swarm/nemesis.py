"""What goes wrong in a seed: faults as its plan has them, aimed at whoever leads most or at anybody; and their end.

Faults overlap, and power may fail again while a node starts. The end of any cut heals all of them.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from functools import partial

from chaos.arenas.sim.arena import SimArena
from chaos.arenas.sim.disks import HEAD_BYTES, SHORT_BYTES, TAIL_BYTES, frames_of, logs_of
from chaos.arenas.sim.injector import End
from chaos.arenas.sim.swarm.plan import Plan
from chaos.arenas.sim.swarm.seen import Seen
from chaos.nemeses.cuts import both

MID_WRITE_OPERATIONS = 12
"""Of a disk: within so many more its power goes."""
HEAD_SHARE = 0.3
"""Of the damages to a log of several segments: the head of its first one."""
CUT_SHARE = 0.3
"""Of the damages to a file: it ends before one of its last frames, as if what follows had never been written."""


class Nemesis:
    """Breaks one cluster; what it did is counted and told in `outcome`."""

    def __init__(self, arena: SimArena, plan: Plan, outcome: Seen) -> None:
        self.arena = arena
        self.plan = plan
        self.outcome = outcome
        self.loop = arena.cluster.loop
        self.cluster = arena.cluster
        self.random: random.Random = arena.random
        self._restarting: dict[int, asyncio.Task[None]] = {}
        self._heals = False

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
        in_mid_write = self.random.random() < self.plan.mid_write
        options = {"operations": self.random.randint(0, MID_WRITE_OPERATIONS)} if in_mid_write else {}
        self._start_later(node, off_s, self.arena.power.begin([node], options))

    def _start_later(self, node: int, off_s: float, end: End | None = None) -> None:
        async def off_and_on() -> None:
            await asyncio.sleep(off_s)
            if end is not None:
                end()
            again = self.random.random() < self.plan.mid_write / 4
            if again:
                self.cluster.crash_in_mid_write(node, self.random.randint(0, MID_WRITE_OPERATIONS))
            while not await self.arena.try_start(node):
                self.outcome.trace.append(f"{self.loop.now_s:9.3f} its power went again at the start {node}")

        self._restarting[node] = asyncio.create_task(off_and_on())
        self._restarting[node].add_done_callback(partial(self._back, node))

    def _back(self, node: int, done: "asyncio.Task[None]") -> None:
        if error := done.exception():
            self.cluster.fatal.append((node, error))

    def _mend_cuts_later(self) -> None:
        self.loop.call_later(self.random.uniform(1, 8), self.arena.cuts.heal)

    async def _fault_cut(self) -> None:
        one, other = self.random.sample(self.cluster.nodes, 2)
        self._note("cut", (one, other))
        self.arena.cuts.begin(both(one, other))
        self._mend_cuts_later()

    async def _fault_cut_one_way(self) -> None:
        one, other = self.random.sample(self.cluster.nodes, 2)
        self._note("cut_one_way", (one, other))
        self.arena.cuts.begin([(one, other)])
        self._mend_cuts_later()

    async def _fault_isolate(self) -> None:
        node = self._target()
        self._note("isolate", node)
        others = [other for other in self.cluster.nodes if other != node]
        self.arena.cuts.begin([pair for other in others for pair in both(node, other)])
        self._mend_cuts_later()

    async def _fault_pause(self) -> None:
        node = self._target()
        self._note("pause", node)
        self.cluster.pause(node, self.random.uniform(0.2, 6))

    async def _fault_slow_disk(self) -> None:
        node = self._target()
        self._note("slow_disk", node)
        self.arena.slow_sync.slow(self.cluster.disks[node], self.random.choice((0.0005, 0.02, 0.2)))

    async def _fault_slow_network(self) -> None:
        self._note("slow_network")
        self.arena.latency.slow(self.random.choice((0.001, 0.02, 0.1)))

    async def _fault_full_disk(self) -> None:
        """No room for more than a few records, for a while."""
        disk = self.cluster.disks[self._target()]
        self._note("full_disk")
        make_room = self.arena.full_disk.fill(disk, self.random.choice((0, 1000, 10_000)))
        self.loop.call_later(self.random.uniform(1, 10), make_room)

    async def _fault_clock_jump(self) -> None:
        """A node's wall clock is set, by up to an hour in either direction."""
        node = self._target()
        if node in self.cluster.running:
            self._note("clock_jump", node)
            self.arena.clock_jump.begin([node], {"by_s": self.random.uniform(-3600, 3600)})

    async def _fault_flip(self) -> None:
        """Damage the end of one log of one node, which then restarts; always the same node: a minority."""
        node = min(self.arena.victims.nodes) if self.arena.victims.nodes else self._target()
        disk = self.cluster.disks[node]
        logs = logs_of(disk)
        if node not in self.cluster.running or self._is_restarting(node) or not logs:
            return
        self.arena.victims.nodes.add(node)
        self.cluster.crash(node)
        path = self.random.choice(logs)
        frames = frames_of(disk, path)
        log = [other for other in logs if other.rpartition("/")[0] == path.rpartition("/")[0]]
        if len(log) > 1 and self.random.random() < HEAD_SHARE:
            self._note("flip_head", node)
            disk.flip(min(log), self.random.randrange(HEAD_BYTES * 8))
        elif frames.last and self.random.random() < CUT_SHARE:
            self._note("file_cut", node)
            disk.cut(path, frames.end(self.random.random()))
        elif frames.size > SHORT_BYTES:
            self._note("flip", node)
            disk.flip(path, self.random.randrange((frames.size - TAIL_BYTES) * 8, frames.size * 8))
        self._start_later(node, off_s=0.5)

    async def _fault_rot(self) -> None:
        """A bit of a log flips while its node runs; nobody knows until that is read. The same node as for `flip`."""
        node = min(self.arena.victims.nodes) if self.arena.victims.nodes else self._target()
        disk = self.cluster.disks[node]
        logs = [path for path in logs_of(disk) if frames_of(disk, path).size > SHORT_BYTES]
        if node in self.cluster.running and logs:
            self.arena.victims.nodes.add(node)
            self._note("rot", node)
            path = self.random.choice(logs)
            disk.flip(path, self.random.randrange(frames_of(disk, path).size * 8))

    def start_again(self) -> None:
        """Whoever is not there and not about to come is started again, as by a supervisor.

        A node that met damage has ended, as its process does. Power goes again at a start, or just behind it: the seeds
        that ran for hours lost one node after the other to that.
        """
        for node in {node for node, _ in self.cluster.fatal} & set(self.cluster.running):
            if self.cluster.hosts[node].failed and not self._is_restarting(node):
                self.outcome.counts["ended_by_damage"] += 1
                self.outcome.trace.append(f"{self.loop.now_s:9.3f} met damage and ended {node}")
                self.cluster.kill(node)
                self._start_later(node, self.random.uniform(0.1, 2.0))
        for node in self.cluster.nodes:
            if not self._heals and node not in self.cluster.running and not self._is_restarting(node):
                self._start_later(node, self.random.uniform(0.1, 2.0))

    async def heal(self) -> None:
        """Nothing goes wrong any more, and whoever is about to start a node has done so; the rest is the arena's.

        What is damaged and was not met is found by a start.
        """
        self._heals = True
        self.arena.calm()
        if "rot" in self.plan.faults:
            for node in self.arena.victims.nodes & set(self.cluster.running):
                self.cluster.kill(node)
        await asyncio.gather(*self._restarting.values(), return_exceptions=True)
