"""Beginning anew, one rule at a time: what a follower does with its leader's orders, late ones too."""

from dataclasses import replace
from typing import Any

import pytest

from cluster.config import RaftOptions
from cluster.messages import (
    AppendEntries,
    AppendReply,
    EntryHeader,
    Heartbeat,
    HeartbeatReply,
    InstallFold,
    RaftMessage,
    RequestVote,
    TailQuery,
    TailReply,
    VoteReply,
)
from cluster.raft import LogState, Member, Membership, Raft, Ready, Vote
from cluster.types import Index, NodeId, ReplicaId, Term

MEMBERS = Membership(voters=tuple(Member(replica=ReplicaId(n), node=NodeId(n)) for n in (1, 2, 3)))


def a_core(last_index: int = 9, **more: Any) -> Raft:
    """Replica 3 in term 4, with so many entries of term 2 on its disk."""
    return Raft(
        me=ReplicaId(3),
        membership=MEMBERS,
        vote=Vote(term=Term(4), voted_for=None),
        log=LogState(term_starts=((Index(1), Term(2)),) if last_index else (), last_index=Index(last_index)),
        options=RaftOptions(pre_vote=False),
        draw_election_ticks=lambda: 10,
        **more,
    )


def fold(number: int = 1, *, floor: int = 12, last_index: int = 20, index: int = 0) -> InstallFold:
    """Replica 1, the leader of term 4, tells it to begin anew."""
    return InstallFold(
        sender=ReplicaId(1),
        to=ReplicaId(3),
        term=Term(4),
        index=Index(index),
        last_term=Term(2 if index else 0),
        commit=Index(18),
        last_index=Index(last_index),
        floor=Index(floor),
        beginning=number,
    )


def append(prev: int, last: int, *, number: int = 0, term: int = 4) -> AppendEntries:
    """Entries of term 2 behind `prev`, up to `last`."""
    return AppendEntries(
        sender=ReplicaId(1),
        to=ReplicaId(3),
        term=Term(term),
        prev_index=Index(prev),
        prev_term=Term(2 if prev else 0),
        entries=tuple(EntryHeader(Index(index), Term(2), 1) for index in range(prev + 1, last + 1)),
        commit=Index(18),
        last_index=Index(20),
        beginning=number,
    )


def ask(last_index: int, last_term: int, term: int = 5) -> RequestVote:
    """Replica 1 asks for its vote."""
    return RequestVote(
        sender=ReplicaId(1), to=ReplicaId(3), term=Term(term), last_index=Index(last_index), last_term=Term(last_term)
    )


def carry_out(core: Raft) -> list[Ready]:
    """All that it asks for, on a disk that is quick."""
    done = []
    while (ready := core.ready()) is not None:
        done.append(ready)
        if ready.ticket is not None:
            core.persisted(ready.ticket)
        core.validate()
    return done


def said(core: Raft) -> list[RaftMessage]:
    """All that it says."""
    return [message for ready in carry_out(core) for message in (*ready.messages, *ready.promises)]


def answers(core: Raft) -> list[tuple[int, bool, int]]:
    """Match, whether it was rejected, and the beginning."""
    return [(m.match, m.rejected, m.beginning) for m in said(core) if isinstance(m, AppendReply)]


def test_everything_goes_and_the_commit_falls() -> None:
    """The only place where it may; it is told with the fold."""
    core = a_core()
    core.step(append(9, 9))
    carry_out(core)
    assert core.commit == 9
    core.step(fold())
    ready = core.ready()
    assert ready is not None
    assert (fold(), 0, True) == (ready.fold, ready.commit, core.recovering)
    assert (0, 0) == (core.last_index, core.durable_index)


def test_a_commit_that_is_where_it_was_is_told_with_the_fold() -> None:
    """It fell and rose again in one turn: whoever waits on it was told that it fell."""
    core = a_core()
    core.step(append(9, 9))
    carry_out(core)
    core.step(fold())
    core.step(append(0, 9, number=1))
    ready = core.ready()
    assert ready is not None
    assert (9, 9) == (ready.commit, len(ready.entries))


