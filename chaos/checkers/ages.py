"""What a limit of age may have deleted: no record that is younger, however a single node's clock was set.

What is old is decided by the clocks of a majority of nodes, so one that is ahead deletes nothing. A record that was
stamped by a clock that was behind may go earlier by as much, and so may all while two clocks at a time are ahead. Both
are taken from the faults of the history.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.checkers.anomaly import Anomaly, proof
from chaos.checkers.faults import SCOPE, Fault, faults_of
from chaos.checkers.operations import Read, Send, sends_and_reads
from chaos.history import Event, Kind

SLACK_S = 1.0
"""Between what a history says and what nodes did."""


Ahead = tuple[float, float, float]
"""From, to, and by how much two clocks were ahead of the truth then; seconds."""


@dataclass(frozen=True, slots=True)
class ClockErrors:
    """`behind_s`: the most that any clock ever was, in seconds."""

    behind_s: float
    ahead: list[Ahead]


def clock_errors(events: Sequence[Event]) -> ClockErrors:
    """By the faults that were done to clocks. What ran too fast is taken to have been as far ahead from the start."""
    options = {
        event.operation: event.value.get("options", {})
        for event in events
        if event.scope == SCOPE and event.kind is Kind.INVOKE
    }
    last_s = max((event.time_s for event in events), default=0.0)
    shifts = [(fault, _shift_s(fault, options[fault.operation], last_s)) for fault in faults_of(events)]
    shifts = [(fault, shift_s) for fault, shift_s in shifts if shift_s]
    marks = sorted({at_s for fault, _ in shifts for at_s in (fault.began_s, fault.ended_s)})
    behind_s, ahead = 0.0, []
    for begin_s, end_s in pairwise(marks):
        off: dict[int, list[float]] = {}
        for fault, shift_s in shifts:
            if fault.began_s <= begin_s < fault.ended_s:
                for node in fault.nodes:
                    off.setdefault(node, []).append(shift_s)
        behind_s = max([behind_s, *(-sum(shift for shift in some if shift < 0) for some in off.values())])
        most = sorted((sum(shift for shift in some if shift > 0) for some in off.values()), reverse=True)
        if len(most) > 1 and most[1]:
            ahead.append((begin_s, end_s + SLACK_S, most[1]))
    return ClockErrors(behind_s, ahead)


def _shift_s(fault: Fault, options: Mapping[str, float], last_s: float) -> float:
    lasted_s = min(fault.ended_s, last_s) - fault.began_s
    return options.get("by_s", 0.0) + (options.get("rate", 1.0) - 1) * lasted_s


def check_ages(events: Sequence[Event], *, scope: str, kept_s: float) -> list[Anomaly]:
    """Every partition of which something was gone that had been sent less than `kept_s` seconds before."""
    errors = clock_errors(events)
    sure_s = kept_s - errors.behind_s - SLACK_S
    mine = [event for event in events if event.scope == scope]
    sends, reads = sends_and_reads(mine)
    told = _asked_for(mine)
    found = []
    by_partition: dict[int, list[Send]] = {}
    for send in sends:
        if send.kind is Kind.OK and send.offset is not None:
            by_partition.setdefault(send.partition, []).append(send)
    for partition, some in sorted(by_partition.items()):
        some.sort(key=lambda send: send.offset or 0)
        place = 0
        for read in (read for read in reads if read.partition == partition and read.first is not None):
            while place < len(some) and (some[place].offset or 0) < (read.first or 0):
                send, place = some[place], place + 1
                age_s = _age_s(send, read, errors.ahead)
                if age_s < sure_s and (send.offset or 0) >= told.get(partition, 0):
                    said = f"{send.value} at {partition}@{send.offset} was gone {age_s:.1f} s after it was sent"
                    detail = f"{said}, not {kept_s:g}"
                    found.append(Anomaly("deleted too young", detail, proof(send.operation, read.operation)))
                    place = len(some)  # one of a partition is enough
    return found


def _age_s(send: Send, read: Read, ahead: Iterable[Ahead]) -> float:
    """The most that a majority may have taken for its age, before somebody was told that it is gone."""
    seen_s = [
        min(end_s, read.ended_s) + by_s
        for begin_s, end_s, by_s in ahead
        if begin_s <= read.ended_s and end_s >= send.invoked_s
    ]
    return max([read.ended_s, *seen_s]) - send.invoked_s


def _asked_for(events: Iterable[Event]) -> dict[int, int]:
    """Below which offset somebody may have deleted, by partition."""
    found: dict[int, int] = {}
    for event in events:
        if event.name == "delete" and event.kind is Kind.INVOKE:
            partition = event.value["partition"]
            found[partition] = max(found.get(partition, 0), event.value["before"])
    return found
