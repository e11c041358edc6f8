"""The unacknowledged batches of one partition: their numbers, their order, their retries. Pure.

Rules. "Sent" means handed to a connection; an attempt is one sending of one batch.

1. *Numbers.* Sequences count records, dense, and are given in the order of closing, when a batch first enters the
   window. A retry carries the same number, so the partition's leader can tell it from a new batch.
2. *Bound.* At most `in_flight_max` batches lie between the oldest unacknowledged one and the newest sent one. The
   leader remembers no fewer batches than that, so every retry finds its first receipt.
3. *Retry.* An attempt that is refused for now, or lost, ends the round: nothing new is sent, and after a wait every
   unacknowledged batch is sent again, oldest first. The oldest goes alone, as a probe: until a receipt shows that
   somebody leads, whole windows sent in vain would only add to the trouble. An answer to an attempt of an earlier
   round counts if it is a receipt; a refusal of an earlier round decides nothing.
4. *A gap is an echo.* OUT_OF_SEQUENCE or UNKNOWN_PRODUCER for a batch that is not the oldest one says only that a
   batch before it did not arrive: rule 3.
5. *A batch that the leader will never take* (too large, an unknown codec, …) fails alone. Nothing behind it can have
   been appended, because its number is missing. When all before it are acknowledged, what is behind it starts anew
   under a fresh identity with fresh numbers: the old identity is stuck at the gap for ever, so no attempt that is
   still travelling under it can append anything. Of one that may have arrived before it was refused, at a leader with
   other limits, the outcome is unknown, and so is that of every batch behind it of which an attempt may have arrived.
6. *Time is up.* The oldest batch's deadline has passed: it fails, and so does every batch behind it of which an
   attempt may have arrived, because numbering those anew could append them twice. Batches of which certainly nothing
   arrived go on under a fresh identity. Who failed "for certain" gets an error that says that nothing was done, all
   others one that says that the outcome is unknown.
7. *UNKNOWN_PRODUCER for the oldest batch*, all before it acknowledged: the partition has forgotten this producer
   (it expires a day after its last append). A fresh identity; nothing fails. A batch of such a producer is never
   appended unless its number is 0, so this is safe too.
8. *OUT_OF_SEQUENCE for the oldest batch*, all before it acknowledged: acknowledged records are gone. With the weak
   durabilities that can happen; otherwise it must not. The window fails as a whole and says so.
9. *FENCED, TOPIC_DELETED*: the end of this window; everything in it fails.
10. *A named producer* has one identity and cannot take a fresh one without fencing itself elsewhere. Where rules 5 to
    8 ask for a fresh identity its window ends instead, and the application opens the name again.
    Its first batch under a new epoch must not be a duplicate: it was never sent before, so another holder of the name
    has written that number. The window ends as fenced.
"""

from collections import deque
from dataclasses import dataclass, replace
from itertools import islice

from cluster.client.backoff import Backoff
from cluster.client.outgoing import OutgoingBatch
from cluster.errors import (
    CorruptBatch,
    DeadlineExceeded,
    DuplicateForgotten,
    Fenced,
    InvalidRequest,
    OffsetConflict,
    Outcome,
    OutcomeUnknown,
    OutOfSequence,
    RecordTooLarge,
    RiverrunError,
    TopicDeleted,
    Unavailable,
    UnknownCodec,
    UnknownPartition,
    UnknownProducer,
    UnknownTopic,
    Unsupported,
)
from cluster.records import Batch, Receipt
from cluster.types import ProducerId

Settled = list[tuple[OutgoingBatch, Receipt | RiverrunError]]
"""Batches with what became of them."""

FINAL = (Fenced, TopicDeleted, UnknownPartition)
"""Rule 9."""
REFUSED_FOR_GOOD = (InvalidRequest, RecordTooLarge, UnknownCodec, CorruptBatch, Unsupported, OffsetConflict)
"""Rule 5. Any error that is not named in these rules is taken for an unknown outcome, and the batch is sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who sends to a partition, and the number of the next record."""

    producer_id: ProducerId
    epoch: int
    next_sequence: int
    first_of_epoch: bool = False
    """Opened by name: others may hold older epochs of it."""


