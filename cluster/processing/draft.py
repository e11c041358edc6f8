"""Effects in the making, and where in the work we are: what an attempt adds can be taken back.

Every output says where it comes from, in its headers: `rr-source: <topic>/<partition>@<offset>` of the record (through
re-keyed topics and dead letters, that of the first), or `rr-timer: <name>@<ns>`. One that comes of a record carries
that record's trace (`cluster.trace`); what a window or a timer puts out comes of many, and carries none.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from cluster.processing.arrow import is_batch, rows_of
from cluster.processing.event import Tombstone, encode_key, encode_value
from cluster.processing.spec import InputSpec
from cluster.processing.work import (
    AFTER_ALL_TIME_NS,
    BEFORE_ALL_TIME_NS,
    Fired,
    Output,
    TimerChange,
    TimerClock,
)
from cluster.trace import PARENT, STATE
from cluster.wire.columns import Columns

SOURCE_HEADER = "rr-source"
TIMER_HEADER = "rr-timer"
TRACE = frozenset((PARENT, STATE))
_MANY = (list, tuple, set, frozenset)


def inherited(headers: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """A record's own headers, without those that processing has added."""
    return [header for header in headers if not header[0].startswith("rr-")]


class Part:
    """Consecutive records of one input partition, decoded.

    `events` are what functions are given (events, or bytes). `poison`: places of records that no function is to see,
    and why. `inherits`: its records carry the headers of where they come from. `marks`: the watermark at each record's
    turn, for those who want it.
    """

    __slots__ = (
        "_here",
        "columns",
        "events",
        "inherits",
        "input",
        "keys",
        "marks",
        "partition",
        "poison",
        "spec",
        "times",
    )

    def __init__(
        self, input_: int, spec: InputSpec, partition: int, columns: Columns, *, inherits: bool = False
    ) -> None:
        self.input = input_
        self.spec = spec
        self.partition = partition
        self.columns = columns
        self.keys = columns.keys
        self.times: Sequence[int] = columns.times_ns
        self.events: Sequence[Any] = columns.values
        self.poison: dict[int, Exception] = {}
        self.marks: Sequence[int] = ()
        self.inherits = inherits
        self._here = f"{spec.topic}/{partition}@"

    def deletes(self, place: int) -> bool:
        """Whether the record is a tombstone: it has a key and no value."""
        return not self.columns.values[place] and self.keys[place] is not None

    def position(self, place: int) -> tuple[str, int, int]:
        """Where the record at `place` stands, or stood in the first place: topic, partition, offset."""
        if self.inherits:
            place_, _, offset = self.source(place).rpartition("@")
            topic, _, partition = place_.rpartition("/")
            return topic, int(partition), int(offset)
        return self.spec.topic, self.partition, self.columns.offsets[place]

    def source(self, place: int) -> str:
        """Where it comes from in the first place."""
        if self.inherits:
            for name, value in self.columns.headers(place):
                if name == SOURCE_HEADER:
                    return value.decode()
        return f"{self._here}{self.columns.offsets[place]}"

    def origin(self, place: int) -> tuple["Part", int]:
        """The part of one partition in which the record was read, and its place there."""
        return self, place

    def partitions(self, first: int, end: int) -> Sequence[int]:
        """Of the records from `first` to before `end`, as they were read."""
        return [self.partition] * (end - first)

    def latest(self, first: int, end: int) -> Iterable[tuple[int, int]]:
        """The latest time of the records from `first` to before `end`, by the partition that they are of."""
        return ((self.partition, max(self.times if end - first == len(self.times) else self.times[first:end])),)


class Mark(NamedTuple):
    """A state of a draft that it can go back to."""

    outputs: int
    timers: dict[tuple[bytes, str], TimerChange]
    counts: Counter[str]


class OutputForm(NamedTuple):
    """How what a function gives becomes a record of a topic. `kind` None: anything."""

    topic: str
    kind: type | None
    key_of: Callable[[Any], object] | None


