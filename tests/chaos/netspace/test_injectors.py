"""Whose packets a fault hits, and that what is drawn for it is what the injector takes."""

import random

import pytest

import chaos.nemeses.known  # noqa: F401  registers
from chaos.arenas.processes.netspace.control import Control
from chaos.arenas.processes.netspace.injectors import PACKETS, TOXICS, injectors, pairs_of
from chaos.arenas.processes.netspace.namespaces import CLIENTS, Names
from chaos.arenas.processes.netspace.tables import Tables
from chaos.nemeses.catalogue import CATALOGUE, families


def test_links_are_those_of_the_hit_nodes_in_both_directions() -> None:
    """With other nodes, with clients, or all."""
    names = Names.of(1, 1, (1, 2, 3))

    assert [(1, 2), (2, 1), (2, 3), (3, 2)] == pairs_of(names, [2], "peers")
    assert [(2, CLIENTS), (CLIENTS, 2)] == pairs_of(names, [2], "clients")
    assert 6 == len(pairs_of(names, [2], "all"))


@pytest.mark.parametrize("name", [*PACKETS, *TOXICS])
def test_what_is_drawn_is_an_effect(name: str) -> None:
    """Of every kind: its options make effects that are not nothing."""
    options = CATALOGUE[name].draw(random.Random(1))
    effects = PACKETS.get(name) or TOXICS[name]

    assert effects(options) != effects(dict.fromkeys(options, 0.0))


def test_there_is_an_injector_for_all_that_networks_do() -> None:
    """Where proxies do not fit, namespaces do what they can, and say of the rest that they cannot."""
    names = Names.of(1, 1, (1, 2, 3))
    found = injectors(names, Control(names, wiring="switch", seed=1), Tables(names), "switch")
    by_family = families()

    assert {*by_family["partition"], *by_family["network"], *by_family["packet"]} == set(found)
    assert ["limit_data", "slicer", "slow_close", "timeout"] == sorted(
        name for name, injector in found.items() if "proxies" in injector.missing()
    )
