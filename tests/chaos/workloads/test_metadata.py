"""Topics made and removed under fire: sound nodes pass, and a node with a known bug is found."""

from collections import Counter

import pytest

from chaos.history import Kind
from chaos.workloads.metadata import MetadataWorkload
from cluster.controller.commands import Command
from cluster.controller.controller import Controller
from cluster.errors import Unavailable
from cluster.metadata import Topic
from tests.chaos.workloads.simulated import run_seed

pytestmark = pytest.mark.slow
ALL = {"create", "delete", "alter", "describe", "list", "status", "send", "read"}


@pytest.mark.parametrize("seed", [1, 2])
def test_topics_under_fire(seed: int) -> None:
    """Every kind of operation succeeds in each run, some fail and some are lost; nothing is wrong with any of it."""
    events, found = run_seed(MetadataWorkload, seed, seconds=20.0, every_s=2.5)
    assert [] == found
    kinds = Counter((event.name, event.kind) for event in events)
    assert ALL == {name for name, kind in kinds if kind is Kind.OK}
    assert {"create", "delete", "describe"} <= {name for name, kind in kinds if kind is Kind.FAIL}


def test_a_topic_that_was_made_and_deleted_at_once_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told that it was Unavailable, the client made the topic again; and others had deleted one that nobody made."""

    async def decide_topic(controller: Controller, name: str, command: Command) -> Topic:
        answer = await controller._decide(command)
        await controller._wait_version(answer.version)
        topic = controller.state.by_name.get(name)
        if topic is None:
            raise Unavailable(f"the topic {name!r} was deleted right after that was done")
        return controller.state.topics[topic]

    monkeypatch.setattr(Controller, "_decide_topic", decide_topic)
    _, found = run_seed(MetadataWorkload, 2, seconds=20.0, every_s=2.0, names=1, clients=6)
    assert "metadata not linearizable" in {anomaly.name for anomaly in found}
