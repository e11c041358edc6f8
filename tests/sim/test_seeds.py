"""Cluster seeds: a few in every test run, with the ones that ever failed by name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.sim", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )


def test_the_first_seeds() -> None:
    """Whole clusters under faults: nothing acknowledged is lost, twice or out of order, and all replicas agree."""
    done = _run("--seeds", "6", "--jobs", "2")

    assert 0 == done.returncode, done.stdout + done.stderr


def test_an_idle_group_tells_a_restarted_follower_its_commit() -> None:
    """Seed 8: nothing was sent to a follower that had everything, so it never heard that its log was the leader's."""
    done = _run("--replay", "8")

    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_same_seed_is_the_same_run() -> None:
    """Twice the same steps, sends, faults and elections."""
    first, second, other = _run("--replay", "2"), _run("--replay", "2"), _run("--replay", "7")

    assert first.stdout == second.stdout
    assert first.stdout != other.stdout