@pytest.mark.parametrize(("damaged", "last"), [(True, 20), (False, 18)])
def test_it_recovers_until_it_has_what_its_leader_had(*, damaged: bool, last: int) -> None:
    """On disk: its last index when it sent the fold; but its commit, if what is owed is there (seed 1020232)."""
    core = a_core(recovering=damaged)
    core.step(fold())
    core.step(append(0, last - 1, number=1))
    carry_out(core)
    assert core.recovering
    core.campaign()
    assert not core.votes
    core.step(append(last - 1, last))
    carry_out(core)
    assert (False, None) == (core.recovering, core.owes)
    core.campaign()
    assert core.voted_for == core.me


def test_it_recovers_until_it_has_what_it_threw_away() -> None:
    """It ended with an entry of a later term than those that its leader knows to be committed."""
    core = Raft(
        me=ReplicaId(3),
        membership=MEMBERS,
        vote=Vote(term=Term(4), voted_for=None),
        log=LogState(term_starts=((Index(1), Term(3)),), last_index=Index(9)),
        options=RaftOptions(pre_vote=False),
        draw_election_ticks=lambda: 10,
    )
    core.step(fold())
    core.step(append(0, 19, number=1))
    carry_out(core)
    assert (True, (Index(9), Term(3))) == (core.recovering, core.owes)
    core.step(replace(append(19, 19), entries=(EntryHeader(Index(20), Term(4), 1),)))
    carry_out(core)
    assert not core.recovering


def test_what_its_leader_committed_meanwhile_counts_too() -> None:
    """A tombstone may be gone from what is sent by a floor that was committed after the fold had left."""
    core = a_core()
    core.step(fold())
    core.step(replace(append(0, 12, number=1), commit=Index(19)))
    core.step(append(12, 18))
    carry_out(core)
    assert core.recovering
    core.step(append(18, 19))
    carry_out(core)
    assert not core.recovering


def test_an_order_that_was_long_under_way_does_not_let_it_forget_what_it_said_since() -> None:
    """It has acknowledged entries of this term that its leader did not have yet when the order left."""
    core = a_core()
    core.step(
        AppendEntries(
            sender=ReplicaId(1),
            to=ReplicaId(3),
            term=Term(4),
            prev_index=Index(9),
            prev_term=Term(2),
            entries=tuple(EntryHeader(Index(index), Term(4), 1) for index in range(10, 31)),
            commit=Index(9),
            last_index=Index(30),
        )
    )
    carry_out(core)
    core.step(fold(last_index=20))
    assert 30 == core.recovered_at


def test_what_it_had_not_said_yet_stays_unsaid() -> None:
    """An acknowledgement of entries that are thrown away must not leave after them."""
    core = a_core()
    core.step(append(9, 11))
    core.step(fold())
    assert [(0, False, 1)] == answers(core)


def test_an_order_is_obeyed_once() -> None:
    """Repeated it is acknowledged, late it is nothing."""
    core = a_core()
    core.step(fold(2))
    core.step(append(0, 5, number=2))
    assert [(0, False, 2), (5, False, 2)] == answers(core)
    core.step(fold(2))
    core.step(fold(1))
    assert [(0, False, 2)] == answers(core)
    assert 5 == core.last_index


def test_below_the_floor_only_appends_of_its_beginning_are_taken() -> None:
    """One from before may hold a record whose tombstone is gone from what comes next."""
    core = a_core()
    core.step(fold(2))
    core.step(append(0, 5, number=2))
    carry_out(core)
    for late in (append(5, 8), append(5, 8, number=1)):
        assert not core.takes(late, late.entries[0])
        core.step(late)
        assert [(0, True, 2)] == answers(core)
        assert 5 == core.last_index
    core.step(append(5, 12, number=2))
    core.step(append(12, 14))
    assert [(12, False, 2), (14, False, 2)] == answers(core)


def test_content_is_taken_once() -> None:
    """What came first is what the core acknowledges: the same entry may come again with less in it, or with more."""
    core = a_core()
    message = append(9, 11)
    assert [True, True] == [core.takes(message, entry) for entry in message.entries]
    core.step(append(9, 10))
    assert [False, True] == [core.takes(message, entry) for entry in message.entries]


def test_a_message_of_a_later_leader_is_of_no_old_beginning() -> None:
    """Its content is taken: beginnings are numbered within a term."""
    core = a_core()
    core.step(fold(2))
    core.step(append(0, 5, number=2))
    carry_out(core)
    later = append(5, 8, term=5)
    assert core.takes(later, later.entries[0])
    core.step(later)
    assert [(8, False, 0)] == answers(core)


