"""A doubtful end of which nobody can say how many entries it had: any up to a bound, until the others have answered."""

import random
from dataclasses import replace
from typing import Any

import pytest

from cluster.config import RaftOptions
from cluster.messages import InstallFold, RaftMessage, TailQuery, TailReply, VoteReply
from cluster.raft import LogState, Raft, Vote, tail
from cluster.types import UNCOUNTED, UNCOUNTED_ANEW, Index, ReplicaId, Term
from tests.raft.regressions.test_found_by_seeds import MEMBERS, a_core, answer, append, ask, owed, twice


def doubtful(*, vote: int = 4, of: int = 1) -> Raft:
    """Replica 3: entries 1 to 4 of term 1 are there, then one of term 1, and perhaps more, of term 4 at most."""
    return a_core(last_index=4, term=vote, of=of, doubts=[(Index(5), Term(1))], doubts_to=(UNCOUNTED, Term(4)))


def says(sender: int, newest: tuple[int, int] | None, *, at_5: int) -> TailReply:
    """What another one has: its newest entry as (index, term), and the term of entry 5."""
    said = answer(sender, state=2 if at_5 else 0, entry_term=at_5)
    return replace(said, newest=(Index(newest[0]), Term(newest[1])) if newest is not None else None)


def grants(core: Raft, term: int, last: tuple[int, int]) -> bool:
    """Whether a candidate gets its vote whose log ends so."""
    core.step(ask(term=term, last_index=last[0], last_term=last[1]))
    return core.voted_for is not None


def settle(core: Raft) -> list[RaftMessage]:
    """Its disk has written everything; what it says."""
    said: list[RaftMessage] = []
    while (ready := core.ready()) is not None:
        said += [*ready.messages, *ready.promises]
        if ready.ticket is not None:
            core.persisted(ready.ticket)
    return said


def anew(*, term: int, floor: int, last_index: int) -> InstallFold:
    """Replica 1 leads that term, and orders replica 3 to throw everything away."""
    return InstallFold(
        sender=ReplicaId(1),
        to=ReplicaId(3),
        term=Term(term),
        index=Index(0),
        last_term=Term(0),
        commit=Index(last_index),
        last_index=Index(last_index),
        floor=Index(floor),
        beginning=1,
        membership=MEMBERS,
    )


def member(replica: int, term: int, *, last: tuple[int, int], **damage: Any) -> Raft:
    """One of three, whose log ends so; behind 100 there is nothing of term 4."""
    chance = random.Random(replica)
    starts = ((Index(1), Term(4)), (Index(101), Term(5))) if last[0] > 100 else ((Index(1), Term(last[1])),)
    return Raft(
        me=ReplicaId(replica),
        membership=MEMBERS,
        vote=Vote(term=Term(term), voted_for=None),
        log=LogState(term_starts=starts if last[0] else (), last_index=Index(last[0])),
        options=RaftOptions(),
        draw_election_ticks=lambda: chance.randint(10, 20),
        recovering="owes" in damage,
        **damage,
    )


def leads(*cores: Raft) -> bool:
    """Whether somebody does after a while."""
    by_id = {core.me: core for core in cores}
    for _ in range(1000):
        for core in cores:
            core.tick()
        while said := [message for core in cores for message in settle(core)]:
            for message in said:
                by_id[message.to].step(message)
    return any(core.is_leader for core in cores)


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
    assert (UNCOUNTED, 4) == tail.uncounted(core)
    for one in answers:
        core.step(replace(one, asking=core.tail_asking))
    assert (9, 4) == tail.uncounted(core)
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
    twice(core, says(1, (9, 4), at_5=1), says(2, None, at_5=1))
    assert (UNCOUNTED, 4) == tail.uncounted(core)


def test_where_nobody_has_the_first_one_there_was_none() -> None:
    """It was on no majority, and what followed it neither."""
    core = doubtful()
    twice(core, says(1, (4, 1), at_5=0), says(2, (4, 1), at_5=0))
    assert ([], None, True) == (core.doubts, core.doubts_to, core.may_campaign)


def test_its_leader_has_all_that_its_term_has() -> None:
    """It is whole again when it has what that leader had, and not when it has any number."""
    core = doubtful()
    core.step(replace(append(1, 4, (4, 1), (5, 1), (6, 4)), last_index=Index(7)))
    settle(core)
    assert (True, (UNCOUNTED, 4)) == (core.recovering, core.owes)
    core.step(replace(append(1, 4, (6, 4), (7, 4)), last_index=Index(8)))
    settle(core)
    assert (False, None) == (core.recovering, core.owes)


def test_its_leader_makes_it_begin_anew() -> None:
    """The same leader again, and a log that ends below the floor: it owed any number, for as long as that one led."""
    core = a_core(last_index=4, term=4, doubts=[(Index(5), Term(4))], doubts_to=(UNCOUNTED, Term(4)))
    core.step(anew(term=4, floor=10, last_index=12))
    assert (True, (UNCOUNTED_ANEW, 4)) == (core.recovering, core.owes)
    settle(core)
    everything = append(1, 4, (0, 0), *((index, 4) for index in range(1, 13)))
    core.step(replace(everything, last_index=Index(12), commit=Index(12), beginning=1))
    settle(core)
    assert (False, None) == (core.recovering, core.owes)


