"""One stage on its share of partitions: a `Work` goes in, `Effects` come out.

`run` is a function of the work, of what `read_state` gives, and of the user's code; it does no I/O of its own. The
state that it holds in memory is what the works before this one have made of it: whoever hands over works does so in
order, says `committed` of those that are, and throws the runner away when one of them was refused.

Within a work timers come first, then the batches; a timer that an earlier one has cancelled or moved does not fire in
it. See `attempts` for what happens when user code raises.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import msgspec

from cluster.client.routing import partition_of_key
from cluster.processing.async_calls import AsyncCalls, Loop
from cluster.processing.attempts import Attempts, Operator
from cluster.processing.binding import element
from cluster.processing.calling import Calls, Surroundings, table_store
from cluster.processing.context import Ctx
from cluster.processing.draft import Draft, Part
from cluster.processing.joins import Joins
from cluster.processing.mixing import Mixed
from cluster.processing.parts import Broken, Decode, Readings, Told
from cluster.processing.processor import Stage
from cluster.processing.rekeying import Rekeys, watermark_record
from cluster.processing.spec import InputKind, Kind
from cluster.processing.state import KeyedState, ReadState, Store
from cluster.processing.transform import Routed
from cluster.processing.watermarks import NO_WRITER, TimeState, Watermarks
from cluster.processing.windows import Windows
from cluster.processing.work import Effects, Fired, Work

TIME_STORE = "~time"


class Runner:
    """Runs one task of a stage. `partitions`: of every input; the task owns those with p mod tasks == task.

    `loop`: what async functions run on; by default one of its own. `waits`: whoever hands over works lets time pass
    between attempts, when it is told so (TriesLeft). `shown`: see Attempts.
    """

    def __init__(
        self,
        stage: Stage,
        read_state: ReadState,
        *,
        task: int = 0,
        tasks: int = 1,
        partitions: int = 1,
        loop: Loop | None = None,
        waits: bool = True,
        shown: Callable[[str], str] = str,
    ) -> None:
        self.stage = stage
        spec = stage.spec
        self._task, self._tasks, self._partitions = task, tasks, partitions
        self._loop = loop or Loop()
        self._own_loop = self._loop if loop is None else None
        self._state = KeyedState(read_state)
        self._draft = Draft(stage.forms)
        self._time = self._state.store(TIME_STORE, TimeState, TimeState)
        self._owned = [
            (number, partition)
            for number, spec_ in enumerate(spec.inputs)
            if spec_.kind is InputKind.STREAM
            for partition in range(task, partitions, tasks)
        ]
        self._internal = [number for number, spec_ in enumerate(spec.inputs) if spec_.internal]
        self._watermarks = Watermarks(TimeState(), (), ())
        is_sink = spec.kind is Kind.SINK
        deletes = stage.transform is not None or is_sink
        self._readings = Readings(spec.inputs, stage.events, mixes=not is_sink, deletes=deletes)
        self._attempts = Attempts(
            stage, self._state, self._draft, self._readings, self._watermark, waits=waits, shown=shown
        )
        tables = {
            number: stage.events[number] for number, spec_ in enumerate(spec.inputs) if spec_.kind is InputKind.TABLE
        }
        self._tables = {
            number: TableUpdates(self._draft, self._state.store(table_store(spec.inputs[number].topic), event | None))
            for number, event in tables.items()
        }
        self._operator = self._make_operator()
        self._wants_marks = spec.kind in {Kind.WINDOW, Kind.JOIN}

    def run(self, work: Work) -> Effects:
        """Do a work. ProcessorFailed, TriesLeft, StateUnreadable: it came to nothing, and this is as before."""
        try:
            return self._run(work)
        except BaseException:
            self._state.drop()
            raise

    def committed(self, n: int) -> None:
        """All works up to `n` are committed, and `read_state` gives what they changed."""
        self._state.committed(n)

    def close(self) -> None:
        """The runner is done with, and so is a loop of its own."""
        if self._own_loop is not None:
            self._own_loop.close()

    def _run(self, work: Work) -> Effects:
        draft = self._draft
        draft.begin(work.now_ns)
        self._attempts.begin(work)
        time = self._time.committed(b"")
        state = TimeState() if time is None else _decode_time(time)
        self._watermarks = Watermarks(state, self._owned, self._internal)
        self._watermarks.begin(work.now_ns, work.idle, ended=work.ended)
        for number, fired in enumerate(work.fired):
            if (fired.key, fired.name) in draft.timers:  # one before it has cancelled it, or moved it
                continue
            self._attempts.timer(self._operator, fired, number)
        mixes = work.in_time_order and self.stage.spec.kind is not Kind.SINK  # which has a position for each partition
        items = self._readings.runs(work.batches, in_time_order=mixes, condemned=work.condemned)
        for item in items:
            if isinstance(item, Told):
                self._watermarks.told(item.place, item.said)
            elif isinstance(item, Broken):
                self._attempts.broken(item)
            else:
                self._handle(item.part, item.first, item.end)
        if work.redriven:
            self._attempts.redrive_is_over()
        self._say()
        self._time.cell(b"").put(state)
        self._state.settle()
        return Effects(
            state=self._state.take_changes(work.n),
            timers=list(draft.timers.values()),
            outputs=draft.outputs,
            watermark_ns=self._watermarks.value_ns,
            counts=dict(draft.counts),
            failure=self._attempts.failure,
        )

    def _handle(self, part: Part, first: int, end: int) -> None:
        kind = part.spec.kind
        if kind is InputKind.PARKED:
            self._attempts.redriven(self._operator_of, part)
        elif kind is InputKind.TABLE:
            self._attempts.records(self._operator_of(part.input), part, first, end)
        else:
            if self._wants_marks:
                part.marks = self._marks(part, first, end)
            self._attempts.records(self._operator, part, first, end)
            if not part.spec.internal:
                for partition, time_ns in part.latest(first, end):
                    self._watermarks.advance((part.input, partition, NO_WRITER), time_ns - part.spec.disorder_ns)

    def _operator_of(self, number: int) -> Operator:
        """Who handles records of an input."""
        return self._tables.get(number, self._operator)

    def _marks(self, part: Part, first: int, end: int) -> Sequence[int]:
        """The watermark at the turn of each record, by its place."""
        value = self._watermarks.value_ns
        if part.spec.internal:
            return [value] * end
        disorder = part.spec.disorder_ns
        if isinstance(part, Mixed):
            lanes = ((part.input, partition, NO_WRITER) for partition in part.partitions(0, end))
            return self._watermarks.marks(zip(lanes, (time_ns - disorder for time_ns in part.times), strict=True))
        lane = (part.input, part.partition, NO_WRITER)
        others = self._watermarks.least_of_others(lane)
        latest = accumulate(part.times[first:end], max, initial=self._watermarks.lane_time(lane) + disorder)
        return [value] * first + [max(value, min(others, seen - disorder)) for seen in latest]

    def _say(self) -> None:
        if self.stage.spec.watermarks:
            said = self._watermarks.to_say(self._task, self._tasks)
            if said is not None:
                self._draft.outputs.append(watermark_record(said))

    def _watermark(self) -> int:
        return self._watermarks.value_ns

    def _is_mine(self, key: bytes) -> bool:
        return partition_of_key(key, self._partitions) % self._tasks == self._task

    def _decoders(self, count: int) -> list[Decode]:
        """How the last `count` views of the function are made of values that were kept."""
        binding = self.stage.binding
        assert binding is not None, "a stage with a function has its signature"
        views = binding.leading[-count:]
        readings = self._readings.inputs
        return [bytes if element(view) is bytes else readings[number].decode for number, view in enumerate(views)]

    def _ctx_at(self, draft: Draft) -> Ctx:
        spec = self.stage.spec
        identity = f"{spec.app}.{spec.name}"
        return Ctx(draft, identity, self.stage.key_kind, frozenset(self.stage.timers), self._watermark)

    def _rows(self, table: str, keys: Sequence[bytes | None]) -> list[Any]:
        """Of a route's look-up."""
        store = self._state.store(table_store(table), Any | None)
        store.load(key for key in keys if key is not None)
        return [None if key is None else store.cell(key).get() for key in keys]

    def _make_operator(self) -> Operator:
        stage = self.stage
        if stage.transform is not None:
            return Routed(stage.transform, self._draft, self._rows)
        surroundings = Surroundings(self._state, self._draft, self._ctx_at(self._draft), stage.tables, self._is_mine)
        match stage.spec.kind:
            case Kind.REKEY:
                return Rekeys(stage, surroundings)
            case Kind.WINDOW:
                return Windows(stage, surroundings, self._decoders(1)[0])
            case Kind.JOIN:
                return Joins(stage, surroundings, self._decoders(2), self._watermark)
        assert stage.binding is not None, "a stage with a function has its signature"
        if stage.binding.is_async:
            concurrency = stage.spec.concurrency
            return AsyncCalls(stage.binding, concurrency, surroundings, self._ctx_at, stage.events[0], self._loop)
        return Calls(stage.binding, stage.timers, surroundings, stage.events[0])


class TableUpdates:
    """The operator of a table's records: the newest value of each key is kept, an empty one deletes it."""

    knows_place = True

    def __init__(self, draft: Draft, store: Store) -> None:
        self._draft = draft
        self._store = store

    def take(self, part: Part, first: int, end: int) -> None:
        """Keep the values of the records from `first` to before `end`."""
        self._draft.at_record(part, first)
        self._store.load(key for key in part.keys[first:end] if key is not None)
        for place in range(first, end):
            self._draft.place = place
            key = part.keys[place]
            if key is None:
                raise LookupError("the record has no key, and a table needs one")
            if part.events[place] is None:
                self._store.cell(key).delete()
            else:
                self._store.cell(key).put(part.events[place])

    def fire(self, fired: Fired) -> None:
        """Tables set no timers."""
        raise AssertionError(f"timer {fired.name!r} of a table")


_decode_time = msgspec.msgpack.Decoder(TimeState).decode
