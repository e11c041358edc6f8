"""What seeds have found in the core, each as the smallest case that shows it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from cluster.config import RaftOptions
from cluster.messages import (
    AppendEntries,
    AppendReply,
    EntryHeader,
    Heartbeat,
    RaftMessage,
    RequestVote,
    TailQuery,
    TailReply,
    TimeoutNow,
    VoteReply,
)
from cluster.raft import LogState, Member, Membership, Raft, Role, Vote, tail
from cluster.types import Index, NodeId, ReplicaId, Term

MEMBERS = Membership(voters=tuple(Member(replica=ReplicaId(n), node=NodeId(n)) for n in (1, 2, 3)))


def a_core(
    *,
    last_index: int,
    term: int,
    of: int = 1,
    options: RaftOptions | None = None,
    doubts: Sequence[tuple[Index, Term]] = (),
    doubts_to: tuple[Index, Term] | None = None,
    owes: tuple[Index, Term] | None = None,
    membership: Membership = MEMBERS,
) -> Raft:
    """Replica 3, with so many entries of term `of` on its disk."""
    return Raft(
        me=ReplicaId(3),
        membership=membership,
        doubts=doubts,
        doubts_to=doubts_to,
        recovering=owes is not None,
        owes=owes,
        vote=Vote(term=Term(term), voted_for=None),
        log=LogState(term_starts=((Index(1), Term(of)),) if last_index else (), last_index=Index(last_index)),
        options=options or RaftOptions(pre_vote=False),
        draw_election_ticks=lambda: 10,
    )


def append(sender: int, term: int, prev: tuple[int, int], *entries: tuple[int, int]) -> AppendEntries:
    """An append with entries as (index, term)."""
    return AppendEntries(
        sender=ReplicaId(sender),
        to=ReplicaId(3),
        term=Term(term),
        prev_index=Index(prev[0]),
        prev_term=Term(prev[1]),
        entries=tuple(EntryHeader(Index(index), Term(of), 1) for index, of in entries),
        commit=Index(0),
        last_index=Index(entries[-1][0]),
    )


def ask(term: int, last_index: int, last_term: int) -> RequestVote:
    """Replica 1 asks replica 3 for its vote."""
    return RequestVote(
        sender=ReplicaId(1),
        to=ReplicaId(3),
        term=Term(term),
        last_index=Index(last_index),
        last_term=Term(last_term),
    )


def test_a_conflict_below_entries_of_the_same_turn_still_truncates_what_was_written():
    """Seed 1352: appended and cut again in one turn, the cut reached below; the driver was never told to truncate."""
    core = a_core(last_index=2, term=1)
    core.step(append(1, 1, (2, 1), (3, 1)))
    core.step(append(2, 2, (1, 1), (2, 2)))
    ready = core.ready()
    assert ready is not None
    assert Index(2) == ready.truncate_from
    assert [(Index(2), Term(2))] == [(entry.index, entry.term) for entry in ready.entries]


def test_entries_that_were_never_handed_out_need_no_truncation():
    """The other half of the same rule: the driver does not hold them."""
    core = a_core(last_index=2, term=1)
    core.step(append(1, 1, (2, 1), (3, 1), (4, 1)))
    core.step(append(2, 2, (3, 1), (4, 2)))
    ready = core.ready()
    assert ready is not None
    assert ready.truncate_from is None
    assert [(3, 1), (4, 2)] == [(entry.index, entry.term) for entry in ready.entries]


def test_a_refused_candidate_does_not_put_off_the_election_timer():
    """Seed 153 (§5.2): a fast clock with a short log, without pre-votes, kept all others from ever campaigning."""
    core = a_core(last_index=5, term=1)
    for number in range(9):
        core.tick()
        core.step(ask(term=2 + number, last_index=0, last_term=0))
        core.ready()
    core.tick()
    assert Role.CANDIDATE == core.role


def test_a_granted_vote_puts_off_the_election_timer():
    """§5.2: whoever gets the vote gets the time to win."""
    core = a_core(last_index=5, term=1)
    for _ in range(9):
        core.tick()
    core.step(ask(term=2, last_index=5, last_term=1))
    for _ in range(9):
        core.tick()
    assert Role.FOLLOWER == core.role


def test_a_leader_deposed_in_the_turn_that_elected_it_still_writes_its_no_op():
    """Seed 622: the driver may find a no-op in the Ready of a core that does not lead any more."""
    core = a_core(last_index=0, term=0, options=RaftOptions(pre_vote=False, check_quorum=False))
    core.campaign()
    ready = core.ready()
    assert ready is not None
    core.persisted(ready.ticket)
    core.step(VoteReply(sender=ReplicaId(1), to=ReplicaId(3), term=Term(1), granted=True))
    assert core.is_leader
    core.step(ask(term=2, last_index=0, last_term=0))
    ready = core.ready()
    assert ready is not None
    assert not core.is_leader
    assert [EntryHeader(Index(1), Term(1), 0)] == list(ready.entries)


def answer(sender: int, state: int, entry_term: int = 0, index: int = 5) -> TailReply:
    """What another replica says to be at an index."""
    return TailReply(
        sender=ReplicaId(sender),
        to=ReplicaId(3),
        term=Term(4),
        index=Index(index),
        state=state,
        entry_term=Term(entry_term),
    )


def twice(core: Raft, *answers: TailReply) -> None:
    """They say it when they are asked, and when they are asked once more."""
    for _ in range(2):
        for one in answers:
            core.step(replace(one, asking=core.tail_asking))


def test_a_doubt_is_no_higher_than_what_the_others_hold():
    """Two doubtful replicas of three, bounded by a term that elected nobody, refused the third for ever."""
    core = a_core(last_index=4, term=4, doubts=[(Index(5), Term(4))])
    twice(core, answer(1, state=2, entry_term=1))
    assert [(Index(5), Term(4))] == core.doubts
    twice(core, answer(1, state=2, entry_term=1), answer(2, state=1))
    assert [(Index(5), Term(1))] == core.doubts
    core.step(ask(term=5, last_index=5, last_term=1))
    assert ReplicaId(1) == core.voted_for


def test_a_leader_vouches_for_an_entry_that_it_has_only_in_memory():
    """It may commit it yet: with the copy that is in doubt elsewhere, were its old acknowledgement counted."""
    core = a_core(last_index=0, term=0, options=RaftOptions(pre_vote=False, check_quorum=False))
    core.campaign()
    ready = core.ready()
    assert ready is not None
    core.persisted(ready.ticket)
    core.step(VoteReply(sender=ReplicaId(1), to=ReplicaId(3), term=Term(1), granted=True))
    core.ready()
    core.step(TailQuery(sender=ReplicaId(2), to=ReplicaId(3), term=Term(1), index=Index(1)))
    ready = core.ready()
    assert ready is not None
    assert 0 == core.durable_index
    assert [(2, 1)] == [(m.state, m.entry_term) for m in ready.messages if isinstance(m, TailReply)]


def test_a_replica_without_others_does_not_wait_for_answers():
    """A torn write on a topic with one replica: nobody could ever have ended the doubt."""
    alone = Membership(voters=(Member(replica=ReplicaId(3), node=NodeId(3)),))
    core = a_core(last_index=4, term=4, doubts=[(Index(5), Term(4))], membership=alone)
    assert [] == core.doubts


def test_all_that_a_damaged_write_held_is_in_doubt():
    """The entry at the damage was everywhere; the one behind it, of a later term, on a majority because of this one."""
    core = a_core(last_index=4, term=4, doubts=[(Index(5), Term(1)), (Index(6), Term(3))])
    twice(core, answer(1, state=2, entry_term=3, index=6), answer(2, state=0, index=6))
    core.step(ask(term=5, last_index=5, last_term=1))
    assert core.voted_for is None
    core.step(ask(term=6, last_index=6, last_term=3))
    assert ReplicaId(1) == core.voted_for


@pytest.mark.parametrize(("theirs", "left"), [(4, [(5, 4), (6, 4), (7, 4)]), (2, [(5, 2)])])
def test_what_nobody_has_of_a_damaged_write_is_found_by_halves(theirs: int, left: list[tuple[int, int]]):
    """Power that goes in the middle of a large write must not keep a group without a leader for minutes."""
    core = a_core(last_index=4, term=4, doubts=[(Index(index), Term(4)) for index in range(5, 1005)])
    for _ in range(25):
        index = core.doubts[tail.asked(core)][0]
        term = theirs if index <= 7 else 0
        twice(core, *(answer(n, state=2 if term else 0, entry_term=term, index=index) for n in (1, 2)))
    assert left == core.doubts
    core.step(ask(term=5, last_index=left[-1][0], last_term=theirs))
    assert ReplicaId(1) == core.voted_for


def test_what_a_leader_writes_over_doubtful_entries_is_remembered_until_all_of_it_is_here():
    """One append brings the first of them, and the bytes of the others go: a restart must still know of those."""
    core = a_core(last_index=4, term=4, doubts=[(Index(5), Term(1)), (Index(6), Term(4))])
    core.step(replace(append(1, 4, (4, 1), (5, 1)), last_index=Index(6)))
    assert (True, (Index(6), Term(4))) == (core.recovering, owed(core))
    core.persisted(core.ready().ticket)
    assert core.recovering
    core.step(replace(append(1, 4, (5, 1), (6, 4)), last_index=Index(6)))
    core.persisted(core.ready().ticket)
    assert (False, None) == (core.recovering, core.owes)


def owed(core: Raft) -> tuple[Index, Term] | None:
    """How much it owes, as far as it knows."""
    return tail.uncounted(core) or core.owes


def a_leader() -> Raft:
    """Replica 3 leads term 2, with entries 1 … 10 of term 1 and one of its own."""
    core = a_core(last_index=10, term=1)
    for _ in range(10):
        core.tick()
    hear(core)
    core.step(VoteReply(sender=ReplicaId(2), to=ReplicaId(3), term=core.term, granted=True))
    assert core.is_leader
    return core


def carry_out(core: Raft) -> list[RaftMessage]:
    """All that it says, on a disk that is quick."""
    found: list[RaftMessage] = []
    while (ready := core.ready()) is not None:
        core.validate()
        found += [*ready.messages, *ready.promises]
        if ready.ticket is not None:
            core.persisted(ready.ticket)
    return found


def hear(core: Raft) -> list[RaftMessage]:
    """All that it says, to replica 1."""
    return [message for message in carry_out(core) if message.to == 1]


def rejection(prev: int, hint: int, *, search: int, recovering: bool = False) -> AppendReply:
    """Replica 1 did not take an append after `prev`; its last entry that could match is `hint`."""
    return AppendReply(
        sender=ReplicaId(1),
        to=ReplicaId(3),
        term=Term(2),
        match=Index(0),
        rejected=True,
        rejected_prev=Index(prev),
        hint_index=Index(hint),
        hint_term=Term(1 if hint else 0),
        recovering=recovering,
        search=search,
    )


@pytest.mark.parametrize("recovering", [False, True])
def test_a_rejection_that_was_overtaken_is_of_an_earlier_search(*, recovering: bool):
    """Raft seed 900035: each of a window's rejections began another search, each search filled another window."""
    core = a_leader()
    assert [(10, 0)] == [(m.prev_index, m.search) for m in hear(core) if isinstance(m, AppendEntries)]
    core.step(rejection(10, 4, search=0, recovering=recovering))
    assert [(4, 1)] == [(m.prev_index, m.search) for m in hear(core) if isinstance(m, AppendEntries)]
    for hint in (2, 0):
        core.step(rejection(4, hint, search=0, recovering=recovering))
        assert [] == hear(core)
    core.step(rejection(4, 2, search=1, recovering=recovering))
    assert [(2, 2)] == [(m.prev_index, m.search) for m in hear(core) if isinstance(m, AppendEntries)]


