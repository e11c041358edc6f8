"""Windows of event time, over keyed state and timers: nothing here that a processor could not do for itself.

Rules:
1. A window is [start, end). It closes when the watermark reaches its end: a timer of its key then calls the function
   with what is in it, in the order of event times, and forgets it.
2. A session is a run of events with less than `gap` between neighbours; its end is the last event's time plus `gap`.
3. A record whose window the watermark has closed, at the record's own turn, is late: dropped and counted, put into
   `late_to`, or (`update`) added, and the function called again, until `lateness` after the end.
4. What is in a window is kept in chunks, one for each work that adds to it, so that adding never rewrites it; one more
   value for each key lists its open windows.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from cluster.errors import InvalidApp
from cluster.processing.binding import view_of
from cluster.processing.calling import Surroundings, no_key
from cluster.processing.draft import SOURCE_HEADER, Part, inherited
from cluster.processing.durations import length_ns, positive_ns
from cluster.processing.event import decode_key, ns_datetime
from cluster.processing.state import Cell
from cluster.processing.work import Fired, Output, TimerClock

PANES_STORE = "~windows"
CHUNKS_STORE = "~chunks"
TIMER = "window:"


class Window(msgspec.Struct, frozen=True):
    """Which window it is: `key`, and [start, end) in nanoseconds since 1970."""

    key: Any
    start_ns: int
    end_ns: int

    @property
    def start(self) -> dt.datetime:
        """Its start, in UTC."""
        return ns_datetime(self.start_ns)

    @property
    def end(self) -> dt.datetime:
        """Its end, in UTC; not in it any more."""
        return ns_datetime(self.end_ns)


class WindowForm(msgspec.Struct, frozen=True, kw_only=True):
    """How a processor's windows are cut. `gap_ns` above 0: sessions."""

    size_ns: int = 0
    step_ns: int = 0
    gap_ns: int = 0
    lateness_ns: int = 0

    def starts(self, time_ns: int) -> Iterator[int]:
        """The starts of the windows that a time is in, latest first."""
        start = time_ns - time_ns % self.step_ns
        while start > time_ns - self.size_ns:
            yield start
            start -= self.step_ns


def window_form(
    what: str, tumbling: str, hopping: tuple[str, str] | None, session: str, late: str, lateness: str
) -> WindowForm:
    """Checked; InvalidApp says what is wrong."""
    if sum((bool(tumbling), hopping is not None, bool(session))) != 1:
        raise InvalidApp(f'{what}: one of tumbling="1d", hopping=("1h", "5m"), session="30m"')
    lateness_ns = length_ns(lateness, f"{what}: lateness")
    if late not in {"drop", "update"} or (late == "update") != (lateness_ns > 0):
        raise InvalidApp(f'{what}: late="drop", or late="update" with a lateness above zero')
    if session:
        if lateness_ns:
            raise InvalidApp(f"{what}: a session that was given out is not updated; use late_to")
        return WindowForm(gap_ns=positive_ns(session, f"{what}: session"))
    if hopping is not None and (not isinstance(hopping, tuple | list) or len(hopping) != 2):
        raise InvalidApp(f'{what}: hopping is {hopping!r}; a size and a step, such as ("1h", "5m")')
    size, step = (tumbling, tumbling) if hopping is None else hopping
    size_ns, step_ns = positive_ns(size, f"{what}: size"), positive_ns(step, f"{what}: step")
    if step_ns > size_ns or size_ns > 10_000 * step_ns:
        raise InvalidApp(f"{what}: the step is at most the size, and at least a ten-thousandth of it")
    return WindowForm(size_ns=size_ns, step_ns=step_ns, lateness_ns=lateness_ns)


class Pane(msgspec.Struct, array_like=True):
    """An open window of one key. `given`: the function was called for it."""

    number: int
    start_ns: int
    end_ns: int
    chunks: list[int]
    given: bool = False


class Panes(msgspec.Struct, array_like=True):
    """The open windows of one key; `next` numbers windows and chunks."""

    open: list[Pane] = []
    next: int = 0


