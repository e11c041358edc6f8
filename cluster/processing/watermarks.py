"""How far event time has come for a task. Pure.

Rules:
1. A *lane* is an input partition, or, of a re-keyed topic, each task that writes to an input partition. Its time is the
   latest event time seen in it less the disorder that its topic allows; of a writing task, the watermark that it said.
2. The watermark is the least of all lanes' times. A lane of which nothing was seen holds it at the beginning of time,
   and an input partition that cannot be reached where it is: no event is late because a leader died.
3. A lane that is idle (its position is the committed end, for long) is left out. If all are idle, event time goes on
   from the latest of them at the clock's pace: what was to happen ten minutes after the last event happens ten minutes
   after it was seen, and history that was read at once makes nothing late.
4. It never goes back; at the end of everything (`until`) it is after all time.
5. An event is late if its time is below the watermark at its turn, so what is late does not depend on how records
   are cut into works.
"""

from collections.abc import Iterable, Sequence

import msgspec

from cluster.processing.work import AFTER_ALL_TIME_NS, BEFORE_ALL_TIME_NS

LaneId = tuple[int, int, int]
"""(input, partition, writing task or NO_WRITER)."""
NO_WRITER = -1


class Lane(msgspec.Struct, array_like=True):
    """`time_ns`: how far it has come; `seen_ns`: the clock when it last came further."""

    time_ns: int
    seen_ns: int
    idle: bool = False


class TimeState(msgspec.Struct, array_like=True):
    """What is remembered from work to work. `said_ns`, `said_idle`: what those who read the outputs were told last."""

    watermark_ns: int = BEFORE_ALL_TIME_NS
    lanes: dict[LaneId, Lane] = {}
    said_ns: int = BEFORE_ALL_TIME_NS
    said_idle: bool = False


class Watermarks:
    """The time of one task, during one work: made from what is remembered."""

    def __init__(self, state: TimeState, owned: Sequence[tuple[int, int]], internal: Iterable[int]) -> None:
        self.state = state
        self._owned = owned
        self._internal = frozenset(internal)
        self._now_ns = 0
        self._unheard = set(owned) - {lane[:2] for lane in state.lanes}

    def begin(self, now_ns: int, idle: Iterable[tuple[int, int]], *, ended: bool) -> None:
        """A work begins; `idle` are those that are so now."""
        self._now_ns = now_ns
        quiet = set(idle)
        lanes = self.state.lanes
        for place in self._owned:
            if place[0] not in self._internal:
                lane = (*place, NO_WRITER)
                if place in quiet and lane not in lanes:
                    self._add(lane, Lane(BEFORE_ALL_TIME_NS, now_ns, idle=True))
                elif lane in lanes:
                    lanes[lane].idle = place in quiet
        if ended:
            self.state.watermark_ns = AFTER_ALL_TIME_NS
        else:
            self.settle()

    @property
    def value_ns(self) -> int:
        """The watermark."""
        return self.state.watermark_ns

    @property
    def is_idle(self) -> bool:
        """Whether all lanes are."""
        return not self._unheard and all(lane.idle for lane in self.state.lanes.values())

    def least_of_others(self, lane: LaneId) -> int:
        """What the watermark would be if this lane were at the end of time."""
        if self._unheard - {lane[:2]}:
            return BEFORE_ALL_TIME_NS
        times = (known.time_ns for name, known in self.state.lanes.items() if not known.idle and name != lane)
        return min(times, default=AFTER_ALL_TIME_NS)

    def lane_time(self, lane: LaneId) -> int:
        """How far a lane has come."""
        found = self.state.lanes.get(lane)
        return BEFORE_ALL_TIME_NS if found is None else found.time_ns

    def marks(self, steps: Iterable[tuple[LaneId, int]]) -> list[int]:
        """The watermark at the turn of each of some records: given their lanes, and how far each brings its lane."""
        value_ns = self.value_ns
        times = {lane: known.time_ns for lane, known in self.state.lanes.items() if not known.idle}
        unheard = set(self._unheard)
        found = []
        for lane, time_ns in steps:
            known_ns = times.get(lane)
            if known_ns is None:  # nobody has heard of it, or it was idle, and counts again from now on
                known_ns = times[lane] = self.lane_time(lane)
                unheard.discard(lane[:2])
                if not unheard:
                    value_ns = max(value_ns, min(times.values()))
            found.append(value_ns)
            times[lane] = max(known_ns, time_ns)
            if not unheard:
                value_ns = max(value_ns, min(times.values()))
        return found

    def advance(self, lane: LaneId, time_ns: int) -> None:
        """A lane has come so far: the latest event time of records, less their disorder."""
        known = self.state.lanes.get(lane)
        if known is None:
            self._add(lane, Lane(time_ns, self._now_ns))
        else:
            known.idle = False
            known.seen_ns = self._now_ns
            known.time_ns = max(known.time_ns, time_ns)
        self.settle()

    def told(self, place: tuple[int, int], said: "Said") -> None:
        """One of those who write to a partition of a re-keyed topic says how far it has come."""
        for writer in range(said.tasks):
            if (*place, writer) not in self.state.lanes:
                self._add((*place, writer), Lane(BEFORE_ALL_TIME_NS, self._now_ns))
        lane = self.state.lanes[*place, said.task]
        lane.time_ns, lane.seen_ns, lane.idle = max(lane.time_ns, said.watermark_ns), self._now_ns, said.idle
        self.settle()

    def settle(self) -> None:
        """The watermark as it is now."""
        if not self._unheard:
            times = [lane.time_ns for lane in self.state.lanes.values() if not lane.idle]
            self.state.watermark_ns = max(self.state.watermark_ns, min(times) if times else self._pace())

    def to_say(self, task: int, tasks: int) -> "Said | None":
        """What is new for those who read what this task writes."""
        idle = self.is_idle
        if (self.value_ns, idle) == (self.state.said_ns, self.state.said_idle):
            return None
        self.state.said_ns, self.state.said_idle = self.value_ns, idle
        return Said(task=task, tasks=tasks, watermark_ns=self.value_ns, idle=idle)

    def _add(self, lane: LaneId, known: Lane) -> None:
        self.state.lanes[lane] = known
        self._unheard.discard(lane[:2])

    def _pace(self) -> int:
        """Where event time is when all are idle; who is at the end for good does not speak for those who are not."""
        latest = BEFORE_ALL_TIME_NS
        lanes = self.state.lanes
        going_on = {lane: known for lane, known in lanes.items() if known.time_ns < AFTER_ALL_TIME_NS}
        for lane, known in (going_on or lanes).items():
            time_ns = known.time_ns
            if lane[2] == NO_WRITER and BEFORE_ALL_TIME_NS < time_ns < AFTER_ALL_TIME_NS:
                time_ns += self._now_ns - known.seen_ns
            latest = max(latest, time_ns)
        return latest


class Said(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A watermark on its way through a re-keyed topic: in the header of a record without key and value."""

    task: int
    tasks: int
    watermark_ns: int
    idle: bool


SAID_HEADER = "rr-watermark"
_said = msgspec.msgpack.Decoder(Said)
_encode = msgspec.msgpack.Encoder().encode


def encode_said(said: Said) -> bytes:
    """For the header."""
    return _encode(said)


def decode_said(data: bytes) -> Said:
    """The inverse; a `msgspec` error for what nobody here wrote."""
    return _said.decode(data)
