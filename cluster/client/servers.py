"""Which addresses a client asks, in which order, and which of them it forgets. Pure.

1. Any node can be asked anything, so whoever failed is passed over for the next one, and who answers is asked again.
2. The cluster names its nodes, and counts its decisions: what was named last counts. A node that lags unnames nobody.
3. An address that was learned and is named no longer is dropped: its node was removed, or has moved.
4. An address that was given stays, for it may be all that is left, or stand for all nodes. One that is not named, and
   fails, rests: it is asked again when all others have failed.
"""

from collections.abc import Collection, Iterable, Sequence


class Servers:
    """The addresses of one cluster, from those that were given on."""

    def __init__(self, given: Sequence[str]) -> None:
        self._given = tuple(dict.fromkeys(given))
        self._asked = list(self._given)
        self._resting: list[str] = []
        self._named: frozenset[str] = frozenset()
        """By the newest list; empty: there was none."""
        self._version = 0
        self._failed: set[str] = set()
        """Whose last word was silence."""
        self._current = 0

    @property
    def all(self) -> tuple[str, ...]:
        """Those that are asked, then those that rest."""
        return (*self._asked, *self._resting)

    @property
    def current(self) -> str:
        """Who is asked next."""
        return self._asked[self._current % len(self._asked)]

    def all_but(self, some: Collection[str]) -> frozenset[str]:
        """Those that are asked, without `some`."""
        return frozenset(self._asked).difference(some)

    def pass_over(self) -> None:
        """Whoever was asked last is of no help: the next request goes to the next one."""
        self._current = (self._current + 1) % len(self._asked)

    def learn(self, addresses: Iterable[str]) -> None:
        """More nodes, from a hint or a description."""
        for address in dict.fromkeys(addresses):
            if address in self._resting:
                self._resting.remove(address)
            if address not in self._asked:
                self._asked.append(address)

    def name(self, version: int, addresses: Collection[str]) -> None:
        """The cluster told where all of its nodes are, as of this many decisions (rules 2 to 4)."""
        self.learn(addresses)
        if addresses and version >= self._version:
            self._version = version
            self._named = frozenset(addresses)
            for address in list(self._asked):
                if address not in self._given or address in self._failed:
                    self._take_out(address)

    def answered(self, address: str) -> None:
        """Somebody is there."""
        self._failed.discard(address)

    def silent(self, address: str) -> bool:
        """Nobody answered there. True: it is asked no longer, and the next one has its place."""
        self._failed.add(address)
        if self._failed.issuperset(self._asked):
            self.learn(list(self._resting))
            self._failed = {address}  # another round: else those that rest would be asked in turns, and nobody else
        return self._take_out(address)

    def _take_out(self, address: str) -> bool:
        """Rest or drop an address that is not named; nothing before any is, so that one is always left."""
        if not self._named or address in self._named or address not in self._asked:
            return False
        place = self._asked.index(address)
        self._asked.remove(address)
        if place < self._current:
            self._current -= 1
        self._current %= len(self._asked)
        if address in self._given:
            self._resting.append(address)
        else:
            self._failed.discard(address)
        return True
