"""The core's rules, each with its section of the Raft paper, on cores joined by a list of messages."""

from collections.abc import Callable

import pytest

from cluster.config import RaftOptions
from cluster.messages import AppendEntries, AppendReply, EntryHeader, RaftMessage, RequestVote, VoteReply
from cluster.raft import LogState, Member, Membership, Raft, Role, Vote
from cluster.types import Index, NodeId, ReplicaId, Term


class Group:
    """Cores, the messages between them, and disks that answer when told."""

    def __init__(self, count: int = 3, options: RaftOptions | None = None, **cores: object) -> None:
        self.cores: dict[int, Raft] = {}
        self.messages: list[RaftMessage] = []
        self.tickets: dict[int, list[int]] = {}
        members = Membership(voters=tuple(Member(replica=ReplicaId(n), node=NodeId(n)) for n in range(1, count + 1)))
        for number in range(1, count + 1):
            self.cores[number] = Raft(
                me=ReplicaId(number),
                membership=members,
                vote=Vote(term=Term(0), voted_for=None),
                log=LogState(),
                options=options or RaftOptions(),
                draw_election_ticks=lambda: 15,
                **cores,  # type: ignore[arg-type]
            )
            self.tickets[number] = []

    def take(self, number: int) -> None:
        """Carry out what one core asks for; its writes stay open."""
        core = self.cores[number]
        while (ready := core.ready()) is not None:
            self.messages += [*ready.messages, *ready.promises]
            if ready.ticket is not None:
                self.tickets[number].append(ready.ticket)
            core.validate()

    def sync(self, number: int) -> None:
        """One disk has caught up."""
        for ticket in self.tickets[number]:
            self.cores[number].persisted(ticket)  # type: ignore[arg-type]
        self.tickets[number].clear()
        self.take(number)

    def settle(self, only: Callable[[RaftMessage], bool] = lambda _: True) -> None:
        """Deliver and sync until nothing moves; messages that `only` refuses are lost."""
        for _ in range(200):
            for number in self.cores:
                self.take(number)
                self.sync(number)
            messages, self.messages = self.messages, []
            if not messages and not any(self.tickets.values()):
                return
            for message in messages:
                if only(message):
                    self.cores[message.to].step(message)

    def elect(self, number: int) -> Raft:
        """Make one core lead."""
        self.cores[number].campaign()
        self.settle()
        assert self.cores[number].is_leader
        return self.cores[number]


def test_a_candidate_with_a_majority_leads_and_begins_with_an_entry_of_its_term() -> None:
    """§5.2, §8."""
    group = Group()
    leader = group.elect(1)

    assert [1, 1, 1] == [core.last_index for core in group.cores.values()]
    assert leader.commit == 1
    assert [1, 1, 1] == [core.leader for core in group.cores.values()]


def test_what_is_committed_is_known_to_be_on_a_majority() -> None:
    """§5.3. A new leader has not heard of the others' disks yet: a receipt said one of three (scenario restarts, 1)."""
    group = Group()
    first = group.elect(1)
    first.propose(10)
    group.settle()
    for _ in range(3):
        first.tick()  # the others hear of the commit
    group.settle()
    group.cores[2].campaign(transfer=True)
    group.settle(lambda message: isinstance(message, RequestVote | VoteReply))
    leader = group.cores[2]
    leader.propose(10)

    assert leader.is_leader
    assert Index(2) == leader.commit
    assert [2, 1] == [leader.synced_count(leader.commit), leader.synced_count(Index(3))]


def test_no_vote_leaves_before_it_is_on_disk() -> None:
    """§5.1, figure 2: persistent state is updated on stable storage before answering."""
    group = Group()
    voter = group.cores[2]
    request = RequestVote(sender=ReplicaId(1), to=ReplicaId(2), term=Term(1), last_index=Index(0), last_term=Term(0))
    voter.step(request)
    group.take(2)
    assert [] == group.messages

    group.sync(2)
    assert [True] == [message.granted for message in group.messages if isinstance(message, VoteReply)]


def test_one_vote_a_term() -> None:
    """§5.2: first come, first served."""
    group = Group()
    for candidate in (1, 3):
        group.cores[2].step(
            RequestVote(
                sender=ReplicaId(candidate), to=ReplicaId(2), term=Term(1), last_index=Index(0), last_term=Term(0)
            )
        )
        group.take(2)
        group.sync(2)

    assert [True, False] == [message.granted for message in group.messages if isinstance(message, VoteReply)]


