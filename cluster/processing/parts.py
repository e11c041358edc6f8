"""From batches to parts: decompressed, decoded into events, with their times, what does not decode set apart.

Watermark records of re-keyed topics are taken out: `Told` stands between the parts where they stood. Of a batch only
the records from `begin` to before `end` count. What decoding raises sets its record apart, whatever it is: depth that
is too much, what a user's class says of its own values. Those that are condemned are not decoded at all.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from heapq import heapify, heappop, heapreplace
from itertools import accumulate
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from cluster.errors import CorruptBatch, HostFailed
from cluster.processing.draft import Part
from cluster.processing.event import time_reader
from cluster.processing.mixing import Mixed
from cluster.processing.spec import InputKind, InputSpec
from cluster.processing.watermarks import SAID_HEADER, Said, decode_said
from cluster.processing.work import EVENT_TIME_NS_MAX, EVENT_TIME_NS_MIN, Batch, Condemned
from cluster.records import Batch as Stored
from cluster.types import Codec, Offset
from cluster.wire.columns import Columns, decode_columns

Decode = Callable[[bytes], Any]


class Run(NamedTuple):
    """Records of a part, from `first` to before `end`."""

    part: Part
    first: int
    end: int


class Told(NamedTuple):
    """A watermark that came with the records."""

    place: tuple[int, int]
    said: Said


class Broken(NamedTuple):
    """A batch that cannot be read at all."""

    batch: Batch
    error: Exception


class Reading:
    """How one input's records become events. `deletes`: tombstones become None, instead of what does not decode."""

    def __init__(self, number: int, spec: InputSpec, event: Any, *, deletes: bool = False) -> None:
        self.number = number
        self.spec = spec
        self._deletes = deletes
        self.decode: Decode = bytes if event is bytes else msgspec.json.Decoder(event).decode
        self._raw = event is bytes
        self._field = spec.time
        self._time = time_reader(event, spec.time, f"topic {spec.topic!r}") if spec.time else None
        self._only_time = _only(event, spec.time).decode if spec.time else None

    def fill(self, part: Part) -> None:
        """Decode the values of a part, and read their times. What is poison already stays undecoded."""
        values = part.columns.values
        if self.spec.kind is InputKind.TABLE:
            part.events = self._decoded(part, everywhere=True)
        elif part.poison or (self._raw and self._deletes and b"" in values):
            part.events = self._decoded(part)
        elif not self._raw:
            try:
                part.events = [*map(self.decode, values)]
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001  a user's class may raise anything
                part.events = self._decoded(part)
            if len(part.events) < len(values):  # it has raised StopIteration, which ends the map in silence
                part.events = self._decoded(part)
        if self._time is not None:
            self._read_times(part, self._time)
        if part.times and self.spec.kind is not InputKind.TABLE:
            least, greatest = min(part.times), max(part.times)
            if least < EVENT_TIME_NS_MIN or greatest > EVENT_TIME_NS_MAX:
                self._set_apart(part)

    def renew(self, part: Part, first: int, end: int) -> None:
        """Decode the values from `first` to before `end` once more: user code has had what came of them."""
        if self._raw or self.spec.kind is InputKind.TABLE:
            return
        events = part.events
        assert isinstance(events, list), "they were decoded"
        for place in range(first, end):
            if place not in part.poison and not (self._deletes and part.deletes(place)):
                events[place] = self._decoded_at(part, place)

    @staticmethod
    def _set_apart(part: Part) -> None:
        """Records whose time is none: nobody sees them, and they do not move the watermark."""
        times = list(part.times)
        for place, time_ns in enumerate(times):
            if not EVENT_TIME_NS_MIN <= time_ns <= EVENT_TIME_NS_MAX:
                part.poison.setdefault(
                    place, ValueError(f"its time, {time_ns} ns from 1970, is not between the years 1700 and 2200")
                )
                times[place] = EVENT_TIME_NS_MIN
        part.times = times

    def _decoded(self, part: Part, *, everywhere: bool = False) -> list[Any]:
        """One by one. `everywhere`: what has no key is a tombstone, too, for now."""
        events: list[Any] = []
        for place, value in enumerate(part.columns.values):
            deletes = not value and (everywhere or (self._deletes and part.deletes(place)))
            events.append(None if deletes or place in part.poison else self._decoded_at(part, place))
        return events

    def _decoded_at(self, part: Part, place: int) -> Any:
        """None: it is set apart."""
        try:
            return self.decode(part.columns.values[place])
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a user's class may raise anything
            part.poison[place] = error
            return None

    def _read_times(self, part: Part, time_of: Callable[[Any], int]) -> None:
        moment = attrgetter(self._field)
        if not part.poison:
            try:
                part.times = [*map(time_of, map(moment, part.events))]
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001  a user's class may have put anything there
                part.times = []
            if len(part.times) == len(part.events):
                return
        times: list[int] = []
        for place, event in enumerate(part.events):
            if place in part.poison:
                times.append(self._time_without(part, place, time_of))
            elif event is None:  # a tombstone
                times.append(part.columns.times_ns[place])
            else:
                try:
                    times.append(time_of(moment(event)))
                except MemoryError:
                    raise
                except Exception as error:  # noqa: BLE001  a user's class may have put anything there
                    part.poison[place] = error
                    times.append(EVENT_TIME_NS_MIN)
        part.times = times

    def _time_without(self, part: Part, place: int, time_of: Callable[[Any], int]) -> int:
        """Of a condemned record, read without its class; what does not decode has none, and moves no watermark."""
        if isinstance(part.poison[place], HostFailed) and self._only_time is not None:
            with suppress(Exception):
                return time_of(getattr(self._only_time(part.columns.values[place]), self._field))
        return EVENT_TIME_NS_MIN


