"""A cluster that changes while it works: what the scenario `operations` does, with less load, a step of each kind."""

from pathlib import Path

import pytest

from chaos.history import Event, Kind, read_history
from chaos.running import run_scenario
from chaos.scenario import Scenario

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(300)]
STEPS = ["add", "drain", "replace", "restart"]
UNBROKEN = {"no_failures": True, "delivery_timeout_s": 120.0}
SCENARIO = Scenario(
    name="operated",
    workloads={
        "operations": {"strict": True, "steps": STEPS, "begin_s": 1.0, "pause_s": 0.0, "calm_s_max": 10.0},
        "log": {"rate_per_s": 60.0, "partitions": 3, "producers": 2, "readers": 1, **UNBROKEN},
        "groups": {
            "rate_per_s": 30.0,
            "partitions": 2,
            "producers": 1,
            "appenders": 0,
            "readers": 0,
            "members": 2,
            "life_s_max": 8.0,
            "cut_off": 0.0,
            **UNBROKEN,
        },
        "processing": {"producers": 1, "partitions": 1, **UNBROKEN},
    },
    seconds=180.0,
    until="operations",
)


def test_nodes_come_go_and_restart_under_load(tmp_path: Path) -> None:
    """Nothing that was acknowledged is lost, nothing is there twice or counted twice, and no publish fails."""
    done = run_scenario(SCENARIO, arena="processes", seed=1, folder=tmp_path, watch=lambda _: None)

    assert done.verdict.ok, done.verdict.summary()
    assert {"log", "groups", "processing", "publishes", "changes", "replicas"} <= set(done.verdict.checked)
    with (tmp_path / "history.jsonl").open() as lines:
        steps = [event for event in read_history(lines) if event.scope == "operations" and event.kind is Kind.OK]
    assert ["add", "drain", "remove", "replace", "restart", "restart", "restart"] == _named(steps)
    (settled,) = (event for event in steps if event.name == "settled")
    assert 3 == len(settled.value["nodes"])
    assert not {1, 2} & set(settled.value["nodes"])


def _named(steps: list[Event]) -> list[str]:
    return [step.name for step in steps if step.name not in {"began", "settled"}]
