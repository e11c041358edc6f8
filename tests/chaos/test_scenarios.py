"""The named scenarios, short: simulated ones in virtual time, some of them on real nodes. `make chaos` runs more."""

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.history import read_history
from chaos.nemeses.catalogue import CATALOGUE
from chaos.running import run_scenario
from chaos.scenario import Scenario, UnknownWord, faults_named
from chaos.scenarios import SCENARIOS
from chaos.workloads import WORKLOADS

SIMULATED = ("kills", "power", "metadata", "cleaning")
REAL = ("kills", "partitions", "power")
"""Those that CI runs on real nodes; each takes half a minute."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATED)
def test_a_simulated_scenario_finds_nothing(name: str, tmp_path: Path) -> None:
    """Twelve virtual seconds of faults, as far as the simulator knows them."""
    scenario = replace(SCENARIOS[name], seconds=12.0, every_s=2.0)

    done = run_scenario(scenario, arena="sim", seed=1, folder=tmp_path / "run", watch=lambda _: None)

    assert done.verdict.ok, done.verdict.summary()
    assert done.verdict.operations["ok"] > 50
    assert sum(done.verdict.faults.values()) > 0


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", REAL)
def test_a_scenario_on_real_nodes_finds_nothing(name: str, tmp_path: Path) -> None:
    """Fifteen seconds of faults on three nodes."""
    scenario = replace(SCENARIOS[name], seconds=15.0, every_s=2.0, nodes=3)

    done = run_scenario(scenario, arena="processes", seed=1, folder=tmp_path / "run", watch=lambda _: None)

    assert done.verdict.ok, done.verdict.summary()
    assert done.verdict.operations["ok"] > 500
    assert sum(done.verdict.faults.values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("count", [50, 10_000])
def test_a_scenario_is_over_when_a_workload_has_come_to_its_end(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the latest when its seconds are."""
    monkeypatch.setitem(WORKLOADS, "numbers", "tests.chaos.numbers:NumbersWorkload")
    scenario = Scenario(name="short", workloads={"numbers": {"count": count}}, seconds=10.0, until="numbers")

    done = run_scenario(scenario, arena="sim", seed=1, folder=tmp_path / "run", watch=lambda _: None)

    assert done.verdict.ok, done.verdict.summary()
    with (tmp_path / "run" / "history.jsonl").open() as lines:
        began = {event.name: event.time_s for event in read_history(lines) if event.scope == "run"}
    lasted_s = began["quiet"] - began["load"]
    assert lasted_s < 5.0 if count == 50 else lasted_s == pytest.approx(10.0)


def test_a_scenario_is_the_same_when_it_was_saved() -> None:
    """In its run's folder."""
    for scenario in SCENARIOS.values():
        assert scenario == Scenario.from_json(scenario.to_json())


def test_every_fault_is_in_some_scenario_that_runs_on_real_nodes() -> None:
    """But for those that only the simulator has."""
    used = {fault for scenario in SCENARIOS.values() for fault in scenario.faults}
    assert {"flip_bit", "truncate_file"} == set(CATALOGUE) - used


def test_words_for_faults() -> None:
    """A fault's name, a family's, and one that there is not."""
    assert ("kill",) == faults_named(["kill"])
    assert "partition_one" in faults_named(["partition"])
    with pytest.raises(UnknownWord, match="no fault or family of faults called 'rain'; there are: clock, "):
        faults_named(["rain"])
