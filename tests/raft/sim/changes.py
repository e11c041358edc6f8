"""Who is to belong to the group, and that changes: the controller of one world, wise or careless.

Replicas are minted and never come back. Hosts hear of what is wanted at different times, and whoever leads takes the
step that the driver's own rule gives (`cluster.broker.membership.next_step`) for what it has heard; a careless
controller has blank replicas vote at once. A replica that is left out by a chosen membership which is what is wanted is
stopped for good, or runs on without knowing it. When a leader confirms what is wanted, nobody else may be in what was
chosen, or come into it until something else is wanted: that is when a controller has files removed.
"""

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from cluster.broker.membership import HandOver, next_step
from cluster.broker.requests import Reassign
from cluster.raft import Membership, Raft
from cluster.types import ReplicaId
from tests.raft.sim.host import Host
from tests.raft.sim.invariants import Violation
from tests.raft.sim.stored import members

if TYPE_CHECKING:
    from tests.raft.sim.world import World

LOOK_AGAIN_US = 100_000
"""After the storm."""
HEARD_US_MEAN = 500_000
"""How long it takes a host to hear of another wish, in the storm."""
NO_WISH = Reassign(None, frozenset())


class Changes:
    """One world's."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._random = Random(f"{world.seed} changes")
        self.target: tuple[int, ...] | None = None
        """Who is wanted; None: whoever is there."""
        self.removed: set[int] = set()
        """Left out for good."""
        self._chosen = 1
        """Memberships that were looked at."""
        self._version = self._confirmed = 0
        """Of what is wanted, and of the last of it that a leader has confirmed."""
        self._heard: dict[ReplicaId, Reassign] = {}

    def act(self) -> None:
        """Another wish, perhaps, and a step of whoever leads."""
        world, random, mix = self._world, self._random, self._world.mix
        if not world.stormy:
            return
        if self.target is None or random.random() < 0.25:
            self.want(None if random.random() < 0.15 else self._draw())
        self._step()
        world.after(int(mix.change_us_mean * random.uniform(0.3, 2)), self.act)

    def finish(self) -> None:
        """Everything has healed: one more change, which must come to its end."""
        if not self._world.stormy and self.target is None:
            self.want(self._draw())
        if not self.is_done:
            self._step()
        self._world.after(LOOK_AGAIN_US, self.finish)

    def want(self, target: tuple[int, ...] | None) -> None:
        """These from now on; one host hears of it before another."""
        world = self._world
        self.target, self._version = target, self._version + 1
        wish = replace(NO_WISH, target=members(*target) if target is not None else None, version=self._version)
        for host in world.hosts:
            delay_us = self._random.expovariate(1 / HEARD_US_MEAN) if world.stormy else self._random.uniform(0, 20_000)
            world.after(int(delay_us), self._hear, host, wish)

    def _hear(self, host: Host, wish: Reassign) -> None:
        if wish.version > self._heard.get(host.me, NO_WISH).version:
            self._heard[host.me] = wish

    @property
    def is_done(self) -> bool:
        """Whether exactly those who are wanted are there."""
        newest = self._world.invariants.memberships[-1][1]
        return self.target is None or (
            {member.replica for member in newest.voters} == set(self.target) and not (newest.joint or newest.learners)
        )

    def look(self) -> None:
        """Something was chosen: whoever is left out by it is."""
        world, chosen = self._world, self._world.invariants.memberships
        if len(chosen) == self._chosen:
            return
        new, self._chosen = chosen[self._chosen :], len(chosen)
        self._look_at_files(membership for _, membership in new)
        for _, membership in new:
            world.count("memberships_joint" if membership.joint else "memberships_simple")
            world.counts["learners_chosen"] += len(membership.learners)
        if not self._is_wanted(chosen[-1][1]):
            return  # else a controller would not have anybody removed
        there = {int(member.replica) for member in chosen[-1][1].everybody()}
        known = {int(member.replica) for _, membership in chosen for member in membership.everybody()}
        for replica in sorted(known - there - self.removed):
            self._remove(replica)

    def _is_wanted(self, now: Membership) -> bool:
        """Whether it is what is wanted, and was made for that."""
        there = self.target is not None and set(now.ids()) == set(self.target)
        return there and now.version == self._version and not (now.joint or now.learners)

    def _look_at_files(self, memberships: Iterable[Membership]) -> None:
        """Nobody whose files are gone is in these."""
        if self.target is None or self._confirmed != self._version:
            return
        for membership in memberships:
            if more := {int(member.replica) for member in membership.everybody()} - set(self.target):
                raise Violation(f"confirmed: {self.target}, without {sorted(more)}; and {membership} was chosen")

    def _confirm(self, core: Raft) -> None:
        """A leader says that it is as the newest wish would have it."""
        if core.membership_is_committed and self._is_wanted(core.membership):
            self._world.counts["wishes_confirmed"] += self._confirmed != self._version
            self._confirmed = self._version
            self._look_at_files([self._world.invariants.memberships[-1][1]])

    def _remove(self, replica: int) -> None:
        world = self._world
        host = world.hosts[replica - 1]
        self.removed.add(replica)
        world.count("leaders_removed" if host.up and host.core.is_leader else "replicas_removed")
        if self._random.random() < world.mix.removed_stop:
            world.after(0, world.stop, host)

    def _draw(self) -> tuple[int, ...]:
        """Some of those there are, and some new ones."""
        world, random, mix = self._world, self._random, self._world.mix
        newest = world.invariants.memberships[-1][1]
        there = [int(member.replica) for member in newest.voters if member.replica not in self.removed]
        size = random.randint(mix.voters_min, 5)
        kept = random.sample(there, min(len(there), random.randint(0, size)))
        idle = [int(host.me) for host in world.hosts if host.me not in {*kept, *there, *self.removed}]
        while len(kept) < size:
            if idle:
                kept.append(idle.pop())
            elif len(world.hosts) < mix.replicas_max:
                kept.append(int(world.mint().me))
            else:
                break
        return tuple(kept) if len(kept) >= mix.voters_min else tuple(there)

    def _step(self) -> None:
        for host in list(self._world.hosts):
            if host.up and host.core.is_leader and host.paused_until <= self._world.now:
                self._lead(host)

    def _lead(self, host: Host) -> None:
        core, random = host.core, self._random
        initialised = frozenset(other.me for other in self._world.hosts if other.may_vote)
        wish = replace(self._heard.get(core.me, NO_WISH), initialised=initialised)
        self._confirm(core)
        careless = random.random() < self._world.mix.careless

        def is_caught_up(replica: ReplicaId) -> bool:
            return (
                careless
                or replica == core.me
                or (core.is_caught_up(replica) and core.match(replica) + 3 >= core.commit)
            )

        step = next_step(core.membership, wish, me=core.me, is_caught_up=is_caught_up)
        if isinstance(step, HandOver):
            core.transfer(step.to)
            self._world.count("hand_overs")
            if random.random() < 0.5 and core.transferee is None:
                step = Membership(voters=wish.target or (), outgoing=core.membership.voters, version=wish.version)
            host.finish_turn()
        if isinstance(step, Membership):
            host.change(step)