def _only(event: type, field: str) -> msgspec.json.Decoder[Any]:
    """What decodes nothing but one field."""
    found = next(found for found in msgspec.structs.fields(event) if found.name == field)
    renamed = None if found.encode_name == field else {field: found.encode_name}
    return msgspec.json.Decoder(msgspec.defstruct("Only", [(field, found.type)], rename=renamed))


class Readings:
    """All inputs of a stage. `mixes`: its operator takes records of several partitions. `deletes`: see Reading."""

    def __init__(
        self, specs: Sequence[InputSpec], events: Sequence[Any], *, mixes: bool = True, deletes: bool = False
    ) -> None:
        self.inputs = [
            Reading(number, spec, event, deletes=deletes)
            for number, (spec, event) in enumerate(zip(specs, events, strict=False))
        ]
        self._specs = specs
        self._mixes = mixes
        self._by_topic = {reading.spec.topic: reading for reading in self.inputs}
        self._condemned: Sequence[Condemned] = ()

    def runs(
        self, batches: Sequence[Batch], *, in_time_order: bool, condemned: Sequence[Condemned] = ()
    ) -> Iterator[Run | Told | Broken]:
        """What is in them, in the order in which it is to be handled; of one input it may be `Mixed`."""
        self._condemned = condemned
        if not in_time_order or len(batches) < 2:
            for batch in batches:
                yield from self._read(batch)
            return
        lanes: dict[tuple[int, int], list[Run | Told | Broken]] = {}
        for batch in batches:
            lanes.setdefault((batch.input, batch.partition), []).extend(self._read(batch))
        items = [lane for lane in lanes.values() if lane]
        if self._mixes and len(items) > 1 and _are_alike(item for lane in items for item in lane):
            part = Mixed([[item.part for item in lane if isinstance(item, Run)] for lane in items])
            yield Run(part, 0, len(part.keys))
            return
        yield from _in_time_order(items)

    def renew(self, part: Part, first: int, end: int) -> None:
        """User code has had these records, and is to get them again as they were, whatever it has done to them."""
        if self.inputs:  # what a source brings is only looked at
            self.inputs[part.input].renew(part, first, end)

    def letter(self, part: Part, place: int, topic: str) -> Part | None:
        """A dead letter as the record that it was; None if its input is not among ours any more."""
        reading = self._by_topic.get(topic)
        if reading is None:
            return None
        letter = Part(reading.number, reading.spec, part.partition, part.columns.cut(place, place + 1), inherits=True)
        if place in part.poison:
            letter.poison[0] = part.poison[place]
        reading.fill(letter)
        return letter

    def _read(self, batch: Batch) -> Iterator[Run | Told | Broken]:
        spec = self._specs[batch.input]
        stored = Stored(
            payload=batch.payload,
            record_count=batch.record_count,
            codec=Codec(batch.codec),
            uncompressed_size=batch.uncompressed_size,
            min_timestamp_ns=0,
            max_timestamp_ns=0,
        )
        try:
            columns = decode_columns(stored, Offset(batch.base_offset))
        except CorruptBatch as error:
            yield Broken(batch, error)
            return
        columns = columns.between(batch.begin, batch.end)
        if not spec.internal:
            if len(columns):
                yield self._run(batch, columns)
            return
        first = 0
        for place, value in enumerate(columns.values):
            if not value and columns.keys[place] is None:
                if first < place:
                    yield self._run(batch, columns.cut(first, place))
                first = place + 1
                for name, said in columns.headers(place):
                    if name == SAID_HEADER:
                        yield Told((batch.input, batch.partition), decode_said(said))
        if first < len(columns):
            yield self._run(batch, columns.cut(first, len(columns)))

    def _run(self, batch: Batch, columns: Columns) -> Run:
        spec = self._specs[batch.input]
        part = Part(batch.input, spec, batch.partition, columns, inherits=spec.internal)
        if self._condemned:
            self._condemn(part)
        if spec.kind is not InputKind.PARKED:
            self.inputs[batch.input].fill(part)
        return Run(part, 0, len(columns))

    def _condemn(self, part: Part) -> None:
        """Nobody is to see these again: their times count, as far as they can be had without decoding the rest."""
        offsets = part.columns.offsets
        for record in self._condemned:
            if (record.input, record.partition) == (part.input, part.partition):
                place = bisect_left(offsets, record.offset)
                if place < len(offsets) and offsets[place] == record.offset:
                    part.poison[place] = HostFailed(record.why)


