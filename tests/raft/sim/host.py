"""One host: a core, the log in memory, the disk, and the turn between them, as the real driver takes it.

A turn feeds the core everything that arrived, then does what it asks until it asks for nothing: queue the write, send,
send the promises, tell producers. The disk answers later, with a turn of its own.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cluster.log.mark import Mark
from cluster.messages import AppendEntries, AppendReply, InstallFold, RaftMessage, RequestVote, TimeoutNow, VoteReply
from cluster.raft import Membership, Raft, Ready, Role
from cluster.types import Index, ReplicaId, Term, Ticket
from tests.raft.sim import thinning
from tests.raft.sim.disk import Disk, Write
from tests.raft.sim.stored import NO_OP, Command, Content, Fold, StoredLog, saying

if TYPE_CHECKING:
    from tests.raft.sim.world import World


@dataclass(frozen=True, slots=True)
class Packet:
    """A message with what travels beside it."""

    message: RaftMessage
    contents: tuple[Content, ...] = ()
    fold: Fold | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """A producer's request; `attempt` comes back with the answer."""

    command: Command
    attempt: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class WithoutRoom:
    """The votes of a write, and of all before it, are on disk; what else is in them waits for room."""

    ticket: Ticket


@dataclass(slots=True)
class Waiting:
    """Who waits for an entry to be committed."""

    term: Term
    publishes: list[Publish] = field(default_factory=list)