def test_under_a_later_leader_it_is_whole_when_it_has_an_entry_of_that_one() -> None:
    """Every leader of a later term has all that is committed."""
    core = doubtful()
    core.step(replace(append(1, 5, (4, 1), (5, 1)), last_index=Index(6)))
    assert (True, (UNCOUNTED, 4)) == (core.recovering, core.owes)
    core.step(replace(append(1, 5, (5, 1), (6, 5)), last_index=Index(6)))
    settle(core)
    assert (False, None) == (core.recovering, core.owes)


def test_what_is_received_with_the_first_is_not_owed() -> None:
    """It was never acknowledged: where its sender lost it, too, nobody could lead any more."""
    core = a_core(last_index=4, term=4, doubts=[(Index(5), Term(4))])
    core.step(append(1, 5, (4, 1), (5, 4), (6, 4), (7, 5)))
    assert (True, (5, 4)) == (core.recovering, owed(core))


def test_a_number_that_is_not_known_is_owed_until_all_have_answered_twice() -> None:
    """And since then as many as any of them has; answers from before do not count."""
    core = doubtful()
    core.step(replace(says(1, (6, 4), at_5=1), asking=core.tail_asking))
    core.step(replace(says(2, (5, 1), at_5=1), asking=core.tail_asking))
    core.step(replace(append(1, 5, (4, 1), (5, 1)), last_index=Index(6)))
    assert (UNCOUNTED, 4) == core.owes
    for _ in range(2):
        assert (UNCOUNTED, 4) == owed(core)
        for one in (says(1, (6, 4), at_5=1), says(2, (5, 1), at_5=1)):
            core.step(replace(one, asking=core.tail_asking))
    assert (True, (6, 4)) == (core.recovering, owed(core))


def test_what_one_of_them_had_in_memory_only_is_not_owed_for_ever() -> None:
    """A leader that answered first has lost it since; what all have answered last counts."""
    core = a_core(last_index=4, term=4, owes=(UNCOUNTED, Term(4)))
    for newest in (20, 15, 15):
        for one in (says(1, (newest, 4), at_5=1), says(2, (5, 1), at_5=1)):
            core.step(replace(one, asking=core.tail_asking))
    assert (15, 4) == owed(core)


def test_a_number_that_is_known_is_owed_whatever_others_say() -> None:
    """Who has thrown its log away for a leader has promised what it had; nobody else may have it any more."""
    core = a_core(last_index=4, term=4, owes=(Index(8), Term(3)))
    twice(core, says(1, (4, 1), at_5=0), says(2, (4, 1), at_5=0))
    assert (8, 3) == core.owes


def test_torn_first_writes_do_not_keep_a_group_from_a_leader() -> None:
    """One has an entry, two may have any number: an empty log's answer was taken for that of an older build."""
    torn = {"doubts": [(Index(1), Term(1))], "doubts_to": (UNCOUNTED, Term(1))}
    assert leads(member(1, 1, last=(1, 1)), member(2, 1, last=(0, 0), **torn), member(3, 1, last=(0, 0), **torn))


@pytest.mark.parametrize(
    "third",
    [
        {"last": (100, 4), "doubts": [(Index(101), Term(4))]},
        {"last": (98, 4), "doubts": [(Index(99), Term(4))], "doubts_to": (UNCOUNTED, Term(4))},
        {"last": (90, 4), "owes": (UNCOUNTED, Term(4))},
        {"last": (99, 4)},
    ],
)
def test_what_is_owed_without_a_number_does_not_keep_a_group_from_a_leader(third: dict[str, Any]) -> None:
    """The power went everywhere: one had taken its leader's first append, and that had more then than it has now."""
    assert leads(
        member(1, 4, last=(4, 4), owes=(UNCOUNTED, Term(4))), member(2, 4, last=(100, 4)), member(3, 4, **third)
    )


OWES = {"owes": (UNCOUNTED, Term(4))}


@pytest.mark.parametrize(
    "group",
    [
        [{"last": (100, 4)}, {"last": (105, 5), **OWES}, {"last": (103, 5), **OWES}],
        [{"last": (100, 4)}, {"last": (105, 5), **OWES}, {"last": (100, 4), "doubts": [(Index(101), Term(5))]}],
        [{"last": (98, 4)}, {"last": (100, 4), **OWES}, {"last": (90, 4), **OWES}],
        [{"last": (98, 4)}, {"last": (100, 4), **OWES}, {"last": (98, 4), "doubts": [(Index(99), Term(4))]}],
        [{"last": (98, 4), **OWES}, {"last": (100, 4), **OWES}, {"last": (90, 4), **OWES}],
    ],
)
def test_who_has_the_newest_log_is_whole_without_a_leader(group: list[dict[str, Any]]) -> None:
    """It owed what nobody had, refused all others for its own end, and could not be a candidate itself."""
    assert leads(*(member(place, 5, **one) for place, one in enumerate(group, 1)))


