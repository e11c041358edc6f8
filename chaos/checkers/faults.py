"""What was done to the cluster, by the history: each fault from when it was injected until it was mended."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from chaos.history import Event, Kind
from chaos.nemeses import known  # noqa: F401  all faults are registered with it
from chaos.nemeses.catalogue import families

SCOPE = "nemesis"
CLOCK = "clock"
"""The family of the faults that are done to clocks."""
Period = tuple[float, float]
"""From, to; seconds of the history's clock."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One. `ended_s` is infinite where it could not be mended."""

    name: str
    nodes: frozenset[int]
    began_s: float
    ended_s: float
    operation: int


def faults_of(events: Iterable[Event]) -> list[Fault]:
    """In the order in which they were injected; without those that turned out to be impossible."""
    begun: dict[int, Event] = {}
    ended: dict[int, Event] = {}
    for event in events:
        if event.scope == SCOPE:
            (begun if event.kind is Kind.INVOKE else ended)[event.operation] = event
    return [
        Fault(
            event.name,
            frozenset(event.value.get("nodes", ())),
            event.time_s,
            ended[number].time_s if number in ended and ended[number].kind is Kind.OK else float("inf"),
            number,
        )
        for number, event in begun.items()
        if number not in ended or ended[number].kind is not Kind.FAIL
    ]


def clock_faults(events: Iterable[Event]) -> list[Fault]:
    """Those of clocks: no other has made one wrong, whatever its options are called."""
    return [fault for fault in faults_of(events) if fault.name in families()[CLOCK]]


def beyond_minority(faults: Iterable[Fault], minority: int, *, exempt: Collection[str] = ()) -> list[Period]:
    """When more nodes than that were hit at a time, or something of those names was going on; merged, ascending."""
    marks = [(at_s, ends, fault) for fault in faults for at_s, ends in ((fault.began_s, False), (fault.ended_s, True))]
    active: dict[int, Fault] = {}
    found: list[Period] = []
    since: float | None = None
    for at_s, ends, fault in sorted(marks, key=lambda mark: (mark[0], mark[1])):
        if ends:
            active.pop(fault.operation, None)
        else:
            active[fault.operation] = fault
        hit = frozenset[int]().union(*(other.nodes for other in active.values()))
        beyond = len(hit) > minority or any(other.name in exempt for other in active.values())
        if beyond and since is None:
            since = at_s
        elif not beyond and since is not None:
            if at_s > since or fault.began_s == fault.ended_s:  # not where one ends as another begins
                found.append((since, at_s))
            since = None
    return found


def without(period: Period, others: Iterable[Period]) -> list[Period]:
    """What is left of it when those, ascending, are taken away."""
    begin, end = period
    left = []
    for other_begin, other_end in others:
        if other_end <= begin:
            continue
        if other_begin >= end:
            break
        if other_begin > begin:
            left.append((begin, other_begin))
        begin = max(begin, other_end)
    if begin < end:
        left.append((begin, end))
    return left


def length_s(periods: Iterable[Period]) -> float:
    """Of all together."""
    return sum(end - begin for begin, end in periods)


def overlap(one: Period, other: Period) -> Period:
    """What both have; it may be empty, and then it ends before it begins."""
    return max(one[0], other[0]), min(one[1], other[1])
