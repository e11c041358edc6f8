"""Producers of numbered commands: in order, a window ahead, the same number again until it is acknowledged."""

from random import Random
from typing import TYPE_CHECKING

from cluster.types import Index, ReplicaId
from tests.raft.sim.host import Host, Publish
from tests.raft.sim.swarm import MS

if TYPE_CHECKING:
    from tests.raft.sim.world import World

IMPATIENCE_US = 900 * MS
"""Without an answer for so long, the same commands are sent again, somewhere else."""
BLOCKED_US = 40 * MS
"""A full window, or a refusal, is looked at again after so long."""


class Producer:
    """One producer. It believes that somebody leads, and looks elsewhere when that does not work out."""

    def __init__(self, world: "World", number: int) -> None:
        self._world = world
        self._random: Random = world.random
        self.number = number
        self.acknowledged = 0
        """Commands with a lower sequence are acknowledged."""
        self._next = 0
        self._attempt = 0
        self._answered: set[int] = set()
        self._target = ReplicaId(1)
        self._progress_at = 0
        self._rests_until = 0
        self.stopped = False

    def act(self) -> None:
        """Send what the window allows, and come back."""
        world, mix = self._world, self._world.mix
        if self.stopped and self.acknowledged == self._next:
            return
        pause = int(mix.think_us * self._random.uniform(0.5, 1.5))
        if self._next > self.acknowledged and world.now - self._progress_at > IMPATIENCE_US:
            self._start_over(None)
        elif world.now < self._rests_until or self._next >= self.acknowledged + mix.window or self.stopped:
            pause = max(pause, BLOCKED_US)
        else:
            while self._next < self.acknowledged + mix.window:
                self._send(self._next)
                self._next += 1
                if self._random.random() < 0.5:
                    break
        if mix.rest_us and self._random.random() < 0.02:
            pause = mix.rest_us
        world.after(pause, self.act)

    def _send(self, sequence: int) -> None:
        if self._next == self.acknowledged:
            self._progress_at = self._world.now
        size = self._random.choice((1, 40, 200, 900))
        self._world.publish(self._target, Publish((self.number, sequence), self._attempt, size))

    def _start_over(self, leader: ReplicaId | None) -> None:
        """Ask again, from the first that is not acknowledged."""
        self._attempt += 1
        self._next = self.acknowledged
        self._progress_at = self._world.now
        self._rests_until = self._world.now + BLOCKED_US
        if leader is None or self._random.random() < 0.1:
            hosts = self._world.hosts
            if (
                not self._world.stormy
            ):  # one of eleven, at the next of which it would be sent away for a gap: seed 700196
                hosts = [host for host in hosts if not host.stopped]
            leader = self._random.choice(hosts).me
        self._target = leader

    def answered(self, host: Host, publish: Publish, index: Index | None) -> None:
        """The command is at `index` (0: folded), or None: try again, perhaps elsewhere."""
        if index is not None:
            self._world.invariants.acknowledging(publish.command, index)
            self._world.count("acknowledged")
            self._answered.add(publish.command[1])
            while self.acknowledged in self._answered:
                self._answered.remove(self.acknowledged)
                self.acknowledged += 1
                self._progress_at = self._world.now
            self._next = max(self._next, self.acknowledged)
        elif publish.attempt == self._attempt:
            self._start_over(host.core.leader if host.up and host.core.leader != host.me else None)
