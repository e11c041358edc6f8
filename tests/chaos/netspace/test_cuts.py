"""Who does not hear whom, for each partition by its name; and what is drawn fits what is injected."""

import random
from itertools import permutations

import pytest

import chaos.nemeses.packets  # noqa: F401  registers
from chaos.arenas.processes.netspace.cuts import GRUDGES
from chaos.arenas.processes.netspace.fabric import Pair
from chaos.arenas.processes.netspace.injectors import EFFECTS, pairs_of
from chaos.arenas.processes.netspace.namespaces import CLIENTS, Names
from chaos.nemeses.catalogue import CATALOGUE

FIVE = (1, 2, 3, 4, 5)


def _heard(cuts: set[Pair], everybody: tuple[int, ...]) -> dict[int, set[int]]:
    """Of each node whom it hears, itself included."""
    return {node: {other for other in everybody if (other, node) not in cuts} for node in everybody}


@pytest.mark.parametrize(
    ("name", "hit", "groups"),
    [
        ("partition_one", (3,), [{3}, {1, 2, 4, 5}]),
        ("partition_majority", (3,), [{1, 3}, {2, 4, 5}]),
        ("partition_majority", (1, 2, 4), [{1, 2}, {3, 4, 5}]),
        ("partition_primaries", (2, 4), [{2}, {4}, {1, 3, 5}]),
    ],
)
def test_partitions_into_groups(name: str, hit: tuple[int, ...], groups: list[set[int]]) -> None:
    """Everybody hears exactly those of the own group."""
    heard = _heard(GRUDGES[name](FIVE, hit, {}), FIVE)

    assert {node: group for group in groups for node in group} == heard


@pytest.mark.parametrize("everybody", [(1, 2, 3), FIVE])
def test_in_a_ring_everybody_hears_a_majority_and_is_heard_by_it(everybody: tuple[int, ...]) -> None:
    """Of five no two hear the same one; of three one hears all, for else nobody could connect to anybody."""
    for hit in everybody:
        heard = _heard(GRUDGES["majorities_ring"](everybody, (hit,), {}), everybody)
        assert {True} == {len(others) > len(everybody) // 2 for others in heard.values()}
        assert all((a in heard[b]) == (b in heard[a]) for a, b in permutations(everybody, 2))
        assert len(everybody) == len({frozenset(others) for others in heard.values()})


def test_a_bridge_hears_both_halves() -> None:
    """Only through it they hear of each other."""
    assert {1: {1, 2, 3}, 2: {1, 2, 3}, 3: {1, 2, 3, 4, 5}, 4: {3, 4, 5}, 5: {3, 4, 5}} == _heard(
        GRUDGES["bridge"](FIVE, (3,), {}), FIVE
    )


def test_one_way_is_one_way() -> None:
    """Deaf or mute."""
    assert {(1, 2), (3, 2)} == GRUDGES["cut_one_way"]((1, 2, 3), (2,), {"direction": "in"})
    assert {(2, 1), (2, 3)} == GRUDGES["cut_one_way"]((1, 2, 3), (2,), {"direction": "out"})


def test_links_are_those_of_the_hit_nodes_in_both_directions() -> None:
    """With other nodes, with clients, or all."""
    names = Names.of(1, 1, (1, 2, 3))

    assert [(1, 2), (2, 1), (2, 3), (3, 2)] == pairs_of(names, [2], "peers")
    assert [(2, CLIENTS), (CLIENTS, 2)] == pairs_of(names, [2], "clients")
    assert 6 == len(pairs_of(names, [2], "all"))


@pytest.mark.parametrize("name", sorted(EFFECTS))
def test_what_is_drawn_is_an_effect(name: str) -> None:
    """Of every kind: its options make effects that are not nothing."""
    options = CATALOGUE[name].draw(random.Random(1))

    assert EFFECTS[name](options) != EFFECTS[name](dict.fromkeys(options, 0.0))
    assert options["links"] in {"peers", "clients", "all"}
