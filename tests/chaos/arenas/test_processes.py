"""A run with real nodes, from a scenario to a folder that says what happened; and one whose workload is broken."""

import json
from pathlib import Path

import pytest

from chaos.history import Kind, read_history
from chaos.running import run_scenario
from chaos.scenario import Scenario
from chaos.workloads import WORKLOADS

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workload of these tests is known by its name."""
    monkeypatch.setitem(WORKLOADS, "numbers", "tests.chaos.numbers:NumbersWorkload")


def test_a_run_without_faults_finds_nothing(tmp_path: Path) -> None:
    """What is in the folder says what ran and what came of it; no process is left."""
    scenario = Scenario(name="quiet", workloads={"numbers": {}}, seconds=2.0)

    done = run_scenario(scenario, arena="processes", seed=1, folder=tmp_path, watch=lambda _: None)

    assert done.verdict.ok, done.verdict.summary()
    assert done.verdict.operations["ok"] > 20
    assert json.loads((tmp_path / "verdict.json").read_text())["ok"] is True
    with (tmp_path / "history.jsonl").open() as lines:
        events = list(read_history(lines))
    names = [event.name for event in events if event.scope == "run" and event.kind is Kind.OK]
    assert [name for name in names if name in {"load", "quiet", "healed", "end"}] == ["load", "quiet", "healed", "end"]
    assert {"started", "up", "terminated"} == {
        event.value["what"] for event in events if event.name == "node" and event.kind is Kind.INVOKE
    }


def test_a_workload_that_breaks_ends_the_run(tmp_path: Path) -> None:
    """That is a failure of the run, and no verdict about the cluster."""
    scenario = Scenario(name="broken", workloads={"numbers": {"fail_after": 3}}, seconds=30.0)

    done = run_scenario(scenario, arena="processes", seed=1, folder=tmp_path, watch=lambda _: None)

    assert not done.verdict.ok
    assert "load and faults: ValueError: the workload itself is broken" == done.verdict.failure
    assert [] == list(done.verdict.anomalies)