def _are_alike(items: Iterable[Run | Told | Broken]) -> bool:
    """Whether all of them are records of one input, which is a stream, and of the producers' own times."""
    inputs = set()
    for item in items:
        if not isinstance(item, Run) or item.part.spec.kind is not InputKind.STREAM or item.part.inherits:
            return False
        inputs.add(item.part.input)
    return len(inputs) == 1


def _in_time_order(lanes: Sequence[Sequence[Run | Told | Broken]]) -> Iterator[Run | Told | Broken]:
    """Records of all lanes by event time; within a lane they stay in their order, after whatever is ahead of them."""
    if len(lanes) == 1:
        yield from lanes[0]
        return
    steps = [_Steps(number, lane) for number, lane in enumerate(lanes)]
    heap = [step.turn for step in steps if step.left]
    heapify(heap)
    while heap:
        step = steps[heap[0][1]]
        yield step.take(min(heap[1:3], default=None))
        if step.left:
            heapreplace(heap, step.turn)
        else:
            heappop(heap)


class _Steps:
    """One lane on its way: `turn` is the time of what is next, and its number."""

    def __init__(self, number: int, lane: Sequence[Run | Told | Broken]) -> None:
        self._number = number
        self.left = deque(lane)
        self._at = -(2**63)
        self._times: Sequence[int] = ()
        """Of a run: the latest at each of its records, or before."""
        self._place = 0
        self._begin()

    def _begin(self) -> None:
        if self.left and isinstance(self.left[0], Run):
            part, first, end = self.left[0]
            self._times = [*accumulate(part.times[first:end], max, initial=self._at)][1:]
            self._place = 0

    @property
    def turn(self) -> tuple[int, int]:
        if isinstance(self.left[0], Run):
            return self._times[self._place], self._number
        return self._at, self._number

    def take(self, next_: tuple[int, int] | None) -> Run | Told | Broken:
        """What is next, as much of it as comes before the turn of the next lane."""
        item = self.left[0]
        if not isinstance(item, Run):
            self.left.popleft()
            self._begin()
            return item
        first, end = self._place, len(self._times)
        if next_ is not None:
            find = bisect_right if self._number < next_[1] else bisect_left
            end = find(self._times, next_[0], first)
        self._place, self._at = end, self._times[end - 1]
        if end == len(self._times):
            self.left.popleft()
            self._begin()
        return Run(item.part, item.first + first, item.first + end)
