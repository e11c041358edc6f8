"""Every fault by its name: its family, whom it may hit, how long it lasts and what else is drawn for it.

A fault is a word here and an injector in an arena (`chaos.arenas.arena.Injector`). What is drawn is JSON and goes into
the schedule, so that a schedule is whole before anything runs. Names of partitions are Jepsen's.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ROLES = ("leader", "leaders", "follower", "controller", "coordinator", "one", "minority", "majority", "all", "client")
"""Whom a fault hits: resolved when it is injected. `one`: anybody. `leader`: whoever leads most partitions; `leaders`:
everybody who leads one. `client`: no node, but one of the workloads' clients."""
SINGLE = ("leader", "follower", "controller", "coordinator", "one")


def nothing(_: random.Random) -> dict[str, Any]:
    """No options."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """One kind of fault.

    `lasts_s`: between what; (0, 0): it is over as soon as it is done. What comes back does so when it is mended: a node
    that was killed is started again then.
    """

    name: str
    family: str
    about: str
    """A line for `chaos list`."""
    roles: tuple[str, ...] = SINGLE
    lasts_s: tuple[float, float] = (0.0, 0.0)
    draw: Callable[[random.Random], dict[str, Any]] = field(default=nothing)
    minority: bool = True
    """Where it hits no more than a minority, records must go on meanwhile."""


CATALOGUE: dict[str, FaultKind] = {}
"""By name. Families: process, partition, network, packet, disk, damage, clock, resource."""


def register(*kinds: FaultKind) -> None:
    """Add kinds; a name is given once."""
    for kind in kinds:
        assert kind.name not in CATALOGUE, f"two faults are called {kind.name}"
        assert set(kind.roles) <= set(ROLES), f"{kind.name} has roles that there are not"
        CATALOGUE[kind.name] = kind


def families() -> Mapping[str, list[str]]:
    """Of each family its faults."""
    found: dict[str, list[str]] = {}
    for kind in CATALOGUE.values():
        found.setdefault(kind.family, []).append(kind.name)
    return found
