"""Which links faults below TCP are drawn for."""

import random

import pytest

from chaos.nemeses.catalogue import CATALOGUE, families
from chaos.nemeses.known import packets
from chaos.nemeses.schedule import draw_schedule

DRAWN = 200


def drawn(fault: str) -> list[str]:
    """Links, of so many schedules' worth of one fault."""
    schedule = draw_schedule(7, [fault], seconds=DRAWN * 10, every_s=2.0)
    return [planned.options["links"] for planned in schedule.faults]


def test_bits_flip_between_nodes_only() -> None:
    """Between nodes and clients nothing is promised of a bit that TCP does not tell."""
    assert {"peers"} == set(drawn("packet_corrupt"))


@pytest.mark.parametrize("fault", sorted({*families()["packet"]} - {"packet_corrupt"}))
def test_all_else_happens_on_every_link(fault: str) -> None:
    """Between nodes, to clients, on both."""
    assert set(packets.LINKS) == set(drawn(fault))


def test_what_is_drawn_next_does_not_depend_on_where_bits_flip() -> None:
    """So that a seed's schedules have the faults that they had."""
    chance, other = random.Random(3), random.Random(3)
    CATALOGUE["packet_corrupt"].draw(chance)
    other.uniform(0.0, 1.0)
    other.choice(packets.LINKS)
    assert chance.random() == other.random()
