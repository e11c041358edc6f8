"""The heart: one replica of one partition. It drives one Raft core and one log, a turn at a time.

A turn takes everything that arrived, lets the core decide once, writes once, sends once. The disk answers with a
message (`Persisted`), so the next turn need not wait for the last sync. What leaves when is the core's business (see
`cluster.raft.Ready`); what publishers are told is `publishing`'s.

Promises:
- a receipt of MAJORITY_SYNCED leaves only after the entry is committed, and so on a majority's disks;
- content from a peer enters the core only if its checksum is right;
- a publisher whose entry's fate is not known here is told so (OutcomeUnknown), never "no".
"""

import math
from collections.abc import Sequence

import structlog

from cluster.actor import Actor
from cluster.broker.barriers import Barriers
from cluster.broker.commanding import Commanding
from cluster.broker.compaction.compacting import Compacting
from cluster.broker.expiry import Expiry
from cluster.broker.membership import Changing
from cluster.broker.peers import Peers
from cluster.broker.readers import Readers
from cluster.broker.requests import (
    AllowVote,
    Command,
    Compacted,
    Configure,
    DeleteRecords,
    FromPeer,
    LookAtTombstones,
    Persisted,
    Publish,
    ReadBarrier,
    Reassign,
    Request,
    SegmentsRewritten,
    Tick,
    TransferLeadership,
    Unreadable,
)
from cluster.broker.storing import Storing
from cluster.broker.surroundings import Surroundings
from cluster.broker.trimming import Trimming
from cluster.errors import NotLeader, OutcomeUnknown, RiverrunError, Unavailable
from cluster.holes import encode_tombstone_limit
from cluster.log import Log
from cluster.log.fold import encode_expired, encode_trim
from cluster.membership import Membership, encode_membership
from cluster.messages import InstallFold
from cluster.metadata import TopicConfig
from cluster.raft import Raft, Ready
from cluster.records import EntryKind
from cluster.types import Index, NodeId, PartitionId, ReplicaId, Ticket
from cluster.wire.clocks import StampClock

log_event = structlog.get_logger()


NEVER = math.inf
NS_PER_S = 1_000_000_000


