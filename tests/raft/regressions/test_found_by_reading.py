"""What a reader has found in the core, each as the smallest case that shows it."""

from collections.abc import Iterable, Sequence

from cluster.config import RaftOptions
from cluster.messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    InstallFold,
    RaftMessage,
    TailQuery,
    TailReply,
    VoteReply,
)
from cluster.raft import LogState, Member, Membership, Raft, Vote, tail
from cluster.types import Index, NodeId, ReplicaId, Term
from tests.raft.regressions.test_found_by_seeds import MEMBERS, a_core, append, ask, carry_out
from tests.raft.test_beginning import begun, reply


def members(*replicas: int) -> tuple[Member, ...]:
    """Replicas, each on a node of its own."""
    return tuple(Member(replica=ReplicaId(replica), node=NodeId(replica)) for replica in replicas)


def a_leader(options: RaftOptions) -> Raft:
    """Replica 3 of 1, 2 and 3 leads, with ten entries and one of its own."""
    core = a_core(last_index=10, term=1, options=options)
    core.campaign()
    carry_out(core)
    core.step(VoteReply(sender=ReplicaId(1), to=ReplicaId(3), term=core.term, granted=True))
    assert core.is_leader
    return core


def acknowledge(core: Raft, *replicas: int) -> list[RaftMessage]:
    """These have all that there is; what is said to that."""
    said = carry_out(core)
    for replica in replicas:
        core.step(AppendReply(sender=ReplicaId(replica), to=ReplicaId(3), term=core.term, match=core.last_index))
    return said + carry_out(core)


def test_a_doubt_does_not_outlive_the_entries_before_it():
    """Cut by a later leader below the doubt, this log was as good as any, and its replica never campaigned again."""
    core = a_core(last_index=4, term=1, doubts=[(Index(5), Term(1)), (Index(6), Term(1))])
    core.step(append(1, 2, (3, 1), (4, 2)))
    carry_out(core)
    assert ([], False, True) == (core.doubts, core.recovering, core.may_campaign)


def test_a_fold_in_the_middle_of_doubtful_entries_does_not_end_the_doubt_of_those_behind_it():
    """Entry 7 was on a majority because of this replica, which then voted for somebody who lacked it."""
    core = a_core(last_index=4, term=4, doubts=[(Index(index), Term(1)) for index in (5, 6, 7)])
    core.step(
        InstallFold(
            sender=ReplicaId(1),
            to=ReplicaId(3),
            term=Term(4),
            index=Index(5),
            last_term=Term(1),
            commit=Index(7),
            last_index=Index(7),
        )
    )
    carry_out(core)
    assert (True, (Index(7), Term(1))) == (core.recovering, tail.uncounted(core))
    core.step(ask(term=5, last_index=6, last_term=1))
    assert core.voted_for is None
    core.step(append(1, 5, (5, 1), (6, 1), (7, 1), (8, 5)))
    carry_out(core)
    assert (False, None) == (core.recovering, core.owes)


def test_a_leader_that_leaves_does_not_put_the_group_to_sleep():
    """Nobody took over; it stopped in the tick in which it had invited the others to sleep, and nobody woke them."""
    core = a_leader(RaftOptions(pre_vote=False, idle_ticks_before_sleep=3))
    acknowledge(core, 1, 2)
    new = members(1, 2)
    core.propose_membership(Membership(voters=new, outgoing=members(1, 2, 3)), 20)
    for _ in range(2):
        said = acknowledge(core, 1, 2)
    assert core.leaving
    for _ in range(30):
        core.tick()
        said = carry_out(core)
        asked = [message for message in said if isinstance(message, Heartbeat)]
        assert [] == [message for message in asked if message.sleep]
        for message in asked:
            core.step(
                HeartbeatReply(
                    sender=message.to, to=core.me, term=core.term, barrier=message.barrier, match=core.last_index
                )
            )
    assert not core.is_leader


