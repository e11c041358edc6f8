"""A sink's stage at work: records of its inputs become deliveries, written while the work waits.

A *lane* is an input partition as this deployment reads it; of a topic that was made again it is another one. What is at
the destination is known by the lane's position: where the destination keeps it (`Sink.last_position`), it may be ahead
of what is committed here, and what lies below it is passed over; it may never be behind, for then the destination has
lost what it had. That it has been begun is state of the task, in the commit of its first work: a destination that knows
nothing of it then has lost everything.
"""

import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec

from cluster.connectors.contract import Delivery, Guarantee, Position, Sink, SinkOptions
from cluster.errors import InvalidRoute, RecordRefused
from cluster.processing.attempts import Operator
from cluster.processing.draft import Draft, Part, inherited
from cluster.processing.hosts import Word
from cluster.processing.processor import Stage
from cluster.processing.runner import Runner
from cluster.processing.spec import InputKind
from cluster.processing.state import REMADE_STORE, ReadState, Store
from cluster.processing.transform import made_of
from cluster.processing.work import Batch, Effects, Fired, Work

T = TypeVar("T")
FIND_S_MAX = 20.0
WRITE_S_MAX = 100.0
"""Of one write: as long as a destination may take that is slow, and still gets further. After a whole work's
`ProcessingOptions.connector_work_s_max` the process is taken to hang."""
SETTLE_S_MAX = 100.0
BEGUN_STORE = "~begun"
"""By lane, whether a work of it is committed."""
CLOSE_S_MAX = 3.0


class Waiting(Protocol):
    """What runs a sink's calls; see `background.Background`."""

    def wait(self, work: Coroutine[Any, Any, T], seconds_max: float, what: str) -> T:
        """Run one, and wait for it."""

    def later(self, seconds: float, call: Callable[[], None]) -> Callable[[], object]:
        """Call that after so long; what is returned cancels it."""


class DeliveryRunner(Runner):
    """Runs one task of a sink."""

    def __init__(
        self,
        stage: Stage,
        read_state: ReadState,
        *,
        task: int,
        tasks: int,
        partitions: int,
        sink: Sink,
        identity: str,
        background: Waiting,
        on_change: Callable[[], None],
        waits: bool = True,
        shown: Callable[[str], str] = str,
    ) -> None:
        options: SinkOptions = stage.outside
        self._deliveries: Deliveries = Deliveries(
            sink, identity, stage, background, batch_max=options.batch_records_max
        )
        super().__init__(stage, read_state, task=task, tasks=tasks, partitions=partitions, waits=waits, shown=shown)
        self._deliveries.begin(
            self._draft, self._state.store(BEGUN_STORE, bool, bool), self._state.store(REMADE_STORE, str, str)
        )
        self._background = background
        self._hold_s = options.hold_s
        self._on_change = on_change
        self._due: threading.Event | None = None
        """Set when something has been held for long enough."""

    def word(self) -> Word:
        """What there is to say now."""
        return Word(ready=self.is_due)

    @property
    def is_due(self) -> bool:
        """What is held is to be put at the destination, whether more comes or not."""
        return self._due is not None and self._due.is_set()

    def close(self) -> None:
        """See Runner."""
        self._stop_timer()
        super().close()
        self._deliveries.close()

    def _run(self, work: Work) -> Effects:
        deliveries = self._deliveries
        deliveries.work(work.batches)
        effects = super()._run(work)
        deliveries.keep_up(work.batches)
        if self.is_due or work.ended or deliveries.is_uneven:
            deliveries.settle()
        if not deliveries.is_held:
            self._stop_timer()
            return effects
        if self._due is None:
            self._due = threading.Event()
            self._stop_waiting = self._background.later(self._hold_s, partial(self._is_over, self._due))
        return msgspec.structs.replace(effects, held=True)

    def _stop_timer(self) -> None:
        if self._due is not None:
            self._stop_waiting()
            self._due = None

    def _is_over(self, due: threading.Event) -> None:
        due.set()
        self._on_change()

    def _make_operator(self) -> Operator:
        return self._deliveries


