"""The plug-in as somebody else's tests use it: in a pytest of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
THEIRS = """
import pytest
from chaos.scenario import UnknownWord
from cluster import connect_blocking


@pytest.mark.chaos(faults=["kill"], every_s=None)
def test_a_leader_dies(chaos):
    with connect_blocking(chaos.servers) as client:
        client.create_topic("orders", partitions=1)
        client.publish("orders", b"before")
        with chaos.fault("kill", role="leader") as nodes:
            assert len(nodes) == 1
            client.publish("orders", b"meanwhile")
        chaos.heal()
        assert [b"before", b"meanwhile"] == [record.value for record in client.read("orders", until="latest")]
    with pytest.raises(UnknownWord, match="does not say 'pause'"), chaos.fault("pause"):
        pass


@pytest.mark.chaos(faults=["kill", "pause"], every_s=2, seed=7)
def test_orders_survive(chaos):
    with connect_blocking(chaos.servers) as client:
        client.create_topic("orders", partitions=3)
        for number in range(400):
            client.publish("orders", b"%d" % number)
        chaos.heal()
        assert 400 == sum(1 for _ in client.read("orders", until="latest"))
    assert {"kill", "pause"} >= {event.name for event in chaos.history.events if event.scope == "nemesis"}


@pytest.mark.chaos(faults=["rain"])
def test_there_is_no_such_fault(chaos):
    pass
"""


def test_tests_of_others(tmp_path: Path) -> None:
    """Two pass; the third is told which faults there are."""
    (tmp_path / "test_theirs.py").write_text(THEIRS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "chaos.pytest_plugin", "--rootdir", str(tmp_path)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}

    done = subprocess.run(
        [*command, str(tmp_path)], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )

    assert "2 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "no fault or family of faults called 'rain'" in done.stdout