def test_started_again_it_takes_nothing_of_a_beginning_that_it_does_not_know() -> None:
    """What it has may be of another one."""
    core = a_core(5, recovering=True, owes=(Index(9), Term(2)))
    core.step(append(5, 8, number=2))
    assert [(0, True, 0)] == answers(core)
    core.step(append(5, 8))
    assert [(8, False, 0)] == answers(core)


def test_it_votes_as_if_its_log_still_ended_where_it_did() -> None:
    """So beginning anew takes no vote from the group, and helps nobody who lacks what it acknowledged."""
    for last_index, granted in ((8, False), (9, True)):
        core = a_core()
        core.step(fold())
        core.step(append(0, 5, number=1))
        carry_out(core)
        assert (Index(9), Term(2)) == core.owes
        core.become_follower(Term(4), None)
        core.step(ask(last_index, 2))
        assert [granted] == [m.granted for m in said(core) if isinstance(m, VoteReply)]


def test_a_damaged_replica_that_begins_anew_votes_no_more_than_before() -> None:
    """What it had acknowledged was not known, and is not."""
    core = a_core(recovering=True)
    core.step(fold())
    carry_out(core)
    assert core.owes is None
    core.become_follower(Term(4), None)
    core.step(ask(99, 4))
    assert [False] == [m.granted for m in said(core) if isinstance(m, VoteReply)]


def test_nobodys_doubt_is_over_because_it_threw_its_copy_away() -> None:
    """Asked for what it has no more, it answers as if it had."""
    core = a_core()
    core.step(fold())
    carry_out(core)
    for index, state in ((9, 2), (10, 1)):
        core.step(TailQuery(sender=ReplicaId(2), to=ReplicaId(3), term=Term(4), index=Index(index)))
        assert [state] == [m.state for m in said(core) if isinstance(m, TailReply)]


def test_its_heartbeats_answers_name_the_beginning() -> None:
    """One from before says nothing of what it has now."""
    core = a_core()
    core.step(fold(3))
    carry_out(core)
    core.step(Heartbeat(sender=ReplicaId(1), to=ReplicaId(3), term=Term(4), commit=Index(9)))
    assert [(0, 3)] == [(m.match, m.beginning) for m in said(core) if isinstance(m, HeartbeatReply)]


# --- the leader's side


def a_leader(floor: int = 7) -> Raft:
    """Replica 3, leading term 5 with ten entries, the last one of its own."""
    core = a_core()
    core.floor = Index(floor)
    core.campaign()
    carry_out(core)
    core.step(VoteReply(sender=ReplicaId(1), to=ReplicaId(3), term=Term(5), granted=True))
    carry_out(core)
    assert core.is_leader
    core.step(reply(2, 10))
    carry_out(core)
    return core


def reply(sender: int, match: int, **more: Any) -> AppendReply:
    """An answer in term 5."""
    return AppendReply(sender=ReplicaId(sender), to=ReplicaId(3), term=Term(5), match=Index(match), **more)


def rejected(prev: int, hint: int, **more: Any) -> AppendReply:
    """Replica 1 holds entries of term 2 up to `hint`."""
    return reply(
        1, 0, rejected=True, rejected_prev=Index(prev), hint_index=Index(hint), hint_term=Term(2 if hint else 0), **more
    )


def searches(core: Raft) -> int:
    """What an append to replica 1 would carry now, and a rejection of it repeats."""
    return core.progress[ReplicaId(1)].search


def to_1(core: Raft) -> list[tuple[str, int, int]]:
    """What it sends to replica 1 now: kind, the index that it builds on, and the beginning."""
    return [
        (type(m).__name__, m.index if isinstance(m, InstallFold) else m.prev_index, m.beginning)
        for m in said(core)
        if isinstance(m, InstallFold | AppendEntries) and m.to == 1
    ]


def begun() -> Raft:
    """Replica 1 ends at 4 and was sent the fold."""
    core = a_leader()
    core.step(rejected(9, 4))
    assert [("InstallFold", 0, 1)] == to_1(core)
    return core


