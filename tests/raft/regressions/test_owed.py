"""What a replica owes: found by seeds in the core, each as the smallest case that shows it."""

from dataclasses import replace

import pytest

from cluster.config import RaftOptions
from cluster.types import Index, ReplicaId, Term
from tests.raft.regressions.test_found_by_seeds import a_core, append, ask, owed


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_a_leader_has_in_the_place_of_a_doubt_is_all_that_is_owed(*, on_disk: bool) -> None:
    """Seed 2251533: the doubt's term was only bounded, by that of the leader whose older entry took its place.

    That one was damaged then, and the third, whose log ended with older entries, was refused for ever.
    """
    options = RaftOptions(pre_vote=False, check_quorum=False)
    core = a_core(last_index=4, term=3, of=2, doubts=[(Index(5), Term(3))], options=options)
    core.step(append(2, 3, (4, 2), (5, 2)))
    assert core.recovering
    assert (Index(5), Term(2)) == owed(core)
    if on_disk:
        ready = core.ready()
        assert ready is not None
        core.persisted(ready.ticket)
        core.step(append(2, 3, (5, 2), (6, 2)))
        assert not core.recovering
    core.step(ask(term=4, last_index=7, last_term=2))
    assert ReplicaId(1) == core.voted_for


def test_what_was_in_doubt_is_here_when_the_leaders_log_is_as_long_on_disk() -> None:
    """Seed 2251533, too: of the later one only the bound was known when the first one's place was taken."""
    core = a_core(last_index=4, term=3, of=2, doubts=[(Index(5), Term(3)), (Index(6), Term(3))])
    core.step(replace(append(2, 3, (4, 2), (5, 2)), last_index=Index(7)))
    for place, recovers in ((6, True), (7, False)):
        ready = core.ready()
        assert ready is not None
        core.persisted(ready.ticket)
        assert recovers == core.recovering
        core.step(append(2, 3, (place - 1, 2), (place, 2)))
