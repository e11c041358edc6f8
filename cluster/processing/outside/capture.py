"""A source's stage at work: what has come since the last work becomes outputs, and the cursor behind it state.

What a peer may send again (`Arrival.unique`) is remembered for a time, in state as well: so the same is not taken
twice, through crashes, too. It is forgotten by a timer for each work that saw any.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from cluster.connectors.contract import Arrival, Arrived, Progress
from cluster.processing.attempts import Operator
from cluster.processing.draft import SOURCE_HEADER, Draft, Part
from cluster.processing.event import encode_value
from cluster.processing.hosts import Word
from cluster.processing.processor import Stage
from cluster.processing.runner import Runner
from cluster.processing.spec import InputSpec
from cluster.processing.state import ReadState, Store
from cluster.processing.work import BEFORE_ALL_TIME_NS, Effects, Fired, Output, TimerClock, Work
from cluster.trace import PARENT
from cluster.wire.columns import Columns

PLACE_STORE = "~source"
SEEN_STORE = "~seen"
SEEN_OF_STORE = "~seen-of"
"""What a work has seen, for the timer that forgets it."""
FORGET = "~forget"
UNDECODED_HEADER = "rr-undecoded"
"""Of an arrival whose value is none of its format: why. It is a poison record."""
NS_PER_S = 10**9


class Come(Protocol):
    """What has come of a source; see `inflow.Inflow`."""

    trouble: str

    @property
    def is_ready(self) -> bool:
        """There is something to take, or to be raised."""

    def progress(self) -> Progress | None:
        """See Source."""

    def take(self, records_max: int) -> list[Arrived]:
        """What is there, in its order."""

    def committed(self, cursor: bytes) -> None:
        """Everything up to there is committed."""

    def close(self) -> None:
        """Nothing more is wanted."""


OpenInflow = Callable[[bytes | None], Come]


class Place(msgspec.Struct, frozen=True, array_like=True):
    """How far a share was read. `count`: of all records that have come, which numbers them."""

    cursor: bytes
    count: int


class Capture(Runner):
    """Runs one task of a source: the share with the task's number. `open_inflow`: what comes from a cursor on."""

    def __init__(
        self,
        stage: Stage,
        read_state: ReadState,
        *,
        task: int,
        tasks: int,
        partitions: int,
        open_inflow: OpenInflow,
        shown: Callable[[str], str] = str,
    ) -> None:
        # A record that failed has no place to be taken from again, and its expressions will not think otherwise.
        super().__init__(stage, read_state, task=task, tasks=tasks, partitions=partitions, waits=False, shown=shown)
        self._share = task
        self._unique_ns = int(getattr(stage.outside, "unique_s", 0.0) * NS_PER_S)
        self._place = self._state.store(PLACE_STORE, Place | None)
        self._seen: Store = self._state.store(SEEN_STORE, bool | None)
        self._seen_of: Store = self._state.store(SEEN_OF_STORE, list[str], list)
        self._cursors: deque[tuple[int, bytes]] = deque()
        """Of works that are not committed."""
        encoded = self._place.committed(b"")
        cursor = None if encoded is None else msgspec.msgpack.decode(encoded, type=Place).cursor
        self._spec = InputSpec(topic=stage.spec.name)
        self.inflow = open_inflow(cursor)

    def word(self) -> Word:
        """What there is to say now."""
        progress = self.inflow.progress()
        told = None if progress is None else (progress.what, progress.done, progress.total)
        return Word(self.inflow.is_ready, self.inflow.trouble, told)

    def committed(self, n: int) -> None:
        """See Runner: what was committed may be forgotten by whoever has sent it."""
        super().committed(n)
        cursor = None
        while self._cursors and self._cursors[0][0] <= n:
            cursor = self._cursors.popleft()[1]
        if cursor is not None:
            self.inflow.committed(cursor)

    def close(self) -> None:
        """See Runner."""
        super().close()
        self.inflow.close()

    def _run(self, work: Work) -> Effects:
        draft = self._draft
        draft.begin(work.now_ns)
        self._attempts.begin(work)
        for fired in work.fired:
            self._forget(fired)
        self._state.settle()  # what a record that fails takes back is its own
        taken = self.inflow.take(work.records_max)
        cell = self._place.cell(b"")
        place: Place | None = cell.get()
        count = 0 if place is None else place.count
        seen: list[str] = []
        for arrived in taken:
            part = self._part(arrived, count, work.now_ns, seen)
            count += len(arrived.records)
            self._state.settle()
            if part.keys:
                self._attempts.records(self._operator, part, 0, len(part.keys))
        if taken:
            cursor = taken[-1].cursor
            cell.put(Place(cursor, count))
            if place is None or place.cursor != cursor:
                self._cursors.append((work.n, cursor))
        self._remember(seen, work)
        self._state.settle()
        return Effects(
            state=self._state.take_changes(work.n),
            timers=list(draft.timers.values()),
            outputs=draft.outputs,
            watermark_ns=BEFORE_ALL_TIME_NS,
            counts=dict(draft.counts),
            failure=self._attempts.failure,
            ended=any(arrived.ended for arrived in taken),
        )

    def _part(self, arrived: Arrived, count: int, now_ns: int, seen: list[str]) -> Part:
        records = arrived.records
        numbers: Sequence[int] = range(count, count + len(records))
        if self._unique_ns:
            self._seen.load(record.unique.encode() for record in records if record.unique)
            both = zip(numbers, records, strict=True)
            new = [(number, record) for number, record in both if self._is_new(record, seen)]
            self._draft.counts["repeated"] += len(records) - len(new)
            numbers, records = [number for number, _ in new], [record for _, record in new]
        columns = Columns(
            offsets=list(numbers),
            keys=[record.key for record in records],
            values=[encode_value(record.value) for record in records],
            times_ns=[record.timestamp_ns or now_ns for record in records],
            _records=[_Headers(record.headers) for record in records],
            traced=any(name == PARENT for record in records for name, _ in record.headers),
        )
        part = Part(0, self._spec, self._share, columns)
        if not self.stage.raw:
            part.events = [
                None if part.deletes(place) else _plain(record.value, place, part.poison)
                for place, record in enumerate(records)
            ]
        for place, record in enumerate(records):
            why = next((value for name, value in record.headers if name == UNDECODED_HEADER), None)
            if why is not None:
                part.poison[place] = ValueError(why.decode(errors="replace"))
        return part

    # --- what a peer may send again

    def _is_new(self, record: Arrival, seen: list[str]) -> bool:
        if not record.unique:
            return True
        cell = self._seen.cell(record.unique.encode())
        if cell.get():
            return False
        cell.put(True)
        seen.append(record.unique)
        return True

    def _remember(self, seen: list[str], work: Work) -> None:
        if seen:
            key = b"%d" % work.n
            self._seen_of.cell(key).put(seen)
            self._draft.set_timer(key, FORGET, work.now_ns + self._unique_ns, TimerClock.PROCESSING)

    def _forget(self, fired: Fired) -> None:
        cell = self._seen_of.cell(fired.key)
        for unique in cell.get():
            self._seen.cell(unique.encode()).delete()
        cell.delete()

    def _make_operator(self) -> Operator:
        if self.stage.transform is None:
            return Passing(self._draft)
        return super()._make_operator()


