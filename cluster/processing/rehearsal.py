"""Topics and tasks in memory, for `App.test`: the same commits as in a cluster, without one.

A task here has its ledger (positions, timers, dense output sequences, outbox) and its store of committed state; a
runner is thrown away when the task crashes, and the next one starts from what was committed. Destinations take a
task's outputs by their dense sequence, so what is shipped again after a crash is not there twice.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from cluster.client.routing import partition_of_key
from cluster.processing.async_calls import Loop
from cluster.processing.outside.capture import Capture
from cluster.processing.outside.delivery import DeliveryRunner
from cluster.processing.processor import Stage
from cluster.processing.rehearsed_ends import AtOnce, RehearsedSink, RehearsedSource
from cluster.processing.runner import Runner
from cluster.processing.spec import InputKind, InputSpec, Kind
from cluster.processing.work import (
    BEFORE_ALL_TIME_NS,
    BY_KEY,
    EVERY_PARTITION,
    Batch,
    Condemned,
    Effects,
    Fired,
    Output,
    TimerClock,
    Work,
    decode_effects,
    decode_work,
    encode,
)
from cluster.records import Header, Record
from cluster.types import Codec, Offset
from cluster.wire.records import encode_records

CRASHES = ("commit", "ship", "receipt")
"""Before its commit; after it, before its outputs are sent; when they are, before it knows."""
TIMERS_PER_WORK_MAX = 1000


class Crashed(Exception):
    """The task ended here; another one goes on."""


class RehearsedTopic:
    """A topic in memory."""

    def __init__(self, name: str, partitions: int, now_ns: int) -> None:
        self.name = name
        self.partitions: list[list[Record]] = [[] for _ in range(partitions)]
        self.order: list[tuple[int, int]] = []
        """(partition, offset) of all records as they came."""
        self.appended_ns = [now_ns] * partitions
        self._sequences: dict[tuple[str, int], int] = {}
        self._next = 0

    def append(self, record: Record, now_ns: int, partition: int = BY_KEY) -> None:
        """At the end of a partition: of the key's, or of the next one."""
        if partition == BY_KEY:
            if record.key is None:
                partition = self._next = (self._next + 1) % len(self.partitions)
            else:
                partition = partition_of_key(record.key, len(self.partitions))
        log = self.partitions[partition]
        self.order.append((partition, len(log)))
        log.append(
            Record(
                value=record.value,
                key=record.key,
                headers=record.headers,
                timestamp_ns=record.timestamp_ns,
                offset=Offset(len(log)),
            )
        )
        self.appended_ns[partition] = now_ns

    def take(self, producer: str, sequence: int, record: Record, now_ns: int, partition: int) -> None:
        """From a task: once for each sequence; a gap is a fault of this module."""
        expected = self._sequences.get((producer, partition), 0)
        assert sequence <= expected, f"{producer} left a gap before {sequence} in {self.name}/{partition}"
        if sequence == expected:
            self._sequences[producer, partition] = sequence + 1
            self.append(record, now_ns, partition)


class Shipment(NamedTuple):
    """A committed output on its way."""

    topic: RehearsedTopic
    partition: int
    sequence: int
    record: Record