class Replica(Actor):
    """One copy of one partition. Its broker starts it with an opened log; nothing but its own turns changes it."""

    peers_class: type[Peers] = Peers
    """Tests look at what leaves here."""

    def __init__(
        self, *, partition: PartitionId, me: ReplicaId, log: Log, may_vote: bool, around: Surroundings
    ) -> None:
        super().__init__(name=f"replica/{partition}")
        self.partition = partition
        self.me = me
        self.log = log
        self.readers = Readers()
        self._around = around
        stamps = StampClock(around.clock, around.come_ns)
        self._storing = Storing(log, stamps)
        self._ticked = around.pulse.ticks
        self._links_seen = around.pulse.links
        self.due_tick: float = 0
        """The broker's tick at which this replica wants a turn, if nothing else gives it one before."""
        self.raft = _core(me, log, around, may_vote=may_vote)
        self.peers = self.peers_class(
            partition=partition, me=me, raft=self.raft, log=log, storing=self._storing, around=around
        )
        self.peers.look_who_is_away()
        self._expiry = Expiry(int(around.broker.producer_expiry_s / around.broker.tick_s), around.producer_lives)
        self._barriers = Barriers(self.raft)
        self._publishing = around.publishing_class(
            raft=self.raft, log=log, barriers=self._barriers, clock=stamps, not_leader=self.not_leader
        )
        self.trimming = Trimming(
            partition=partition,
            raft=self.raft,
            log=log,
            readers=self.readers,
            barriers=self._barriers,
            clock=around.clock,
            come_ns=around.come_ns,
            options=around.broker,
            propose=lambda offset: self._propose(EntryKind.TRIM_TO, encode_trim(offset)),
            not_leader=self.not_leader,
        )
        self.compacting = Compacting(
            raft=self.raft,
            log=log,
            trimming=self.trimming,
            clock=around.clock,
            options=around.broker,
            propose=lambda upto: self._propose(EntryKind.DROP_TOMBSTONES, encode_tombstone_limit(upto)),
        )
        self._commanding = Commanding(raft=self.raft, log=log, clock=stamps, not_leader=self.not_leader)
        self.changing = Changing(
            me=me,
            raft=self.raft,
            log=log,
            options=around.broker,
            hand_over_ticks=around.raft.election_ticks_max,
            leaves=lambda replica: self.peers.node_of(replica) in around.leaving,
            propose=self._propose_membership,
            told=lambda: around.on_membership(self),
        )

    def configure(self, config: TopicConfig) -> None:
        """The topic's settings are these now."""
        self.trimming.configure(config)
        self.compacting.configure(config)

    # --- what others may look at between turns

    @property
    def leader_node(self) -> NodeId | None:
        """Where the leader is, if one is known."""
        return self.peers.node_of(self.raft.leader)

    async def wait_room(self) -> None:
        """Return when a publisher may hand over more: what is uncommitted is bounded."""
        while self._publishing.pending.bytes >= self._around.broker.uncommitted_bytes_max:
            await self._publishing.pending.wait_less()

    def behind_s(self, node: NodeId) -> float:
        """Of a leader: how old the oldest record is that the follower on a node lacks; 0: none, infinite: not known."""
        match = max((self.raft.match(item) for item, home in self.peers.nodes().items() if home == node), default=None)
        if match is None:
            return math.inf
        offset = max(self.log.end_offset_at(match), self.log.start_offset)
        if offset >= self.log.end_offset:
            return 0.0
        try:
            return max(self._around.clock.wall_ns() - self.log.append_time_ns(offset), 0) / NS_PER_S
        except RiverrunError:
            return math.inf

    def has_member_on(self, node: NodeId) -> bool:
        """Whether another replica of this partition is on `node`."""
        return node in self.peers.nodes().values()

    def not_leader(self) -> NotLeader:
        """The refusal that names who leads, if that is known."""
        node = self.leader_node
        if node is None or self.raft.is_leader:
            return NotLeader(f"partition {self.partition} has no leader that this node knows of")
        return NotLeader(
            f"partition {self.partition} is led by node {node}", leader=self._around.address_of(node), node=str(node)
        )

    # --- the turn

    def on_turn(self, messages: Sequence[Request]) -> None:
        """Feed the core everything that arrived, then do what it asks, once."""
        self._feel_pulse()
        proposals = []
        for message in messages:
            if isinstance(message, Publish | Command | LookAtTombstones):
                proposals.append(message)  # after all that peers said: it is handed out before the core hears more
            else:
                self._admit(message)
        if proposals:
            self._carry_out()  # a new leader's no-op has the lower index: it is stored before what is proposed now
            for proposal in proposals:
                self._take_in(proposal)
        self._carry_out()
        self._storing.turn_ended()
        if self.raft.is_leader:
            self._tidy_up()
        if self.trimming.drop():
            self._around.writer.submit(self.log, lambda _: None)
        self.due_tick = NEVER if self.raft.asleep else self._ticked + self.raft.ticks_left
        self.due_tick = min(self.due_tick, self.trimming.due())
        if self.log.trim_waits or (self._feeds_learners() and self.raft.catch_up_bytes <= 0):
            self.due_tick = self._ticked + 1

    def _take_in(self, proposal: Publish | Command | LookAtTombstones) -> None:
        if isinstance(proposal, LookAtTombstones):
            self.compacting.look()
        elif isinstance(proposal, Publish):
            entry = self._publishing.propose(proposal)
            if entry is not None:
                self._storing.store([entry])
        else:
            entry = self._commanding.propose(proposal)
            if entry is not None:
                self._storing.store([entry])
                self._commanding.stored(entry, proposal)

    def _tidy_up(self) -> None:
        last = self.log.last_index
        quiet = self._expiry.due(self.log.fold, self._around.pulse.ticks)
        if quiet:
            self._propose(EntryKind.EXPIRE_PRODUCERS, encode_expired(quiet))
        self.trimming.look(self._around.pulse.ticks)
        self.changing.look(self._around.pulse.ticks)
        if self.log.last_index != last:
            self._carry_out()

    def _propose(self, kind: EntryKind, content: bytes) -> Index | None:
        """A control entry of this leader's; None if it is handing over."""
        header = self.raft.propose(len(content))
        if header is None:
            return None
        self._storing.store([self._storing.control(kind, header.index, header.term, content)])
        return header.index

    def _propose_membership(self, membership: Membership) -> None:
        content = encode_membership(membership)
        header = self.raft.propose_membership(membership, len(content))
        if header is not None:
            self._storing.store([self._storing.control(EntryKind.MEMBERSHIP, header.index, header.term, content)])

    def _feel_pulse(self) -> None:
        """Time has passed since the last turn: all of it, before anything that arrived meanwhile."""
        pulse = self._around.pulse
        passed, self._ticked = pulse.ticks - self._ticked, pulse.ticks
        for _ in range(passed):
            if self.raft.asleep:
                break  # for days, perhaps: then these are many
            self.raft.tick()
        if self._links_seen != pulse.links:
            self._links_seen = pulse.links
            self.peers.look_who_is_away()

    async def on_stop(self) -> None:
        """Nobody is left waiting."""
        stopped = OutcomeUnknown("the replica stopped before the entry was committed")
        self._publishing.pending.fail_all(stopped)
        self._commanding.fail_all(stopped)
        self.trimming.fail_all(OutcomeUnknown("the replica stopped before the deletion was committed"))
        self._barriers.fail_all(Unavailable("the replica is stopping"))
        self.readers.fail(Unavailable("the replica is stopping"))
        self.log.close()

    def on_unread(self, messages: Sequence[Request]) -> None:
        """Nothing was done with these yet, except perhaps in a turn that failed: so nobody is told "no"."""
        for message in messages:
            if isinstance(message, Publish | Command | ReadBarrier | DeleteRecords) and not message.reply.done():
                stopped = "the replica stopped before it answered"
                message.reply.set_exception(
                    Unavailable(stopped) if isinstance(message, ReadBarrier) else OutcomeUnknown(stopped)
                )
                message.reply.exception()  # whoever asked may have left
            if isinstance(message, SegmentsRewritten) and not message.reply.done():
                message.reply.set_result(False)

    def _admit(self, message: Request) -> None:
        match message:
            case FromPeer(envelope, node):
                self.peers.admit(envelope, node)
            case Persisted(ticket, error):
                if error is None:
                    self.raft.persisted(ticket)
                    self._publishing.synced()
                else:
                    log_event.warning("write_waits", partition=str(self.partition), reason=error.reason)
                    self.raft.vote_persisted(ticket)
                    if self.raft.commit > self.raft.durable_index:  # a majority without this one has room
                        self.raft.transfer(None)
            case Tick():
                pass  # a turn is what it was for
            case ReadBarrier(reply):
                self._barriers.ask_value(reply, lambda: self.readers.end, self.not_leader())
            case DeleteRecords():
                self.trimming.delete(message)
            case Configure(config):
                self.configure(config)
            case SegmentsRewritten(reply=reply):
                if not reply.done():
                    reply.set_result(self.compacting.take(message))
                    self._around.writer.submit(self.log, lambda _: None)
            case Compacted():
                self.compacting.done(message)
            case AllowVote(soon):
                self.raft.allow_vote(soon=soon)
            case TransferLeadership(node):
                for replica, home in self.peers.nodes().items():
                    if home == node and replica in self.raft.voters:
                        self.raft.transfer(replica)
            case Reassign():
                self.changing.wish(message)
            case Unreadable(error):
                raise error
            case _:
                raise AssertionError(f"not a request of a replica: {message}")

    # --- what the core asks for

    def _carry_out(self) -> None:
        while (ready := self._ready()) is not None:
            self._write(ready)
            self.peers.send(ready.messages)
            self.peers.send(ready.promises)
            self._publish(ready)
        if self._storing.end_recovery(self.raft):
            log_event.info("log_whole_again", partition=str(self.partition))
            self._around.writer.submit(self.log, lambda _: None)

    def _ready(self) -> Ready | None:
        self.raft.floor = self.log.fold.tombstones_upto
        if not self._feeds_learners():
            return self.raft.ready()
        catch_up = self._around.catch_up
        self.raft.catch_up_bytes = left = catch_up.left(self._around.pulse.ticks)
        ready = self.raft.ready()
        catch_up.spend(left - self.raft.catch_up_bytes)
        return ready

    def _feeds_learners(self) -> bool:
        return self.raft.is_leader and bool(self.raft.membership.learners)

    def _write(self, ready: Ready) -> None:
        """Bring log and vote to where the core is, in memory at once, on disk by the writer's next group."""
        if ready.ticket is None:
            return
        if ready.vote is not None:
            self.log.save_vote(ready.vote)
        if ready.truncate_from is not None:
            self._storing.truncate(ready.truncate_from)
        if ready.fold is not None:
            self._install(ready.fold)
        self._storing.mark_recovering(self.raft)
        self._storing.store_accepted(ready.entries)
        self._submit(ready.ticket)

    def _install(self, fold: InstallFold) -> None:
        self.peers.tell_reinstalled("follower", self.me, fold)
        self._storing.install(fold, self.raft)
        self.compacting.begin_anew()
        self.readers.begin_anew()

    def _submit(self, ticket: Ticket) -> None:
        def done(error: RiverrunError | None) -> None:
            self.post(Persisted(ticket, error))

        self._around.writer.submit(self.log, done)

    def _publish(self, ready: Ready) -> None:
        if ready.role is not None:
            self._publishing.leadership_changed()
            self._commanding.leadership_changed()
            self._expiry.restart()
            if not self.raft.is_leader:
                self.readers.leader_lost(self.not_leader())
            self.trimming.leadership_changed(self._around.pulse.ticks)
            self._around.on_leader(self)
        if ready.commit is not None:
            self.readers.advance(self._storing.committed_end(ready.commit))
            self._publishing.committed()
            self._commanding.committed()
        if self.log.fold.machine is not None and (ready.role is not None or ready.commit is not None):
            self._around.on_folded(self)
        self._barriers.confirmed(ready.barriers)
        self._barriers.failed(ready.failed_barriers, self.not_leader())


def _core(me: ReplicaId, log: Log, around: Surroundings, *, may_vote: bool) -> Raft:
    """The Raft core of an opened log."""
    options, random, recovered = around.raft, around.random, log.recovered
    return around.raft_class(
        me=me,
        membership=log.fold.membership,
        vote=log.vote,
        log=log.state(),
        options=options,
        draw_election_ticks=lambda: random.randint(options.election_ticks_min, options.election_ticks_max),
        may_vote=may_vote,
        recovering=recovered.recovering,
        owes=recovered.owes,
        whole_at=recovered.whole_at,
        doubts=recovered.doubts,
        doubts_to=recovered.doubts_to,
    )
