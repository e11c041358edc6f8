"""The swarm itself: a batch from seed 1, the same trace for the same seed, and planted bugs that are found quickly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.raft.sim import compiled
from tests.raft.sim.batch import Total, find, run_seed, run_seeds
from tests.raft.sim.planted import BUGS

SEEDS = 500
"""About a minute on one core; `python -m tests.raft.sim --seeds 5000` is the long run."""
ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_batch_of_seeds_finds_nothing_and_leaves_nothing_out():
    """From seed 1 on everything holds, and everything that must happen sometimes happens."""
    total = Total()
    for outcome in run_seeds(range(1, SEEDS + 1)):
        assert outcome.failure == "", outcome.repeat()
        total.add(outcome)
    assert [] == total.never


def test_what_was_sent_before_does_not_reach_one_that_lost_it_knows_not_what():
    """Seed 2215336: a late append ended its recovery, and a late acknowledgement counted for what it had lost.

    The core's contract excludes it, and links keep that; the swarm did not.
    """
    assert run_seed(2215336).failure == ""


def test_who_is_away_is_told_rightly_in_the_end():
    """Seed 2241520: after the storm a leader was told, for good, that a follower was away, and fell asleep without it.

    That one was asked for its vote by a removed replica, over and over, and so never spoke up itself.
    """
    assert run_seed(2241520).failure == ""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace():
    """Every event of a seed is the same the second time."""
    for seed in (3, 4):
        first, second = run_seed(seed), run_seed(seed)
        assert (first.digest, first.events, first.counts) == (second.digest, second.events, second.counts)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace_in_another_process():
    """Nothing rests on the order of hashed strings or on addresses."""
    program = "from tests.raft.sim.batch import run_seed; o = run_seed(5); print(o.digest, o.events)"
    expected = run_seed(5)
    for hash_seed in ("1", "2"):
        answer = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert f"{expected.digest} {expected.events}" == answer.stdout.strip()


@pytest.mark.long
@pytest.mark.timeout(400)
def test_compiled_a_seed_gives_the_same_trace():
    """Else compiled seeds would prove nothing about what people run."""
    program = (
        "import cluster.raft.core as core; from tests.raft.sim.batch import run_seed; "
        "print(core.__file__.endswith('.so'), *(run_seed(seed).digest for seed in range(1, 21)))"
    )
    folder = compiled.prepare()
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ["True", *(str(run_seed(seed).digest) for seed in range(1, 21))] == answer.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize(
    "bug",
    [
        "acknowledge_before_sync",
        "vote_not_persisted",
        "vote_without_log_check",
        "no_previous_entry_check",
        "stale_append_truncates",
        "leader_counts_unsynced",
        "old_ticket_vouches_for_new",
        "acknowledges_with_the_vote",
        "votes_before_it_is_written",
        "joint_by_one_majority",
        "effective_at_commit",
        "learner_counted",
        "two_changes_at_once",
        "joint_left_early",
        "no_roll_back",
    ],
)
def test_a_planted_bug_is_found(bug):
    """The unmodified swarm, from seed 1, finds it within a few seeds; the rarer ones belong to the table."""
    outcome, _ = find(bug, seeds_max=100)
    assert outcome is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "bug",
    [
        "acknowledge_before_sync",
        "vote_without_log_check",
        "fold_regresses",
        "floor_ignored",
        "clean_without_answer",
    ],
)
def test_a_planted_bug_is_found_by_its_harm(bug):
    """Without a look at disks and promises: by what Raft must never let happen."""
    outcome, _ = find(bug, seeds_max=300, obligations=False)
    assert outcome is not None


def test_every_planted_bug_explains_itself():
    """A bug whose docstring does not say what it breaks cannot be judged."""
    assert [] == [name for name, core in BUGS.items() if not core.__doc__]