class Windows:
    """The operator of a window."""

    knows_place = True

    def __init__(self, stage: Any, surroundings: Surroundings, decode: Any) -> None:
        self._form: WindowForm = stage.window
        self._function = stage.binding.function
        self._key_kind = stage.key_kind
        self._late = stage.late
        self._draft = surroundings.draft
        self._arguments = surroundings.arguments(stage.binding)
        self._decode = decode
        self._view = view_of(stage.binding.leading[1], stage.events[0])
        self._fresh: dict[tuple[bytes, int], list[tuple[int, bytes]]] = defaultdict(list)
        """What this attempt added, by key and window."""
        self._panes = surroundings.state.store(PANES_STORE, Panes, Panes)
        self._chunks = surroundings.state.store(CHUNKS_STORE, list[tuple[int, bytes]], list)

    def take(self, part: Part, first: int, end: int) -> None:
        """Put the records from `first` to before `end` into their windows."""
        draft, values, form = self._draft, part.columns.values, self._form
        draft.at_record(part, first)
        self._panes.load(key for key in part.keys[first:end] if key is not None)
        self._fresh.clear()
        for place in range(first, end):
            draft.place = place
            key, time_ns, watermark_ns = part.keys[place], part.times[place], part.marks[place]
            if key is None:
                raise no_key("its window")
            panes: Panes = self._panes.cell(key).get()
            item = (time_ns, values[place])
            if form.gap_ns:
                session = self._session(key, panes, time_ns, watermark_ns)
                if session is not None:
                    self._fresh[key, session.number].append(item)
                taken, missed = session is not None, session is None
            else:
                taken = missed = False
                for start_ns in form.starts(time_ns):
                    end_ns = start_ns + form.size_ns
                    missed |= end_ns <= watermark_ns
                    if end_ns + form.lateness_ns > watermark_ns:
                        taken = True
                        self._add(key, self._pane(key, panes, start_ns, end_ns), item)
            if missed:
                draft.counts["late"] += 1
            if not taken:
                self._pass_over(part, place)
        for key, number in list(self._fresh):
            self._flush(key, number)

    def fire(self, fired: Fired) -> None:
        """A window closes, or has been open for updates long enough."""
        self._draft.at_timer(fired)
        cell = self._panes.cell(fired.key)
        panes: Panes = cell.get()
        number = int(fired.name.removeprefix(TIMER))
        pane = next((pane for pane in panes.open if pane.number == number), None)
        if pane is None:
            return
        if not pane.given:
            self._give(fired.key, pane)
            if self._form.lateness_ns:
                pane.given = True
                self._set_timer(fired.key, pane, pane.end_ns + self._form.lateness_ns)
                return
        for chunk in pane.chunks:
            self._chunk(fired.key, chunk).delete()
        panes.open.remove(pane)
        if not panes.open:
            cell.delete()

    def _pane(self, key: bytes, panes: Panes, start_ns: int, end_ns: int) -> Pane:
        for pane in panes.open:
            if (pane.start_ns, pane.end_ns) == (start_ns, end_ns):  # another size is of other code
                return pane
        return self._open(key, panes, start_ns, end_ns)

    def _open(self, key: bytes, panes: Panes, start_ns: int, end_ns: int) -> Pane:
        decode_key(key, self._key_kind)  # what is none is this record's fault: when it closes, it would be nobody's
        pane = Pane(panes.next, start_ns, end_ns, [])
        panes.next += 1
        panes.open.append(pane)
        self._set_timer(key, pane, end_ns)
        return pane

    def _add(self, key: bytes, pane: Pane, item: tuple[int, bytes]) -> None:
        self._fresh[key, pane.number].append(item)
        if pane.given:
            self._flush(key, pane.number)
            self._give(key, pane)

    def _session(self, key: bytes, panes: Panes, time_ns: int, watermark_ns: int) -> Pane | None:
        """The session that an event is in, made or merged as need be; None if it has closed."""
        end_ns = time_ns + self._form.gap_ns
        met = [
            pane
            for pane in panes.open
            if pane.start_ns < end_ns and time_ns < pane.end_ns and pane.end_ns > watermark_ns
        ]
        if not met:
            if end_ns <= watermark_ns:
                return None
            return self._open(key, panes, time_ns, end_ns)
        kept = met[0]
        for pane in met[1:]:
            kept.chunks += pane.chunks
            self._fresh[key, kept.number] += self._fresh.pop((key, pane.number), ())
            panes.open.remove(pane)
            self._draft.set_timer(key, f"{TIMER}{pane.number}", None, TimerClock.EVENT)
        start_ns, last_ns = min(time_ns, *(pane.start_ns for pane in met)), max(end_ns, *(p.end_ns for p in met))
        if last_ns != kept.end_ns:
            kept.end_ns = last_ns
            self._set_timer(key, kept, last_ns)
        kept.start_ns = start_ns
        return kept

    def _set_timer(self, key: bytes, pane: Pane, at_ns: int) -> None:
        self._draft.set_timer(key, f"{TIMER}{pane.number}", at_ns, TimerClock.EVENT)

    def _chunk(self, key: bytes, number: int) -> Cell:
        return self._chunks.cell(_chunk_key(key, number))

    def _flush(self, key: bytes, number: int) -> None:
        """Keep what was added to a window as one more chunk."""
        panes: Panes = self._panes.cell(key).get()
        pane = next(pane for pane in panes.open if pane.number == number)
        pane.chunks.append(panes.next)
        self._chunk(key, panes.next).put(self._fresh.pop((key, number)))
        panes.next += 1

    def _give(self, key: bytes, pane: Pane) -> None:
        """Call the function with all that is in a window."""
        self._chunks.load(_chunk_key(key, chunk) for chunk in pane.chunks)
        items = [item for chunk in pane.chunks for item in self._chunk(key, chunk).get()]
        items.sort(key=_time_of)
        window = Window(decode_key(key, self._key_kind), pane.start_ns, pane.end_ns)
        self._draft.stamp_ns = pane.end_ns - 1
        events = [self._decode(value) for _, value in items]
        result = self._function(window, self._view(events), *self._arguments.at(key))
        if result is not None:
            self._draft.emit_result(result)
        self._draft.stamp_ns = None

    def _pass_over(self, part: Part, place: int) -> None:
        if self._late >= 0:
            columns = part.columns
            self._draft.outputs.append(
                Output(
                    output=self._late,
                    key=columns.keys[place],
                    value=columns.values[place],
                    headers=[*inherited(columns.headers(place)), (SOURCE_HEADER, part.source(place).encode())],
                    timestamp_ns=part.times[place],
                )
            )


def _chunk_key(key: bytes, number: int) -> bytes:
    return number.to_bytes(8, "big") + key


def _time_of(item: tuple[int, bytes]) -> int:
    return item[0]
