"""One replica's turns, by themselves: what arrives together is taken in an order that the core and the log agree on."""

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.actor.mailbox import Mailbox
from cluster.broker.catch_up import CatchUp
from cluster.broker.replica import Replica
from cluster.broker.requests import FromPeer, LookAtTombstones, Persisted
from cluster.broker.surroundings import Pulse, Surroundings
from cluster.config import BrokerOptions, RaftOptions
from cluster.errors import DiskFull, RiverrunError
from cluster.log import Log, ReplicaIdentity
from cluster.log.fold import encode_trim
from cluster.log.mark import Mark, read_mark, set_mark
from cluster.log.write import perform
from cluster.membership import Member, Membership
from cluster.messages import AppendEntries, AppendReply, EntryHeader, RaftMessage, RequestVote, TimeoutNow, VoteReply
from cluster.metadata import TopicConfig
from cluster.records import Entry, EntryKind
from cluster.sim.disk import SimCrash, SimDisk
from cluster.types import (
    UNCOUNTED_ANEW,
    ClusterId,
    Index,
    NodeId,
    Offset,
    PartitionId,
    ReplicaId,
    Term,
    Ticket,
    TopicId,
)
from cluster.wire.peer import ReplicaEnvelope
from tests.log.test_crash import HEADER_BYTES, OPTIONS, entry, flush

PARTITION = PartitionId(TopicId(b"t" * 16), 0)
ME, OTHER = Member(replica=ReplicaId(3), node=NodeId(3)), Member(replica=ReplicaId(1), node=NodeId(1))
THIRD = Member(replica=ReplicaId(2), node=NodeId(2))
IDENTITY = ReplicaIdentity(cluster=ClusterId(b"c" * 16), partition=PARTITION, replica=ME.replica)
DIRECTORY = "replicas/t/0-3"


@dataclass
class Hand:
    """A clock that is set."""

    s: float = 1.0

    def monotonic_s(self) -> float:
        """See Clock."""
        return self.s

    def wall_ns(self) -> int:
        """See Clock."""
        return int(self.s * 1_000_000_000)


@dataclass
class Quick:
    """A writer whose disk needs no time."""

    disk: SimDisk
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def submit(self, log: Log, done: Callable[[RiverrunError | None], None]) -> None:
        """See Writer."""

        def write() -> None:
            steps = log.take_write()
            full = steps is not None and bool(perform(self.disk, {0: steps}))
            if steps is not None:
                log.written(steps, full=full)
            done(DiskFull("the disk is full") if full or log.full else None)

        self.waiting.append(write)


def nothing(*_: object) -> None:
    """Nobody is there to be told."""


def a_disk(entries: int = 1) -> SimDisk:
    """With a replica's log, and so many entries of term 1 in it."""
    disk = SimDisk(random.Random(1))
    Log.create(disk, [(DIRECTORY, IDENTITY, Membership(voters=(OTHER, THIRD, ME)))])
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    for _ in range(entries):
        log.append([entry(log, 1)])
    flush(log, disk)
    log.close()
    return disk


class One:
    """A replica of three, and all that it is handed."""

    def __init__(self, disk: SimDisk | None = None) -> None:
        disk = a_disk() if disk is None else disk
        log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        self.clock, self.writer, self.mailbox = Hand(), Quick(disk), Mailbox(100)
        self.sent: list[RaftMessage] = []
        """What has left."""
        around = Surroundings(
            clock=self.clock,
            come_ns=self.clock.wall_ns,
            random=random.Random(1),
            writer=self.writer,  # type: ignore[arg-type]
            me=ME.node,
            send=lambda _, envelope: self.sent.append(envelope.message),
            on_leader=nothing,
            address_of=str,
            is_up=bool,
            leaving=set(),
            pulse=Pulse(),
            on_folded=nothing,
            on_membership=nothing,
            catch_up=CatchUp(bytes_per_s_max=1 << 30, tick_s=0.1),
            producer_lives=lambda _: False,
            raft=RaftOptions(pre_vote=False),
            broker=BrokerOptions(),
        )
        self.replica = Replica(partition=PARTITION, me=ME.replica, log=log, may_vote=True, around=around)
        self.replica.attach(self.mailbox)

    def settle(self) -> None:
        """Turns until its disk has answered everything."""
        while self.writer.waiting or len(self.mailbox):
            waiting, self.writer.waiting = self.writer.waiting, []
            for work in waiting:
                work()
            self.replica.on_turn(self.mailbox.take_all())

    def lead(self) -> None:
        """It is elected."""
        self.replica.raft.campaign()
        self.replica.on_turn([])
        self.settle()
        term = self.replica.raft.term
        self.replica.on_turn([said(VoteReply(sender=OTHER.replica, to=ME.replica, term=term, granted=True))])
        self.settle()
        assert self.replica.raft.is_leader


def said(message: RaftMessage, *entries: Entry) -> FromPeer:
    """Replica 1 says this."""
    return FromPeer(ReplicaEnvelope(partition=PARTITION, message=message, entries=entries), OTHER.node)


