"""The core: verbs in, one `Ready` out. Terms, roles and the bookkeeping that all roles share (§5.1).

Rules:
1. A message of a higher term makes this replica a follower of that term, but for pre-votes, and for votes asked for
   while a live leader is heard (stickiness, thesis §9.6): those change nothing.
2. A message of a lower term is answered only where its sender must learn that it is behind.
3. Nothing of a term leaves before that term and this replica's vote in it are on disk: until then it is a promise.
4. What arrives goes through `dispatch`; roles act in their own files: `election`, `replication` (a leader),
   `following`, `tail` (a doubtful end), `sleep`.
"""

from collections.abc import Callable, Sequence

from cluster.config import RaftOptions
from cluster.membership import Membership
from cluster.messages import AppendEntries, EntryHeader, RaftMessage, TailReply
from cluster.raft import beginning, configuration, dispatch, election, following, handing_out, replication, sleep, tail
from cluster.raft.configuration import Memberships
from cluster.raft.progress import Progress
from cluster.raft.quorum import Quorum
from cluster.raft.ready import LogState, Ready, Role, Vote
from cluster.raft.sizes import Sizes
from cluster.raft.terms import TermRuns
from cluster.raft.writes import Writes
from cluster.types import NO_TERM, Index, NodeId, ReplicaId, Term, Ticket

SOON_TICKS = 2
"""Until the preferred replica of a new group campaigns: the others hear of the group meanwhile."""
NO_LIMIT = 1 << 62
"""Bytes."""