class RehearsedTask:
    """One task of a stage, with what its log adds up to."""

    def __init__(
        self,
        stage: Stage,
        task: int,
        tasks: int,
        inputs: Sequence[RehearsedTopic],
        outputs: Sequence[RehearsedTopic],
        loop: Loop,
    ) -> None:
        self.stage = stage
        self.crash_before = ""
        self.store: dict[tuple[str, bytes], bytes] = {}
        self.timers: dict[tuple[bytes, str], tuple[int, TimerClock]] = {}
        self.watermark_ns = BEFORE_ALL_TIME_NS
        self.counts: dict[str, int] = {}
        self.condemned: list[Condemned] = []
        """Records at which a process is said to have died."""
        self._task, self._tasks = task, tasks
        self._name = f"{stage.spec.app}.{stage.spec.name}/{task}"
        self._inputs, self._outputs = inputs, outputs
        self._loop = loop
        self._n = 0
        self._positions: dict[tuple[int, int], int] = {}
        self._sequences: dict[tuple[str, int], int] = {}
        self._outbox: list[Shipment] = []
        self._quiet: tuple[object, ...] = ()
        self._keyless = 0
        self.source = RehearsedSource()
        self.sink = RehearsedSink(stage.outside.guarantee) if stage.spec.kind is Kind.SINK else None
        self._runner = self._new_runner()

    def step(self, now_ns: int, records_max: int) -> bool:
        """One work, if there is one."""
        work = self._work(now_ns, records_max)
        if work is not None:
            self._do(work)
        return work is not None

    def end(self, now_ns: int) -> None:
        """All inputs are at their end for good."""
        n = self._n + 1
        while self._n < n:
            self._do(Work(task=self._task, n=n, now_ns=now_ns, batches=[], fired=[], idle=[], ended=True))

    def redrive(self, now_ns: int, records_max: int) -> None:
        """Handle the dead letters that are there now, and nothing else meanwhile."""
        ends = {
            (number, partition): len(self._inputs[number].partitions[partition])
            for number, spec in enumerate(self.stage.spec.inputs)
            if spec.kind is InputKind.PARKED
            for partition in range(self._task, len(self._inputs[number].partitions), self._tasks)
        }
        at = self._positions
        while left := {place: end - at.get(place, 0) for place, end in ends.items() if at.get(place, 0) < end}:
            place = next(iter(left))
            batch = self._batch(*place, min(left[place], records_max))
            is_last = sum(left.values()) == batch.end - batch.begin
            self._do(msgspec.structs.replace(self._work_of(now_ns, [batch], []), redriven=is_last))

    def close(self) -> None:
        """The task is not needed any more."""
        self._runner.close()

    def owned(self) -> list[tuple[int, int, InputSpec]]:
        """(input, partition, spec) of what is read."""
        return [
            (number, partition, spec)
            for number, spec in enumerate(self.stage.spec.inputs)
            if spec.kind is not InputKind.PARKED
            for partition in range(self._task, len(self._inputs[number].partitions), self._tasks)
        ]

    def next_ns(self, now_ns: int) -> list[int]:
        """When something happens though nothing comes."""
        deadlines = [
            self._inputs[number].appended_ns[partition] + spec.idle_ns for number, partition, spec in self.owned()
        ]
        deadlines += [at_ns for at_ns, clock in self.timers.values() if clock is TimerClock.PROCESSING]
        if self.watermark_ns > BEFORE_ALL_TIME_NS:
            deadlines += [
                now_ns + at_ns - self.watermark_ns
                for at_ns, clock in self.timers.values()
                if clock is TimerClock.EVENT and at_ns > self.watermark_ns
            ]
        return [deadline for deadline in deadlines if deadline > now_ns]

    def _work(self, now_ns: int, records_max: int) -> Work | None:
        fired = sorted(
            (
                Fired(key=key, name=name, at_ns=at_ns)
                for (key, name), (at_ns, clock) in self.timers.items()
                if at_ns <= (self.watermark_ns if clock is TimerClock.EVENT else now_ns)
            ),
            key=lambda timer: (timer.at_ns, timer.key, timer.name),
        )[:TIMERS_PER_WORK_MAX]
        batches = [
            self._batch(number, partition, records_max)
            for number, partition, _ in self.owned()
            if self._positions.get((number, partition), 0) < len(self._inputs[number].partitions[partition])
        ]
        idle = self._idle(now_ns)
        spec = self.stage.spec
        quiet = (tuple(idle), now_ns if spec.timers or spec.watermarks else 0)
        if isinstance(self._runner, Capture) and not fired and not self._runner.inflow.is_ready:
            return None
        if not fired and not batches and quiet == self._quiet and spec.kind is not Kind.SOURCE:
            return None
        self._quiet = quiet
        return self._work_of(now_ns, batches, fired)

    def _work_of(self, now_ns: int, batches: list[Batch], fired: list[Fired]) -> Work:
        return Work(
            task=self._task,
            n=self._n + 1,
            now_ns=now_ns,
            batches=batches,
            fired=fired,
            idle=self._idle(now_ns),
            in_time_order=True,
            condemned=self.condemned,
        )

    def _idle(self, now_ns: int) -> list[tuple[int, int]]:
        return [
            (number, partition)
            for number, partition, spec in self.owned()
            if self._positions.get((number, partition), 0) == len(self._inputs[number].partitions[partition])
            and now_ns - self._inputs[number].appended_ns[partition] >= spec.idle_ns
        ]

    def _batch(self, number: int, partition: int, records_max: int) -> Batch:
        """What is to be handled, and, as it may be in a log, one record before it and one behind it."""
        begin = self._positions.get((number, partition), 0)
        log = self._inputs[number].partitions[partition]
        base, end = max(0, begin - 1), min(begin + records_max, len(log))
        records = log[base : end + 1]
        payload = encode_records(records)
        return Batch(
            input=number,
            partition=partition,
            payload=payload,
            codec=Codec.NONE,
            uncompressed_size=len(payload),
            record_count=len(records),
            base_offset=base,
            begin=begin,
            end=end,
        )

    def _do(self, work: Work) -> None:
        try:
            effects = decode_effects(encode(self._runner.run(decode_work(encode(work)))))
            self._crash_if("commit")
            self._commit(work, effects)
            self._crash_if("ship")
            self._ship(work.now_ns)
        except Crashed:
            self._runner.close()
            self._runner = self._new_runner()
            self._quiet = ()
            self._ship(work.now_ns)

    def _crash_if(self, place: str) -> None:
        if self.crash_before == place:
            self.crash_before = ""
            raise Crashed

    def _commit(self, work: Work, effects: Effects) -> None:
        assert work.n == self._n + 1, "works come one after another"
        self._n = work.n
        for batch in work.batches:
            self._positions[batch.input, batch.partition] = batch.end
        for fired in work.fired:
            del self.timers[fired.key, fired.name]
        for change in effects.timers:
            if change.at_ns is None:
                self.timers.pop((change.key, change.name), None)
            else:
                self.timers[change.key, change.name] = (change.at_ns, change.clock)
        for changed in effects.state:
            if changed.value is None:
                self.store.pop((changed.store, changed.key), None)
            else:
                self.store[changed.store, changed.key] = changed.value
        assert effects.watermark_ns >= self.watermark_ns, "a watermark never goes back"
        self.watermark_ns = effects.watermark_ns
        for name, count in effects.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        for output in effects.outputs:
            self._put(output)
        self._runner.committed(work.n)

    def _put(self, output: Output) -> None:
        topic = self._outputs[output.output]
        count = len(topic.partitions)
        if output.partition == EVERY_PARTITION:
            places = list(range(count))
        elif output.partition != BY_KEY:
            places = [output.partition]
        elif output.key is not None:
            places = [partition_of_key(output.key, count)]
        else:
            self._keyless += 1
            places = [self._keyless % count]
        record = Record(
            value=output.value,
            key=output.key,
            headers=tuple(Header(name=name, value=value) for name, value in output.headers),
            timestamp_ns=output.timestamp_ns,
        )
        for place in places:
            sequence = self._sequences.get((topic.name, place), 0)
            self._sequences[topic.name, place] = sequence + 1
            self._outbox.append(Shipment(topic, place, sequence, record))

    def _ship(self, now_ns: int) -> None:
        for topic, partition, sequence, record in self._outbox:
            topic.take(self._name, sequence, record, now_ns, partition)
        self._crash_if("receipt")
        self._outbox.clear()

    def _read(self, wanted: Sequence[tuple[str, bytes]]) -> list[bytes | None]:
        return [self.store.get(pair) for pair in wanted]

    def _new_runner(self) -> Runner:
        if self.stage.spec.kind is Kind.SOURCE:
            return Capture(
                self.stage,
                self._read,
                task=self._task,
                tasks=self._tasks,
                partitions=self._tasks,
                open_inflow=self.source.opened,
            )
        if self.sink is not None:
            return DeliveryRunner(
                self.stage,
                self._read,
                task=self._task,
                tasks=self._tasks,
                partitions=len(self._inputs[0].partitions),
                sink=self.sink,
                identity=self._name,
                background=AtOnce(),
                on_change=lambda: None,
                waits=False,
            )
        return Runner(
            self.stage,
            self._read,
            task=self._task,
            tasks=self._tasks,
            partitions=len(self._inputs[0].partitions),
            loop=self._loop,
            waits=False,
        )