def test_a_candidate_with_an_older_log_gets_no_vote() -> None:
    """§5.4.1."""
    group = Group()
    group.elect(1)
    group.cores[2].become_follower(Term(1), None)
    group.cores[2].step(
        RequestVote(sender=ReplicaId(3), to=ReplicaId(2), term=Term(9), last_index=Index(0), last_term=Term(0))
    )
    group.take(2)
    group.sync(2)

    assert [False] == [message.granted for message in group.messages if isinstance(message, VoteReply)]


def test_an_entry_of_an_older_term_is_not_committed_by_counting() -> None:
    """§5.4.2, figure 8: only with an entry of the own term."""
    group = Group()
    first = group.elect(1)
    first.propose(10)
    group.settle(lambda message: message.to == 1 and not isinstance(message, AppendEntries))
    assert first.commit == 1
    group.cores[1].become_follower(Term(1), None)
    group.cores[1].campaign(transfer=True)
    group.settle(
        lambda message: (
            not (isinstance(message, AppendEntries) and message.entries[-1:] and message.entries[-1].term == 2)
        )
    )
    assert group.cores[1].is_leader
    assert group.cores[1].commit == 1, "the old entry is on a majority and waits for one of the new term"

    group.cores[1].tick()
    group.cores[1].tick()
    group.settle()
    assert group.cores[1].commit == 3


def test_a_late_append_never_shortens_the_log() -> None:
    """§5.3: a follower deletes only what conflicts."""
    group = Group()
    leader = group.elect(1)
    for _ in range(3):
        leader.propose(10)
    group.settle()
    group.cores[2].step(
        AppendEntries(
            sender=ReplicaId(1),
            to=ReplicaId(2),
            term=Term(1),
            prev_index=Index(0),
            prev_term=Term(0),
            entries=(EntryHeader(Index(1), Term(1), 0),),
            commit=Index(1),
            last_index=Index(1),
        )
    )

    assert group.cores[2].last_index == 4


def test_conflicting_entries_give_way_to_the_leaders() -> None:
    """§5.3, figure 7: the leader forces the followers' logs to duplicate its own."""
    group = Group()
    old = group.elect(1)
    for _ in range(5):
        old.propose(10)
    group.settle(lambda message: message.to == 1)
    assert old.last_index == 6
    group.cores[2].campaign(transfer=True)
    group.settle(lambda message: 1 not in {message.to, message.sender})
    assert group.cores[2].is_leader
    group.cores[2].propose(10)
    for _ in range(6):
        group.cores[2].tick()
        group.settle()

    logs = {(core.last_index, core.last_term, core.commit) for core in group.cores.values()}
    assert {(3, 2, 3)} == logs


def test_a_sync_of_what_was_dropped_vouches_for_nothing() -> None:
    """An old completion must not count for a newer entry at the same index."""
    group = Group()
    leader = group.elect(1)
    leader.propose(10)
    group.take(1)
    late = list(group.tickets[1])
    entry = EntryHeader(Index(2), Term(2), 10)
    leader.step(
        AppendEntries(
            sender=ReplicaId(2),
            to=ReplicaId(1),
            term=Term(2),
            prev_index=Index(1),
            prev_term=Term(1),
            entries=(entry,),
            commit=Index(1),
            last_index=Index(2),
        )
    )
    group.take(1)
    for ticket in late:
        leader.persisted(ticket)  # type: ignore[arg-type]

    assert leader.durable_index == 1


def test_a_leader_that_nobody_answers_steps_down() -> None:
    """Thesis §6.2: check-quorum."""
    group = Group()
    leader = group.elect(1)
    for _ in range(2 * RaftOptions().election_ticks_max):
        leader.tick()
        group.settle(lambda _: False)

    assert leader.role is Role.FOLLOWER


def test_a_member_that_was_cut_off_disturbs_nobody_when_it_returns() -> None:
    """Thesis §9.6: pre-vote."""
    group = Group()
    leader = group.elect(1)
    for _ in range(100):
        group.cores[3].tick()
        group.settle(lambda message: 3 not in {message.to, message.sender})
    assert group.cores[3].term == 1
    group.cores[3].tick()
    group.settle()

    assert leader.is_leader