def test_only_the_answer_to_the_fold_lets_entries_below_the_floor_leave() -> None:
    """Whatever else arrives is from before."""
    core = begun()
    core.step(reply(1, 4))
    core.step(rejected(9, 4))
    core.step(HeartbeatReply(sender=ReplicaId(1), to=ReplicaId(3), term=Term(5), match=Index(9)))
    assert ([], False) == (to_1(core), core.catching_up)
    core.step(reply(1, 0, recovering=True, beginning=1))
    assert [("AppendEntries", 0, 1)] == to_1(core)
    assert core.catching_up
    core.step(reply(1, 9))
    core.step(HeartbeatReply(sender=ReplicaId(1), to=ReplicaId(3), term=Term(5), match=Index(9)))
    assert 0 == core.match(ReplicaId(1))
    core.step(reply(1, 10, recovering=True, beginning=1))
    assert (10, False) == (core.match(ReplicaId(1)), core.catching_up)


def test_a_fold_that_was_lost_is_sent_again_under_the_same_number() -> None:
    """So that its answer, however slow, counts."""
    core = begun()
    for _ in range(2 * core.options.election_ticks_min):
        core.tick()
        core.step(HeartbeatReply(sender=ReplicaId(1), to=ReplicaId(3), term=Term(5), match=Index(4)))
        core.step(HeartbeatReply(sender=ReplicaId(2), to=ReplicaId(3), term=Term(5), match=Index(10)))
    assert [("InstallFold", 0, 1)] == to_1(core)


def test_a_follower_that_was_started_again_begins_once_more() -> None:
    """Its rejection names no beginning; where it ends is asked again, at the floor."""
    core = begun()
    core.step(reply(1, 0, recovering=True, beginning=1))
    carry_out(core)
    core.step(rejected(4, 3, recovering=True, search=searches(core)))
    assert [("AppendEntries", 7, 0)] == to_1(core)
    core.step(rejected(7, 3, recovering=True, search=searches(core)))
    assert [("InstallFold", 0, 2)] == to_1(core)


def test_what_is_late_of_an_earlier_beginning_makes_nobody_begin_once_more() -> None:
    """Raft seed 900035: each answer that had been overtaken threw away what the follower had again."""
    core = begun()
    core.step(reply(1, 0, recovering=True, beginning=1))
    carry_out(core)
    core.step(rejected(0, 0, recovering=True, search=searches(core)))
    assert [("AppendEntries", 7, 0)] == to_1(core)
    core.step(rejected(7, 0, recovering=True, search=searches(core)))
    assert [("InstallFold", 0, 2)] == to_1(core)
    core.step(reply(1, 0, recovering=True, beginning=2))
    assert [("AppendEntries", 0, 2)] == to_1(core)
    core.step(rejected(0, 0, recovering=True, beginning=1, search=searches(core)))
    assert [] == to_1(core)
    assert core.catching_up


def test_a_follower_that_is_not_heard_holds_nothing_up() -> None:
    """After an election time tombstones may be dropped again; when it is back it begins once more."""
    core = begun()
    core.step(reply(1, 0, recovering=True, beginning=1))
    carry_out(core)
    assert core.catching_up
    for _ in range(2 * core.options.election_ticks_max):
        core.tick()
        core.step(HeartbeatReply(sender=ReplicaId(2), to=ReplicaId(3), term=Term(5), match=Index(10)))
    assert (True, False) == (core.is_leader, core.catching_up)
    carry_out(core)
    core.step(rejected(0, 0, recovering=True, beginning=1, search=searches(core)))
    assert [("AppendEntries", 7, 0)] == to_1(core)


def test_a_log_that_begins_above_the_floor_has_none() -> None:
    """Whoever is behind its start gets the fold as ever: nothing at or below the floor is left to be sent."""
    core = a_leader()
    core.log_trimmed(Index(8), Term(2))
    core.step(rejected(9, 4))
    assert [("InstallFold", 8, 0)] == to_1(core)


def test_nobody_begins_anew_before_its_leader_has_its_own_log_on_disk() -> None:
    """It might be the last one that has what is thrown away."""
    core = a_core()
    core.floor = Index(7)
    core.campaign()
    carry_out(core)
    core.step(VoteReply(sender=ReplicaId(1), to=ReplicaId(3), term=Term(5), granted=True))
    ready = core.ready()
    assert ready is not None
    core.step(reply(2, 10))
    core.step(rejected(9, 4))
    assert core.ready() is None
    assert ready.ticket is not None
    core.persisted(ready.ticket)
    assert [("InstallFold", 0, 1)] == to_1(core)