def test_what_a_recovering_replica_acknowledged_meanwhile_is_not_forgotten_for_what_was_overtaken():
    """Raft seed 900035: it had said that it recovers, and acknowledges more and more, in any order."""
    core = a_leader()
    hear(core)
    for match, recovering in ((4, True), (8, True), (6, True)):
        core.step(
            AppendReply(sender=ReplicaId(1), to=ReplicaId(3), term=Term(2), match=Index(match), recovering=recovering)
        )
        hear(core)
    assert 8 == core.match(ReplicaId(1))


@pytest.mark.parametrize(("theirs", "left"), [(4, []), (6, [(5, 6)])])
def test_a_doubtful_entry_is_not_older_than_the_one_before_it(theirs: int, left: list[tuple[int, int]]):
    """Raft seed 1015038: what others have there is older, so nobody has it; two of three refused the third for ever."""
    core = a_core(last_index=4, of=6, term=6, doubts=[(Index(5), Term(6))])
    twice(core, answer(1, state=2, entry_term=theirs, index=5), answer(2, state=1, entry_term=0, index=5))
    assert left == core.doubts


def test_who_is_said_to_be_away_and_is_behind_is_not_asked_to_sleep():
    """Raft seed 1005698: a wrong word about replica 2 put the group to sleep, and it with it, without the end."""
    core = a_core(last_index=10, term=1, options=RaftOptions(pre_vote=False, idle_ticks_before_sleep=3))
    for _ in range(10):
        core.tick()
    hear(core)
    core.step(VoteReply(sender=ReplicaId(2), to=ReplicaId(3), term=core.term, granted=True))
    hear(core)
    core.step(AppendReply(sender=ReplicaId(1), to=ReplicaId(3), term=core.term, match=core.last_index))
    core.set_away(frozenset({ReplicaId(2)}))
    asked: dict[int, list[bool]] = {1: [], 2: []}
    for _ in range(8):
        core.tick()
        while (ready := core.ready()) is not None:
            for message in ready.messages:
                if isinstance(message, Heartbeat):
                    asked[message.to].append(message.sleep)
    assert (True, False) == (any(asked[1]), any(asked[2]))


