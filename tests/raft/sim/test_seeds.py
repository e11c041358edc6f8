"""Raft-only seeds in every test run, and planted bugs that they must find."""

import pytest

from tests.raft.sim.planted import BUGS
from tests.raft.sim.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_first_seeds() -> None:
    """Random faults on a correct core break no invariant."""
    for seed in range(1, 301):
        assert World(seed).run().events > 0


def test_the_same_seed_is_the_same_run() -> None:
    """Twice the same events, counts and virtual time."""
    first, second = World(5).run(), World(5).run()

    assert (first.events, first.counts, first.now) == (second.events, second.counts, second.now)


@pytest.mark.parametrize(
    "bug",
    [
        "acknowledge_before_sync",
        "vote_without_log_check",
        "vote_counted_twice",
        "no_previous_entry_check",
        "stale_append_truncates",
    ],
)
def test_a_planted_bug_is_found(bug: str) -> None:
    """Each within the first seeds, by the swarm as it is."""
    for seed in range(1, 301):
        try:
            World(seed, core=BUGS[bug]).run()
        except Exception:  # noqa: BLE001  found
            return
    pytest.fail(f"{bug} was not found in 300 seeds")
