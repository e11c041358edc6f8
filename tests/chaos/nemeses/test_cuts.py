"""Partitions as Jepsen names them: who hears whom, for clusters of three and five and any grouping."""

import random
from collections import Counter
from typing import Any

import pytest

from chaos.arenas.arena import Roles
from chaos.nemeses.catalogue import CATALOGUE
from chaos.nemeses.cuts import PARTITIONS, Cuts, around
from chaos.nemeses.links import KINDS
from chaos.nemeses.roles import resolve
from chaos.nemeses.schedule import Schedule, draw_schedule

GROUPINGS = range(50)
SIZES = (3, 5)


def _hears(nodes: list[int], cuts: Cuts) -> dict[int, set[int]]:
    """Of each node whom it hears, itself included."""
    return {node: {other for other in nodes if (other, node) not in cuts} for node in nodes}


def _cuts(name: str, size: int, targets: list[int], **options: Any) -> dict[int, set[int]]:
    nodes = list(range(1, size + 1))
    return _hears(nodes, PARTITIONS[name](targets, nodes, options))


def test_one_node() -> None:
    """The target hears only itself, and nobody hears it."""
    assert {1: {1, 3}, 2: {2}, 3: {1, 3}} == _cuts("partition_one", 3, [2])
    assert {1: {1, 2}, 2: {1, 2}, 3: {3, 4, 5}, 4: {3, 4, 5}, 5: {3, 4, 5}} == _cuts("partition_one", 5, [1, 2])


@pytest.mark.parametrize("size", SIZES)
def test_two_halves(size: int) -> None:
    """One of them is a majority; both hear themselves; groupings differ."""
    seen = set()
    for grouping in GROUPINGS:
        sides = {frozenset(heard) for heard in _cuts("partition_majority", size, [], grouping=grouping).values()}
        assert [size // 2, size - size // 2] == sorted(map(len, sides))
        seen.add(frozenset(sides))

    assert len(seen) >= size


@pytest.mark.parametrize("size", SIZES)
def test_a_ring_of_majorities(size: int) -> None:
    """Each hears a majority, and no two the same; among five those who hear each other do so both ways."""
    for grouping in GROUPINGS:
        heard = _cuts("partition_majorities_ring", size, [], grouping=grouping)

        assert [size // 2 + 1] * size == [len(others) for others in heard.values()]
        assert size == len({frozenset(others) for others in heard.values()})
        assert all(node in others for node, others in heard.items())
        if size == 5:
            assert all(node in heard[other] for node, others in heard.items() for other in others)


@pytest.mark.parametrize("size", SIZES)
def test_a_bridge(size: int) -> None:
    """One hears all and is heard by all; the others hear their half and the bridge."""
    for grouping in GROUPINGS:
        heard = _cuts("partition_bridge", size, [], grouping=grouping)
        bridges = [node for node, others in heard.items() if len(others) == size]

        assert 1 == len(bridges)
        assert all(bridges[0] in others for others in heard.values())
        assert [(size - 1) // 2 + 1] * (size - 1) == sorted(map(len, heard.values()))[:-1]


def test_those_who_lead() -> None:
    """Some of them, at least one, hear only themselves; everybody else hears each other."""
    alone = set()
    for grouping in GROUPINGS:
        heard = _cuts("partition_primaries", 5, [2, 4], grouping=grouping)
        cut_off = frozenset(node for node, others in heard.items() if others == {node})
        rest = {1, 2, 3, 4, 5} - cut_off
        assert all(rest == heard[node] for node in rest)
        alone.add(cut_off)

    assert {frozenset({2}), frozenset({4}), frozenset({2, 4})} == alone


def test_one_link() -> None:
    """The target and one other do not hear each other; both hear everybody else."""
    others = set()
    for grouping in GROUPINGS:
        heard = _cuts("cut", 3, [1], grouping=grouping)
        (other,) = {1, 2, 3} - heard[1]
        assert {1, 2, 3} - {1} == heard[other]
        assert {1, 2, 3} == heard[5 - other]
        others.add(other)

    assert {2, 3} == others


def test_one_way() -> None:
    """From the target nothing is heard, or it hears nothing; by all, or by one."""
    assert {1: {1, 2, 3}, 2: {2, 3}, 3: {2, 3}} == _cuts("cut_one_way", 3, [1], grouping=1, direction="from", one=False)
    assert {1: {1}, 2: {1, 2, 3}, 3: {1, 2, 3}} == _cuts("cut_one_way", 3, [1], grouping=1, direction="to", one=False)
    heard = _cuts("cut_one_way", 3, [1], grouping=1, direction="to", one=True)
    assert [2, 3, 3] == [len(heard[node]) for node in (1, 2, 3)]


def test_around_a_node() -> None:
    """All that it says, hears, or both."""
    assert {(1, 2), (1, 3)} == around([1], [1, 2, 3], "from")
    assert {(2, 1), (3, 1)} == around([1], [1, 2, 3], "to")
    assert {(1, 2), (1, 3), (2, 1), (3, 1)} == around([1], [1, 2, 3], "both")


def test_schedules_are_whole() -> None:
    """Whatever is drawn survives its file, is the same for a seed, and is all that a partition needs."""
    names = [kind.name for kind in KINDS]
    assert set(names) <= set(CATALOGUE)
    assert {"partition", "network"} == {kind.family for kind in KINDS}
    drawn: Counter[str] = Counter()
    for seed in range(30):
        schedule = draw_schedule(seed, names, seconds=300, every_s=5)
        assert schedule == Schedule.from_json(schedule.to_json())
        assert schedule == draw_schedule(seed, names, seconds=300, every_s=5)
        for planned in schedule.faults:
            drawn[planned.fault] += 1
            if planned.fault in PARTITIONS:
                assert PARTITIONS[planned.fault]([1], [1, 2, 3], planned.options)

    assert set(names) == set(drawn)


def test_everybody_who_leads() -> None:
    """The role is those who lead a topic of somebody's; where nobody does it is anybody."""
    roles = Roles({("t", 0): 1, ("t", 1): 3, ("__groups", 0): 2}, 2, {}, [1, 2, 3])
    nobody = Roles({}, None, {}, [1, 2, 3])

    assert [1, 3] == resolve("leaders", roles, [1, 2, 3], random.Random(1))
    assert 1 == len(resolve("leaders", nobody, [1, 2, 3], random.Random(1)))
