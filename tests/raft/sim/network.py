"""Directed links: delay, loss, repetition, reordering, and cuts of some pairs one way or both ways."""

from random import Random

from cluster.types import ReplicaId
from tests.raft.sim.swarm import MS, Mix

Pair = tuple[ReplicaId, ReplicaId]


class Network:
    """When a packet arrives, if it does."""

    def __init__(self, mix: Mix, random: Random) -> None:
        self._random = random
        self._delay_us_max = mix.delay_us_max
        self._loss = mix.loss
        self._duplicates = mix.duplicates
        self._fifo = mix.fifo
        self._last: dict[Pair, int] = {}
        self._cuts: dict[Pair, int] = {}
        """How many cuts hold each pair apart."""

    def arrivals(self, sender: ReplicaId, to: ReplicaId, now: int) -> tuple[int, ...]:
        """The times at which copies of a packet arrive; none if it is lost."""
        random, pair = self._random, (sender, to)
        if pair in self._cuts or (self._loss and random.random() < self._loss):
            return ()
        span = self._delay_us_max[(sender - 1) % len(self._delay_us_max)]
        at = now + 100 + int(random.random() * span)
        if self._fifo:
            at = self._last[pair] = max(at, self._last.get(pair, 0) + 1)
        if self._duplicates and random.random() < self._duplicates:
            return at, now + 100 + int(random.random() * span * 5)
        return (at,)

    def is_cut(self, sender: ReplicaId, to: ReplicaId) -> bool:
        """Whether nothing gets from one to the other now."""
        return (sender, to) in self._cuts

    @property
    def has_one_way_cut(self) -> bool:
        """Whether some pair can speak in one direction only."""
        return any((to, sender) not in self._cuts for sender, to in self._cuts)

    def cut(self, pairs: set[Pair]) -> None:
        """Hold these apart, until `mend` is called with the same pairs."""
        for pair in pairs:
            self._cuts[pair] = self._cuts.get(pair, 0) + 1

    def mend(self, pairs: set[Pair]) -> None:
        """End one cut."""
        for pair in pairs:
            left = self._cuts.get(pair, 0) - 1
            if left > 0:
                self._cuts[pair] = left
            else:
                self._cuts.pop(pair, None)

    def heal(self) -> None:
        """Everything gets everywhere, quickly and once."""
        self._cuts.clear()
        self._loss = self._duplicates = 0.0
        self._delay_us_max = (5 * MS,) * len(self._delay_us_max)
