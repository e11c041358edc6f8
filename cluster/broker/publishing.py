"""The publishers of one replica: their sequences are decided here, and every acknowledgement is told here.

A definite refusal (gap, fenced, conflict) follows a read barrier: a leader that was replaced without knowing it must
not say "no" about a log that is no longer the newest. A conflict with the expected end is told only when what stands
there is committed: until then it may be cut off again, and a request that was under way all the time would then fit.
"""

from collections.abc import Callable

from cluster.broker.barriers import Barriers
from cluster.broker.pending import Pending, Waiter
from cluster.broker.requests import Publish
from cluster.broker.sequences import Append, Duplicate, Refuse, decide
from cluster.errors import DiskFull, OffsetConflict, OutcomeUnknown, RiverrunError
from cluster.log import Log
from cluster.log.fold import ProducerState
from cluster.raft import Raft
from cluster.records import Batch, Entry, EntryKind, Receipt
from cluster.types import NO_INDEX, NO_TERM, Durability, Index, Offset
from cluster.world import Clock


class Publishing:
    """What publishers asked of this replica and have not been told yet."""

    def __init__(
        self,
        *,
        raft: Raft,
        log: Log,
        barriers: Barriers,
        clock: Clock,
        not_leader: Callable[[], RiverrunError],
    ) -> None:
        self.pending = Pending()
        self._raft = raft
        self._log = log
        self._barriers = barriers
        self._clock = clock
        self._not_leader = not_leader

    def producer(self, batch: Batch) -> ProducerState | None:
        """What the log, up to its last entry, knows of the batch's producer."""
        return self._log.fold.producers.get(batch.producer_id)

    def propose(self, publish: Publish) -> Entry | None:
        """Decide by the sequence; the entry if the batch is to be appended now."""
        if publish.reply.done():
            return None  # the caller has left
        if not self._raft.is_leader:
            publish.reply.set_exception(self._not_leader())
            return None
        if self._log.full:
            publish.reply.set_exception(DiskFull("the leader's disk is full; free some space or add a node"))
            return None
        match decide(self.producer(publish.batch), publish.batch):
            case Refuse(error):
                self._refuse(publish, error)
            case Duplicate(original):
                self._answer_again(publish, original.index, original.base_offset)
            case Append():
                if publish.expected_end is not None and publish.expected_end != self._log.end_offset:
                    end = str(self._log.end_offset)
                    conflict = OffsetConflict(f"the partition's end is {end}, not {publish.expected_end}", end=end)
                    self._refuse(publish, conflict, committed=self._log.last_index)
                else:
                    return self._stamp(publish)
        return None

    def synced(self) -> None:
        """The leader's disk got further: answer those who wait for no more than that."""
        for waiter in self.pending.take(Durability.LEADER_SYNCED, self._raft.durable_index):
            self._tell(waiter, Durability.LEADER_SYNCED)

    def committed(self) -> None:
        """The commit moved: answer those below it."""
        for waiter in self.pending.take(Durability.MAJORITY_SYNCED, self._raft.commit):
            self._tell(waiter, Durability.MAJORITY_SYNCED)

    def leadership_changed(self) -> None:
        """Whoever leads now, this replica can no longer tell what becomes of what it proposed in another term."""
        if not self._raft.is_leader and len(self.pending):
            self.pending.fail_all(OutcomeUnknown("leadership changed before the entry was committed"))

    def _stamp(self, publish: Publish) -> Entry | None:
        header = self._raft.propose(len(publish.batch.payload))
        if header is None:
            publish.reply.set_exception(self._not_leader())
            return None
        entry = Entry(
            index=header.index,
            term=header.term,
            kind=EntryKind.BATCH,
            base_offset=self._log.end_offset,
            append_time_ns=max(self._clock.wall_ns(), self._log.fold.last_append_time_ns),
            batch=publish.batch,
        )
        waiter = Waiter(
            index=entry.index,
            offset=entry.base_offset,
            record_count=entry.record_count,
            append_time_ns=entry.append_time_ns,
            size_bytes=entry.size_bytes,
            duplicate=False,
            reply=publish.reply,
        )
        if publish.durability is Durability.ACCEPTED:
            self._tell(waiter, Durability.ACCEPTED)
        else:
            self.pending.add(waiter, publish.durability)
        return entry

    def _answer_again(self, publish: Publish, index: Index, offset: Offset) -> None:
        waiter = Waiter(
            index=index,
            offset=offset,
            record_count=publish.batch.record_count,
            append_time_ns=self._log.append_time_ns(offset) if offset >= self._log.start_offset else 0,
            size_bytes=0,
            duplicate=True,
            reply=publish.reply,
        )
        if index <= self._raft.commit:
            self._tell(waiter, Durability.MAJORITY_SYNCED)
        else:
            self.pending.add(waiter, Durability.MAJORITY_SYNCED)

    def _refuse(self, publish: Publish, error: RiverrunError, *, committed: Index = NO_INDEX) -> None:
        """Say no, behind a read barrier and when the entry at `committed` is."""

        def refuse(lost: RiverrunError | None) -> None:
            if publish.reply.done():
                return
            if lost is None and committed > self._raft.commit:
                self._refuse_later(publish, error, committed)
            else:
                publish.reply.set_exception(lost or error)

        self._barriers.ask(refuse, self._not_leader())

    def _refuse_later(self, publish: Publish, error: RiverrunError, committed: Index) -> None:
        if not self._raft.is_leader:
            publish.reply.set_exception(self._not_leader())
            return
        waiter = Waiter(
            index=committed,
            offset=self._log.end_offset,
            record_count=0,
            append_time_ns=0,
            size_bytes=0,
            duplicate=False,
            reply=publish.reply,
            refusal=error,
        )
        self.pending.add(waiter, Durability.MAJORITY_SYNCED)

    def _tell(self, waiter: Waiter, durability: Durability) -> None:
        if waiter.reply.done():
            return
        if waiter.refusal is not None:
            waiter.reply.set_exception(waiter.refusal)
            return
        synced = self._raft.synced_count(waiter.index)
        waiter.reply.set_result(
            Receipt(
                offset=waiter.offset,
                record_count=waiter.record_count,
                term=self._raft.terms.term_at(waiter.index) or NO_TERM,  # none: it was trimmed meanwhile
                durability=durability,
                replicas_synced=synced,
                replicas=self._raft.voter_count,
                duplicate=waiter.duplicate,
                append_time_ns=waiter.append_time_ns,
            )
        )
