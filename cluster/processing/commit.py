"""What a task's log holds: one `Begin`, then one `TaskCommit` for each work. Pure.

A commit is everything that came of a work, at once: how far the inputs were read, what keyed state became, timers,
outputs. Whatever of it is in the log is done, exactly once; whatever is not was never done. Outputs are sealed here, as
their destinations will store them, with the task's producer id, the commit's term as epoch, and sequences that count
records for each destination: whoever ships a commit, and however often, sends the same bytes.

`previous` ties a commit to what it was computed from: it is the checksum of the commit before it, as encoded. A runner
that makes commits ahead of the log computes later ones from earlier ones; without the tie, a later one could be taken
after an earlier one was lost and another stood in its place (see `ledger`).

Encoded: a version, then msgpack arrays, so fields may be added at the end. A version that is not known here is
RefusedToStart, for a log that was folded without it would add up to something else on other replicas.
"""

from collections.abc import Sequence

import google_crc32c
import msgspec

from cluster.errors import RefusedToStart
from cluster.processing.work import Failure, Fired, StateChange, TimerChange
from cluster.records import Batch
from cluster.types import Codec, Offset, PartitionId, ProducerId, Term, TopicId

FORMAT = 1


class Begin(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="begin"):
    """The first command of a task's log: who it is, where it starts, and whom it may write to.

    `inputs`: each owned partition with the first offset to be processed. `outputs`: the topics, by id, that commits may
    name. `producer`: what destinations know the task by; it is never another's, and never expires. `partitions`: of
    each input; 0: not known.
    """

    app: str
    processor: str
    version: str
    task: int
    tasks: int
    producer: ProducerId
    inputs: list[tuple[PartitionId, Offset]]
    outputs: list[TopicId]
    partitions: int = 0


class Rebind(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """The task's topics from now on, in the place of those that it began with: see `tasks.rebinding`.

    `inputs`: every owned partition; its position is that of one that was owned before. `outputs`: as in Begin.
    """

    inputs: list[tuple[PartitionId, Offset]]
    outputs: list[TopicId]


class Read(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Records of one input partition that a commit processed: from `begin` to before `end`."""

    input: PartitionId
    begin: Offset
    end: Offset


class Outgoing(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A sealed batch for one destination; `base_sequence` counts records there, from 0. The rest is the batch's own."""

    destination: PartitionId
    base_sequence: int
    record_count: int
    payload: bytes
    codec: int
    uncompressed_size: int
    min_timestamp_ns: int
    max_timestamp_ns: int
    checksum: int

    @property
    def end_sequence(self) -> int:
        """What comes next at the destination."""
        return self.base_sequence + self.record_count


class TaskCommit(msgspec.Struct, frozen=True, array_like=True, kw_only=True, tag="commit"):
    """One commit. What it must fulfil is in `ledger`.

    `term`: in which whoever made it led. `n` counts commits, from 1. `previous`: see above. `timers`: set, moved or
    deleted, after those of `fired` are gone. `shipped_upto`: all outputs of commits up to this one are at their
    destinations, committed there. `counts`: what is to be added up, by name (late, dead_lettered, …). `failure`: of the
    last record in it that was passed over or put aside. `redrive`: from now on dead letters are handled again, those
    before these ends. `rebind`: it comes before all else, and with no inputs or outputs.
    """

    term: Term
    n: int
    previous: int
    now_ns: int
    watermark_ns: int
    inputs: list[Read]
    state: list[StateChange]
    timers: list[TimerChange]
    fired: list[Fired]
    outputs: list[Outgoing]
    shipped_upto: int
    counts: dict[str, int] = {}
    failure: Failure | None = None
    redrive: list[tuple[PartitionId, Offset]] = []
    rebind: Rebind | None = None


Command = Begin | TaskCommit

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)


def encode(command: Command) -> bytes:
    """For the log."""
    return bytes([FORMAT]) + _encoder.encode(command)


def decode(data: bytes) -> Command:
    """The inverse. RefusedToStart: another version of riverrun wrote it."""
    if not data or data[0] != FORMAT:
        raise RefusedToStart(
            f"a task's commit was written by another version of riverrun (format {data[0] if data else 'none'}, "
            f"not {FORMAT})"
        )
    try:
        return _decoder.decode(memoryview(data)[1:])
    except msgspec.DecodeError as error:
        raise RefusedToStart(
            f"a task's commit was written by another version of riverrun, and is not known here: {error}"
        ) from error


def checksum_of(encoded: bytes) -> int:
    """What the next commit names as `previous`."""
    return int(google_crc32c.value(encoded))


def outgoing(batch: Batch, destination: PartitionId) -> Outgoing:
    """A batch that was sealed for `destination` (see `cluster.wire.records.seal_batch`), for the commit."""
    return Outgoing(
        destination=destination,
        base_sequence=batch.base_sequence,
        record_count=batch.record_count,
        payload=batch.payload,
        codec=batch.codec,
        uncompressed_size=batch.uncompressed_size,
        min_timestamp_ns=batch.min_timestamp_ns,
        max_timestamp_ns=batch.max_timestamp_ns,
        checksum=batch.checksum,
    )


def batches(commit: TaskCommit, producer: ProducerId) -> Sequence[Batch]:
    """What is to be shipped of a commit, in the order of `commit.outputs`, byte for byte as it was sealed."""
    return [
        Batch(
            payload=output.payload,
            record_count=output.record_count,
            codec=Codec(output.codec),
            uncompressed_size=output.uncompressed_size,
            min_timestamp_ns=output.min_timestamp_ns,
            max_timestamp_ns=output.max_timestamp_ns,
            producer_id=producer,
            producer_epoch=commit.term,
            base_sequence=output.base_sequence,
            checksum=output.checksum,
        )
        for output in commit.outputs
    ]
