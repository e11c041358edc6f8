"""Whether it goes on: how long nobody got an acknowledgement, what a minority's fault may cost, and how it heals.

A partition is *unavailable* from an acknowledgement, or the beginning of the first send after it, up to the next
acknowledgement, however many sends fail in between. It ends with the last failure where nobody tries again for
`idle_s`. A send on condition of the partition's end that was refused does not count: it was answered.

A fault is a minority's if what goes on at that time hits no more nodes than a partition of so many replicas can do
without: one of three, two of five, wherever its replicas are. Then no partition may be unavailable for longer than
`grace_s` at a stretch. A fault of more may take everything with it, and the time to recover afterwards is `grace_s`,
too. A node that an operator has down is hit by that, and one that is restarted in its turn for as long as it is down.
One that a fault's end has started again is hit until it is up, which may take longer than the fault.
What is known of the run itself (`quiet`, `healed`) are its events of the scope `run`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.checkers.absences import IN_TURN, RUN, absences_of
from chaos.checkers.anomaly import Anomaly, proof
from chaos.checkers.faults import SCOPE as NEMESIS
from chaos.checkers.faults import Fault, Period, beyond_minority, faults_of, length_s, overlap, without
from chaos.checkers.operations import Send, sends_and_reads
from chaos.history import Event, Kind

IDLE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long what may take, in seconds."""

    heal_s: float = 60.0
    """From the last fault's end until the cluster answered."""
    progress_s: float = 20.0
    """How long a partition may be unavailable once it has answered."""
    unavailable_s: float = 30.0
    """The same at any time, without the times of faults that hit more than a minority."""
    grace_s: float = 15.0
    """The same during a fault of a minority: to notice and to elect."""


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Window:
    """A partition was unavailable for so long."""

    partition: int
    began_s: float
    ended_s: float
    operations: tuple[int, ...]
    """The first send that had to wait or failed, and the one that was acknowledged, if any."""

    @property
    def period(self) -> Period:
        """From, to."""
        return self.began_s, self.ended_s


def unavailability(
    events: Iterable[Event], *, scope: str, at_least_s: float = 1.0, idle_s: float = IDLE_S
) -> list[Window]:
    """Every window of that length, by the sends of one workload; in the order of partitions, then of time."""
    mine = [event for event in events if event.scope == scope]
    last_s: dict[str, float] = {}
    for event in mine:
        last_s[event.process] = max(event.time_s, last_s.get(event.process, event.time_s))
    marks: dict[int, list[tuple[float, Kind, Send]]] = {}
    for send in sends_and_reads(mine)[0]:
        if send.kind is Kind.FAIL and send.expected_end is not None:
            continue
        # Without an outcome: its sender waited as long as anything was heard of it.
        ended_s = min(send.ended_s, max(last_s[send.process], send.invoked_s))
        marks.setdefault(send.partition, []).extend(((send.invoked_s, Kind.INVOKE, send), (ended_s, send.kind, send)))
    found = []
    for partition, of_partition in sorted(marks.items()):
        of_partition.sort(key=lambda mark: mark[0])
        found += [
            window for window in _windows(partition, of_partition, idle_s) if length_s([window.period]) >= at_least_s
        ]
    return found


def _windows(partition: int, marks: Sequence[tuple[float, Kind, Send]], idle_s: float) -> Iterator[Window]:
    under_way: dict[int, Send] = {}
    since: tuple[float, int] | None = None
    ended_s = 0.0
    for at_s, kind, send in marks:
        if kind is Kind.INVOKE:
            if since is not None and not under_way and at_s - ended_s > idle_s:
                yield Window(partition, since[0], ended_s, proof(since[1]))
                since = None
            since = since or (at_s, send.operation)
            under_way[send.operation] = send
            continue
        under_way.pop(send.operation, None)
        ended_s = at_s
        if kind is Kind.OK and since is not None:
            yield Window(partition, since[0], at_s, proof(since[1], send.operation))
            since = (at_s, next(iter(under_way))) if under_way else None
    if since is not None:
        yield Window(partition, since[0], ended_s, proof(since[1]))


def check_liveness(
    events: Iterable[Event],
    *,
    scope: str,
    replicas: int,
    bounds: Bounds = DEFAULT_BOUNDS,
    exempt: Collection[str] = (),
) -> list[Anomaly]:
    """Everything that took too long. `exempt`: faults, by name, that may stop a partition whomever they hit."""
    events = list(events)
    faults = [*(fault for fault in faults_of(events) if fault.name != IN_TURN), *absences_of(events)]
    run = {event.name: event.time_s for event in events if event.scope == RUN}
    beyond = beyond_minority(faults, (replicas - 1) // 2, exempt=exempt)
    recovering = _merged((begin, end + bounds.grace_s) for begin, end in beyond)
    shortest_s = min(bounds.progress_s, bounds.unavailable_s, bounds.grace_s)
    windows = unavailability(events, scope=scope, at_least_s=shortest_s)
    unmended = [event for event in events if event.scope == NEMESIS and event.kind is Kind.INFO]
    found = [] if unmended else _healing(run, bounds)
    for window in windows:
        where = f"partition {window.partition} from {window.began_s:.1f} s to {window.ended_s:.1f} s"
        took_s = length_s(without(window.period, recovering))
        if took_s > bounds.unavailable_s:
            found.append(Anomaly("unavailable", f"{where}: no send was acknowledged", window.operations))
        begin, end = overlap(window.period, (run.get("healed", float("inf")), float("inf")))
        if end - begin > bounds.progress_s:
            found.append(Anomaly("no progress", f"{where}, healed at {begin:.1f} s at the latest", window.operations))
    for fault in faults:
        if fault.name not in exempt:
            found += _during(fault, windows, recovering, bounds)
    return found


def _healing(run: Mapping[str, float], bounds: Bounds) -> list[Anomaly]:
    if "quiet" not in run:
        return []
    if "healed" not in run:
        return [Anomaly("not healed", f"the last fault ended at {run['quiet']:.1f} s, and nobody answered after that")]
    took_s = run["healed"] - run["quiet"]
    if took_s <= bounds.heal_s:
        return []
    return [Anomaly("slow to heal", f"{took_s:.1f} s from the last fault's end; {bounds.heal_s:.0f} s are allowed")]


def _during(fault: Fault, windows: Iterable[Window], recovering: Sequence[Period], bounds: Bounds) -> list[Anomaly]:
    """Partitions that stood still while nothing but this, or less than a majority, was wrong."""
    found = []
    alone = without((fault.began_s, fault.ended_s), recovering)
    for window in windows:
        longest_s = max((end - begin for begin, end in (overlap(window.period, part) for part in alone)), default=0.0)
        if longest_s > bounds.grace_s:
            found.append(
                Anomaly(
                    "stopped by a minority",
                    f"{fault.name} hit {sorted(fault.nodes)} at {fault.began_s:.1f} s, and partition "
                    f"{window.partition} stood still for {longest_s:.1f} s of it",
                    proof(fault.operation, *window.operations),
                )
            )
    return found


def _merged(periods: Iterable[Period]) -> list[Period]:
    found: list[Period] = []
    for begin, end in periods:
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found