def one_of_three(me: int, *, term: int, doubts: Sequence[tuple[Index, Term]] = ()) -> Raft:
    """With four entries of term 1 on its disk."""
    return Raft(
        me=ReplicaId(me),
        membership=MEMBERS,
        vote=Vote(term=Term(term), voted_for=ReplicaId(1) if term > 1 else None),
        log=LogState(term_starts=((Index(1), Term(1)),), last_index=Index(4)),
        options=RaftOptions(pre_vote=False),
        draw_election_ticks=lambda: 10,
        doubts=doubts,
    )


def of(kind: type[RaftMessage], said: Iterable[RaftMessage], to: int) -> list[RaftMessage]:
    """Of what was said, that to one of them."""
    return [message for message in said if isinstance(message, kind) and message.to == to]


def ticks(core: Raft, count: int) -> list[RaftMessage]:
    """All that it says meanwhile."""
    found: list[RaftMessage] = []
    for _ in range(count):
        core.tick()
        found += carry_out(core)
    return found


def tell(core: Raft, *messages: RaftMessage) -> list[RaftMessage]:
    """What it says to these."""
    for message in messages:
        core.step(message)
    return carry_out(core)


def test_what_one_of_the_others_did_not_have_yet_may_be_there_when_the_last_of_them_has_answered():
    """Entry 5 was committed with a copy that is in doubt and one that came after its replica had been asked."""
    leader, other = one_of_three(1, term=1), one_of_three(2, term=1)
    leader.campaign()
    carry_out(leader)
    leader.step(VoteReply(sender=ReplicaId(2), to=ReplicaId(1), term=Term(2), granted=True))
    ready = leader.ready()  # its disk is slow
    assert ready is not None
    doubtful = one_of_three(3, term=2, doubts=[(Index(5), Term(2))])  # entry 5 was there, and acknowledged
    said = tell(other, *of(TailQuery, ticks(doubtful, 2), to=2))
    tell(doubtful, *of(TailReply, said, to=3))
    leader.step(AppendReply(sender=ReplicaId(3), to=ReplicaId(1), term=Term(2), match=Index(5)))
    leader.step(of(AppendReply, tell(other, *of(AppendEntries, ready.messages, to=2)), to=1)[0])
    assert 5 == leader.commit
    again = one_of_three(1, term=2)  # its power went
    for _ in range(3):
        said = tell(again, *of(TailQuery, ticks(doubtful, 2), to=1))
        tell(doubtful, *of(TailReply, said, to=3))
    assert [(Index(5), Term(2))] == doubtful.doubts
    said = tell(other, *of(TailQuery, ticks(doubtful, 2), to=2))
    tell(doubtful, *of(TailReply, said, to=3))
    assert [(Index(5), Term(2))] == doubtful.doubts
    tell(doubtful, ask(term=3, last_index=4, last_term=1))
    assert doubtful.voted_for is None


def test_a_leader_that_is_left_out_takes_nothing_more():
    """Who doubts an entry behind the final membership does not ask it, and it counted a copy that was gone."""
    core = a_leader(RaftOptions(pre_vote=False))
    acknowledge(core, 1, 2)
    core.propose_membership(Membership(voters=members(1, 2, 4), outgoing=members(1, 2, 3)), 20)
    acknowledge(core, 1, 2, 4)
    assert (False, True) == (core.membership.joint, core.is_leader)
    assert not core.membership_is_committed
    assert core.propose(10) is None
    acknowledge(core, 1, 2, 4)
    assert core.membership_is_committed


def test_an_answer_to_a_later_heartbeat_is_no_word_that_a_follower_sleeps():
    """A read came before both had agreed; they were awake again, the leader fell asleep, and they elected another."""
    core = a_leader(RaftOptions(pre_vote=False, idle_ticks_before_sleep=3))
    acknowledge(core, 1, 2)
    invited = of(Heartbeat, ticks(core, 4), to=1)
    assert invited[-1].sleep
    assert core.read_barrier() is not None
    asked = [message for message in carry_out(core) if isinstance(message, Heartbeat)]
    assert [False, False] == [message.sleep for message in asked]
    for message in asked:
        tell(
            core,
            HeartbeatReply(
                sender=message.to, to=core.me, term=core.term, barrier=message.barrier, match=core.last_index
            ),
        )
    assert not core.asleep


