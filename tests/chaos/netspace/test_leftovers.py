"""Nothing of a run is left, however it ends, and two at a time do not meet."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.arenas.processes.netspace.namespaces import ip
from tests.chaos.netspace.conftest import require_spaces

pytestmark = [pytest.mark.root, pytest.mark.slow]
ROOT = Path(__file__).parents[3]
GONE_S_MAX = 20.0


def _run(wiring: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.chaos.netspace.harness", wiring]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _left(said: dict[str, Any]) -> list[str]:
    """What there is of a run."""
    found = [line.split()[0] for line in ip("netns", "list").splitlines() if line.startswith(said["run"] + "-")]
    found += [path for path in (said["folder"], f"/proc/{said['inside']}") if Path(path).exists()]
    return found


def _wait_gone(said: dict[str, Any]) -> list[str]:
    end_s = time.perf_counter() + GONE_S_MAX
    while (left := _left(said)) and time.perf_counter() < end_s:
        time.sleep(0.02)
    return left


@pytest.fixture
def runs() -> Iterator[list["subprocess.Popen[str]"]]:
    """Are killed if they still run."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for run in started:
        run.kill()
        run.wait()
        assert run.stdout is not None
        run.stdout.close()


def test_a_run_that_is_interrupted_or_killed_leaves_nothing(runs: list["subprocess.Popen[str]"]) -> None:
    """Two at once, with the same nodes: one gets Ctrl-C, the other one is killed, and cannot do anything about it."""
    require_spaces()
    runs += [_run("switch"), _run("bridge")]
    first, second = (json.loads(run.stdout.readline()) for run in runs if run.stdout is not None)
    assert [5, 6] == [len(_left(said)) - 1 for said in (first, second)]  # the bridge has a namespace of its own

    runs[0].send_signal(signal.SIGINT)
    assert [] == _wait_gone(first)
    assert 7 == len(_left(second))
    runs[1].kill()
    assert [] == _wait_gone(second)