def test_who_has_begun_anew_is_not_whole_without_a_leader() -> None:
    """What it has again may be incomplete below the floor, whatever it ends with."""
    core = a_core(last_index=9, term=5, of=5, owes=(UNCOUNTED_ANEW, Term(4)))
    for _ in range(3):
        twice(core, says(1, (9, 4), at_5=4), says(2, (8, 4), at_5=4))
        core.tick()
    assert (True, (UNCOUNTED_ANEW, 4)) == (core.recovering, core.owes)
    assert (9, 4) == owed(core)


def test_what_is_in_doubt_is_not_counted_when_it_begins_anew() -> None:
    """It was torn, and on nobody else's disk: for what this one owed, another kept its own doubt about that place."""
    core = a_core(last_index=4, term=4, doubts=[(Index(index), Term(4)) for index in range(5, 10)])
    core.step(anew(term=5, floor=5, last_index=7))
    assert (UNCOUNTED_ANEW, 4) == core.owes
    again = member(3, 5, last=(0, 0), owes=core.owes)
    torn = member(1, 5, last=(6, 4), doubts=[(Index(7), Term(5))])
    assert leads(again, torn, member(2, 5, last=(6, 4)))


def test_what_is_owed_without_a_number_is_so_when_it_begins_anew() -> None:
    """Raft seed 322: it was taken for what had been thrown away before, and was over before the floor was reached."""
    core = a_core(last_index=4, term=4, owes=(UNCOUNTED, Term(4)))
    core.step(anew(term=5, floor=5, last_index=7))
    assert (UNCOUNTED_ANEW, 4) == core.owes
    settle(core)
    core.step(replace(append(1, 5, (0, 0), (1, 5)), last_index=Index(7), beginning=1))
    settle(core)
    assert core.recovering


def test_what_was_whole_is_counted_when_it_begins_anew() -> None:
    """Others have promised it, perhaps, and lost it; and so it stays when the new end is torn."""
    core = a_core(last_index=4, term=4)
    core.step(anew(term=5, floor=5, last_index=7))
    assert (4, 1) == core.owes


def test_a_leaders_earlier_end_is_not_all_of_it_where_more_is_known() -> None:
    """Entries 5 to 9 were there and in doubt; an append of before that says that its leader ended at 5 came late."""
    core = a_core(last_index=4, term=4, doubts=[(Index(index), Term(4)) for index in range(5, 10)])
    core.step(replace(append(1, 4, (4, 1), (5, 4)), last_index=Index(5)))
    settle(core)
    assert (True, (9, 4)) == (core.recovering, owed(core))
    assert not grants(core, 5, (5, 4))


def test_what_was_torn_everywhere_is_owed_by_nobody() -> None:
    """A torn entry had another one of a later leader in its place, which was torn as well, on both of them."""
    core = a_core(last_index=100, term=5, of=4, doubts=[(Index(101), Term(4))])
    core.step(append(1, 5, (100, 4), (101, 5)))
    assert core.owes is not None
    again = member(3, 5, last=(100, 4), owes=core.owes)  # the mark was made, and nothing else
    torn = member(1, 5, last=(100, 4), doubts=[(Index(101), Term(5))])
    assert leads(again, torn, member(2, 5, last=(100, 4)))


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
    said = [m.newest for m in ready.messages if isinstance(m, TailReply)]
    assert [(5, 2) if leads else (4, 1)] == said


@pytest.mark.parametrize(
    ("owes", "said"), [((Index(8), Term(3)), (2, 3, (8, 3))), ((UNCOUNTED, Term(3)), (1, 0, (4, 1)))]
)
def test_what_is_owed_counts_as_if_it_were_here(owes: tuple[Index, Term], said: tuple[int, int, object]) -> None:
    """Nobody's doubt is over because it is not. But nobody has any number of entries."""
    core = a_core(last_index=4, term=4, owes=owes)
    core.step(TailQuery(sender=ReplicaId(2), to=ReplicaId(3), term=Term(4), index=Index(5)))
    told = [(m.state, m.entry_term, m.newest) for m in settle(core) if isinstance(m, TailReply)]
    assert [said] == told


def test_what_is_owed_does_not_fall_with_a_doubt() -> None:
    """It was started again while it recovered, and its new end is torn."""
    core = a_core(
        last_index=4,
        term=4,
        owes=(Index(8), Term(3)),
        doubts=[(Index(5), Term(4))],
        doubts_to=(UNCOUNTED, Term(4)),
    )
    twice(core, says(1, (5, 2), at_5=2), says(2, (5, 2), at_5=2))
    assert ((5, 2), (8, 3)) == (tail.uncounted(core), core.owes)


def test_what_was_thrown_away_is_still_counted_when_the_new_end_is_torn() -> None:
    """It owes more than it doubts: others count on that."""
    core = a_core(last_index=4, term=4, owes=(Index(8), Term(3)), doubts=[(Index(5), Term(2))])
    core.step(replace(append(1, 4, (4, 1), (5, 2)), last_index=Index(9)))
    assert (8, 3) == core.owes