def test_whoever_was_started_again_with_all_that_it_began_anew_for_is_heard():
    """Its last acknowledgements were lost; those of the new run named no beginning, and never counted."""
    leader = begun()
    carry_out(leader)
    leader.step(reply(1, 0, recovering=True, beginning=1))
    sent = of(AppendEntries, carry_out(leader), to=1)
    assert [(0, 1)] == [(message.prev_index, message.beginning) for message in sent]
    follower = Raft(
        me=ReplicaId(1),
        membership=MEMBERS,
        vote=Vote(term=Term(5), voted_for=ReplicaId(3)),
        log=LogState(term_starts=((Index(1), Term(2)), (Index(10), Term(5))), last_index=Index(10)),
        options=RaftOptions(pre_vote=False),
        draw_election_ticks=lambda: 10,
    )
    for message in of(AppendReply, tell(follower, *sent), to=3):
        leader.step(message)
    assert (10, False) == (leader.match(ReplicaId(1)), leader.catching_up)


def test_a_leader_that_hands_over_again_and_again_still_asks_whether_it_leads():
    """Its disk was full, so it tried every second; cut off, it took itself for the leader as long as that went on."""
    core = a_leader(RaftOptions(pre_vote=False))
    acknowledge(core, 1, 2)
    for _ in range(6):
        core.transfer(None)
        ticks(core, 10)
    assert not core.is_leader


def test_an_answer_to_what_is_late_says_what_is_lost():
    """A former term's heartbeat made its sender, leader once more, believe that nobody was without a log."""
    core = a_core(last_index=4, term=4, doubts=[(Index(5), Term(1))])
    late = Heartbeat(sender=ReplicaId(1), to=ReplicaId(3), term=Term(3), commit=Index(0))
    answers = of(AppendReply, tell(core, late), to=1)
    assert [(4, True, True, 4)] == [(m.term, m.rejected, m.recovering, m.hint_index) for m in answers]


def test_a_late_append_does_not_end_what_a_replica_owes():
    """It was under way since before the restart, and its leader ended at 5 then; the replica had acknowledged 10."""
    core = Raft(
        me=ReplicaId(3),
        membership=MEMBERS,
        vote=Vote(term=Term(2), voted_for=ReplicaId(1)),
        log=LogState(term_starts=((Index(1), Term(1)),), last_index=Index(3)),
        options=RaftOptions(pre_vote=False),
        draw_election_ticks=lambda: 10,
        recovering=True,
        owes=(Index(10), Term(2)),
    )
    tell(core, append(1, 2, (3, 1), (4, 1), (5, 2)))
    assert (True, (Index(10), Term(2))) == (core.recovering, core.owes)
    tell(core, append(1, 2, (5, 2), *((index, 2) for index in range(6, 11))))
    assert (False, None) == (core.recovering, core.owes)


def test_a_replica_whose_log_is_not_recorded_to_exist_counts_for_nothing():
    """Its disk may be wiped and made anew under the same id: it had acknowledged what a majority was then without."""
    core = Raft(
        me=ReplicaId(3),
        membership=MEMBERS,
        vote=Vote(term=Term(0), voted_for=None),
        log=LogState(term_starts=(), last_index=Index(0)),
        options=RaftOptions(pre_vote=False),
        draw_election_ticks=lambda: 10,
        may_vote=False,
    )
    beat = Heartbeat(sender=ReplicaId(1), to=ReplicaId(3), term=Term(1), commit=Index(0))
    assert [] == of(AppendReply, tell(core, append(1, 1, (0, 0), (1, 1), (2, 1))), to=1)
    assert [0] == [answer.match for answer in of(HeartbeatReply, tell(core, beat), to=1)]
    core.allow_vote()
    assert [2] == [answer.match for answer in of(HeartbeatReply, tell(core, beat), to=1)]