def test_what_a_leader_gives_the_word_for_is_handed_out_before_it_hears_of_its_successor() -> None:
    """Else the log keeps the entry of a leader that was deposed in the same turn, and acknowledges its successor's."""
    one = One()
    one.replica.configure(TopicConfig(compacted=True, tombstone_ms=1))
    one.lead()
    one.clock.s += 60
    assert one.replica.compacting.wants_look()
    log, raft = one.replica.log, one.replica.raft
    index, term = Index(log.last_index + 1), Term(raft.term + 1)
    no_op = Entry(
        index=index,
        term=term,
        kind=EntryKind.NO_OP,
        base_offset=log.end_offset,
        append_time_ns=one.clock.wall_ns(),
    )
    append = AppendEntries(
        sender=OTHER.replica,
        to=ME.replica,
        term=term,
        prev_index=log.last_index,
        prev_term=raft.last_term,
        entries=(EntryHeader(index, term, 0),),
        commit=Index(0),
        last_index=index,
    )
    one.replica.on_turn([LookAtTombstones(), said(append, no_op)])
    one.settle()
    assert (index, term) == (raft.durable_index, raft.term_of(index))
    assert [no_op] == log.entries(index, last=index, bytes_max=1, count_max=1)


def a_third_entry(one: One, *, of: int, last_index: int) -> FromPeer:
    """From the leader of term 2, whose log ends there: a no-op of that term, behind two entries of term 1."""
    end = one.replica.log.end_offset
    no_op = Entry(index=Index(3), term=Term(of), kind=EntryKind.NO_OP, base_offset=end, append_time_ns=1)
    append = AppendEntries(
        sender=OTHER.replica,
        to=ME.replica,
        term=Term(2),
        prev_index=Index(2),
        prev_term=Term(1),
        entries=(EntryHeader(Index(3), Term(of), 0),),
        commit=Index(0),
        last_index=Index(last_index),
    )
    return said(append, no_op)


def test_what_a_replica_owes_is_marked_again_when_it_becomes_more() -> None:
    """It recovered up to entry 2, and was in doubt about 3 to 5; after the next power loss it owed 2 again."""
    disk = a_disk(entries=2)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    third = log._segments[-1].size
    for _ in range(3):
        log.append([entry(log, 1)])
    flush(log, disk)
    log.close()
    set_mark(disk, DIRECTORY, IDENTITY.encoded(), Mark((Index(2), Term(1))))
    disk.flip(f"{DIRECTORY}/{1:020d}.log", (third + HEADER_BYTES + 9) * 8)
    one = One(disk)
    raft = one.replica.raft
    assert [(3, 1), (4, 1), (5, 1)] == raft.doubts
    one.replica.on_turn([a_third_entry(one, of=1, last_index=5)])
    one.settle()
    assert (True, (5, 1)) == (raft.recovering, raft.owes_at_most)
    assert Mark((UNCOUNTED_ANEW, 1)) == read_mark(disk, DIRECTORY, IDENTITY.encoded())


def test_whatever_the_power_interrupts_a_log_with_all_of_it_knows_that_it_is_whole() -> None:
    """What it owes ends no later than it: the mark goes after that."""
    found = set()
    for stop in range(100):
        disk = a_disk(entries=2)
        set_mark(disk, DIRECTORY, IDENTITY.encoded(), Mark((Index(3), Term(1)), Index(3)))
        one = One(disk)
        arrived = a_third_entry(one, of=2, last_index=3)
        disk.crash_at_operation = disk.operations + stop
        with contextlib.suppress(SimCrash):
            one.replica.on_turn([arrived])
            one.settle()
            break
        disk.crash()
        again = One(disk).replica
        found.add((again.log.last_index, again.raft.recovering))
        again.raft.tick()
        assert again.raft.recovering == (again.log.last_index < 3), f"power failed at operation {stop}"
    assert {(2, True), (3, True)} <= found


def test_a_replica_without_room_votes() -> None:
    """Its vote had waited with its entries: with one more replica down nobody could be elected."""
    one = One()
    one.lead()
    disk, raft = one.writer.disk, one.replica.raft
    one.writer.disk.capacity_bytes -= disk.free_bytes()
    fill(one)
    assert one.replica.log.full
    term = Term(raft.term + 1)
    request = RequestVote(
        sender=OTHER.replica, to=ME.replica, term=term, last_index=Index(1 << 30), last_term=raft.term, transfer=True
    )
    one.replica.on_turn([said(request)])
    assert VoteReply not in map(type, one.sent)
    one.settle()
    assert VoteReply(sender=ME.replica, to=OTHER.replica, term=term, granted=True) in one.sent
    assert one.replica.log.full
    one.replica.log.close()
    assert term == Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).vote.term


def test_a_leader_without_room_hands_over_when_others_have_some() -> None:
    """Not before a majority without it has what it could not write: where nobody has, reading goes on with it."""
    one = One()
    one.lead()
    disk, raft = one.writer.disk, one.replica.raft
    disk.capacity_bytes -= disk.free_bytes()
    fill(one)
    last = one.replica.log.last_index
    one.replica.on_turn([said(AppendReply(sender=OTHER.replica, to=ME.replica, term=raft.term, match=last))])
    one.writer.submit(one.replica.log, lambda error: one.replica.post(Persisted(Ticket(1), error)))
    one.settle()
    assert TimeoutNow not in map(type, one.sent)
    third = AppendReply(sender=THIRD.replica, to=ME.replica, term=raft.term, match=last)
    envelope = ReplicaEnvelope(partition=PARTITION, message=third, entries=())
    one.replica.on_turn([FromPeer(envelope, THIRD.node)])
    assert raft.commit > raft.durable_index
    one.writer.submit(one.replica.log, lambda error: one.replica.post(Persisted(Ticket(1), error)))
    one.settle()
    assert TimeoutNow(sender=ME.replica, to=OTHER.replica, term=raft.term) in one.sent


def fill(one: One) -> None:
    """More is appended than there is room for."""
    while not one.replica.log.full:
        one.replica._propose(EntryKind.TRIM_TO, encode_trim(Offset(0)))
        one.replica.on_turn([])
        one.settle()