def test_a_leader_that_leaves_the_group_puts_nobody_to_sleep():
    """Raft seed 1035358: its order to take over was lost, it stopped in the turn in which it had them fall asleep."""
    core = a_core(last_index=10, term=1, options=RaftOptions(pre_vote=False, idle_ticks_before_sleep=3))
    for _ in range(10):
        core.tick()
    hear(core)
    core.step(VoteReply(sender=ReplicaId(2), to=ReplicaId(3), term=core.term, granted=True))

    def all_have_all() -> None:
        hear(core)
        for sender in (1, 2):
            core.step(AppendReply(sender=ReplicaId(sender), to=ReplicaId(3), term=core.term, match=core.last_index))
        hear(core)

    all_have_all()
    core.propose_membership(Membership(voters=MEMBERS.voters[:2], outgoing=MEMBERS.voters), 1)
    for _ in range(2):
        all_have_all()
    assert (True, (1, 2)) == (core.leaving, core.voters)
    asked = []
    for _ in range(30):
        core.tick()
        asked += [message.sleep for message in hear(core) if isinstance(message, Heartbeat)]
    assert (False, False) == (core.is_leader, any(asked))


def test_what_a_leader_writes_over_a_doubtful_entry_is_owed_until_it_is_on_disk():
    """Raft seed 1081814: the power went when the damaged bytes were gone, and a committed entry was forgotten."""
    core = a_core(last_index=4, term=4, doubts=[(Index(5), Term(1))])
    core.step(append(1, 4, (4, 1), (5, 1)))
    ready = core.ready()
    assert ready is not None
    assert ready.ticket is not None
    assert (True, (Index(5), Term(1))) == (core.recovering, owed(core))
    core.persisted(ready.ticket)
    assert (False, None) == (core.recovering, core.owes)


