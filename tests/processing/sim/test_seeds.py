"""The seeds of the commit protocol: a batch from 1, the same run for the same seed, planted bugs that are found."""

import pytest

from tests.processing.sim.batch import Total, find, run_seed, run_seeds
from tests.processing.sim.planted import BUGS

SEEDS = 500
"""About ten seconds on one core; `python -m tests.processing.sim --seeds 20000` is the long run."""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_batch_of_seeds_finds_nothing():
    """From seed 1 on everything holds, and most of what must happen sometimes happens; the long run needs all of it."""
    total = Total()
    for outcome in run_seeds(range(1, SEEDS + 1)):
        assert outcome.failure == "", outcome.repeat()
        total.add(outcome)
    assert len(total.never) <= 3, total.never


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run():
    """Everything that happens is the same the second time."""
    for seed in (3, 4):
        first, second = run_seed(seed), run_seed(seed)
        assert (first.steps, first.counts) == (second.steps, second.counts)


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("bug", ["no_number", "sparse_sequences", "shipped_when_sent", "shipped_by_number"])
def test_a_planted_bug_is_found(bug):
    """The unmodified seeds, from 1, find it soon; the rarer ones belong to the table."""
    outcome, _ = find(bug, seeds_max=200)
    assert outcome is not None


def test_every_planted_bug_explains_itself():
    """A bug whose docstring does not say what it breaks cannot be judged."""
    assert [] == [name for name, rules in BUGS.items() if not (rules.ledger.__doc__ and rules.task.__doc__)]
