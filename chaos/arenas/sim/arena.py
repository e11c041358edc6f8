"""The simulated arena: a whole cluster in this process, in virtual time, inside `cluster.sim.clock.simulate`.

Nothing here is real but the nodes' own code. The invariants are looked at after every turn of every replica, so that a
broken one stands in `check` before any client could notice.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence

from chaos.arenas.arena import Figures, Injector, Roles
from chaos.arenas.copies import copy_of
from chaos.arenas.seats import ClientVanish, Seats
from chaos.arenas.sim.cluster import Adjust, CheckedCluster, small_logs
from chaos.arenas.sim.cuts import Cuts, Latency, Partition
from chaos.arenas.sim.disks import LATENCY_S, ROOMY_BYTES, FlipBit, FullDisk, SlowSync, TruncateFile, Victims
from chaos.arenas.sim.dropped import Dropped
from chaos.arenas.sim.equality import compare_replicas
from chaos.arenas.sim.invariants import Violated, look_at_all
from chaos.arenas.sim.kills import ClockJump, Kill, Pause, PowerLoss
from chaos.arenas.sim.machines import SimMachines
from chaos.arenas.sim.roles import roles_of
from chaos.checkers.anomaly import Anomaly
from chaos.checkers.replicas import Copy
from chaos.nemeses.cuts import PARTITIONS
from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.errors import CorruptStorage, RiverrunError
from cluster.node import Node
from cluster.sim.clock import SimLoop

READY_S_MAX = 30.0
EQUAL_S_MAX = 60.0
LOOK_S = 0.1
DELAY_S_MAX = 0.002
SIM_FAULTS = (
    "kill",
    "pause",
    "power_loss",
    "power_loss_all",
    "clock_jump",
    "latency",
    "slow_sync",
    "full_disk",
    "flip_bit",
    "truncate_file",
    "client_vanish",
    *PARTITIONS,
)
"""What can be done here: see `injectors`."""


class SimArena:
    """See `chaos.arenas.arena.Arena`."""

    name = "sim"

    def __init__(self, cluster: CheckedCluster, chance: random.Random) -> None:
        self.cluster = cluster
        self.random = chance
        self.machines = SimMachines(cluster, self.try_start)
        self.counts: Counter[str] = Counter()
        self.dropped = Dropped(cluster.loop)
        self.cuts = Cuts(cluster)
        self.power = PowerLoss(cluster, self.start_node)
        self.kill = Kill(cluster, self.start_node)
        self.pause = Pause(cluster)
        self.clock_jump = ClockJump(cluster)
        self.latency = Latency(cluster)
        self.slow_sync = SlowSync(cluster)
        self.full_disk = FullDisk(cluster)
        self.victims = Victims()
        self.seats = Seats()
        self.injectors: Mapping[str, Injector] = {
            "kill": self.kill,
            "pause": self.pause,
            "power_loss": self.power,
            "power_loss_all": self.power,
            "clock_jump": self.clock_jump,
            "latency": self.latency,
            "slow_sync": self.slow_sync,
            "full_disk": self.full_disk,
            "flip_bit": FlipBit(cluster, self.start_node, self.victims),
            "truncate_file": TruncateFile(cluster, self.start_node, self.victims),
            "client_vanish": ClientVanish(self.seats),
            **{name: Partition(cluster, self.cuts, name) for name in PARTITIONS},
        }

    @classmethod
    def make(cls, seed: int, *, nodes: int = 3, adjust: Adjust = small_logs) -> "SimArena":
        """A cluster of its own, for whoever runs in virtual time; same seed, same run."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop), "the simulated arena lives in cluster.sim.clock.simulate"
        chance = random.Random(f"arena/{seed}")
        return cls(CheckedCluster(loop, nodes=nodes, adjust=adjust), chance)

    @property
    def nodes(self) -> Sequence[int]:
        """See Arena."""
        return self.cluster.nodes

    def now_s(self) -> float:
        """Virtual seconds."""
        return self.cluster.loop.now_s

    async def start(self) -> None:
        """See Arena."""
        await self.cluster.start_all()
        await self.ready(self.cluster.client("starter"))
        while not all(self._knows_all(node) for node in self.cluster.running.values()):  # noqa: ASYNC110  it is others that change it
            await asyncio.sleep(LOOK_S)

    def _knows_all(self, node: Node) -> bool:
        """Whether it has heard that all are alive: one that has not refuses to place as many replicas (seed 205)."""
        return {item.node for item in node.controller.state.nodes.values() if item.usable}.issuperset(self.nodes)

    def client(self, name: str, options: ClientOptions | None = None) -> Client:
        """See Arena."""
        return self.cluster.client(name, options)

    def code(self, module: str) -> bytes:
        """See Arena: nodes import it."""
        return module.encode()

    def cut_off(self, client: str, seconds: float) -> None:
        """See Arena."""
        self.cluster.cut_off(client, seconds)

    async def roles(self) -> Roles:
        """See Arena; read off the replicas themselves."""
        return roles_of(self.cluster)

    def check(self) -> None:
        """The invariants so far; no node ended by itself."""
        look_at_all(self.cluster, self.cluster.invariants)
        for node, error in self.cluster.fatal:
            if not isinstance(error, CorruptStorage) or node not in self.victims.nodes:
                raise Violated(f"node {node} ended by itself: {error!r}")

    # --- nodes

    async def start_node(self, node: int) -> None:
        """It runs, however often its power goes at the start, unless it was switched off."""
        await self.machines.start(node)

    async def try_start(self, node: int) -> bool:
        """False if its power went before it was ready."""
        self.counts["restart"] += 1
        return await self.cluster.start(node)

    async def ready(self, client: Client) -> None:
        """The cluster answers, has a controller and knows all that are on to be alive; RuntimeError if not in time."""
        end_s = self.now_s() + READY_S_MAX
        last = "no answer"
        while self.now_s() < end_s:
            try:
                view = await client.cluster_status()
                last = f"{view.controller}, {[(node.node, node.alive) for node in view.nodes]}"
                if view.controller and {node.node for node in view.nodes if node.alive}.issuperset(self.nodes):
                    await client.abandon()
                    return
            except RiverrunError:
                pass
            await asyncio.sleep(LOOK_S)
        raise RuntimeError(f"the cluster was not ready in time at {self.now_s():.1f} s: {last}")

    # --- the end

    def calm(self) -> None:
        """Nothing goes wrong any more; what has ended has still ended."""
        self.cuts.heal()
        self.cluster.fabric.delay_s_max = DELAY_S_MAX
        for disk in self.cluster.disks.values():
            disk.latency_s = LATENCY_S
            disk.capacity_bytes = ROOMY_BYTES
        for host in self.cluster.hosts.values():
            host.resume(self.cluster.loop)

    async def heal(self) -> None:
        """See Arena."""
        self.calm()
        await self.start_missing()
        await self.ready(self.cluster.client("healer"))

    async def start_missing(self) -> None:
        """Every node runs, and no power fails any more."""
        for disk in self.cluster.disks.values():
            disk.crash_at_operation = None
        for node in list(self.nodes):
            if node not in self.cluster.running:
                await self.start_node(node)

    async def examine(self, topics: Sequence[str]) -> tuple[list[Anomaly], list[tuple[str, Copy]]]:
        """All replicas come to hold the same committed entries, and a compacted topic's to mean the same.

        What failed, and nobody looked, is told, too.
        """
        found = await compare_replicas(self.cluster, wait_s_max=EQUAL_S_MAX, partitions_min=min(len(topics), 1))
        found += await self.salvage()
        self.check()
        copies = []
        for number, node in sorted(self.cluster.running.items()):
            for partition, running in sorted(node.broker.running.items()):
                topic = node.broker.directory.topics.get(partition.topic)
                if topic is not None and topic.name in topics:
                    copies.append((topic.name, copy_of(running.replica.log, node=number, partition=partition.number)))
        return found, copies

    async def salvage(self) -> list[Anomaly]:
        """See Arena."""
        return [Anomaly("unretrieved exception", sentence) for sentence in self.dropped.sentences()]

    async def stop(self) -> Figures:
        """Whoever runs the simulation drops it; here there is nothing to end."""
        self.dropped.over()
        invariants = self.cluster.invariants
        counts = {
            "elections": len(invariants.leaders),
            "turns": invariants.turns,
            "reinstalled": invariants.reinstalled,
            "power_lost_in_mid_write": self.cluster.crashes_in_mid_write,
            "clients_vanished": self.seats.vanished,
            "stops_forced": self.machines.stops_forced,
            **self.counts,
            **invariants.counts,
        }
        return Figures("sim: virtual time, simulated network and disks", counts)