def test_leadership_is_handed_over() -> None:
    """Thesis §3.10."""
    group = Group()
    leader = group.elect(1)
    leader.propose(10)
    leader.transfer(ReplicaId(3))
    assert leader.propose(10) is None
    group.settle()

    assert group.cores[3].is_leader
    assert not leader.is_leader


def test_a_barrier_is_confirmed_by_a_majority() -> None:
    """§8; thesis §6.4."""
    group = Group()
    leader = group.elect(1)
    barrier = leader.read_barrier()
    ready = leader.ready()
    assert ready is not None
    assert () == ready.barriers
    group.messages += ready.messages
    for message in group.messages:
        group.cores[message.to].step(message)
    group.messages.clear()
    group.take(2)
    leader.step(group.messages[0])
    confirmed = leader.ready()

    assert confirmed is not None
    assert (barrier,) == confirmed.barriers


def test_an_idle_group_sleeps_and_wakes_with_the_next_entry() -> None:
    """No ticks, no heartbeats, until there is something to do."""
    group = Group()
    leader = group.elect(1)
    for _ in range(40):
        for core in group.cores.values():
            core.tick()
        group.settle()
    assert [True, True, True] == [core.asleep for core in group.cores.values()]
    leader.propose(10)
    group.settle()

    assert leader.commit == 2
    assert not leader.asleep


def test_a_restarted_follower_hears_that_its_log_is_the_leaders() -> None:
    """Cluster seed 8: nothing was sent to a follower that had everything, so it never heard of the commit."""
    group = Group(options=RaftOptions(idle_ticks_before_sleep=0))
    leader = group.elect(1)
    leader.propose(10)
    group.settle()
    before = group.cores[3]
    group.cores[3] = Raft(
        me=ReplicaId(3),
        membership=Membership(voters=tuple(Member(replica=ReplicaId(n), node=NodeId(n)) for n in (1, 2, 3))),
        vote=before.vote_now(),
        log=LogState(term_starts=((Index(1), Term(1)),), last_index=Index(2)),
        options=RaftOptions(),
        draw_election_ticks=lambda: 15,
    )
    assert group.cores[3].commit == 0
    for _ in range(4):
        leader.tick()
        group.settle()

    assert group.cores[3].commit == 2


def test_a_follower_whose_disk_has_forgotten_what_it_acknowledged_is_sent_it_again() -> None:
    """A disk whose syncs lied, and whose power failed: that rejects what it said it had, and was not believed."""
    group = Group(options=RaftOptions(idle_ticks_before_sleep=0))
    leader = group.elect(1)
    leader.propose(10)
    leader.propose(10)
    group.settle()
    before = group.cores[3]
    assert Index(3) == leader.match(ReplicaId(3))
    group.cores[3] = Raft(
        me=ReplicaId(3),
        membership=Membership(voters=tuple(Member(replica=ReplicaId(n), node=NodeId(n)) for n in (1, 2, 3))),
        vote=before.vote_now(),
        log=LogState(term_starts=((Index(1), Term(1)),), last_index=Index(1)),
        options=RaftOptions(),
        draw_election_ticks=lambda: 15,
    )
    for _ in range(6):
        leader.tick()
        group.settle()

    assert group.cores[3].last_index == 3
    assert group.cores[3].commit == 3
    assert leader.match(ReplicaId(3)) == 3


def test_a_late_rejection_of_what_was_acknowledged_since_changes_nothing() -> None:
    """The other side of the same rule: only the answer to a probe that is under way is believed."""
    group = Group(options=RaftOptions(idle_ticks_before_sleep=0))
    leader = group.elect(1)
    leader.propose(10)
    group.settle()
    late = AppendReply(
        sender=ReplicaId(3),
        to=ReplicaId(1),
        term=leader.term,
        match=Index(0),
        rejected=True,
        rejected_prev=Index(2),
        hint_index=Index(1),
        hint_term=Term(1),
    )
    leader.step(late)

    assert leader.match(ReplicaId(3)) == 2


