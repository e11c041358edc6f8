"""What a limit of age may have deleted: no record that is younger, however a single node's clock was set.

What is old is decided by the clocks of a majority of nodes, so one that is ahead deletes nothing. A record that was
stamped by a clock that was behind may go earlier by as much, and so may all while two clocks at a time are ahead. Both
are taken from the faults of the history. What somebody had asked for may go, too, from then on.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.checkers.anomaly import Anomaly, proof
from chaos.checkers.faults import SCOPE, Fault, clock_faults
from chaos.checkers.operations import Read, Send, sends_and_reads
from chaos.history import Event, Kind

SLACK_S = 1.0
"""Between what a history says and what nodes did."""


Wrong = tuple[float, float, float]
"""From, to, and by how much clocks were wrong then; seconds."""


@dataclass(frozen=True, slots=True)
class ClockErrors:
    """`behind`: any one, by the most that one was. `ahead`: two at a time."""

    behind: list[Wrong]
    ahead: list[Wrong]


def clock_errors(events: Sequence[Event]) -> ClockErrors:
    """By the faults that were done to clocks. What ran too fast is taken to have been as far ahead from the start."""
    options = {
        event.operation: event.value.get("options", {})
        for event in events
        if event.scope == SCOPE and event.kind is Kind.INVOKE
    }
    last_s = max((event.time_s for event in events), default=0.0)
    shifts = [(fault, _shift_s(fault, options[fault.operation], last_s)) for fault in clock_faults(events)]
    shifts = [(fault, shift_s) for fault, shift_s in shifts if shift_s]
    marks = sorted({at_s for fault, _ in shifts for at_s in (fault.began_s, fault.ended_s)})
    errors = ClockErrors([], [])
    for begin_s, end_s in pairwise(marks):
        off: dict[int, list[float]] = defaultdict(list)
        for fault, shift_s in shifts:
            if fault.began_s <= begin_s < fault.ended_s:
                for node in fault.nodes:
                    off[node].append(shift_s)
        behind_s = max((-sum(shift for shift in some if shift < 0) for some in off.values()), default=0.0)
        if behind_s:
            errors.behind.append((begin_s, end_s + SLACK_S, behind_s))
        most = sorted((sum(shift for shift in some if shift > 0) for some in off.values()), reverse=True)
        if len(most) > 1 and most[1]:
            errors.ahead.append((begin_s, end_s + SLACK_S, most[1]))
    return errors


def _shift_s(fault: Fault, options: Mapping[str, float], last_s: float) -> float:
    lasted_s = min(fault.ended_s, last_s) - fault.began_s
    return options.get("by_s", 0.0) + (options.get("rate", 1.0) - 1) * lasted_s


@dataclass(frozen=True, slots=True)
class _Seen:
    """Somebody was told where a partition begins, or one replica's copy begins there."""

    first: int
    ended_s: float
    operation: int


def check_ages(events: Sequence[Event], *, scope: str, kept_s: float) -> list[Anomaly]:
    """Every partition of which something was gone that had been sent less than `kept_s` seconds before."""
    errors = clock_errors(events)
    mine = [event for event in events if event.scope == scope]
    sends, reads = sends_and_reads(mine)
    seen, asked = _seen(mine, reads), _asked_for(mine)
    found = []
    by_partition: dict[int, list[Send]] = {}
    for send in sends:
        if send.kind is Kind.OK and send.offset is not None:
            by_partition.setdefault(send.partition, []).append(send)
    for partition, some in sorted(by_partition.items()):
        some.sort(key=lambda send: send.offset or 0)
        place = 0
        for told in seen.get(partition, ()):
            wanted = max((before for at_s, before in asked.get(partition, ()) if at_s <= told.ended_s), default=0)
            while place < len(some) and (some[place].offset or 0) < told.first:
                send, place = some[place], place + 1
                age_s, sure_s = _age_s(send, told, errors.ahead), kept_s - _behind_s(send, errors.behind) - SLACK_S
                if age_s < sure_s and (send.offset or 0) >= wanted:
                    said = f"{send.value} at {partition}@{send.offset} was gone {age_s:.1f} s after it was sent"
                    detail = f"{said}, not {kept_s:g}"
                    found.append(Anomaly("deleted too young", detail, proof(send.operation, told.operation)))
                    place = len(some)  # one of a partition is enough
    return found


def _age_s(send: Send, told: _Seen, ahead: Iterable[Wrong]) -> float:
    """The most that a majority may have taken for its age, before somebody was told that it is gone."""
    seen_s = [
        min(end_s, told.ended_s) + by_s
        for begin_s, end_s, by_s in ahead
        if begin_s <= told.ended_s and end_s >= send.invoked_s
    ]
    return max([told.ended_s, *seen_s]) - send.invoked_s


def _behind_s(send: Send, behind: Iterable[Wrong]) -> float:
    """The most by which the clock that stamped it was behind: while it was sent."""
    return max(
        (by_s for begin_s, end_s, by_s in behind if begin_s <= send.ended_s and end_s >= send.invoked_s), default=0
    )


def _seen(events: Iterable[Event], reads: Iterable[Read]) -> dict[int, list[_Seen]]:
    """What readers were told, who deleted, and what is on disks, by partition, in the order of their times."""
    found: dict[int, list[_Seen]] = defaultdict(list)
    for read in reads:
        if read.first is not None:
            found[read.partition].append(_Seen(read.first, read.ended_s, read.operation))
    for event in events:
        if event.name == "delete" and event.kind is Kind.OK and "left" in event.value:
            found[event.value["partition"]].append(_Seen(event.value["left"], event.time_s, event.operation))
        elif event.name == "copy" and event.kind is Kind.OK:
            found[event.value["partition"]].append(_Seen(event.value["first"], event.time_s, event.operation))
    for some in found.values():
        some.sort(key=lambda told: told.ended_s)
    return found


def _asked_for(events: Iterable[Event]) -> dict[int, list[tuple[float, int]]]:
    """Since when somebody may have deleted below which offset, by partition."""
    found: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for event in events:
        if event.name == "delete" and event.kind is Kind.INVOKE:
            found[event.value["partition"]].append((event.time_s, event.value["before"]))
    return found
