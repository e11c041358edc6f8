"""What lasted during a run: faults, who led what, how nodes were, and the moments between a run's phases.

Leaders are as somebody asked about once a second: a change is seen up to a second late.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.history import Event, Kind
from chaos.report.unavailability import partition_order

STATES = {
    "started": "up",
    "resumed": "up",
    "killed": "down",
    "terminated": "down",
    "ended": "down",
    "removed": "down",
    "off": "down",
    "paused": "paused",
}
"""What a `node` event says → how the node is from then on."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was so from its begin to its end: a node's number, a state."""

    start_s: float
    end_s: float
    what: Any


@dataclass(slots=True)
class Fault:
    """One that was injected. `number` counts them from 1."""

    number: int
    operation: int
    name: str
    role: str
    nodes: list[int]
    options: Mapping[str, Any]
    start_s: float
    end_s: float | None = None
    """None: the history ends before it was over."""
    mended: bool = False
    """False as well where the mend itself went wrong."""

    @property
    def target(self) -> str:
        """Whom it hit: "leader: 2", "minority: 1, 3"."""
        nodes = ", ".join(map(str, self.nodes))
        return f"{self.role}: {nodes}" if nodes and self.role else nodes or self.role


@dataclass(frozen=True, slots=True)
class Spans:
    """All that lasted."""

    end_s: float
    """Of the run: its last event."""
    faults: Sequence[Fault]
    leaders: Mapping[str, Sequence[Span]]
    """Of each partition ("topic/number"): nodes' numbers; gaps where none was known."""
    controller: Sequence[Span]
    nodes: Mapping[int, Sequence[Span]]
    """Of each node: "up", "down", "paused"."""
    marks: Mapping[str, float] = field(default_factory=dict)
    """`load`, `quiet`, `healed`, `end`: when each was first."""


def spans(events: Sequence[Event], nodes: Iterable[int] = ()) -> Spans:
    """Of a whole history. `nodes`: those that there are, though none of them may ever be told of."""
    end_s = max((event.time_s for event in events), default=0.0)
    ours = [event for event in events if event.scope == "run" and event.kind is Kind.OK]
    roles = [event for event in ours if event.name == "roles"]
    marks: dict[str, float] = {}
    for event in ours:
        if event.name in {"load", "quiet", "healed", "end"}:
            marks.setdefault(event.name, event.time_s)
    named = sorted({partition for event in roles for partition in event.value.get("leaders", {})}, key=partition_order)
    return Spans(
        end_s,
        faults(events),
        {p: _held([(e.time_s, e.value.get("leaders", {}).get(p)) for e in roles], end_s) for p in named},
        _held([(event.time_s, event.value.get("controller")) for event in roles], end_s),
        _node_states([event for event in ours if event.name == "node"], nodes, end_s),
        marks,
    )


def faults(events: Iterable[Event]) -> list[Fault]:
    """In the order in which they were injected."""
    found: dict[int, Fault] = {}
    for event in events:
        if event.scope != "nemesis":
            continue
        if event.kind is Kind.INVOKE:
            value = event.value
            nodes = [node for node in value.get("nodes", ()) if isinstance(node, int)]
            found[event.operation] = Fault(
                len(found) + 1,
                event.operation,
                event.name,
                str(value.get("role", "")),
                nodes,
                value.get("options") or {},
                event.time_s,
            )
        elif (fault := found.get(event.operation)) is not None:
            fault.end_s, fault.mended = event.time_s, event.kind is Kind.OK
    return list(found.values())


def _held(samples: Sequence[tuple[float, Any]], end_s: float) -> list[Span]:
    """Samples as spans: each lasts until one that says something else."""
    found: list[Span] = []
    for place, (at_s, what) in enumerate(samples):
        until_s = samples[place + 1][0] if place + 1 < len(samples) else end_s
        if what is None:
            continue
        if found and found[-1].what == what and found[-1].end_s == at_s:
            found[-1] = Span(found[-1].start_s, until_s, what)
        else:
            found.append(Span(at_s, until_s, what))
    return found


def _node_states(events: Iterable[Event], nodes: Iterable[int], end_s: float) -> dict[int, list[Span]]:
    """A node of which nothing is told was up all the time; before it was first started there is nothing to say."""
    samples: dict[int, list[tuple[float, str]]] = {node: [] for node in nodes}
    for event in events:
        state = STATES.get(event.value.get("what", ""))
        if state is not None and isinstance(event.value.get("node"), int):
            mine = samples.setdefault(event.value["node"], [])
            if not mine and event.value["what"] != "started":
                mine.append((0.0, "up"))
            mine.append((event.time_s, state))
    return {node: _held(mine or [(0.0, "up")], end_s) for node, mine in sorted(samples.items())}
