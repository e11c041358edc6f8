"""One incarnation of a task: makes commits from a ledger and a store, ships what is committed. User code is chance.

It is what a runner has to be, and no better: it goes on while it does not know that another leads; what it made may be
proposed after it was stopped (a command in a mailbox); it starts from what is committed, though more may be under way.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

import msgspec

from cluster.processing.commit import Outgoing, Read, TaskCommit, checksum_of, encode, outgoing
from cluster.processing.ledger import Accepted, Ledger
from cluster.processing.shipping import Send, Shipping
from cluster.processing.store import Store
from cluster.processing.work import Fired, StateChange, TimerChange, TimerClock
from cluster.types import Index, Offset, PartitionId, Term
from cluster.wire.records import seal_batch
from tests.processing.sim.mix import Mix

STORE = "s"
PRODUCER = 77

Value = tuple[int, int, int, int]
"""Of a key: records, timers fired, a number of chance, and that of the value it was computed from."""


class Task:
    """From `ledger` and `store`, in a term. `inputs`: keys of the records that can be read."""

    shipping_class: type[Shipping] = Shipping

    def __init__(
        self,
        *,
        term: int,
        ledger: Ledger,
        store: Store,
        inputs: Mapping[PartitionId, Sequence[int]],
        destinations: Sequence[PartitionId],
        mix: Mix,
        random: Random,
        counts: Counter[str],
    ) -> None:
        self.term = term
        self.stopped = False
        self.made: list[tuple[int, bytes]] = []
        """Not proposed yet."""
        self.unanswered: set[int] = set()
        self.view = type(ledger)(ledger.encode())
        """As if everything that was made were committed."""
        self.shipping = self.shipping_class(ledger.shipped_upto, mix.in_flight)
        self._told = ledger.shipped_upto
        self._store = store
        self._inputs = inputs
        self._destinations = destinations
        self._mix = mix
        self._random = random
        self._counts = counts
        self._dirty: dict[bytes, tuple[int, Value]] = {}

    # --- making commits

    def make(self, now: int) -> None:
        """One work and its commit, if there is work and not too much ahead."""
        if self.stopped or len(self.made) + len(self.unanswered) >= self._mix.ahead:
            return
        commit = self._commit_of(now)
        if commit is None:
            return
        encoded = encode(commit)
        verdict = self.view.take(commit, checksum_of(encoded), Index(0), commit.term)
        assert isinstance(verdict, Accepted), f"a runner's own view refuses what it made: {verdict}"
        self.made.append((commit.n, encoded))

    def _commit_of(self, now: int) -> TaskCommit | None:
        n = self.view.n + 1
        work = _Work(self, n, now)
        for fired in self._due(now):
            work.fire(fired)
        only_timers = work.fired and self._random.random() < 0.4
        for partition in self._chosen() if not only_timers else []:
            work.read(partition, self._random.randint(1, self._mix.work_records_max))
        shipped = self.shipping.shipped_upto
        if not (work.inputs or work.fired) and (shipped <= self.view.shipped_upto or self._random.random() < 0.8):
            return None
        for key, value in work.state.items():
            self._dirty[key] = (n, value)
        return TaskCommit(
            term=Term(self.term),
            n=n,
            previous=self.view.checksum,
            now_ns=now,
            watermark_ns=now,
            inputs=work.inputs,
            state=[StateChange(store=STORE, key=key, value=msgspec.msgpack.encode(v)) for key, v in work.state.items()],
            timers=list(work.timers.values()),
            fired=work.fired,
            outputs=self._sealed(work.outputs),
            shipped_upto=max(min(shipped, n - 1), self.view.shipped_upto),  # a ghost's commit may have been shipped
        )

    def _due(self, now: int) -> list[Fired]:
        if self._random.random() < 0.3:
            return []
        return [fired for clock in TimerClock for fired in self.view.timers.due(clock, now, self._random.randint(1, 2))]

    def _chosen(self) -> list[PartitionId]:
        ready = [p for p in self._inputs if self.view.positions[p] < len(self._inputs[p])]
        return self._random.sample(ready, self._random.randint(0, min(2, len(ready))))

    def _sealed(self, outputs: Mapping[PartitionId, list[list[object]]]) -> list[Outgoing]:
        sealed = []
        for destination, records in outputs.items():
            parts = [records]
            if len(records) > 1 and self._random.random() < 0.2:
                parts = [records[:1], records[1:]]
            sequence = self.view.sequences.get(destination, 0)
            for part in parts:
                sealed.append(self.seal(part, destination, self.sequence(sequence, part)))
                sequence += len(part)
        return sealed

    def seal(self, records: list[list[object]], destination: PartitionId, sequence: int) -> Outgoing:
        """A batch for the destination."""
        batch = seal_batch(
            msgspec.msgpack.encode(records),
            record_count=len(records),
            min_timestamp_ns=0,
            max_timestamp_ns=0,
            producer_id=PRODUCER,
            producer_epoch=self.term,
            base_sequence=sequence,
        )
        return outgoing(batch, destination)

    def sequence(self, dense: int, records: list[list[object]]) -> int:  # noqa: ARG002  a planted bug wants them
        """What the records are known by at their destination."""
        return dense

    def value_of(self, key: bytes) -> Value:
        """As its own commits, and those in the store, have left it."""
        dirty = self._dirty.get(key)
        if dirty is not None and dirty[0] > self._store.applied.n:
            return dirty[1]
        stored = self._store.get_many([(STORE, key)])[0]
        return msgspec.msgpack.decode(stored, type=Value) if stored is not None else (0, 0, 0, 0)

    # --- shipping

    def committed(self, n: int, outputs: Sequence[Outgoing]) -> None:
        """One more is in the log for good, whoever made it."""
        if n > self._told:
            self._told = n
            self.shipping.committed(n, outputs)

    def take(self) -> list[Send]:
        """What to send now."""
        return self.shipping.take()


class _Work:
    """What user code does: every record counts for its key and is told once to some destination, whichever."""

    def __init__(self, task: Task, n: int, now: int) -> None:
        self.inputs: list[Read] = []
        self.fired: list[Fired] = []
        self.state: dict[bytes, Value] = {}
        self.timers: dict[str, TimerChange] = {}
        self.outputs: dict[PartitionId, list[list[object]]] = {}
        self._task = task
        self._n = n
        self._now = now

    def fire(self, fired: Fired) -> None:
        self.fired.append(fired)
        self._value(fired.key, timers=1)
        if not self._task._mix.quiet:
            self._emit(["timer", fired.name, self._chance()])

    def read(self, partition: PartitionId, count: int) -> None:
        keys = self._task._inputs[partition]
        begin = self._task.view.positions[partition]
        end = min(begin + count, len(keys))
        self.inputs.append(Read(input=partition, begin=begin, end=Offset(end)))
        for offset in range(begin, end):
            self._record(partition, offset, b"%d" % keys[offset])

    def _record(self, partition: PartitionId, offset: int, key: bytes) -> None:
        random, mix = self._task._random, self._task._mix
        self._value(key, records=1)
        self._emit(["record", partition.topic, offset, 0, self._chance()])
        while random.random() < mix.extra:
            self._emit(["record", partition.topic, offset, 1, self._chance()])
        if random.random() < mix.timers:
            self._set(key, f"{partition.topic.hex()}/{offset}", random.randint(0, 40))
        elif random.random() < 0.2:
            standing = [timer for timer in self._task.view.timers.plain() if timer[0] == key]
            gone = {fired.name for fired in self.fired}
            for _, name, _, _ in standing[:1]:
                if name in gone or name in self.timers:
                    continue
                if random.random() < 0.5:
                    self._task._counts["timers_moved"] += 1
                    self._set(key, name, random.randint(0, 60))
                else:
                    self._task._counts["timers_deleted"] += 1
                    self.timers[name] = TimerChange(key=key, name=name, at_ns=None)

    def _set(self, key: bytes, name: str, after: int) -> None:
        clock = self._task._random.choice(list(TimerClock))
        self.timers[name] = TimerChange(key=key, name=name, at_ns=self._now + after, clock=clock)

    def _value(self, key: bytes, *, records: int = 0, timers: int = 0) -> None:
        if key in self.state:
            old = self.state[key]
            self.state[key] = (old[0] + records, old[1] + timers, old[2], old[3])
        else:
            old = self._task.value_of(key)
            self.state[key] = (old[0] + records, old[1] + timers, self._chance(), old[2])

    def _emit(self, record: list[object]) -> None:
        self.outputs.setdefault(self._task._random.choice(self._task._destinations), []).append(record)

    def _chance(self) -> int:
        return self._task._random.randint(1, 1 << 30)