class Lane:
    """`at`: behind what was handed to the destination."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at = 0
        self.is_known = False
        self.is_held = False


class Deliveries:
    """The operator of a sink."""

    knows_place = True

    def __init__(self, sink: Sink, identity: str, stage: Stage, background: Waiting, *, batch_max: int) -> None:
        self._sink = sink
        self._identity = identity
        self._stage = stage
        self._what = stage.spec.name
        self._letters = next((item.topic for item in stage.spec.inputs if item.kind is InputKind.PARKED), "")
        """What is redriven comes from there, and has its place there."""
        self._keeps = getattr(stage.outside, "keeps_position", stage.outside.guarantee is Guarantee.EXACTLY_ONCE)
        self._is_sure = stage.outside.guarantee is Guarantee.EXACTLY_ONCE
        """A destination that may evict positions loses nothing that would not be written again."""
        self._background = background
        self._batch_max = batch_max
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._draft: Draft
        self._begun: Store
        self._remade: Store
        self._rolled = False

    def begin(self, draft: Draft, begun: Store, remade: Store) -> None:
        """Where it is in the work is said in `draft`."""
        self._draft, self._begun, self._remade = draft, begun, remade

    def work(self, batches: Sequence[Batch]) -> None:
        """A work begins: know where its lanes are."""
        self._rolled = False
        for batch in batches:
            lane = self._lane(self._stage.spec.inputs[batch.input].topic, batch.partition)
            if not lane.is_known:
                self._find(lane, batch.begin)
            if self._keeps and batch.begin < batch.end:
                self._begun.cell(lane.name.encode()).put(True)

    def _lane(self, topic: str, partition: int) -> Lane:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            remade = self._remade.cell(topic.encode()).get()
            name = f"{topic}~{remade}" if remade else topic
            lane = self._lanes[topic, partition] = Lane(f"{self._identity}/{name}/{partition}")
        return lane

    def _find(self, lane: Lane, begin: int) -> None:
        there = self._background.wait(self._sink.last_position(lane.name), FIND_S_MAX, self._what)
        if self._keeps and there is not None and there < begin:
            raise InvalidRoute(
                f"{self._what}: the destination has the records of {lane.name} up to offset {there}, and it had them "
                f"up to {begin}: it was set back (restored?), and what lies between is not in it; deploy a new version "
                "of this sink, which delivers all of it again, or bring the destination forward"
            )
        if self._keeps and self._is_sure and there is None and self._begun.cell(lane.name.encode()).get():
            raise InvalidRoute(
                f"{self._what}: the destination knows nothing of {lane.name} any more, and it had its records up to "
                f"offset {begin}: it was emptied, or made anew; deploy a new version of this sink, which delivers all "
                "of it again, or bring back what the destination had, with its positions"
            )
        lane.at = begin if there is None else max(begin, there)
        lane.is_known = True

    def keep_up(self, batches: Sequence[Batch]) -> None:
        """All that is in these was delivered, or put aside: the destination's own position follows to their ends."""
        for batch in batches:
            lane = self._lane(self._stage.spec.inputs[batch.input].topic, batch.partition)
            if lane.at < batch.end:
                self._write(lane, [], batch.end)

    @property
    def is_held(self) -> bool:
        """Something was handed to the sink and is not at the destination."""
        return any(lane.is_held for lane in self._lanes.values())

    @property
    def is_uneven(self) -> bool:
        """Some lanes have come to an end of a piece, and others have not: a commit is for all of them."""
        return self._rolled and self.is_held

    def settle(self) -> None:
        """Have at the destination what is held."""
        self._background.wait(self._sink.settle(), SETTLE_S_MAX, self._what)
        for lane in self._lanes.values():
            lane.is_held = False

    def close(self) -> None:
        """Let go of the destination."""
        try:
            self._background.wait(self._sink.close(), CLOSE_S_MAX, self._what)
        except Exception:  # noqa: BLE001  it was let go all the same
            return

    def take(self, part: Part, first: int, end: int) -> None:
        """Deliver the records from `first` to before `end`."""
        offsets = part.columns.offsets
        lane = self._lane(self._letters if part.inherits else part.spec.topic, part.partition)
        for begin in range(first, end, self._batch_max):
            upto = min(begin + self._batch_max, end)
            self._draft.at_record(part, begin)
            if offsets[upto - 1] < lane.at:
                continue
            places, batch = self._made(part, begin, upto, lane)
            try:
                self._write(lane, batch, offsets[upto - 1] + 1)
            except RecordRefused as error:
                self._draft.place = places[error.place] if error.place < len(places) else begin
                raise

    def fire(self, fired: Fired) -> None:
        """Sinks set no timers."""
        raise AssertionError(f"timer {fired.name!r} of a sink")

    def _write(self, lane: Lane, batch: Sequence[Delivery], end: int) -> None:
        position = Position(lane=lane.name, begin=lane.at, end=end)
        if batch or self._keeps:
            settled = self._background.wait(self._sink.write(batch, position), WRITE_S_MAX, self._what)
            self._rolled = self._rolled or (settled and lane.is_held)
            lane.is_held = not settled
        lane.at = end

    def _made(self, part: Part, first: int, end: int, lane: Lane) -> tuple[list[int], list[Delivery]]:
        """What comes of the records, and of which each; what is there already is left out."""
        columns = part.columns
        places: list[int] = []
        batch: list[Delivery] = []
        numbers: dict[int, int] = {}
        for place, value, key, time_ns in self._values(part, first, end):
            offset = columns.offsets[place]
            if offset < lane.at:
                continue
            number = numbers[place] = numbers.get(place, -1) + 1
            places.append(place)
            batch.append(
                Delivery(
                    value=value,
                    key=key,
                    timestamp_ns=time_ns,
                    headers=tuple(inherited(columns.headers(place))),
                    offset=offset,
                    id=f"{lane.name}@{offset}" + (f".{number}" if number else ""),
                )
            )
        return places, batch

    def _values(self, part: Part, first: int, end: int) -> Iterable[tuple[int, Any, bytes | None, int]]:
        """Place, value, key and time of each that is to be delivered."""
        if self._stage.transform is None:
            return zip(
                range(first, end), part.events[first:end], part.keys[first:end], part.times[first:end], strict=True
            )
        (made,) = made_of(self._stage.transform, part, first, end, self._draft, _no_rows)
        stored = not self._stage.transform.changes  # values are as they are stored then, and plain data is wanted
        return [
            (place, part.events[place] if stored or value == b"" else value, key, time_ns)
            for place, value, key, time_ns in made
        ]


def _no_rows(_: str, keys: Sequence[bytes | None]) -> list[Any]:
    """Look-ups are done before."""
    return [None for _ in keys]
