"""Which forgotten failures a simulation tells of."""

import asyncio
import gc

import pytest

from chaos.arenas.sim.arena import SimArena
from chaos.arenas.sim.dropped import Dropped
from cluster.sim.clock import simulate
from cluster.sim.disk import SimCrash


async def _fail(error: BaseException) -> None:
    raise error


async def _forget(error: BaseException) -> None:
    """A task that fails, and nobody looks."""
    task = asyncio.create_task(_fail(error))
    await asyncio.wait([task])
    del task
    gc.collect()


@pytest.mark.parametrize(("error", "told"), [(ValueError("real"), True), (SimCrash(), False)])
def test_real_ones_are_told_and_a_power_failure_is_none(
    caplog: pytest.LogCaptureFixture, error: BaseException, *, told: bool
) -> None:
    """Whoever the power has left takes no failure."""

    async def work() -> None:
        Dropped(asyncio.get_running_loop())
        await _forget(error)

    simulate(work(), 1)

    assert told == ("Task exception was never retrieved" in caplog.text)


def test_when_the_run_is_over_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """But for what was forgotten before."""

    async def work() -> None:
        dropped = Dropped(asyncio.get_running_loop())
        await _forget(ValueError("before"))
        dropped.over()
        await _forget(ValueError("after"))

    simulate(work(), 1)

    assert "before" in caplog.text
    assert "after" not in caplog.text


@pytest.mark.slow
def test_an_arena_tells_what_was_forgotten() -> None:
    """As an anomaly, with the sentence; not of a node that was killed, for whoever would have looked is gone."""

    async def work() -> list[str]:
        arena = SimArena.make(1)
        await arena.start()
        await _forget(ValueError("nobody looked"))
        failed = arena.cluster.hosts[2].run(_fail(ValueError("of a node")), name="failing")
        await asyncio.wait([failed])
        arena.cluster.kill(2)
        del failed
        await arena.heal()
        anomalies, _ = await arena.examine([])
        assert {"unretrieved exception"} == {anomaly.name for anomaly in anomalies}
        return [anomaly.detail for anomaly in anomalies]

    assert ["Task exception was never retrieved: ValueError('nobody looked')"] == simulate(work(), 1)[0]
