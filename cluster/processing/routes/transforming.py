"""A route's program on a part of a batch: columns for what is known of the records beside their values. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cluster.processing.draft import Part
from cluster.processing.routes.program import Plan, Program
from cluster.processing.transform import Made, Rows

_COLUMNS: dict[str, Callable[[Part, int, int], Sequence[Any]]] = {
    "key": lambda part, first, end: part.keys[first:end],
    "timestamp": lambda part, first, end: part.times[first:end],
    "offset": lambda part, first, end: part.columns.offsets[first:end],
    "partition": lambda part, first, end: part.partitions(first, end),
    "topic": lambda part, first, end: [part.spec.topic] * (end - first),
    "headers": lambda part, first, end: [part.columns.headers(place) for place in range(first, end)],
}
"""By their names in `Program.columns`."""


class RouteTransform:
    """See Transform. `plan`: of the whole route, or of what one stage does of it."""

    def __init__(self, plan: Plan, lookups: Mapping[str, str] | None = None) -> None:
        self.lookups = lookups or {}
        self._program = Program(plan)
        self.changes = plan.changes

    def made(self, part: Part, first: int, end: int, rows: Rows) -> list[list[Made]]:
        """See Transform."""
        columns = {name: _COLUMNS[name](part, first, end) for name in self._program.columns}
        pairs, keys, times_ns, chosen = self._program.run(part.events[first:end], columns, rows)
        values = part.columns.values
        all_made = [
            Made(
                place + first,
                value if self.changes else values[place + first],
                part.keys[place + first] if keys is None else keys[number],
                part.times[place + first] if times_ns is None else times_ns[number],
            )
            for number, (place, value) in enumerate(pairs)
        ]
        return [all_made if some is None else [all_made[number] for number in some] for some in chosen]
