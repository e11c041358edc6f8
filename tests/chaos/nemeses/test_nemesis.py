"""What the nemesis makes of a schedule when the faults before took longer than was planned."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

from chaos.arenas.arena import Mend, Roles
from chaos.history import History
from chaos.nemeses.nemesis import Nemesis
from chaos.nemeses.schedule import Planned, Schedule
from cluster.sim.clock import simulate


class SlowDamage:
    """An injector that takes three seconds, and three more to mend."""

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def missing(self) -> str:
        """See Injector."""
        return ""

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        del nodes
        await asyncio.sleep(3)
        self._said.append(f"{options['name']} begins")

        async def mend() -> None:
            await asyncio.sleep(3)
            self._said.append(f"{options['name']} ends")

        return mend


class Ground:
    """What the nemesis asks an arena."""

    nodes = (1, 2, 3)

    def __init__(self, said: list[str]) -> None:
        self.injectors = {"damaged_vote": SlowDamage(said), "damaged_state": SlowDamage(said)}
        self.random = random.Random(1)

    def now_s(self) -> float:
        """Virtual time."""
        return asyncio.get_running_loop().time()

    async def roles(self) -> Roles:
        """Nobody leads."""
        return Roles({}, None, {}, self.nodes)


def planned(name: str, at_s: float, lasts_s: float, fault: str = "damaged_vote") -> Planned:
    """A fault of that name on node 2."""
    return Planned(at_s=at_s, fault=fault, role="one", lasts_s=lasts_s, options={"node": 2, "name": name})


def carried_out(*faults: Planned) -> list[str]:
    """What happened, in its order."""
    said: list[str] = []

    async def run() -> None:
        arena: Any = Ground(said)
        await Nemesis(arena, History(), Schedule(1, faults)).run()

    simulate(run(), 1)
    return said


def test_what_was_to_end_before_the_next_fault_has_ended_then_however_late_both_are() -> None:
    """Two damages at one node at a time had the second wait for a start that had been (scenario damage, seed 11)."""
    faults = planned("first", 0, 1), planned("second", 2, 1), planned("third", 4, 1, "damaged_state")
    expected = [f"{name} {what}" for name in ("first", "second", "third") for what in ("begins", "ends")]

    assert expected == carried_out(*faults)


def test_what_is_to_overlap_overlaps() -> None:
    """A schedule may want two faults at once."""
    assert ["first begins", "second begins", "second ends", "first ends"] == carried_out(
        planned("first", 0, 60), planned("second", 5, 1)
    )
