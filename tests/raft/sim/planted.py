"""Cores with a classic mistake each, to score the swarm: what cannot find these proves nothing by finding nothing else.

Each is the real core with one rule broken, at the place where somebody might break it.
"""

from dataclasses import replace

from cluster.messages import (
    AppendEntries,
    Heartbeat,
    InstallFold,
    RaftMessage,
    RequestVote,
    TailReply,
    VoteReply,
)
from cluster.raft import Raft, Ready, Role, Vote, replication, tail
from cluster.raft.writes import Writes
from cluster.types import Index, Term, Ticket
from tests.raft.sim.planted_changes import CHANGES


class AcknowledgeBeforeSync(Raft):
    """A follower says "durable" when it has handed the entries to its disk."""

    def ready(self) -> Ready | None:
        ready = super().ready()
        if ready is not None and ready.entries and ready.vote is None and not self.is_leader:
            self.persisted(ready.ticket)
        return ready


class VoteNotPersisted(Raft):
    """The term is saved, the vote in it is not."""

    def ready(self) -> Ready | None:
        ready = super().ready()
        if ready is not None and ready.vote is not None:
            return replace(ready, vote=Vote(term=ready.vote.term, voted_for=None))
        return ready


class VoteWithoutLogCheck(Raft):
    """A vote for whoever asks first (§5.4.1 left out); pre-votes still look at the log."""

    def step(self, message: RaftMessage) -> None:
        if isinstance(message, RequestVote) and not message.pre:
            message = replace(message, last_index=Index(1 << 60), last_term=Term(1 << 60))
        super().step(message)


class VoteCountedTwice(Raft):
    """Votes are counted, not voters: the same answer heard twice is two votes."""

    def step(self, message: RaftMessage) -> None:
        if (
            isinstance(message, VoteReply)
            and message.granted
            and not message.pre
            and message.term == self.term
            and self.role is Role.CANDIDATE
            and self.votes.get(message.sender)
        ):
            silent = [replica for replica in self.others if replica not in self.votes]
            if silent:
                message = replace(message, sender=silent[0])
        super().step(message)


class NoPreviousEntryCheck(Raft):
    """An append is taken wherever it fits by number; the previous entry's term is not compared (§5.3)."""

    def step(self, message: RaftMessage) -> None:
        if isinstance(message, AppendEntries):
            term = self.terms.term_at(message.prev_index)
            if term is not None:
                message = replace(message, prev_term=term)
        super().step(message)


class StaleAppendTruncates(Raft):
    """What an append does not name is dropped, as if appends never came late (§5.3: "if it conflicts")."""

    def step(self, message: RaftMessage) -> None:
        super().step(message)
        if not isinstance(message, AppendEntries) or message.term != self.term or self.is_leader or not message.entries:
            return
        last = message.entries[-1]
        if last.index < self.last_index and self.terms.term_at(last.index) == last.term and last.index >= self.commit:
            self.truncate_from(Index(last.index + 1))


class CommitOldTermByCounting(Raft):
    """Figure 8: an entry of an older term is committed because a majority has it."""

    def step(self, message: RaftMessage) -> None:
        super().step(message)
        self._count()

    def persisted(self, ticket: Ticket) -> None:
        super().persisted(ticket)
        self._count()

    def _count(self) -> None:
        if self.is_leader:
            index = self.quorum.reached(self.match)
            if index > self.commit:
                self.commit = index
                replication.confirm_barriers(self)


class LeaderCountsUnsynced(Raft):
    """The leader's own copy counts from the moment it is appended."""

    def ready(self) -> Ready | None:
        ready = super().ready()
        if ready is not None and ready.entries and ready.vote is None and self.is_leader:
            self.persisted(ready.ticket)
        return ready


class _ForgetfulWrites(Writes):
    """Truncation does not touch what open tickets vouch for."""

    def _lower(self, index: Index) -> None:
        self.durable_index = min(self.durable_index, index)


class OldTicketVouchesForNew(Raft):
    """A sync that began before a truncation counts for the entry that is at its index now."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)
        self.writes = _ForgetfulWrites(arguments["vote"], arguments["log"].last_index)

    def validate(self) -> None:
        """Its own check would tell; the world must."""


class _HastyWrites(Writes):
    """Every promise leaves with term and vote."""

    def promise(self, message: RaftMessage, *, rests_on_entries: bool = True) -> None:  # noqa: ARG002
        super().promise(message, rests_on_entries=False)


class AcknowledgesWithTheVote(Raft):
    """Where there is room for votes only, acknowledgements leave with them."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)
        self.writes = _HastyWrites(arguments["vote"], arguments["log"].last_index)


class VotesBeforeItIsWritten(Raft):
    """That some vote is on disk is taken for word of the newest one."""

    def vote_persisted(self, ticket: Ticket) -> None:
        super().vote_persisted(ticket)
        self.writes.durable_vote = self.vote_now()