class _Slot:
    """One numbered batch in the window."""

    __slots__ = ("attempts", "barred", "maybe_arrived", "numbered", "outgoing", "settled", "under_way")

    def __init__(self, outgoing: OutgoingBatch, numbered: Batch) -> None:
        self.outgoing = outgoing
        self.numbered = numbered
        self.attempts = 0
        self.under_way = 0
        """Attempts without an answer yet."""
        self.maybe_arrived = False
        """An attempt was lost, or answered with "unknown"."""
        self.settled = False
        self.barred = False
        """Rule 5: the leader will never take it; nothing behind it is sent under this identity."""

    @property
    def doubtful(self) -> bool:
        return self.maybe_arrived or self.under_way > 0


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One sending of one numbered batch. Whoever sends it reports back exactly once."""

    window: "Window"
    batch: Batch
    slot: _Slot
    round: int

    @property
    def partition(self) -> int:
        """Where it goes."""
        return self.slot.outgoing.partition

    @property
    def outlet(self) -> object:
        """Whose window it is from."""
        return self.window.owner


class Window:
    """One partition's batches from their closing to their outcome. Times are seconds of the event loop."""

    def __init__(
        self,
        closed: deque[OutgoingBatch],
        *,
        in_flight_max: int,
        backoff: Backoff,
        renewable: bool,
        owner: object = None,
    ) -> None:
        self.owner = owner
        self._closed = closed
        self._in_flight_max = in_flight_max
        self._backoff = backoff
        self._renewable = renewable
        self._slots: deque[_Slot] = deque()
        self._identity: Identity | None = None
        self._next_sequence = 0
        self._cursor = 0
        """Slots before it were sent in this round."""
        self._round = 0
        self._probing = self._probe_sent = False
        """Rule 3: this round sends one batch and waits for a receipt."""
        self._last_refusal: RiverrunError | None = None
        self.retry_at_s = 0.0
        self.retries = 0
        self.ended: RiverrunError | None = None
        """Set when the window takes no more batches (rules 9 and 10)."""

    # --- what the producer asks

    @property
    def is_idle(self) -> bool:
        """Nothing of this partition is under way."""
        return not self._slots

    @property
    def batches_inside(self) -> int:
        """How many batches are numbered and not acknowledged."""
        return len(self._slots)

    @property
    def is_well(self) -> bool:
        """Nothing has failed since the last receipt."""
        return self._backoff.fresh and self.ended is None

    @property
    def needs_identity(self) -> bool:
        """There is something to send and nobody to send it as."""
        return self._identity is None and self.ended is None and bool(self._slots or self._closed)

    @property
    def wants_to_send(self) -> bool:
        """`take` would return something, if not for the wait before a retry."""
        if self._identity is None or (self._probing and self._probe_sent):
            return False
        if self._cursor < len(self._slots):
            return not self._slots[self._cursor].barred
        return bool(self._closed) and len(self._slots) < self._in_flight_max

    def deadline_s(self) -> float | None:
        """When the oldest batch's time is up."""
        if self._slots:
            return self._slots[0].outgoing.deadline_s
        return self._closed[0].deadline_s if self._closed else None

    def identified(self, identity: Identity) -> None:
        """Send as this producer from now on; what is still in the window is numbered anew."""
        assert self._identity is None
        self._identity = identity
        self._next_sequence = identity.next_sequence
        old, self._slots = self._slots, deque()
        for slot in old:
            slot.settled = True  # answers to attempts under the identity before mean nothing now
            self._slots.append(_Slot(slot.outgoing, self._number(slot.numbered)))
        self._cursor = 0
        self._round += 1

    def take(self, now_s: float) -> Attempt | None:
        """The next batch to send, if one may be sent now."""
        if now_s < self.retry_at_s or not self.wants_to_send:
            return None
        if self._cursor == len(self._slots):
            outgoing = self._closed.popleft()
            assert outgoing.batch is not None
            self._slots.append(_Slot(outgoing, self._number(outgoing.batch)))
        slot = self._slots[self._cursor]
        self._cursor += 1
        if slot.settled:
            return self.take(now_s)
        self._probe_sent = True
        slot.attempts += 1
        slot.under_way += 1
        self.retries += slot.attempts > 1
        return Attempt(self, slot.numbered, slot, self._round)

    def _number(self, batch: Batch) -> Batch:
        assert self._identity is not None
        numbered = replace(
            batch,
            producer_id=self._identity.producer_id,
            producer_epoch=self._identity.epoch,
            base_sequence=self._next_sequence,
        )
        self._next_sequence += batch.record_count
        return replace(numbered, checksum=numbered.computed_checksum())

    def postpone(self, now_s: float) -> None:
        """It is not known where to send: wait as after a refusal."""
        self.retry_at_s = now_s + self._backoff.next_s()

    # --- what became of attempts

    def acknowledged(self, attempt: Attempt, receipt: Receipt) -> Settled:
        """A receipt arrived, of whatever round."""
        slot = attempt.slot
        slot.under_way -= 1
        if slot.settled:
            return []
        identity = self._identity
        if identity is not None and identity.first_of_epoch:
            if receipt.duplicate and slot.attempts == 1:
                return self.end(Fenced("another holder of this producer's name has written; open the name again"))
            self._identity = replace(identity, first_of_epoch=False)
        slot.settled = True
        self._backoff.reset()
        self._probing = False
        self._last_refusal = None
        self._pop_settled()
        return [(slot.outgoing, replace(receipt, partition=slot.outgoing.partition))]

    def refused(self, attempt: Attempt, error: RiverrunError, now_s: float) -> Settled:
        """An error arrived for one attempt."""
        slot = attempt.slot
        slot.under_way -= 1
        slot.maybe_arrived = slot.maybe_arrived or error.outcome is Outcome.UNKNOWN
        if slot.settled or attempt.round != self._round:
            return []
        self._last_refusal = error
        if isinstance(error, FINAL):
            return self.end(error)
        if isinstance(error, OutOfSequence | UnknownProducer):
            return self._gap(slot, error, now_s)
        if isinstance(error, DuplicateForgotten):  # it holds its number: nothing behind it is touched
            slot.settled = True
            self._probing = False
            self._pop_settled()
            return [(slot.outgoing, error)]
        if isinstance(error, REFUSED_FOR_GOOD):
            return self._bar(slot, error)
        slot.maybe_arrived = slot.maybe_arrived or not (error.retry or isinstance(error, UnknownTopic))
        self._next_round(now_s, hinted="leader" in error.metadata)
        return []

    def lost(self, attempt: Attempt, error: RiverrunError, now_s: float, *, sent: bool) -> None:
        """The connection broke before an answer came; `sent` False: nothing of this attempt can have left."""
        slot = attempt.slot
        slot.under_way -= 1
        slot.maybe_arrived = slot.maybe_arrived or sent
        if not slot.settled and attempt.round == self._round:
            self._last_refusal = error
            self._next_round(now_s, hinted=False)

    def expire(self, now_s: float) -> Settled:
        """Rule 6, for what is in the window and for what still waits to enter it."""
        settled: Settled = []
        head = next((slot for slot in self._slots if not slot.settled), None)
        if head is not None and head.outgoing.deadline_s <= now_s:
            for slot in self._slots:
                if not slot.settled and (slot is head or slot.doubtful):
                    settled.append((slot.outgoing, self._too_late(doubtful=slot.doubtful)))
                    slot.settled = True
            settled += self._renew(self._too_late(doubtful=False))
        while self._closed and self._closed[0].deadline_s <= now_s:
            settled.append((self._closed.popleft(), self._too_late(doubtful=False)))
        return settled

    def end(self, error: RiverrunError) -> Settled:
        """Fail everything, and every batch to come. What may have arrived is said to be unknown."""
        self.ended = error
        settled: Settled = []
        for slot in self._slots:
            if not slot.settled:
                slot.settled = True
                settled.append((slot.outgoing, _unknown(error) if slot.doubtful else error))
        settled += [(outgoing, error) for outgoing in self._closed]
        self._slots.clear()
        self._closed.clear()
        self._cursor = 0
        return settled

    # --- the rules

    def _next_round(self, now_s: float, *, hinted: bool) -> None:
        """Rule 3. The first refusal that names the leader is followed at once; all others wait longer and longer."""
        follow = hinted and self._backoff.fresh
        wait_s = self._backoff.next_s()
        self.retry_at_s = now_s if follow else now_s + wait_s
        self._round += 1
        self._cursor = 0
        self._probing, self._probe_sent = True, False

    def _gap(self, slot: _Slot, error: RiverrunError, now_s: float) -> Settled:
        oldest = next(other for other in self._slots if not other.settled)
        if slot is not oldest:
            self._next_round(now_s, hinted=False)
            return []
        if isinstance(error, UnknownProducer):
            return self._renew(error)
        settled: Settled = []
        for other in self._slots:
            if not other.settled:  # the refusal followed a read barrier: the oldest is certainly not in the log
                certain = other is slot or not other.doubtful
                settled.append((other.outgoing, error if certain else _unknown(error)))
                other.settled = True
        return settled + self._renew(error)

    def _bar(self, slot: _Slot, error: RiverrunError) -> Settled:
        place = self._slots.index(slot)
        settled: Settled = [(slot.outgoing, _unknown(error) if slot.doubtful else error)]
        slot.settled = slot.barred = True
        if not self._renewable:
            return settled + self.end(error)
        if slot.doubtful:
            for other in islice(self._slots, place, None):
                if other.doubtful and not other.settled:
                    settled.append((other.outgoing, _unknown(error)))
                    other.settled = True
        self._cursor = min(self._cursor, place)
        self._pop_settled()
        return settled

    def _pop_settled(self) -> None:
        while self._slots and self._slots[0].settled:
            if self._slots[0].barred:
                self._start_anew()
                return
            self._slots.popleft()
            self._cursor = max(self._cursor - 1, 0)

    def _renew(self, error: RiverrunError) -> Settled:
        """What is not settled goes on under a fresh identity (rules 6 to 8), or ends (rule 10)."""
        if not self._renewable:
            return self.end(error)
        self._start_anew()
        return []

    def _start_anew(self) -> None:
        self._slots = deque(slot for slot in self._slots if not slot.settled)
        self._identity = None
        self._cursor = 0
        self._round += 1
        self._probing = False

    def _too_late(self, *, doubtful: bool) -> RiverrunError:
        last = f"; last: {self._last_refusal}" if self._last_refusal is not None else ""
        if doubtful:
            return DeadlineExceeded(f"not acknowledged in time; it may have been appended{last}")
        return Unavailable(f"not delivered in time; nothing was appended{last}")


def _unknown(error: RiverrunError) -> RiverrunError:
    unknown = OutcomeUnknown(f"{error}; an earlier attempt may have been appended")
    unknown.__cause__ = error
    return unknown
