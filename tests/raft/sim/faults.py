"""What goes wrong, until the storm is over: crashes, power losses, cuts, pauses; damage found at a restart.

Damage is bounded as it must be (see `cluster.raft.tail`): never more replicas than a minority have lost something that
was durable. A replica that may not vote yet can lose everything: it is made anew under its own id, and counts as one
that has lost nothing.
One that has lost it knows not what, or how much, hears nothing that was sent before it was started (the core's
contract).
"""

from random import Random
from typing import TYPE_CHECKING

from cluster.types import ReplicaId
from tests.raft.sim.host import Host
from tests.raft.sim.network import Pair
from tests.raft.sim.swarm import MS, SECOND

if TYPE_CHECKING:
    from tests.raft.sim.world import World


WIPED_UNRECORDED = 0.5
"""The chance that a crash takes the disk of a replica whose log is not recorded to exist: nobody will miss it."""


class Faults:
    """The nemesis of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._random = world.random
        self.wipes = Random(f"{world.seed} wipes")
        self._again = Random(f"{world.seed} again")

    def act(self) -> None:
        """One fault, and the time of the next."""
        world, random, mix = self._world, self._random, self._world.mix
        if not world.stormy:
            return
        kind = random.choices(("crash", "cut", "pause"), mix.weights)[0]
        if kind == "crash":
            if random.random() < mix.all_at_once:
                self._crash_all()
            else:
                self.crash(self._victim())
        elif kind == "cut":
            self._cut()
        else:
            host = self._victim()
            host.paused_until = world.now + random.choice((200 * MS, 1 * SECOND, 3 * SECOND))
            world.count("pauses")
        world.after(int(random.expovariate(1 / mix.fault_us_mean)) + 1, self.act)

    def _victim(self) -> Host:
        random, hosts = self._random, self._world.hosts
        leaders = [host for host in hosts if host.up and host.core.is_leader]
        if leaders and random.random() < self._world.mix.aim:
            return random.choice(leaders)
        return random.choice(hosts)

    # --- crashes

    def _crash_all(self) -> None:
        self._world.count("crashes_of_all")
        for host in self._world.hosts:
            self.crash(host)

    def crash(self, host: Host) -> None:
        """The host is gone; it comes back after a while, with what its disk makes of it."""
        world, random, mix = self._world, self._random, self._world.mix
        if not host.up:
            return
        world.count("crashes")
        if host.core.is_leader and (host.core.membership.joint or not host.core.membership_is_committed):
            world.count("changes_cut")
        if host.core.is_leader and host.core.durable_index < host.core.last_index:
            world.count("leaders_crashed_before_sync")
        host.crash()
        torn = random.random() < mix.torn
        if torn and host.disk.in_flight:
            world.count("writes_torn")
        if not host.may_vote and self.wipes.random() < WIPED_UNRECORDED:
            world.wipe(host)
        elif host.disk.crash(random, torn=torn):
            world.count("tails_doubtful")
        self._damage(host)
        world.links_changed()
        delay = int(mix.restart_us_mean * random.uniform(0.2, 1.8))
        world.after(delay, self._restart, host, host.incarnation)

    def _restart(self, host: Host, incarnation: int) -> None:
        if host.incarnation == incarnation and not host.up and not host.stopped:
            self._world.boot(host)
            self._strike_all_again(host)

    def _strike_all_again(self, host: Host) -> None:
        """While one asks what it lacks, or is given it, the power fails everywhere."""
        world = self._world
        lacks = bool(host.disk.doubts) or host.disk.recovering
        if world.stormy and lacks and world.mix.all_again and self._again.random() < world.mix.all_again:
            world.after(int(self._again.expovariate(1 / SECOND)) + 1, self._all_again)

    def _all_again(self) -> None:
        if self._world.stormy:
            self._world.count("crashes_of_all_while_one_lacks")
            self._crash_all()

    def _damage(self, host: Host) -> None:
        world, random, mix = self._world, self._random, self._world.mix
        if not (mix.flip or mix.corrupt):
            return
        damaged = sum(other.disk.is_damaged for other in world.hosts if other is not host)
        again = host.disk.is_damaged or bool(host.disk.doubts)
        if damaged >= world.damaged_max or (again and not (mix.again and self._again.random() < mix.again)):
            return
        if random.random() < mix.flip:
            if host.disk.flip_last(random):
                world.count("damaged_again" if again else "tails_flipped")
        elif random.random() < mix.corrupt and host.disk.corrupt(random):
            world.count("damaged_again" if again else "corruptions")

    # --- cuts

    def _cut(self) -> None:
        world, random = self._world, self._random
        world.count("cuts")
        ids = [host.me for host in world.hosts]
        shape = random.random()
        if shape < 0.2:
            pairs = self._ring(ids)
        elif shape < 0.35:
            first, second = random.sample(ids, 2)
            pairs = {(first, second), (second, first)}
        else:
            pairs = self._sides(ids)
        if random.random() < 0.35:
            world.count("one_way_cuts")
            side = random.choice(ids)
            pairs = {pair for pair in pairs if pair[random.randint(0, 1)] == side} or pairs
        world.network.cut(pairs)
        world.links_changed()
        world.after(int(random.uniform(0.3, 6) * SECOND), self._mend, pairs)

    def _mend(self, pairs: set[Pair]) -> None:
        self._world.network.mend(pairs)
        self._world.links_changed()

    def _sides(self, ids: list[ReplicaId]) -> set[Pair]:
        random = self._random
        world = self._world
        most = len(ids) // 2 if world.mix.change_us_mean else world.minority - 1  # whoever counts: that changes
        side = {self._victim().me, *random.sample(ids, random.randint(0, most))}
        return {(a, b) for a in ids for b in ids if (a in side) != (b in side)}

    def _ring(self, ids: list[ReplicaId]) -> set[Pair]:
        """Each sees a majority, no two the same: a host hears only its neighbours."""
        order = self._random.sample(ids, len(ids))
        count = len(order)
        reach = max(1, count // 4)
        near = {
            (order[i], order[(i + step) % count]) for i in range(count) for step in range(-reach, reach + 1) if step
        }
        if count == 3:
            near -= {(order[0], order[2]), (order[2], order[0])}
        return {(a, b) for a in ids for b in ids if a != b and (a, b) not in near}
