"""Who does not hear whom: partitions as Jepsen names them, from their targets and a number. Pure; every arena uses it.

A cut is a pair (from, to): what `from` says does not get to `to`. A partition is a set of them. What has to be chosen
beyond the targets is derived from `options["grouping"]`, so that a schedule is whole before it runs.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Cuts = frozenset[tuple[int, int]]
Partition = Callable[[Sequence[int], Sequence[int], Mapping[str, Any]], Cuts]
"""Targets, all nodes, options."""


def one(targets: Sequence[int], nodes: Sequence[int], _: Mapping[str, Any]) -> Cuts:
    """The targets on one side, everybody else on the other."""
    return between([set(targets), set(nodes) - set(targets)])


def majority(_: Sequence[int], nodes: Sequence[int], options: Mapping[str, Any]) -> Cuts:
    """Two halves; of an odd number one is a majority."""
    shuffled = _shuffled(nodes, options)
    half = len(nodes) // 2
    return between([set(shuffled[:half]), set(shuffled[half:])])


def majorities_ring(_: Sequence[int], nodes: Sequence[int], options: Mapping[str, Any]) -> Cuts:
    """Each node hears a majority, no two the same: of five, its two neighbours in a ring; of three, one of them."""
    ring = _shuffled(nodes, options)
    wide = len(ring) // 2 + 1
    cuts = set()
    for first in range(len(ring)):
        heard = [ring[(first + step) % len(ring)] for step in range(wide)]
        me = heard[wide // 2]
        cuts |= {(other, me) for other in ring if other not in heard}
    return frozenset(cuts)


def bridge(_: Sequence[int], nodes: Sequence[int], options: Mapping[str, Any]) -> Cuts:
    """Two halves, and one node between them that hears both."""
    others = _shuffled(nodes, options)[1:]
    half = len(others) // 2
    return between([set(others[:half]), set(others[half:])])


def primaries(targets: Sequence[int], nodes: Sequence[int], options: Mapping[str, Any]) -> Cuts:
    """Some of the targets (who lead something), each alone; everybody else together."""
    chance = random.Random(options["grouping"])
    alone = chance.sample(sorted(targets), chance.randint(1, len(targets)))
    return between([*({node} for node in alone), set(nodes) - set(alone)])


def link(targets: Sequence[int], nodes: Sequence[int], options: Mapping[str, Any]) -> Cuts:
    """Each target and one other node, which both still hear everybody else."""
    return frozenset(
        pair for target in targets for other in _others(target, nodes, options)[:1] for pair in both(target, other)
    )


def one_way(targets: Sequence[int], nodes: Sequence[int], options: Mapping[str, Any]) -> Cuts:
    """`direction` "from": nobody hears the targets; "to": they hear nobody. With `one`, only one other node each."""
    cuts = set()
    for target in targets:
        others = _others(target, nodes, options)
        for other in others[:1] if options["one"] else others:
            cuts.add((target, other) if options["direction"] == "from" else (other, target))
    return frozenset(cuts)


PARTITIONS: Mapping[str, Partition] = {
    "partition_one": one,
    "partition_majority": majority,
    "partition_majorities_ring": majorities_ring,
    "partition_bridge": bridge,
    "partition_primaries": primaries,
    "cut": link,
    "cut_one_way": one_way,
}
"""By the names of the faults."""


def both(node: int, other: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Neither hears the other."""
    return (node, other), (other, node)


def around(targets: Sequence[int], nodes: Sequence[int], direction: str) -> Cuts:
    """All that the targets say to others ("from"), hear from others ("to"), or both ("both"), as cuts."""
    pairs = {(target, other) for target in targets for other in nodes if other != target}
    backwards = {(other, target) for target, other in pairs}
    return frozenset({"from": pairs, "to": backwards, "both": pairs | backwards}[direction])


def between(sides: Iterable[set[int]]) -> Cuts:
    """Nobody hears anybody of another side."""
    sides = list(sides)
    return frozenset(
        (node, other) for side in sides for node in side for beyond in sides if beyond is not side for other in beyond
    )


def _shuffled(nodes: Sequence[int], options: Mapping[str, Any]) -> list[int]:
    shuffled = sorted(nodes)
    random.Random(options["grouping"]).shuffle(shuffled)
    return shuffled


def _others(target: int, nodes: Sequence[int], options: Mapping[str, Any]) -> list[int]:
    return [node for node in _shuffled(nodes, options) if node != target]
