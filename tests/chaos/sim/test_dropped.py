"""Which forgotten failures a simulation tells of."""

import asyncio
import gc

import pytest

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
