"""What to do with a batch of an idempotent producer: append it, answer it as a duplicate, or refuse it. Pure.

Rules (the ideas are Kafka's KIP-98 and KIP-360; sequences here count records, are dense, and continue across epochs):

1. The leader decides at propose, against everything in its log, committed or not. Its fold is always at its last
   index, so a new leader knows every sequence that an earlier one may have acknowledged before it admits anything.
2. A lower epoch than the known one is FENCED; a higher one fences the lower from here on.
3. `base_sequence` equal to the next expected one: append.
4. A batch equal in (epoch, base_sequence, record_count) to one of the remembered last ones: a duplicate; its first
   receipt is the answer, as soon as that append commits. The same numbers of another epoch are another holder's
   records: OUT_OF_SEQUENCE.
5. Of the known epoch, and entirely older than those remembered: it was appended, its offset is no longer known. Of a
   higher epoch nothing was: another holder has written that number since, OUT_OF_SEQUENCE.
6. Overlapping a remembered batch in part: refused. Beyond the next expected one: a gap, refused.
7. A producer that this partition does not know must begin at sequence 0; anything else is UNKNOWN_PRODUCER, never
   an append: its history may have expired here, and guessing could append twice.
"""

from dataclasses import dataclass

from cluster.errors import DuplicateForgotten, Fenced, OutOfSequence, RiverrunError, UnknownProducer
from cluster.log.fold import ProducerState
from cluster.records import Batch, RecentBatch


@dataclass(frozen=True, slots=True)
class Append:
    """The batch is new."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The batch was appended before, as this one."""

    original: RecentBatch


@dataclass(frozen=True, slots=True)
class Refuse:
    """The batch must not be appended."""

    error: RiverrunError


Decision = Append | Duplicate | Refuse
APPEND = Append()


def decide(state: ProducerState | None, batch: Batch) -> Decision:
    """What rule applies to `batch` of a producer whose state in this partition is `state` (None: not known)."""
    if not batch.producer_id:
        return APPEND
    if state is None:
        if batch.base_sequence == 0:
            return APPEND
        return Refuse(
            UnknownProducer(
                f"this partition does not know producer {batch.producer_id}; its first batch must have sequence 0"
            )
        )
    if batch.producer_epoch < state.epoch:
        return Refuse(
            Fenced(
                f"producer {batch.producer_id} was opened again with epoch {state.epoch}; epoch {batch.producer_epoch} "
                "must stop"
            )
        )
    if batch.base_sequence == state.next_sequence:
        return APPEND
    if batch.base_sequence > state.next_sequence or batch.producer_epoch > state.epoch:
        return _out_of_sequence(state, batch)
    return _older(state, batch)


def _older(state: ProducerState, batch: Batch) -> Decision:
    end = batch.base_sequence + batch.record_count
    for recent in reversed(state.recent):
        mine = (batch.producer_epoch, batch.base_sequence, batch.record_count)
        if mine == (recent.epoch, recent.base_sequence, recent.record_count):
            return Duplicate(recent)
        if recent.base_sequence < end and batch.base_sequence < recent.base_sequence + recent.record_count:
            return _out_of_sequence(state, batch)
    if end > state.next_sequence:
        return _out_of_sequence(state, batch)
    return Refuse(DuplicateForgotten(f"records up to sequence {end} were appended before; their offsets are forgotten"))


def _out_of_sequence(state: ProducerState, batch: Batch) -> Refuse:
    return Refuse(
        OutOfSequence(
            f"producer {batch.producer_id} sent sequence {batch.base_sequence}; {state.next_sequence} comes next",
            expected=str(state.next_sequence),
        )
    )
