"""Topics and an app on real nodes that are killed: nothing is wrong with what clients saw, nor with the copies."""

from pathlib import Path
from typing import Any

import pytest

from chaos.nemeses import known  # noqa: F401  the faults are registered with it
from chaos.nemeses.schedule import Planned, Schedule
from chaos.running import run_scenario
from chaos.scenario import Scenario
from chaos.verdict import Verdict

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(240)]


def run(folder: Path, workload: str, **options: Any) -> Verdict:
    """Six seconds, in which the controller's node is killed, and then a leader."""
    scenario = Scenario(name="kills", workloads={workload: options}, faults=("kill",), seconds=6.0)
    kills = [("controller", 1.0), ("leader", 4.0)]
    schedule = Schedule(3, [Planned(at_s=at_s, fault="kill", role=role, lasts_s=1.0) for role, at_s in kills])
    return run_scenario(
        scenario, arena="processes", seed=3, folder=folder, schedule=schedule, watch=lambda _: None
    ).verdict


@pytest.mark.long
def test_topics_under_fire(tmp_path: Path) -> None:
    """Each name has one order."""
    verdict = run(tmp_path, "metadata", names=3, pause_s=0.2)
    assert verdict.ok, verdict.summary()
    assert verdict.operations["ok"] > 30
    assert {"kill": 2} == dict(verdict.faults)


@pytest.mark.long
def test_an_app_under_fire(tmp_path: Path) -> None:
    """Each amount is counted once."""
    verdict = run(tmp_path, "processing", partitions=2, keys=4)
    assert verdict.ok, verdict.summary()
    assert verdict.operations["ok"] > 50
    assert {"kill": 2} == dict(verdict.faults)