class Draft:
    """Outputs, timers and counts of one work; `part` and `place`, or `fired`, say where we are."""

    def __init__(self, forms: Sequence[OutputForm]) -> None:
        self._forms = forms
        self.by_topic = {form.topic: number for number, form in enumerate(forms)}
        self.now_ns = 0
        self.outputs: list[Output] = []
        self.timers: dict[tuple[bytes, str], TimerChange] = {}
        self.counts: Counter[str] = Counter()
        self.part: Part | None = None
        self.place = 0
        self.reached = 0
        """Where calls run side by side: behind the last record that one of them has had. It may be beyond `place`."""
        self.fired: Fired | None = None
        self.stamp_ns: int | None = None
        """The time of outputs, where it is not that of the record or timer."""

    def begin(self, now_ns: int) -> None:
        """A work begins."""
        self.now_ns = now_ns
        self.stamp_ns = None
        self.outputs, self.timers, self.counts = [], {}, Counter()

    def at_record(self, part: Part, place: int) -> None:
        """We are at a record."""
        self.part, self.place, self.fired = part, place, None
        self.reached = 0

    def at_timer(self, fired: Fired) -> None:
        """We are at a timer."""
        self.part, self.fired = None, fired

    def mark(self) -> Mark:
        """Remember how far it is."""
        return Mark(len(self.outputs), dict(self.timers), Counter(self.counts))

    def back_to(self, mark: Mark) -> None:
        """Take back what came since."""
        del self.outputs[mark.outputs :]
        self.stamp_ns = None
        self.timers, self.counts = dict(mark.timers), Counter(mark.counts)

    def branch(self) -> "Draft":
        """One for calls that run beside others."""
        draft = Draft(self._forms)
        draft.begin(self.now_ns)
        return draft

    def split(self) -> "Draft":
        """What is in it, taken out of it."""
        taken = self.branch()
        taken.outputs, taken.timers, taken.counts = self.outputs, self.timers, self.counts
        self.begin(self.now_ns)
        return taken

    def adopt(self, other: "Draft") -> None:
        """Add what another one holds."""
        self.outputs += other.outputs
        self.timers |= other.timers
        self.counts += other.counts

    @property
    def current_key(self) -> bytes | None:
        """The key of the record or timer."""
        if self.fired is not None:
            return self.fired.key
        assert self.part is not None, "user code runs at a record or at a timer"
        return self.part.keys[self.place]

    @property
    def time_ns(self) -> int:
        """The event time of the record, or when the timer was to fire."""
        if self.fired is not None:
            return self.fired.at_ns
        assert self.part is not None, "user code runs at a record or at a timer"
        return self.part.times[self.place]

    def source(self) -> tuple[str, bytes]:
        """The header that says where an output comes from."""
        if self.fired is not None:
            return TIMER_HEADER, f"{self.fired.name}@{self.fired.at_ns}".encode()
        assert self.part is not None, "user code runs at a record or at a timer"
        return SOURCE_HEADER, self.part.source(self.place).encode()

    def emit(self, number: int, value: Any, *, key: object = None) -> None:
        """One value for one of the outputs. TypeError if it is not what the topic holds."""
        form = self._forms[number]
        deletes = value.__class__ is Tombstone
        if form.kind is not None and not deletes and not isinstance(value, form.kind):
            raise TypeError(f"{form.topic} holds {form.kind.__name__}, not {type(value).__name__}: {value!r:.200}")
        part, place = self.part, self.place
        if part is not None:  # as `current_key`, `time_ns` and `source` have it, in one step: this is done often
            encoded, time_ns, source = part.keys[place], part.times[place], part.source(place)
            header = (SOURCE_HEADER, source.encode())
            traced = part.columns.traced
        else:
            encoded, time_ns, header, traced = self.current_key, self.time_ns, self.source(), False
        if key is not None:
            encoded = encode_key(key)
        elif form.key_of is not None and not deletes:
            encoded = encode_key(form.key_of(value))
        if deletes and encoded is None:
            raise TypeError(f"a tombstone for {form.topic} has no key to delete: give it one, with `ctx.emit(…, key=)`")
        headers = [header]
        if self.stamp_ns is not None:
            time_ns = self.stamp_ns
        elif traced and part is not None:
            headers = [*(pair for pair in part.columns.headers(place) if pair[0] in TRACE), header]
        self.outputs.append(
            Output(output=number, key=encoded, value=encode_value(value), headers=headers, timestamp_ns=time_ns)
        )

    def emit_result(self, result: Any) -> None:
        """What a function returned: one value, or an iterable of them (text, bytes and dicts are one value).

        Of a `pyarrow.RecordBatch` each row is one.
        """
        if not self._forms:
            raise TypeError(f"it returned {result!r:.200} and has no topic to put it: give it `to=`")
        if isinstance(result, Struct):
            self.emit(0, result)
        elif isinstance(result, _MANY) or hasattr(result, "__next__"):
            for value in result:
                if value is not None:
                    self.emit(0, value)
        elif is_batch(type(result)):
            for value in rows_of(result, self._forms[0].kind):
                self.emit(0, value)
        else:
            self.emit(0, result)

    def set_timer(self, key: bytes, name: str, at_ns: int | None, clock: TimerClock) -> None:
        """Set, moved, or with None deleted. ValueError: the time is none."""
        if at_ns is not None and not BEFORE_ALL_TIME_NS < at_ns < AFTER_ALL_TIME_NS:
            raise ValueError(f"timer {name!r}: {at_ns} ns from 1970 do not fit into 64 bits")
        self.timers[key, name] = TimerChange(key=key, name=name, at_ns=at_ns, clock=clock)
