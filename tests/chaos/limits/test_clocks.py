"""Clocks as a process sees them, which are not the machine's: read and waited by, in everything that a node uses."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chaos.arenas.processes.clocks import SOURCE, Clocks, built, preload
from tests.chaos.limits.inside import WAIT_S
from tests.chaos.limits.one_program import Programs
from tests.conftest import require_tool

pytestmark = [pytest.mark.slow]
NEAR_S = 0.5


@pytest.fixture
async def programs(tmp_path: Path) -> AsyncIterator[Programs]:
    """One, with clocks, told of by `clocks`."""
    require_tool("cc")
    programs = Programs(tmp_path)
    try:
        yield programs
    finally:
        programs.stop()


async def _fitted(programs: Programs) -> Clocks:
    clocks = Clocks()
    assert clocks.missing() == ""
    programs.launches[1].environment["LD_PRELOAD"] = str(built(SOURCE))  # another's library, as it were
    programs.injectors = await clocks.fit(programs)
    await programs.start(1)
    programs.ask("clocks()")  # what is imported takes its time
    return clocks


def _ahead(programs: Programs) -> tuple[float, float]:
    """How far its clocks are from the true ones; 0 if they said something between the question and the answer."""
    before = (time.time(), time.monotonic())  # noqa: TID251  the true ones
    told = programs.ask("clocks()")
    after = (time.time(), time.monotonic())  # noqa: TID251
    wall_s, monotonic_s = (
        value - min(max(value, low), high) for value, low, high in zip(told, before, after, strict=True)
    )
    return wall_s, monotonic_s


@pytest.mark.parametrize("by_s", [60.0, -60.0])
async def test_a_wall_clock_jumps_and_is_corrected(programs: Programs, by_s: float):
    """By a minute, either way; nobody waits a minute longer or shorter, and what it was is again."""
    clocks = await _fitted(programs)
    assert max(map(abs, _ahead(programs))) < NEAR_S
    mend = await programs.injectors["clock_jump"].inject([1], {"by_s": by_s})
    wall_s, monotonic_s = _ahead(programs)
    assert abs(wall_s - by_s) < NEAR_S
    assert abs(monotonic_s) < NEAR_S
    _waits_are_right(programs, rate=1.0)
    await mend()
    assert max(map(abs, _ahead(programs))) < NEAR_S
    assert {"clocks set": 2} == await clocks.remove()


async def test_all_clocks_run_at_double_speed(programs: Programs):
    """A wait takes as long as ever by the process's own clock, which is half of it truly; monotonic stays ahead."""
    clocks = await _fitted(programs)
    mend = await programs.injectors["clocks_rate"].inject([1], {"rate": 2.0, "monotonic": True})
    _waits_are_right(programs, rate=2.0)
    wall_s, monotonic_s = _ahead(programs)
    assert wall_s > 0.3
    assert monotonic_s > 0.3
    _, before_s = programs.ask("clocks()")
    await mend()
    _, after_s = programs.ask("clocks()")
    assert after_s >= before_s, "it never goes back"
    wall_s, monotonic_s = _ahead(programs)
    assert abs(wall_s) < 0.05
    assert monotonic_s > 0.3
    _waits_are_right(programs, rate=1.0)
    await clocks.remove()


async def test_only_the_wall_clock_runs_at_double_speed(programs: Programs):
    """Time-outs are as they were."""
    clocks = await _fitted(programs)
    await programs.injectors["clock_rate"].inject([1], {"rate": 2.0, "monotonic": False})
    began_s = time.monotonic()  # noqa: TID251  the true one
    before_s, _ = _ahead(programs)
    _waits_are_right(programs, rate=1.0)
    spent_s = time.monotonic() - began_s  # noqa: TID251
    after_s, monotonic_s = _ahead(programs)
    assert after_s - before_s > spent_s / 2
    assert abs(monotonic_s) < NEAR_S
    await clocks.remove()


def _waits_are_right(programs: Programs, *, rate: float) -> None:
    waits = programs.ask("waits()")
    assert isinstance(waits, dict), waits
    assert {} == {name: told_s for name, (told_s, _) in waits.items() if not WAIT_S * 0.95 < told_s < WAIT_S + 2}
    wrong = {name: spent for name, spent in waits.items() if abs(spent[0] / rate - spent[1]) > 0.04}
    assert {} == wrong, "told and true seconds"


def test_libraries_are_preloaded_beside_each_other():
    """Who comes second does not replace the first."""
    environment: dict[str, str] = {}
    preload(environment, Path("/one.so"))
    preload(environment, Path("/two.so"))
    assert {"LD_PRELOAD": "/one.so /two.so"} == environment


def test_a_source_that_does_not_compile_says_why(tmp_path: Path):
    """The compiler's words, and nothing is left that looks like a library."""
    require_tool("cc")
    source = tmp_path / "wrong.c"
    source.write_text("int x = y;\n")
    with pytest.raises(RuntimeError, match=r"wrong\.c does not compile: .*undeclared"):
        built(source)


def test_the_machines_clock_is_never_set():
    """Nothing that could is called."""
    assert "settime(" not in SOURCE.read_text()
    assert "settimeofday" not in SOURCE.read_text()