class Host:
    """Where one replica lives, across its crashes."""

    def __init__(self, world: "World", me: ReplicaId, disk: Disk, *, may_vote: bool) -> None:
        self.world = world
        self.me = me
        self.disk = disk
        self.may_vote = may_vote
        self.up = self.stopped = False
        self.incarnation = self.paused_until = self.since = 0
        self.deaf_until = 0  # what was sent to it before that does not arrive
        self.inbox: deque[Packet | Publish | Ticket | WithoutRoom] = deque()
        self.turn_planned = False
        self.commit_seen = Index(0)
        self.term_seen = self.term_said = self.leads_since = Term(0)
        self.log: StoredLog
        self.core: Raft

    # --- life

    def boot(self) -> None:
        """Start from what the disk holds."""
        assert not self.up, "one process a disk"
        disk, world = self.disk, self.world
        self.up = True
        self.since = world.now
        self.deaf_until = self.since if disk.is_uncounted else 0  # the core's contract
        self.log = disk.image.copy()
        self.core = world.core_class(
            me=self.me,
            membership=self.log.fold.membership,
            vote=disk.vote,
            log=self.log.state(),
            options=world.mix.options,
            draw_election_ticks=world.draw_election_ticks,
            may_vote=self.may_vote,
            recovering=disk.recovering,
            owes=disk.owes,
            whole_at=None if disk.mark is None else disk.mark.whole_at,
            doubts=disk.doubts,
            doubts_to=disk.doubts_to,
        )
        self.core.floor = self.log.floor_at(self.log.last_index)
        self.doubtful, self.mark = bool(disk.doubts), disk.mark
        self.role, self.asleep = Role.FOLLOWER, False
        self.compacted = Index(0)
        self.waiting: dict[Index, Waiting] = {}
        self.barriers: dict[int, Index] = {}
        self.incoming: dict[tuple[Index, Term], Content] = {}
        self.incoming_folds: dict[tuple[Index, Term], Fold] = {}
        world.invariants.restarted(self)

    def crash(self) -> None:
        """The process or the power is gone; what the disk makes of it is the world's business."""
        self.up = False
        self.incarnation += 1
        self.inbox.clear()
        self.turn_planned = False

    # --- turns

    def turn(self) -> None:
        """Take everything that arrived."""
        publishes = []
        self.turn_planned = False
        while self.inbox:
            item = self.inbox.popleft()
            if isinstance(item, Packet):
                self._step(item)
            elif isinstance(item, Publish):
                publishes.append(item)
            elif isinstance(item, WithoutRoom):
                self.core.vote_persisted(item.ticket)
            else:
                self.core.persisted(item)
        if publishes:
            self.carry_out()  # a new leader's no-op goes before what is proposed now
            for publish in publishes:
                self._propose(publish)
        self.finish_turn()

    def tick(self) -> None:
        """Time passes, unless the group sleeps."""
        if not self.core.asleep:
            self.core.tick()
            if self.carry_out():
                self._look()

    def finish_turn(self) -> None:
        """Do what the core asks for, and look at the result."""
        self.carry_out()
        self._look()

    def _look(self) -> None:
        self.incoming.clear()
        self.incoming_folds.clear()
        thinning.trim(self)
        thinning.compact(self)
        self._notice()
        self.world.invariants.after_turn(self)

    def _step(self, packet: Packet) -> None:
        message, world = packet.message, self.world
        if message.term < self.core.term:
            world.count("stale_terms_received")
        if isinstance(message, AppendEntries):
            for header, content in zip(message.entries, packet.contents, strict=True):
                if self.core.takes(message, header):
                    self.incoming[header.index, header.term] = content
        elif isinstance(message, InstallFold):
            assert packet.fold is not None, "a fold travels with its bytes"
            self.incoming_folds[message.index, message.last_term] = packet.fold
            message = replace(message, membership=packet.fold.membership)
        elif isinstance(message, TimeoutNow):
            world.transfer_target = self.me
        elif isinstance(message, AppendReply):
            if message.rejected:
                world.count("appends_rejected")
        elif isinstance(message, VoteReply):
            if message.pre and not message.granted:
                world.count("pre_votes_refused")
        elif isinstance(message, RequestVote) and not message.pre:
            world.asked_for_vote(message.sender)
            ours, theirs = (self.core.last_term, self.core.last_index), (message.last_term, message.last_index)
            if message.term >= self.core.term and theirs < ours:
                world.count("votes_refused_for_the_log")
        begun = self.core.beginning
        self.core.step(message)
        if isinstance(message, InstallFold) and self.core.beginning > begun:
            world.count("begun_anew")
            self.commit_seen = Index(0)

    def _propose(self, publish: Publish) -> None:
        """Decide as a leader: append, wait for the first append of a duplicate, or refuse."""
        core, log, world = self.core, self.log, self.world
        producer, sequence = publish.command
        if not core.is_leader:
            world.answer(self, publish, None)
            return
        expected = log.expected[producer]
        if sequence > expected:
            world.count("gaps_refused")
            world.answer(self, publish, None)
            return
        if sequence < expected:
            world.count("duplicates_answered")
            index = log.places.get(publish.command)
            if index is None or index <= core.commit:
                world.answer(self, publish, index or Index(0))
                return
            self.waiting.setdefault(index, Waiting(core.term)).publishes.append(publish)
            return
        header = core.propose(publish.size_bytes)
        if header is None:
            world.answer(self, publish, None)
            return
        self.append(header.index, header.term, publish.command)
        self.waiting[header.index] = Waiting(header.term, [publish])

    # --- what the core asks for

    def carry_out(self) -> bool:
        """Whether there was anything to do."""
        busy = False
        while (ready := self.core.ready()) is not None:
            busy = True
            write = self._write(ready)
            messages = [self._packet(message) for message in ready.messages]
            self._say(messages, write if not self.world.mix.parallel else None)
            self._say([self._packet(message) for message in ready.promises])
            self._tell(ready)
        return busy

    def append(self, index: Index, term: Term, command: Command, *, whole: bool = True) -> None:
        self.world.invariants.appending(self, index, term, command, whole=whole)
        assert index == self.log.last_index + 1, f"{index} does not follow {self.log.last_index}"
        self.log.append(term, command, whole=whole)
        self.core.floor = self.log.floor_at(index)

    def _write(self, ready: Ready) -> Write | None:
        """Memory at once, the disk when it comes to it."""
        doubt_is_over = self.doubtful and not self.core.doubts
        if ready.ticket is None and not doubt_is_over:
            return None
        write = Write(ticket=ready.ticket, vote=ready.vote, truncate_from=ready.truncate_from, cut=doubt_is_over)
        if doubt_is_over:
            self.doubtful = False
            self.world.count("tails_fetched_again" if ready.entries or ready.fold else "tails_cut")
        if ready.truncate_from is not None:
            self.world.invariants.truncating(self, ready.truncate_from)
            self.world.count("conflicts_truncated")
            if any(index >= ready.truncate_from for index, _ in self.log.memberships):
                self.world.count("memberships_truncated")
            self.log.truncate_from(ready.truncate_from)
            self.core.floor = self.log.floor_at(self.log.last_index)
        if ready.fold is not None:
            fold = self.incoming_folds[ready.fold.index, ready.fold.last_term]
            self.world.invariants.folded(self, fold)
            self.world.count("folds_installed" if self.log.membership.voters else "blanks_told")
            self.log.install(fold)
            self.core.floor = fold.floor
            write.fold = fold
        mark = Mark(self.core.owes, self.core.whole_at) if self.core.recovering else None
        if mark is not None and (mark != self.mark or write.fold or write.cut):
            self.mark = write.mark = mark
        for header in ready.entries:
            if header.index > self.log.last_index:
                content = self.incoming.get((header.index, header.term))
                if content is None:
                    # It may have won and lost office in one turn: that it leads now is not to be asked.
                    assert not header.size_bytes, f"{self.me} was never sent the content of {header}"
                    content = NO_OP if header.membership is None else saying(header.membership), True
                self.append(header.index, header.term, content[0], whole=content[1])
            assert self.log.term_at(header.index) == header.term, f"{self.me} holds another entry than {header}"
            content = self.log.contents_between(header.index, header.index)[0]
            write.entries.append((header.index, header.term, content))
        self.disk.queue.append(write)
        self.world.sync(self)
        return write

    def _packet(self, message: RaftMessage) -> Packet:
        if isinstance(message, AppendEntries) and message.entries:
            first, last = message.entries[0].index, message.entries[-1].index
            assert all(self.log.term_at(entry.index) == entry.term for entry in message.entries)
            return Packet(message, tuple(self.log.contents_between(first, last)))
        if isinstance(message, InstallFold):
            fold = self.log.fold
            if (fold.index, fold.term) != (message.index, message.last_term):
                raise AssertionError(f"{self.me} sends a fold that it does not have: {message}")
            return Packet(message, fold=fold)
        return Packet(message)

    def _say(self, packets: list[Packet], after: Write | None = None) -> None:
        """These leave now, or after a write; what they say must be true now."""
        for packet in packets:
            self.world.invariants.saying(self, packet.message)
            if after is None:
                self.world.send(self, packet)
            else:
                after.held.append(packet)

    def _tell(self, ready: Ready) -> None:
        if ready.role is not None:
            self._role_changed(ready.role)
        if ready.commit is not None:
            self._committed(ready.commit)
        for barrier in ready.barriers:
            self.world.count("barriers_confirmed")
            self.world.invariants.barrier_confirmed(self, self.barriers.pop(barrier))
        for barrier in ready.failed_barriers:
            self.world.count("barriers_failed")
            del self.barriers[barrier]

    def _role_changed(self, role: Role) -> None:
        world, core = self.world, self.core
        for index in [
            index for index, waiting in self.waiting.items() if waiting.term != core.term or role != Role.LEADER
        ]:
            for publish in self.waiting.pop(index).publishes:
                world.answer(self, publish, None)
        if role is Role.LEADER:
            world.elected(self)
        elif self.role is Role.LEADER:
            world.count("leaders_deposed" if core.term > self.leads_since else "leaders_resigned_without_quorum")
        elif self.role is Role.CANDIDATE and core.leader is None:
            world.count("split_votes")
        self.role = role

    def _committed(self, commit: Index) -> None:
        world, core = self.world, self.core
        first = world.invariants.commit + 1
        world.invariants.committed(self, commit)
        world.changes.look()
        if core.is_leader:
            if first <= commit and (self.log.term_at(first) or core.term) < core.term:
                world.count("old_terms_committed_with_a_new_one")
            if core.durable_index < commit:
                world.count("leaders_commit_before_own_sync")
            world.awkward(self, 0.3)
        for index in [index for index in self.waiting if index <= commit]:
            for publish in self.waiting.pop(index).publishes:
                world.answer(self, publish, index)

    def change(self, membership: Membership) -> None:
        """As a leader: this is the membership now."""
        self.carry_out()
        if not self.core.may_change_membership:
            self.world.count("changes_refused")
            return
        header = self.core.propose_membership(membership, 20)
        assert header is not None, "it may"
        self.append(header.index, header.term, saying(header.membership or membership))
        self.finish_turn()

    def _notice(self) -> None:
        """Facts about the core that nobody announces."""
        core, world = self.core, self.world
        if self.mark is not None and not core.recovering:
            self.mark = None
            self.disk.queue.append(Write(ticket=None, whole=True))
            world.sync(self)
            world.count("recoveries_done")
        if core.asleep != self.asleep:
            self.asleep = core.asleep
            world.count("groups_asleep" if core.asleep else "sleepers_woken")

    def ask_barrier(self) -> None:
        """A read that wants to see everything committed before now."""
        barrier = self.core.read_barrier()
        if barrier is not None:
            self.barriers[barrier] = self.world.invariants.commit
            self.finish_turn()
