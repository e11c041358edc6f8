"""Faults that only the simulated arena has so far: damage to one file of a log, by its own name each."""

import random
from typing import Any

from chaos.nemeses.catalogue import CATALOGUE, FaultKind, register


def _somewhere(chance: random.Random) -> dict[str, Any]:
    return {"file": round(chance.random(), 6), "place": round(chance.random(), 6)}


KINDS = (
    FaultKind(
        name="flip_bit",
        family="damage",
        about="one bit of a partition's log, while its node is without power",
        roles=("one",),
        lasts_s=(0.2, 2.0),
        draw=_somewhere,
    ),
    FaultKind(
        name="truncate_file",
        family="damage",
        about="a partition's log ends before its last frame, as if that had never been written",
        roles=("one",),
        lasts_s=(0.2, 2.0),
        draw=_somewhere,
    ),
)
register(*(kind for kind in KINDS if kind.name not in CATALOGUE))