def test_a_doubtful_replica_helps_nobody_who_may_lack_the_entry() -> None:
    """FAST'18: it votes as if its log still ended with the damaged entry, and does not campaign."""
    group = Group(doubts=[(Index(1), Term(3))])
    voter = group.cores[2]
    voter.campaign()
    assert voter.role is Role.FOLLOWER
    voter.step(RequestVote(sender=ReplicaId(1), to=ReplicaId(2), term=Term(4), last_index=Index(9), last_term=Term(2)))
    group.take(2)
    group.sync(2)

    assert [False] == [message.granted for message in group.messages if isinstance(message, VoteReply)]


def test_when_nobody_has_the_doubtful_entry_it_is_dropped() -> None:
    """Power loss of all in mid-sync heals by itself."""
    group = Group(doubts=[(Index(1), Term(0))])
    for _ in range(60):
        for core in group.cores.values():
            core.tick()
        group.settle()

    assert [[], [], []] == [core.doubts for core in group.cores.values()]
    assert group.elect(1).commit == 1


def test_nobody_waits_for_a_replica_that_is_away_to_fall_asleep() -> None:
    """A node that is down must not keep every group that it shares awake."""
    group = Group(options=RaftOptions(idle_ticks_before_sleep=3))
    leader = group.elect(1)
    leader.propose(10)
    for core in (group.cores[1], group.cores[2]):
        core.set_away(frozenset({ReplicaId(3)}))
    for _ in range(8):
        leader.tick()
        group.cores[2].tick()
        group.settle(lambda message: 3 not in {message.sender, message.to})

    assert [True, True] == [group.cores[1].asleep, group.cores[2].asleep]
    leader.set_away(frozenset())
    assert not leader.asleep


def test_a_minority_never_sleeps() -> None:
    """With a majority away, a leader has to find out that it leads nobody."""
    group = Group(options=RaftOptions(idle_ticks_before_sleep=3))
    leader = group.elect(1)
    leader.set_away(frozenset({ReplicaId(2), ReplicaId(3)}))
    for _ in range(60):
        leader.tick()
        group.settle(lambda message: message.to == message.sender)

    assert not leader.asleep
    assert leader.role is not Role.LEADER


def test_a_follower_whose_leader_is_away_does_not_wait_a_whole_election_time() -> None:
    """The connection is gone, so most likely the leader is: 15 ticks were drawn, of which 10 only avoid disturbance."""
    group = Group()
    group.elect(1)
    for number in (2, 3):
        group.cores[number].set_away(frozenset({ReplicaId(1)}))
    assert group.cores[2].ticks_left == 5
    for _ in range(5):
        group.cores[2].tick()
    group.settle(lambda message: 1 not in {message.sender, message.to})

    assert group.cores[2].is_leader


def test_ticks_before_the_one_that_counts_do_nothing_else() -> None:
    """So a driver may give them together: nobody hears of them."""
    group = Group()
    leader = group.elect(1)
    group.settle()
    for core in (leader, group.cores[2]):
        for _ in range(core.ticks_left - 1):
            core.tick()
            assert core.ready() is None
        core.tick()
        assert core.ready() is not None


def test_the_preferred_replica_of_a_new_group_campaigns_first() -> None:
    """Leadership need not move right after it was won: the controller's choice has the shortest first time-out."""
    group = Group(may_vote=False)
    for number, core in group.cores.items():
        core.allow_vote(soon=number == 2)
    for _ in range(2):
        for core in group.cores.values():
            core.tick()
        group.settle()

    assert [False, True, False] == [core.is_leader for core in group.cores.values()]


def test_a_replica_without_the_right_to_vote_only_follows() -> None:
    """It first votes when the controller has recorded that its log exists."""
    group = Group(may_vote=False)
    for _ in range(60):
        for core in group.cores.values():
            core.tick()
        group.settle()
    assert not any(core.is_leader for core in group.cores.values())
    for core in group.cores.values():
        core.allow_vote()

    assert group.elect(2).is_leader


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_follower_that_is_behind_the_logs_start_gets_the_fold(count: int) -> None:
    """§7, with the folded state in the place of a snapshot."""
    group = Group(count)
    leader = group.elect(1)
    for _ in range(10):
        leader.propose(10)
    group.settle(lambda message: message.to != count or count == 1)
    leader.log_trimmed(leader.commit, Term(1))
    for _ in range(60):
        leader.tick()
        group.settle()

    assert {leader.commit} == {core.commit for core in group.cores.values()}
