"""A route's program on a part of a batch: columns for what is known of the records beside their values. Pure.

Tombstones are nothing that expressions could look into: they go on to every destination as they are, under their keys.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cluster.errors import ExpressionFailed
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
        self._rekeys = plan.key is not None
        self._destinations = plan.destinations
        self.changes = plan.changes

    def made(self, part: Part, first: int, end: int, rows: Rows) -> list[list[Made]]:
        """See Transform."""
        if b"" in part.columns.values[first:end]:
            return self._between_tombstones(part, first, end, rows)
        return self._made(part, first, end, rows)

    def _between_tombstones(self, part: Part, first: int, end: int, rows: Rows) -> list[list[Made]]:
        deleted = [place for place in range(first, end) if part.deletes(place)]
        found: list[list[Made]] = [[] for _ in self._destinations]
        begin = first
        for place in [*deleted, end]:
            if begin < place:
                own = {name: column[begin - first : place - first] for name, column in rows.items()}
                try:
                    made = self._made(part, begin, place, own)
                except ExpressionFailed as error:
                    error.place += begin - first
                    raise
                for some, more in zip(found, made, strict=True):
                    some.extend(more)
            if place < end:
                if self._rekeys:
                    raise ExpressionFailed(
                        "key: the record has no value (it is a tombstone), so there is nothing to make a key of",
                        place=place - first,
                        field="key",
                    )
                for some in found:
                    some.append(Made(place, b"", part.keys[place], part.times[place]))
            begin = place + 1
        return found

    def _made(self, part: Part, first: int, end: int, rows: Rows) -> list[list[Made]]:
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
