"""From a work and its effects to the commit that the task's log takes. Pure.

Outputs are spread over their destinations' partitions as clients spread records, and sealed as they will be stored
there; what is made here is read from the log later, by whoever ships it, and never made again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.client.routing import partition_of_key
from cluster.errors import ProcessorFailed
from cluster.processing.commit import Outgoing, Read, TaskCommit, outgoing
from cluster.processing.ledger import Ledger
from cluster.processing.parking import ERROR_HEADER
from cluster.processing.work import (
    AFTER_ALL_TIME_NS,
    BEFORE_ALL_TIME_NS,
    BY_KEY,
    EVERY_PARTITION,
    Batch,
    Effects,
    Output,
    Work,
)
from cluster.records import Header, Record
from cluster.types import Offset, PartitionId, ProducerId, Term, TopicId
from cluster.wire.records import encode_records, seal_batch

BATCH_BYTES_MAX = 1024 * 1024
"""Of one output's batch, before it is closed; a larger record comes alone."""
BATCH_RECORDS_MAX = 10_000
COUNT_MAX = 2**32
"""Of one commit: all that a task will ever make add up to what fits into 64 bits."""
RECORD_FRAME_BYTES = 32
"""About what a record takes beside its key, its value and its headers."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A topic that a stage writes to."""

    name: str
    topic: TopicId
    partitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What commits of one task in one term have in common. `inputs`: the topics of the stage's inputs."""

    term: Term
    producer: ProducerId
    inputs: Sequence[TopicId]
    outputs: Sequence[Destination]
    record_bytes_max: int
    letter_bytes_max: int
    """Of a dead letter: it may be of a record that is larger than those that are made here."""

    def commit(
        self,
        tip: Ledger,
        work: Work,
        effects: Effects,
        *,
        shipped_upto: int,
        counts: Mapping[str, int],
        redrive: Sequence[tuple[PartitionId, Offset]] = (),
    ) -> TaskCommit:
        """The next one after `tip`, which is the ledger with all commits that were made. `counts`: some more.

        ProcessorFailed: a record is too large for any topic, or something makes no sense.
        """
        _check(effects)
        return TaskCommit(
            term=self.term,
            n=tip.n + 1,
            previous=tip.checksum,
            now_ns=work.now_ns,
            watermark_ns=effects.watermark_ns,
            inputs=self._reads(work.batches),
            state=effects.state,
            timers=effects.timers,
            fired=work.fired,
            outputs=self._sealed(tip, effects.outputs),
            shipped_upto=max(min(shipped_upto, tip.n), tip.shipped_upto),
            counts={name: effects.counts.get(name, 0) + counts.get(name, 0) for name in {**effects.counts, **counts}},
            failure=effects.failure,
            redrive=list(redrive),
        )

    def _reads(self, batches: Sequence[Batch]) -> list[Read]:
        begins: dict[PartitionId, int] = {}
        ends: dict[PartitionId, int] = {}
        for batch in batches:
            partition = PartitionId(self.inputs[batch.input], batch.partition)
            begins.setdefault(partition, batch.begin)
            ends[partition] = batch.end
        return [Read(input=p, begin=Offset(begin), end=Offset(ends[p])) for p, begin in begins.items()]

    def _sealed(self, tip: Ledger, outputs: Sequence[Output]) -> list[Outgoing]:
        lanes: dict[PartitionId, list[Record]] = {}
        for output in outputs:
            destination = self._destination(output)
            record = self._record(output, destination)
            for number in _places(output, destination.partitions, tip.n):
                lanes.setdefault(PartitionId(destination.topic, number), []).append(record)
        sealed = []
        for partition, records in lanes.items():
            sequence = tip.sequences.get(partition, 0)
            for part in _parts(records):
                sealed.append(self._seal(partition, part, sequence))
                sequence += len(part)
        return sealed

    def _destination(self, output: Output) -> Destination:
        """ProcessorFailed: there is none. Whatever comes from the process with user code, the node goes on."""
        if not 0 <= output.output < len(self.outputs):
            raise ProcessorFailed(f"it puts out to a topic number {output.output}, and has {len(self.outputs)} topics")
        destination = self.outputs[output.output]
        if not EVERY_PARTITION <= output.partition < destination.partitions:
            raise ProcessorFailed(f"it puts out to partition {output.partition} of {destination.name!r}")
        if not BEFORE_ALL_TIME_NS <= output.timestamp_ns <= AFTER_ALL_TIME_NS:
            raise ProcessorFailed(f"a record for {destination.name!r} is of {output.timestamp_ns} ns from 1970")
        return destination

    def _record(self, output: Output, destination: Destination) -> Record:
        own = [(n, v) for n, v in output.headers if not n.startswith("rr-")]
        size = len(output.value) + len(output.key or b"") + sum(len(n) + len(v) for n, v in own)
        is_letter = any(name == ERROR_HEADER for name, _ in output.headers)
        size_max = self.letter_bytes_max if is_letter else self.record_bytes_max
        if size > size_max:
            source = next((value.decode() for name, value in output.headers if name.startswith("rr-")), "")
            raise ProcessorFailed(
                f"a record for {destination.name!r} takes {size} bytes; at most {size_max} are allowed"
                + (f" (it comes of {source})" if source else "")
            )
        return Record(
            value=output.value,
            key=output.key,
            headers=tuple(Header(name=name, value=value) for name, value in output.headers),
            timestamp_ns=output.timestamp_ns,
        )

    def _seal(self, partition: PartitionId, records: Sequence[Record], sequence: int) -> Outgoing:
        times = [record.timestamp_ns for record in records]
        batch = seal_batch(
            encode_records(records),
            record_count=len(records),
            min_timestamp_ns=min(times),
            max_timestamp_ns=max(times),
            producer_id=self.producer,
            producer_epoch=self.term,
            base_sequence=sequence,
        )
        return outgoing(batch, partition)


def _check(effects: Effects) -> None:
    """ProcessorFailed: no ledger, or no store, could keep it; on every replica alike."""
    for name, count in effects.counts.items():
        if not 0 <= count <= COUNT_MAX:
            raise ProcessorFailed(f"it counts {count} times {name!r}")
    if not BEFORE_ALL_TIME_NS <= effects.watermark_ns <= AFTER_ALL_TIME_NS:
        raise ProcessorFailed(f"it has read up to {effects.watermark_ns} ns from 1970")
    for store in {change.store for change in effects.state}:
        if not store or "\0" in store:
            raise ProcessorFailed(f"it keeps state in {store!r}, which is no name")


def _places(output: Output, partitions: int, n: int) -> Sequence[int]:
    """The partitions that a record goes to; one without a key goes with all others of its commit."""
    if output.partition == EVERY_PARTITION:
        return range(partitions)
    if output.partition != BY_KEY:
        return (output.partition,)
    return (n % partitions if output.key is None else partition_of_key(output.key, partitions),)


def _parts(records: Sequence[Record]) -> list[list[Record]]:
    """As many batches as their limits want."""
    parts: list[list[Record]] = [[]]
    size = 0
    for record in records:
        size += RECORD_FRAME_BYTES + len(record.value) + len(record.key or b"")
        size += sum(len(header.name) + len(header.value) + RECORD_FRAME_BYTES for header in record.headers)
        if parts[-1] and (size > BATCH_BYTES_MAX or len(parts[-1]) >= BATCH_RECORDS_MAX):
            parts.append([])
            size = 0
        parts[-1].append(record)
    return parts