class BarrierWithoutRound(Raft):
    """A leader that believes that it leads confirms its reads alone (§6.4 of the thesis left out)."""

    def read_barrier(self) -> int | None:
        barrier = super().read_barrier()
        if barrier is not None and self.terms.term_at(self.commit) == self.term:
            self.barriers.remove(barrier)
            self.confirmed.append(barrier)
        return barrier


class HeartbeatCommitsAll(Raft):
    """A follower believes a heartbeat's commit although its log may differ there."""

    def step(self, message: RaftMessage) -> None:
        super().step(message)
        if isinstance(message, AppendEntries | Heartbeat) and message.term == self.term and not self.is_leader:
            self.commit = max(self.commit, min(message.commit, self.last_index))


class RecoveringVotes(Raft):
    """A replica with a damaged log votes, by the log that it has left."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(**{**arguments, "recovering": False})


class DoubtIgnored(Raft):
    """A damaged tail is taken for a torn write, and cut."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(**{**arguments, "doubts": (), "doubts_to": None})


class UncountedIgnored(Raft):
    """Of a damaged tail only the entries that can be counted are in doubt."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(**{**arguments, "doubts_to": None})


class DoubtEndsEarly(Raft):
    """One other replica without the entry is enough to cut a doubtful tail."""

    def step(self, message: RaftMessage) -> None:
        super().step(message)
        answers = isinstance(message, TailReply) and message.state == 0
        if answers and message.index in {index for index, _ in self.doubts}:
            tail.forget(self)
            self.tail_answers.clear()


class FoldRegresses(Raft):
    """A late fold replaces a log that already holds what it stands for."""

    def step(self, message: RaftMessage) -> None:
        late = isinstance(message, InstallFold) and not message.beginning and message.index < self.commit
        if late and message.term == self.term:
            self.terms.reset(message.index, message.last_term)
            self.writes.installed(message)
            self.matched = self.commit = message.index
        super().step(message)


class UnrecordedAcknowledges(Raft):
    """What a replica acknowledges counts before its log is recorded to exist."""

    @property
    def may_acknowledge(self) -> bool:
        """At any time."""
        return True


class FloorIgnored(Raft):
    """A follower that ends below the floor is sent what comes next, as ever."""

    @property
    def floor(self) -> Index:
        """There is none."""
        return Index(0)

    @floor.setter
    def floor(self, floor: Index) -> None:
        """Not heard."""


class CleanWithoutAnswer(Raft):
    """A follower counts as begun anew as soon as the fold was sent."""

    def ready(self) -> Ready | None:
        ready = super().ready()
        for progress in self.progress.values():
            begun = progress.beginning
            if begun is not None and not begun.acknowledged:
                begun.acknowledged = True
                progress.start_over(begun.fold_index)
        return ready


class DropsWhileCatchingUp(Raft):
    """The leader goes on dropping tombstones while a follower is half-way to them."""

    @property
    def catching_up(self) -> bool:
        """Nobody ever is."""
        return False


class BegunAnewVotes(Raft):
    """Whoever threw its log away goes on voting, by what it has again."""

    def step(self, message: RaftMessage) -> None:
        super().step(message)
        if isinstance(message, InstallFold) and message.beginning:
            self.recovering = False

    def validate(self) -> None:
        """Its own check would tell; the world must."""


CLASSICS: dict[str, type[Raft]] = {
    "acknowledge_before_sync": AcknowledgeBeforeSync,
    "vote_not_persisted": VoteNotPersisted,
    "vote_without_log_check": VoteWithoutLogCheck,
    "vote_counted_twice": VoteCountedTwice,
    "no_previous_entry_check": NoPreviousEntryCheck,
    "stale_append_truncates": StaleAppendTruncates,
    "commit_old_term_by_counting": CommitOldTermByCounting,
    "leader_counts_unsynced": LeaderCountsUnsynced,
    "old_ticket_vouches_for_new": OldTicketVouchesForNew,
}
"""The ones that every swarm must find."""

OTHERS: dict[str, type[Raft]] = {
    "barrier_without_round": BarrierWithoutRound,
    "heartbeat_commits_all": HeartbeatCommitsAll,
    "recovering_votes": RecoveringVotes,
    "doubt_ignored": DoubtIgnored,
    "uncounted_ignored": UncountedIgnored,
    "doubt_ends_early": DoubtEndsEarly,
    "fold_regresses": FoldRegresses,
    "unrecorded_acknowledges": UnrecordedAcknowledges,
    "acknowledges_with_the_vote": AcknowledgesWithTheVote,
    "votes_before_it_is_written": VotesBeforeItIsWritten,
    "floor_ignored": FloorIgnored,
    "clean_without_answer": CleanWithoutAnswer,
    "drops_while_catching_up": DropsWhileCatchingUp,
    "begun_anew_votes": BegunAnewVotes,
}
"""Of what is ours beyond the paper."""

BUGS = CLASSICS | OTHERS | CHANGES
