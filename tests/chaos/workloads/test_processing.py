"""An app under fire: each amount is counted once, whatever happens to nodes, links and the processes with user code."""

from collections import Counter

import pytest

from chaos.history import Kind
from chaos.workloads.processing import OUTPUTS, Processing
from tests.chaos.workloads.simulated import run_seed

pytestmark = pytest.mark.slow


def test_an_app_under_fire() -> None:
    """Results come out of every output, and are those of the inputs."""
    events, found = run_seed(
        Processing, 1, seconds=6.0, every_s=2.0, partitions=2, keys=4, groups=2, producers=2, pause_s=0.1
    )
    assert [] == found
    ended = Counter(event.name for event in events if event.kind is Kind.OK and event.name != "read")
    results = Counter[str]()
    for event in events:
        if event.name == "output" and event.kind is Kind.OK:
            results[event.value["topic"]] += len(event.value["records"])
    assert set(OUTPUTS) == set(results)
    assert ended["send"] > 50
    assert ended["send"] <= results["counts"] == results["groups"]
    assert results["windows"] > 1
