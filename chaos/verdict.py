"""What came of a run, for people, programs and the figures."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from chaos.checkers.anomaly import Anomaly
from chaos.history import Event, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`failure`: why the run itself did not come to its end; then nothing is proven, whatever was found so far."""

    anomalies: Sequence[tuple[str, Anomaly]]
    """With the workload that it is of, or "" where it is nobody's."""
    operations: Mapping[str, int]
    """How many began (`invoke`), and how they ended: ok, fail, info."""
    faults: Mapping[str, int]
    """By name."""
    seconds: float
    checked: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By checker the anomalies that would have been told of."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    longest: tuple[str, float, float] | None = None
    """The longest that a partition ("workload/number") that was sent to acknowledged nothing: from when, seconds."""
    failure: str = ""

    @property
    def ok(self) -> bool:
        """It ran to its end, and nothing was wrong."""
        return not self.anomalies and not self.failure

    def to_json(self) -> str:
        """One object."""
        plain = {
            "ok": self.ok,
            "failure": self.failure,
            "anomalies": [{"workload": workload, **asdict(anomaly)} for workload, anomaly in self.anomalies],
            "operations": dict(self.operations),
            "faults": dict(self.faults),
            "seconds": round(self.seconds, 3),
            "checked": dict(self.checked),
            "figures": dict(self.figures),
            "longest_unavailable": list(self.longest) if self.longest is not None else None,
            "notes": list(self.notes),
        }
        return json.dumps(plain, indent=1)

    def summary(self) -> str:
        """A few lines."""
        said = self.operations
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())) or "none"
        head = (
            f"{said['invoke']:,} operations in {self.seconds:.0f} s: {said['ok']:,} ok, {said['fail']:,} failed, "
            f"{said['info']:,} unknown\nfaults: {faults}"
        )
        lines = [head, *self._unavailable(), *self.notes]
        if self.failure:
            lines.append(f"the run did not come to its end: {self.failure}")
        found = Counter(anomaly.name for _, anomaly in self.anomalies)
        lines += [f"{name} ({count}): {_first(self.anomalies, name)}" for name, count in sorted(found.items())]
        count = len(self.anomalies)
        found_none = "no anomalies" if not self.failure else "nothing is proven"
        lines.append(f"{count} anomalies" if count else found_none)
        return "\n".join(lines)

    def _unavailable(self) -> list[str]:
        if self.longest is None:
            return []
        partition, began_s, seconds = self.longest
        return [f"longest without an acknowledgement: {partition} for {seconds:.1f} s from {began_s:.1f} s on"]


def _first(anomalies: Sequence[tuple[str, Anomaly]], name: str) -> str:
    return next(anomaly.detail for _, anomaly in anomalies if anomaly.name == name)


def count_operations(events: Sequence[Event]) -> dict[str, int]:
    """Of workloads; an operation without an end is unknown, and what only happened (no invoke) is not counted."""
    mine = [event for event in events if event.scope not in _NOT_CLIENTS]
    begun = {event.operation for event in mine if event.kind is Kind.INVOKE}
    ended = Counter(event.kind.value for event in mine if event.operation in begun and event.kind is not Kind.INVOKE)
    unended = len(begun) - sum(ended.values())
    return {"invoke": len(begun), "ok": ended["ok"], "fail": ended["fail"], "info": ended["info"] + unended}


_NOT_CLIENTS = {"nemesis", "run", "trace"}
