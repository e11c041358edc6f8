"""Clients that vanish in the middle of their work: their seats go on, and nothing is wrong."""

import asyncio
from collections.abc import Sequence

import pytest

from chaos.arenas.sim.arena import SimArena
from chaos.history import Event, History, Kind
from chaos.nemeses import known
from chaos.nemeses.catalogue import CATALOGUE
from chaos.nemeses.nemesis import Nemesis
from chaos.nemeses.schedule import draw_schedule
from chaos.workloads.groups import GroupsWorkload
from cluster.sim.clock import simulate

OPTIONS = {"cut_off": 0.0, "think_s": 0.2, "partitions": 3}


def _run() -> Sequence[Event]:
    """A history of some ten vanished clients, which the checkers have nothing to say of."""

    async def run() -> Sequence[Event]:
        arena, history = SimArena.make(1), History()
        await arena.start()
        work = GroupsWorkload(arena, history.scoped("groups"), OPTIONS)
        await work.prepare()
        working = asyncio.create_task(work.run())
        arena.latency.slow(0.2)  # something is under way most of the time
        schedule = draw_schedule(3, ["client_vanish"], seconds=15.0, every_s=1.0)
        await Nemesis(arena, history, schedule).run()
        await arena.heal()
        await asyncio.sleep(2.0)
        work.stop()
        await working
        await work.finish()
        assert [] == (await arena.examine(work.topics))[0]
        assert [] == work.judge(history.events, OPTIONS)
        assert len(schedule.faults) == work.load.counts["vanished"]
        assert len(schedule.faults) == (await arena.stop()).counts["clients_vanished"]
        return history.events

    return simulate(run(), 1)[0]


@pytest.mark.slow
def test_whoever_vanishes_says_nothing_more_and_another_one_goes_on() -> None:
    """What was under way is unknown; the same seed is the same run."""
    events = _run()
    ours = [event for event in events if event.scope == "groups"]
    gone = {event.process: place for place, event in enumerate(ours) if event.name == "vanish"}
    unknown = [event for event in ours if event.value.get("error") == "VANISHED"]

    assert {"p", "a", "r", "m"} == {process[0] for process in gone}
    assert {Kind.INFO} == {event.kind for event in unknown}
    assert {"send", "read"} <= {event.name for event in unknown}
    for process, place in gone.items():
        after = [event for event in ours[place + 1 :] if event.process == process]
        assert all(event in unknown for event in after), process
        begun = {event.operation for event in ours if event.process == process and event.kind is Kind.INVOKE}
        ended = {event.operation for event in ours if event.process == process and event.kind is not Kind.INVOKE}
        assert begun <= ended, process
    sat = next(process for process in gone if process.startswith("p"))
    seat = sat.partition(".")[0]
    assert any(event.process.startswith(f"{seat}.") for event in ours), seat
    assert events == _run()


def test_a_client_is_no_node() -> None:
    """The fault hits none, and whom it hits was drawn before the run."""
    schedule = draw_schedule(3, ["client_vanish"], seconds=30.0, every_s=1.0)

    assert "limits" in known.__all__
    assert ("client",) == CATALOGUE["client_vanish"].roles
    assert {"client"} == {planned.role for planned in schedule.faults}
    assert len(schedule.faults) == len({planned.options["seat"] for planned in schedule.faults})