def test_a_learner_that_is_ahead_of_everybody_brings_its_log_to_a_voter():
    """Raft seed 2008565: a voter in a joint membership needed this one's vote, which its log forbade.

    The voter that had led this learner was damaged, and the third one was behind both.
    """
    voters = tuple(Member(replica=ReplicaId(n), node=NodeId(n)) for n in (1, 2, 4))
    members = Membership(voters=voters, learners=(Member(replica=ReplicaId(3), node=NodeId(3)),))
    core = a_core(last_index=4, term=5, of=5, membership=members)
    for _ in range(40):
        core.tick()
    assert [] == carry_out(core)
    core.step(ask(6, 9, 3))
    assert [False] == [message.granted for message in carry_out(core) if isinstance(message, VoteReply)]
    for _ in range(10):
        core.tick()
    assert [1, 2, 4] == [message.to for message in carry_out(core) if isinstance(message, RequestVote)]
    for sender in (1, 2):
        core.step(VoteReply(sender=ReplicaId(sender), to=ReplicaId(3), term=core.term, granted=True))
    carry_out(core)
    assert (True, None) == (core.is_leader, core.propose(1))
    core.step(AppendReply(sender=ReplicaId(2), to=ReplicaId(3), term=core.term, match=core.last_index))
    assert [2] == [message.to for message in carry_out(core) if isinstance(message, TimeoutNow)]
    core.step(AppendReply(sender=ReplicaId(1), to=ReplicaId(3), term=core.term, match=core.last_index))
    assert core.commit == 0
    for _ in range(20):
        core.tick()
    carry_out(core)
    assert (False, True) == (core.is_leader, core.may_campaign)
    core.step(append(2, core.term + 1, (core.last_index, core.last_term), (core.last_index + 1, core.term + 1)))
    assert not core.may_campaign
