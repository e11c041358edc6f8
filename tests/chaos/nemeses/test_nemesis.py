"""What the nemesis makes of a schedule when the faults before took longer than was planned."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from chaos.arenas.arena import HitNobody, Mend, Roles
from chaos.history import History, Kind
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


class Hanging(SlowDamage):
    """One that never begins."""

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        del nodes, options
        await asyncio.sleep(3600)
        return None


class Elsewhere(SlowDamage):
    """One that hits those of `there`, whoever is asked for, and finds out late that there is nothing to break."""

    def __init__(self, *there: int, nothing: bool = False) -> None:
        super().__init__([])
        self._there = there
        self._nothing = nothing

    def whom(self, nodes: Sequence[int]) -> list[int]:
        """See Choosing."""
        del nodes
        return list(self._there)

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        assert list(self._there) == nodes
        assert nodes, "nobody is not hit"
        if self._nothing:
            raise HitNobody("there is no such file")
        return await super().inject(nodes, options)


class Client(SlowDamage):
    """One that hits no node, and is over at once."""

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector."""
        assert not nodes, "it is a client that is hit"
        self._said.append(f"{options['name']} vanished")
        return None


class Ground:
    """What the nemesis asks an arena."""

    nodes = (1, 2, 3)
    roles_s = 0.0
    """How long it takes to ask who has which role."""

    def __init__(self, said: list[str]) -> None:
        self.injectors = {"damaged_vote": SlowDamage(said), "damaged_state": SlowDamage(said), "hanging": Hanging(said)}
        self.injectors |= {"client_vanish": Client(said)}
        self.injectors |= {"3": Elsewhere(3), "nobody": Elsewhere(), "nothing": Elsewhere(2, nothing=True)}
        self.random = random.Random(1)

    def now_s(self) -> float:
        """Virtual time."""
        return asyncio.get_running_loop().time()

    async def roles(self) -> Roles:
        """Nobody leads."""
        await asyncio.sleep(self.roles_s)
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


@pytest.mark.parametrize("at_s", [1.0, 4.0, 6.0])
def test_what_is_under_way_when_it_is_healed_is_done_and_undone(at_s: float) -> None:
    """While the fault begins, while it lasts, while it ends: when it is healed it is over, and no other begins."""
    said: list[str] = []

    async def run() -> None:
        arena: Any = Ground(said)
        nemesis = Nemesis(arena, History(), Schedule(1, [planned("first", 0, 2), planned("second", 30, 1)]))
        running = asyncio.ensure_future(nemesis.run())
        await asyncio.sleep(at_s)
        await nemesis.heal()
        assert ["first begins", "first ends"] == said
        assert [] == nemesis.lasting
        await asyncio.wait_for(running, 1)
        await asyncio.sleep(60)

    simulate(run(), 1)
    assert ["first begins", "first ends"] == said


def test_no_fault_begins_when_it_is_healed_while_somebody_asks_whom_to_hit() -> None:
    """It would never end: whoever heals has looked by then, and found nothing."""
    said: list[str] = []
    history = History()

    async def run() -> None:
        arena: Any = Ground(said)
        arena.roles_s = 2.0
        nemesis = Nemesis(arena, history, Schedule(1, [planned("first", 0, 2)]))
        running = asyncio.ensure_future(nemesis.run())
        await asyncio.sleep(1)
        await nemesis.heal()
        await running
        assert [] == nemesis.lasting
        assert not nemesis.counts

    simulate(run(), 1)
    assert [] == said
    assert [] == history.events


def test_a_fault_that_hangs_is_not_waited_for_without_end() -> None:
    """Whoever heals is told of it."""

    async def run() -> None:
        arena: Any = Ground([])
        nemesis = Nemesis(arena, History(), Schedule(1, []))
        hanging = asyncio.ensure_future(nemesis.inject(planned("first", 0, 1, "hanging")))
        await asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="hanging"):
            await nemesis.heal()
        hanging.cancel()

    simulate(run(), 1)


@pytest.mark.parametrize(
    ("fault", "nodes", "kind"), [("3", [3], Kind.OK), ("nobody", [], Kind.FAIL), ("nothing", [2], Kind.FAIL)]
)
def test_the_history_says_whom_a_fault_hit(fault: str, nodes: list[int], kind: Kind) -> None:
    """Not whom it was aimed at; and one that hit nobody has not happened."""
    history = History()

    async def run() -> Nemesis:
        arena: Any = Ground([])
        nemesis = Nemesis(arena, history, Schedule(1, [planned("first", 0, 1, fault)]))
        await nemesis.run()
        return nemesis

    nemesis = simulate(run(), 1)[0]
    begun, ended = history.events
    assert (nodes, kind) == (begun.value["nodes"], ended.kind)
    assert kind is Kind.OK or ended.value["error"]
    assert int(kind is Kind.OK) == nemesis.counts[fault]
    assert [] == nemesis.lasting


@pytest.mark.parametrize("fault", ["3", "nobody", "nothing", "client_vanish"])
def test_who_wants_a_fault_is_told_that_it_hit_nobody(fault: str) -> None:
    """Else a test would pass for want of it; a client is no node, and is hit all the same."""
    role = "client" if fault == "client_vanish" else "one"
    wanted = Planned(at_s=0.0, fault=fault, role=role, lasts_s=1.0, options={"name": "it"})

    async def run() -> list[int]:
        arena: Any = Ground([])
        return await Nemesis(arena, History(), Schedule(1, [])).hit(wanted)

    if fault in {"nobody", "nothing"}:
        with pytest.raises(HitNobody, match=f"{fault} hit nobody: (there is no such file|nothing to hit)"):
            simulate(run(), 1)
    else:
        assert ([3] if fault == "3" else []) == simulate(run(), 1)[0]


def test_one_that_hits_nobody_is_told_of_though_one_before_did() -> None:
    """Each is for itself."""
    wanted = Planned(at_s=0.0, fault="3", role="one", lasts_s=1.0, options={"name": "it"})

    async def run() -> list[int]:
        arena: Any = Ground([])
        nemesis = Nemesis(arena, History(), Schedule(1, []))
        assert [3] == await nemesis.hit(wanted)
        arena.injectors["3"] = Elsewhere()
        return await nemesis.hit(wanted)

    with pytest.raises(HitNobody, match="3 hit nobody: nothing to hit"):
        simulate(run(), 1)