def _plain(value: Any, place: int, poison: dict[int, Exception]) -> Any:
    """Bytes are JSON, for who looks into them; what is none is set apart."""
    if not isinstance(value, bytes):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        poison[place] = error
        return None


class _Header(msgspec.Struct, frozen=True):
    name: str
    value: bytes


class _Headers:
    """Of one arrival, as Columns has them."""

    def __init__(self, headers: tuple[tuple[str, bytes], ...]) -> None:
        self._headers = headers

    @property
    def headers(self) -> list[_Header]:
        """Made for those who ask."""
        return [_Header(name, value) for name, value in self._headers]


class Passing:
    """The operator of a source whose records go on as they are, to every one of its topics."""

    knows_place = True

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def take(self, part: Part, first: int, end: int) -> None:
        """Put them out."""
        self._draft.at_record(part, first)
        columns = part.columns
        outputs = range(len(self._draft.by_topic))
        for place in range(first, end):
            headers: list[tuple[str, Any]] = [*columns.headers(place), (SOURCE_HEADER, part.source(place).encode())]
            for number in outputs:
                self._draft.outputs.append(
                    Output(
                        output=number,
                        key=columns.keys[place],
                        value=columns.values[place],
                        headers=headers,
                        timestamp_ns=columns.times_ns[place],
                    )
                )

    def fire(self, fired: Fired) -> None:
        """It sets no timers."""
        raise AssertionError(f"timer {fired.name!r} of a source")
