"""Operations of a run's workloads, each put together from its events; and how many there were a second.

An operation without a second event is of unknown outcome; it counts where it began, and nobody knows how long it took.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.history import Event, Kind
from chaos.report.run_folder import OUR_SCOPES

OUTCOMES = (Kind.OK, Kind.FAIL, Kind.INFO)
WIDTHS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""How wide a bucket of time may be."""
SECOND_S = 1.0
SHORT_RUN_S = 30.0
"""Only in shorter ones a bucket is less than a second: there are too few operations in it."""


@dataclass(slots=True)
class Operation:
    """One, with its times in seconds."""

    number: int
    scope: str
    process: str
    name: str
    invoked_s: float
    value: dict[str, Any]
    """As it was invoked."""
    kind: Kind = Kind.INFO
    ended_s: float | None = None


def operations(events: Iterable[Event]) -> list[Operation]:
    """Of workloads, in the order in which they began."""
    found: dict[int, Operation] = {}
    for event in events:
        if event.scope in OUR_SCOPES:
            continue
        if event.kind is Kind.INVOKE:
            found[event.operation] = Operation(
                event.operation, event.scope, event.process, event.name, event.time_s, event.value
            )
        elif (operation := found.get(event.operation)) is not None:
            operation.kind, operation.ended_s = event.kind, event.time_s
    return list(found.values())


def counts(done: Iterable[Operation]) -> dict[tuple[str, str], dict[Kind, int]]:
    """Of each workload and name, so many of each outcome."""
    found: dict[tuple[str, str], dict[Kind, int]] = {}
    for operation in done:
        row = found.setdefault((operation.scope, operation.name), dict.fromkeys(OUTCOMES, 0))
        row[operation.kind] += 1
    return found


def percentile(ascending: Sequence[float], share: float) -> float:
    """By nearest rank, of what is sorted and not empty."""
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


@dataclass(slots=True)
class Rates:
    """A run in buckets of `width_s`; the first begins at 0. Rates a second, latencies in seconds (None: no sample)."""

    width_s: float
    rates: dict[Kind, list[float]] = field(default_factory=dict)
    p50_s: list[float | None] = field(default_factory=list)
    p99_s: list[float | None] = field(default_factory=list)
    max_s: list[float | None] = field(default_factory=list)
    timed: str = ""
    """Whose latency that is: one name of an operation, or "operations"."""


def bucketed(done: Sequence[Operation], end_s: float, buckets_max: int) -> Rates:
    """At most so many buckets, or those of an hour. Counted where they ended."""
    least_s = SECOND_S if end_s > SHORT_RUN_S else 0.0
    width_s = next((w for w in WIDTHS_S if w >= least_s and end_s / w <= buckets_max), WIDTHS_S[-1])
    size = max(1, math.ceil(end_s / width_s))
    rates = Rates(width_s, {kind: [0.0] * size for kind in OUTCOMES})
    timed = [o for o in done if o.kind is Kind.OK and o.ended_s is not None]
    sends = [o for o in timed if o.name == "send"]
    rates.timed = "sends" if sends else "operations"
    for operation in done:
        at_s = operation.invoked_s if operation.ended_s is None else operation.ended_s
        rates.rates[operation.kind][_place(at_s, width_s, size)] += 1 / width_s
    samples: list[list[float]] = [[] for _ in range(size)]
    for operation in sends or timed:
        assert operation.ended_s is not None
        samples[_place(operation.ended_s, width_s, size)].append(operation.ended_s - operation.invoked_s)
    for bucket in samples:
        bucket.sort()
        rates.p50_s.append(percentile(bucket, 0.5) if bucket else None)
        rates.p99_s.append(percentile(bucket, 0.99) if bucket else None)
        rates.max_s.append(bucket[-1] if bucket else None)
    return rates


def _place(at_s: float, width_s: float, size: int) -> int:
    return min(size - 1, max(0, int(at_s / width_s)))
