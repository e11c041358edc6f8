"""A doubtful end of which nobody can say how many entries it had: any up to a bound, until the others have answered."""

from dataclasses import replace

import pytest

from cluster.messages import AppendReply, TailQuery, TailReply, VoteReply
from cluster.raft import Raft
from cluster.types import Index, ReplicaId, Term
from tests.raft.regressions.test_found_by_seeds import a_core, answer, append, ask, twice

FAR = Index(1 << 20)


def doubtful(*, vote: int = 4, of: int = 1) -> Raft:
    """Replica 3: entries 1 to 4 of term 1 are there, then one of term 1, and perhaps more, of term 4 at most."""
    return a_core(last_index=4, term=vote, of=of, doubts=[(Index(5), Term(1))], doubts_to=(FAR, Term(4)))


def says(sender: int, newest: tuple[int, int], *, at_5: int) -> TailReply:
    """What another one has: its newest entry as (index, term), and the term of entry 5."""
    said = answer(sender, state=2 if at_5 else 0, entry_term=at_5)
    return replace(said, newest_index=Index(newest[0]), newest_term=Term(newest[1]))


def grants(core: Raft, term: int, last: tuple[int, int]) -> bool:
    """Whether a candidate gets its vote whose log ends so."""
    core.step(ask(term=term, last_index=last[0], last_term=last[1]))
    return core.voted_for is not None


def test_nobody_gets_its_vote_who_may_lack_one_of_them() -> None:
    """But whoever has a later term has all that was committed."""
    core = doubtful()
    assert not core.may_campaign
    assert not grants(core, 5, (5, 1))
    assert not grants(core, 6, (1000, 4))
    assert grants(core, 7, (5, 5))


def test_when_all_have_answered_twice_there_are_no_more_than_they_have() -> None:
    """What was on a majority one of them has, whose log ends no earlier."""
    core = doubtful()
    answers = says(1, (9, 4), at_5=1), says(2, (7, 4), at_5=1)
    for one in answers:
        core.step(replace(one, asking=core.tail_asking))
    assert (FAR, 4) == core.doubts_to
    for one in answers:
        core.step(replace(one, asking=core.tail_asking))
    assert (9, 4) == core.doubts_to
    assert not grants(core, 5, (8, 4))
    assert grants(core, 6, (9, 4))


def test_what_was_said_once_may_have_changed() -> None:
    """An entry came to one of them after it was asked, and a leader counted it that had lost it when it was asked."""
    core = doubtful()
    for one in (says(1, (5, 1), at_5=1), says(2, (5, 1), at_5=1)):
        core.step(replace(one, asking=core.tail_asking))
    for one in (says(1, (6, 4), at_5=1), says(2, (5, 1), at_5=1)):
        core.step(replace(one, asking=core.tail_asking))
    assert not grants(core, 5, (5, 1))
    assert grants(core, 6, (6, 4))


def test_an_older_build_does_not_say() -> None:
    """Then it is not known."""
    core = doubtful()
    twice(core, says(1, (9, 4), at_5=1), says(2, (0, 0), at_5=1))
    assert (FAR, 4) == core.doubts_to


def test_where_nobody_has_the_first_one_there_was_none() -> None:
    """It was on no majority, and what followed it neither."""
    core = doubtful()
    twice(core, says(1, (4, 1), at_5=0), says(2, (4, 1), at_5=0))
    assert ([], None, True) == (core.doubts, core.doubts_to, core.may_campaign)


def test_its_leader_has_all_that_its_term_has() -> None:
    """It is whole again when it has what that leader had: nobody ever has as many entries as the bound says."""
    core = doubtful()
    core.step(replace(append(1, 4, (4, 1), (5, 1), (6, 4)), last_index=Index(7)))
    ready = core.ready()
    assert ready is not None
    assert (True, (7, 4)) == (core.recovering, core.owes)
    core.persisted(ready.ticket)
    assert core.recovering
    core.step(replace(append(1, 4, (6, 4), (7, 4)), last_index=Index(8)))
    ready = core.ready()
    assert ready is not None
    assert not [message for message in ready.messages if isinstance(message, AppendReply) and message.match > 6]
    core.persisted(ready.ticket)
    assert (False, None) == (core.recovering, core.owes)


def test_under_a_later_leader_it_is_whole_when_it_has_an_entry_of_that_one() -> None:
    """Every leader of a later term has all that is committed."""
    core = doubtful()
    core.step(replace(append(1, 5, (4, 1), (5, 1)), last_index=Index(6)))
    assert (True, (FAR, 4)) == (core.recovering, core.owes)
    core.step(replace(append(1, 5, (5, 1), (6, 5)), last_index=Index(6)))
    while (ready := core.ready()) is not None:
        if ready.ticket is not None:
            core.persisted(ready.ticket)
    assert (False, None) == (core.recovering, core.owes)


@pytest.mark.parametrize("leads", [True, False])
def test_what_is_said_is_what_is_on_disk_unless_by_a_leader(*, leads: bool) -> None:
    """A leader may commit what it has in memory, with a copy that is in doubt elsewhere, were that one counted."""
    core = a_core(last_index=4, term=1)
    if leads:
        core.campaign()
        ready = core.ready()
        assert ready is not None
        core.persisted(ready.ticket)
        core.step(VoteReply(sender=ReplicaId(1), to=ReplicaId(3), term=Term(2), granted=True))
    else:
        core.step(append(1, 2, (4, 1), (5, 2)))
    assert (5, 4) == (core.last_index, core.durable_index)
    core.step(TailQuery(sender=ReplicaId(2), to=ReplicaId(3), term=Term(2), index=Index(5)))
    ready = core.ready()
    assert ready is not None
    said = [(m.newest_index, m.newest_term) for m in ready.messages if isinstance(m, TailReply)]
    assert [(5, 2) if leads else (4, 1)] == said


def test_what_is_owed_counts_as_if_it_were_here() -> None:
    """Nobody's doubt is over because it is not."""
    core = a_core(last_index=4, term=4, owes=(Index(8), Term(3)))
    core.step(TailQuery(sender=ReplicaId(2), to=ReplicaId(3), term=Term(4), index=Index(5)))
    ready = core.ready()
    assert ready is not None
    assert [(8, 3)] == [(m.newest_index, m.newest_term) for m in ready.messages if isinstance(m, TailReply)]
