"""Cluster seeds: a few in every test run, with the ones that ever failed by name."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.arenas.sim.swarm.plan import Plan, draw_sparse
from chaos.arenas.sim.swarm.seed import PlannedCluster, run_seed
from tests.sim.planted import OftenDamaged

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


class ShortLife(PlannedCluster):
    """As a sparse seed has it, but for its length."""

    @classmethod
    def planned(cls, plan: Plan) -> Plan:
        """Some faults are enough."""
        return replace(plan, load_s=60.0)


def test_a_sparse_seed() -> None:
    """`python -m tests.sim.sparse` for a minute: it is judged as all are."""
    seen = run_seed(1, ShortLife, draw_sparse)

    assert 10 < seen.acknowledged < 1_000
    assert seen.counts["elections"] > 0
    assert seen.operations["ok"] > 10


def test_a_planted_bug_is_found() -> None:
    """The unmodified swarm, from seed 1; `python -m tests.sim --bug all --seeds 1000` looks for all of them."""
    done = _run("--bug", "no_deduplication", "--seeds", "20", "--jobs", "2")

    assert 0 == done.returncode, done.stdout + done.stderr


def test_the_same_seed_is_the_same_run() -> None:
    """Twice the same steps, sends, faults and elections."""
    first, second, other = _run("--replay", "2"), _run("--replay", "2"), _run("--replay", "7")

    assert first.stdout == second.stdout
    assert first.stdout != other.stdout


DAMAGED = [("doubt_ignored", 1), ("uncounted_ignored", 1)]


@pytest.mark.parametrize(("bug", "seed"), [("vote_not_persisted", 5), *DAMAGED])
def test_what_is_promised_and_forgotten_is_found_by_its_name(bug: str, seed: int) -> None:
    """At that seed, which is good without the bug on the same cluster."""
    found = _run("--bug", bug, "--replay", str(seed))

    assert 1 == found.returncode, found.stdout + found.stderr
    assert " forgotten: " in found.stdout
    assert "never retrieved" not in found.stderr
    base = OftenDamaged if (bug, seed) in DAMAGED else PlannedCluster
    assert run_seed(seed, base).acknowledged > 0