class Raft:
    """One replica's consensus. Everything public here is a verb of the contract or a fact to look at."""

    voters: tuple[ReplicaId, ...]
    quorum: Quorum
    electors: tuple[ReplicaId, ...]
    """The others that count: voters, and outgoing ones."""
    others: tuple[ReplicaId, ...]
    """Everybody else who belongs to the group."""

    def __init__(
        self,
        *,
        me: ReplicaId,
        membership: Membership,
        vote: Vote,
        log: LogState,
        options: RaftOptions,
        draw_election_ticks: Callable[[], int],
        may_vote: bool = True,
        recovering: bool = False,
        owes: tuple[Index, Term] | None = None,
        whole_at: Index | None = None,
        doubts: Sequence[tuple[Index, Term]] = (),
        doubts_to: tuple[Index, Term] | None = None,
    ) -> None:
        self.me, self.options, self.draw_election_ticks = me, options, draw_election_ticks
        self.term = vote.term
        self.voted_for = vote.voted_for
        self.role = Role.FOLLOWER
        self.leader: ReplicaId | None = None
        self.commit = log.fold_index
        self.terms = TermRuns(log.fold_index, log.fold_term, log.term_starts, log.last_index)
        self.writes = Writes(vote, log.last_index)
        self.may_vote = may_vote
        self.recovering = recovering
        self.owes = owes
        """What the log ended with that it recovers from: it votes as if it still did. None: that is not known."""
        self.whole_at = whole_at  # how far a log that began anew has to reach. None: that is not known
        self.recovered_at: Index | None = None
        self.floor = Index(0)
        """Entries at or below it may be incomplete for whoever has not had them all. The driver sets it; 0: none is."""
        self.beginning, self.beginning_floor = 0, Index(0)
        """As a follower: the last beginning obeyed in this term, and its floor."""
        self.beginnings = 0
        self.progress: dict[ReplicaId, Progress] = {}
        self.memberships = Memberships(log.membership or membership, log.memberships)
        self.leaving = False  # it leads without a vote: it hands over
        self.needed = False  # as a learner: it refused a candidate that is behind it, and has heard no leader since
        self.catch_up_bytes = NO_LIMIT
        """What a leader may still send to learners; the driver sets it, and appends lower it."""
        configuration.take_effect(self)
        self.doubts: list[tuple[Index, Term]] = list(doubts) if self.electors else []  # what they are, `tail` says
        self.doubts_to = doubts_to if self.doubts else None
        self.owes_at_most: tuple[Index, Term] | None = None
        self.tail_answers, self.tail_before = dict[ReplicaId, TailReply](), dict[ReplicaId, TailReply]()
        """What others have said where they are asked (`tail.asked`), now and before."""
        self.tail_members: dict[ReplicaId, NodeId] = {}  # others that count, by what was told beyond this log
        self.asleep, self.away = False, frozenset[ReplicaId]()
        self.elapsed, self.election_ticks = 0, draw_election_ticks()
        self.votes, self.matched = dict[ReplicaId, bool](), Index(0)
        """`matched`: as a follower, equal to this term's leader's log up to here."""
        self.heartbeat_elapsed = self.idle_ticks = self.sleep_round = self.barrier_round = 0
        self.tail_asking = self.doubts_held = 0
        self.transferee: ReplicaId | None = None
        self.barriers, self.confirmed, self.failed = list[int](), list[int](), list[int]()
        self.barrier_due = False
        self.sizes, self.outbox = Sizes(), list[RaftMessage]()
        self.told: tuple[Role, Term, ReplicaId | None, Index] = (self.role, self.term, self.leader, self.commit)
        """What the driver knows."""

    # --- verbs

    def step(self, message: RaftMessage) -> None:
        """Take a message from another replica; any order, any repetition is harmless."""
        dispatch.step(self, message)

    def tick(self) -> None:
        """Time passes, by one of whatever the options count in."""
        if self.asleep:
            return
        self.elapsed += 1
        if self.role is Role.LEADER:
            replication.tick(self)
            return
        if self.doubts or self.recovering:
            tail.tick(self)
        if self.elapsed >= self.election_ticks:
            self.elapsed = 0
            self.election_ticks = self.draw_election_ticks()
            self.campaign()

    @property
    def ticks_left(self) -> int:
        """The tick, counted from now, that will do more than count: those before it may be given together with it."""
        return sleep.ticks_left(self)

    def campaign(self, *, transfer: bool = False) -> None:
        """Ask for votes (or, first, whether there would be any), if this replica may."""
        if self.role is Role.LEADER or not self.may_campaign:
            return
        self.asleep = False
        if self.options.pre_vote and not transfer:
            election.ask_pre_votes(self)
        else:
            election.ask_votes(self, transfer=transfer)

    def propose(self, size_bytes: int) -> EntryHeader | None:
        """A slot for content of that size; None if this replica does not lead, or is to be left out or handing over."""
        if self.role is not Role.LEADER or self.transferee is not None or self.me not in self.quorum.members:
            return None
        self.asleep = False
        self.idle_ticks = 0
        return self.append_own(size_bytes)

    def persisted(self, ticket: Ticket) -> None:
        """The write of that ticket, and all before it, are on disk."""
        self.writes.persisted(ticket)
        self._count_durable()

    def vote_persisted(self, ticket: Ticket) -> None:
        """The votes of that write, and of all before it, are on disk; there is no room yet for what else is in them."""
        self.writes.vote_persisted(ticket)
        self._count_durable()

    def _count_durable(self) -> None:
        if self.role is Role.LEADER:
            replication.advance_commit(self)
        elif self.role is Role.CANDIDATE:
            election.count(self)
        else:
            following.note_durable(self)

    def log_trimmed(self, index: Index, term: Term) -> None:
        """The driver dropped entries up to and including `index`; they were committed."""
        assert index <= self.commit, "only what is committed may be trimmed"
        self.terms.trim_to(index, term)
        self.memberships.trim_to(index)

    def transfer(self, to: ReplicaId | None) -> None:
        """Hand leadership to `to`, if it keeps up, or to the follower that is furthest (thesis §3.10)."""
        if self.role is Role.LEADER:
            replication.begin_transfer(self, to)

    def read_barrier(self) -> int | None:
        """Ask for a confirmation of this leadership; its id comes back in a Ready. None if this is no leader."""
        if self.role is not Role.LEADER:
            return None
        self.asleep = False
        self.barrier_round += 1
        self.barriers.append(self.barrier_round)
        self.barrier_due = True
        return self.barrier_round

    def allow_vote(self, *, soon: bool = False) -> None:
        """The log of this replica is known to exist. `soon`: it would best lead a new group, so it campaigns first."""
        self.may_vote = True
        if soon and self.term == NO_TERM:
            self.elapsed = 0
            self.election_ticks = SOON_TICKS

    def wake(self) -> None:
        """End an idle group's sleep: look whether the others are still there."""
        sleep.wake(self)

    def set_away(self, away: frozenset[ReplicaId]) -> None:
        """The driver has no connection to these: a hint, which may be wrong."""
        sleep.set_away(self, away)

    def propose_membership(self, membership: Membership, size_bytes: int) -> EntryHeader | None:
        """A slot for that membership, which is in effect at once: other learners, or a joint one with other voters.

        None if this replica may not change it now. What follows a joint one comes by itself, in a `Ready`.
        """
        assert configuration.is_step(self.membership, membership), f"{membership} does not follow {self.membership}"
        if not self.may_change_membership:
            return None
        self.asleep = False
        self.idle_ticks = 0
        return self.append_own(size_bytes, membership)

    def ready(self) -> Ready | None:
        """What is to be done now; None if nothing is."""
        return handing_out.ready(self)

    # --- facts

    @property
    def is_leader(self) -> bool:
        """Whether this replica leads, as far as it knows."""
        return self.role is Role.LEADER

    @property
    def last_index(self) -> Index:
        """The last entry, written or not."""
        return self.terms.last_index

    @property
    def last_term(self) -> Term:
        """Its term."""
        return self.terms.last_term

    @property
    def durable_index(self) -> Index:
        """Entries up to here are on this replica's disk."""
        return self.writes.durable_index

    @property
    def voter_count(self) -> int:
        """How many replicas vote; while a membership is joint, of those whose majority is known to be needed."""
        return len(replication.counted(self))

    @property
    def membership(self) -> Membership:
        """The one in effect here."""
        return self.memberships.newest

    @property
    def counted(self) -> tuple[ReplicaId, ...]:
        """The voters that `voter_count` and `synced_count` speak of."""
        return replication.counted(self)

    @property
    def membership_is_committed(self) -> bool:
        """Whether it is known to stay."""
        return self.memberships.index <= self.commit

    @property
    def may_change_membership(self) -> bool:
        """Whether this leader may propose another one now."""
        return configuration.may_change(self)

    @property
    def may_campaign(self) -> bool:
        """Whether this replica's log can be trusted to lead, and lets it."""
        return self.may_vote and not self.recovering and not self.doubts and configuration.may_campaign(self)

    @property
    def may_acknowledge(self) -> bool:
        """Whether what this replica has on disk may be counted: its log is known to exist, as for a vote."""
        return self.may_vote

    @property
    def is_blank(self) -> bool:
        """Whether this replica does not know yet whose it is."""
        return not self.membership.voters

    def is_caught_up(self, replica: ReplicaId) -> bool:
        """Whether a follower is heard, is sent what comes, and has what it had lost; `match` says how far it is."""
        return configuration.is_caught_up(self, replica)

    @property
    def catching_up(self) -> bool:
        """Whether a follower that began anew is being brought to the floor: what lies below it must stay as it is."""
        return self.is_leader and beginning.is_under_way(self)

    def takes(self, message: AppendEntries, entry: EntryHeader) -> bool:
        """Whether the content of that entry, come with that message, may be this replica's: what is here stays."""
        if message.term == self.term and beginning.is_foreign(self, message):
            return False
        return self.terms.term_at(entry.index) != entry.term

    def term_of(self, index: Index) -> Term:
        """The term of an entry that is here (or the fold's)."""
        term = self.terms.term_at(index)
        assert term is not None, f"no entry {index} here"
        return term

    def match(self, replica: ReplicaId) -> Index:
        """How far another replica, or this one, is known to be durable, to this leader."""
        if replica == self.me:
            return self.durable_index
        return self.progress[replica].match if replica in self.progress else Index(0)

    def synced_count(self, index: Index) -> int:
        """How many of these `voter_count` are known to have `index` on disk: a majority, once it is committed."""
        return replication.synced_count(self, index)

    # --- for the roles' files

    def send(self, message: RaftMessage) -> None:
        """Send now if the term it speaks in is on disk, else as soon as it is."""
        if self.writes.term_is_durable(self.vote_now()):
            self.outbox.append(message)
        else:
            self.writes.promise(message, rests_on_entries=False)

    def send_free(self, message: RaftMessage) -> None:
        """Send a message that binds this replica to nothing (a pre-vote's question)."""
        self.outbox.append(message)

    def vote_now(self) -> Vote:
        """Term and vote as they are in memory."""
        return Vote(term=self.term, voted_for=self.voted_for)

    def become_follower(self, term: Term, leader: ReplicaId | None) -> None:
        """Follow, in `term`, whoever leads it."""
        if term > self.term:
            self.term, self.voted_for = term, None
            self.matched = Index(0)
            self.recovered_at = None
            self.beginning, self.beginning_floor = 0, Index(0)
            self.writes.save_vote(self.vote_now(), new_term=True)
        if self.role is Role.LEADER:
            self.failed += self.barriers
            self.barriers.clear()
            self.progress.clear()
            self.transferee = None
            self.leaving = False
        if leader is not None or self.role is not Role.FOLLOWER:
            # §5.2: a follower's timer begins anew for a leader or a vote that it grants, not for every higher term: a
            # candidate with a fast clock and a short log would otherwise keep all others from ever campaigning.
            self.elapsed = 0
            self.election_ticks = self.draw_election_ticks()
        self.role = Role.FOLLOWER
        self.leader = leader
        self.votes.clear()
        self.asleep = False

    def append_own(self, size_bytes: int, membership: Membership | None = None) -> EntryHeader:
        """A leader's next entry."""
        header = EntryHeader(Index(self.terms.last_index + 1), self.term, size_bytes, membership)
        self.append(header)
        return header

    def append(self, header: EntryHeader) -> None:
        """One more entry, to be written."""
        self.terms.append(header.index, header.term)
        self.writes.appended(header.index)
        self.sizes.note(header)
        if header.membership is not None:
            self.memberships.append(header.index, header.membership)
            configuration.take_effect(self)

    def truncate_from(self, index: Index) -> None:
        """Drop a conflicting end of the log (§5.3)."""
        assert index > self.commit, f"committed entry {index} would be dropped"
        self.terms.truncate_from(index)
        self.writes.truncated(index)
        tail.forget(self)  # what followed goes, too: it is of no leader whose log this is to equal
        self.matched = min(self.matched, Index(index - 1))
        if self.memberships.truncate_from(index):
            configuration.take_effect(self)

    def validate(self) -> None:
        """What must hold at all times."""
        assert self.terms.fold_index <= self.commit <= self.terms.last_index
        assert self.writes.durable_index <= self.terms.last_index
        assert set(self.progress) == (set(self.others) if self.is_leader else set()), "whom a leader sends to"
        assert not self.is_leader or self.floor <= self.terms.last_index, "a floor lies in its leader's log"
        assert self.recovering or self.matched >= self.beginning_floor, "it recovers until it has reached the floor"
        for progress in self.progress.values():
            progress.validate()
        self.writes.validate()
