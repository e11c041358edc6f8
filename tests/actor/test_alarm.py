"""A sleep that somebody may end, in virtual time."""

import asyncio

from cluster.actor import Alarm
from cluster.sim.clock import simulate


def test_it_ends_in_its_time_or_when_it_rings() -> None:
    """Whoever rang while nobody slept is heard at the next sleep, once."""

    async def run() -> list[tuple[float, bool]]:
        loop = asyncio.get_running_loop()
        alarm, told = Alarm(), []
        alarm.ring()
        alarm.ring()
        loop.call_later(7.0, alarm.ring)
        for _ in range(4):
            rung = await alarm.sleep(5.0)
            told.append((loop.time(), rung))
        return told

    assert [(0.0, True), (5.0, False), (7.0, True), (12.0, False)] == simulate(run(), 1)[0]


def test_who_is_cancelled_in_its_sleep_leaves_nothing_behind() -> None:
    """A ring for nobody does no harm."""

    async def run() -> bool:
        alarm = Alarm()
        sleeping = asyncio.create_task(alarm.sleep(5.0))
        await asyncio.sleep(1)
        sleeping.cancel()
        await asyncio.gather(sleeping, return_exceptions=True)
        alarm.ring()
        return await alarm.sleep(5.0)

    assert simulate(run(), 1)[0]
