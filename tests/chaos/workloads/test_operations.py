"""Nodes that come and go under load, simulated: sound nodes pass, and what the operator is told is judged."""

from collections import Counter
from dataclasses import replace

import pytest

from chaos.history import History, Kind
from chaos.running import simulate_scenario
from chaos.scenario import Scenario
from chaos.scenarios import SCENARIOS
from chaos.seeds import Batch, run_one
from chaos.verdict import Verdict

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SHORT = replace(SCENARIOS["changes"], seconds=30.0)


def run(scenario: Scenario, seed: int) -> tuple[History, Verdict]:
    """What happened, and what came of it."""
    history = History()
    return history, simulate_scenario(scenario, seed, history)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_cluster_changes_under_fire(seed: int) -> None:
    """Steps in any order beside all loads and faults; what a batch says of it is the figures' own command."""
    done = run_one(SHORT, seed)
    batch = Batch("changes")
    batch.add(done)

    assert [] == list(done.found)
    assert 3 < sum(done.steps.values())
    assert done.operations["ok"] > 500
    assert f"--first {seed} --seeds 1" in batch.summary()


def test_every_step_is_done_where_nothing_is_broken() -> None:
    """Two come, two go, one is replaced, all are restarted: of the first nodes none is left."""
    steps = {"operations": {"strict": True, "begin_s": 1.0}, "log": {"rate_per_s": 10.0, "no_failures": True}}
    scenario = replace(SHORT, workloads=steps, faults=(), seconds=60.0)
    history, verdict = run(scenario, 1)
    kinds = Counter((event.name, event.kind) for event in history.events if event.scope == "operations")
    (settled,) = [event.value["nodes"] for event in history.events if event.kind is Kind.OK and event.name == "settled"]

    assert verdict.ok, verdict.summary()
    assert "longest without an acknowledgement: log/" in verdict.summary()
    assert [2, 2, 2, 1, 3] == [kinds[name, Kind.OK] for name in ("add", "drain", "remove", "replace", "restart")]
    assert [4, 5, 6] == settled
    assert 0 == kinds["left", Kind.OK]


def test_the_same_seed_is_the_same_run() -> None:
    """To the last event."""
    short = replace(SHORT, seconds=15.0)
    assert run(short, 3)[0].events == run(short, 3)[0].events
