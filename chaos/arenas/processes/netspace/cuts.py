"""Partitions by nftables, as Jepsen names them: who does not hear whom, of the nodes. Clients hear everybody.

What a cut drops is lost for good, and nobody is told: connections hang until TCP or gRPC gives them up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from chaos.arenas.arena import Mend
from chaos.arenas.processes.netspace.fabric import Pair
from chaos.arenas.processes.netspace.injectors import NO_NFT
from chaos.arenas.processes.netspace.namespaces import Names
from chaos.arenas.processes.netspace.tables import Tables, drop_from, find_nft

Grudge = Callable[[Sequence[int], Sequence[int], Mapping[str, Any]], set[Pair]]
"""All nodes, those that are hit, options → pairs (from, to) of which nothing arrives."""


def components(*groups: Sequence[int]) -> set[Pair]:
    """Nobody hears anybody of another group."""
    return {
        pair
        for group in groups
        for other in groups
        if other is not group
        for a in group
        for b in other
        for pair in ((a, b), (b, a))
    }


def apart(everybody: Sequence[int], hit: Sequence[int], _: Mapping[str, Any]) -> set[Pair]:
    """Those that are hit on one side, the others on the other."""
    return components([n for n in everybody if n in hit], [n for n in everybody if n not in hit])


def majority(everybody: Sequence[int], hit: Sequence[int], _: Mapping[str, Any]) -> set[Pair]:
    """A majority on one side; those that are hit on the smaller one, as far as they fit, filled up with others."""
    room = (len(everybody) - 1) // 2
    few = sorted(everybody, key=lambda node: (node not in hit, node))[:room]
    return apart(everybody, few, {})


def alone(everybody: Sequence[int], hit: Sequence[int], _: Mapping[str, Any]) -> set[Pair]:
    """Each that is hit is alone; the others are together."""
    return components([n for n in everybody if n not in hit], *([n] for n in everybody if n in hit))


def ring(everybody: Sequence[int], hit: Sequence[int], options: Mapping[str, Any]) -> set[Pair]:
    """Everybody hears a majority, and no two the same one: neighbours on a ring that begins with those that are hit."""
    order = [*options.get("order", ()), *hit, *everybody]
    places = [node for at, node in enumerate(order) if node in everybody and node not in order[:at]]
    size, majority_size = len(places), len(places) // 2 + 1
    if size == 3:  # who hears one neighbour of two hears one way: no connection. So a line, whose middle hears both
        return {(places[0], places[2]), (places[2], places[0])}
    reach = majority_size // 2
    near = {(places[at], places[(at + step) % size]) for at in range(size) for step in range(-reach, reach + 1)}
    return {(a, b) for a in places for b in places if a != b} - near


def bridge(everybody: Sequence[int], hit: Sequence[int], _: Mapping[str, Any]) -> set[Pair]:
    """Two halves that do not hear each other, and one node, the first that is hit, that hears both and is heard."""
    middle = hit[0]
    rest = [node for node in everybody if node != middle]
    return components(rest[: len(rest) // 2], rest[len(rest) // 2 :])


def one_way(everybody: Sequence[int], hit: Sequence[int], options: Mapping[str, Any]) -> set[Pair]:
    """Those that are hit do not hear the others ("in"), or are not heard by them ("out")."""
    rest = [node for node in everybody if node not in hit]
    if options.get("direction", "in") == "in":
        return {(other, node) for node in hit for other in rest}
    return {(node, other) for node in hit for other in rest}


GRUDGES: dict[str, Grudge] = {
    "partition_one": apart,
    "partition_majority": majority,
    "majorities_ring": ring,
    "bridge": bridge,
    "partition_primaries": alone,
    "cut_one_way": one_way,
}


class CutInjector:
    """One kind of partition."""

    def __init__(self, name: str, tables: Tables, names: Names) -> None:
        self._grudge = GRUDGES[name]
        self._tables = tables
        self._names = names

    def missing(self) -> str:
        """See Injector."""
        return "" if find_nft() else NO_NFT

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        cuts = self._grudge(self._names.nodes, nodes, options)
        if not cuts:
            return None
        number = await self._tables.add(self._rules(sorted(cuts)))

        async def mend() -> None:
            await self._tables.remove(number)

        return mend

    def _rules(self, cuts: Sequence[Pair]) -> Iterator[tuple[int, str]]:
        for source, target in cuts:
            yield target, drop_from(self._names.address(source))
