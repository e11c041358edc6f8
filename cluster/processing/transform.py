"""What a route makes of records, in one call for many, and the operator that puts it out. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from cluster.errors import ExpressionFailed
from cluster.processing.draft import SOURCE_HEADER, Draft, Part, inherited
from cluster.processing.event import encode_value
from cluster.processing.work import Fired, Output

Rows = Mapping[str, Sequence[Any]]
"""By look-up, what was found for each record; None for nothing."""
FindRows = Callable[[str, Sequence[bytes | None]], list[Any]]
"""The rows of a table's topic for these keys."""


class Made(NamedTuple):
    """One record that comes of another: of the one at `place`.

    `value` is plain data, or bytes as they were; of a tombstone it is empty bytes.
    """

    place: int
    value: Any
    key: bytes | None
    time_ns: int


class Transform(Protocol):
    """A compiled route, or a part of one."""

    lookups: Mapping[str, str]
    """Names, and the topics of their tables, whose keys are the records' own."""
    changes: bool
    """Whether values are made anew; else they are bytes, as they came."""

    def made(self, part: Part, first: int, end: int, rows: Rows) -> list[list[Made]]:
        """For each destination what is made of the records from `first` to before `end`.

        ExpressionFailed: nothing is; its `place` counts from `first`.
        """


class Routed:
    """The operator of a route whose destinations are topics: the outputs, in their order."""

    knows_place = True

    def __init__(self, transform: Transform, draft: Draft, find_rows: FindRows) -> None:
        self._transform = transform
        self._draft = draft
        self._find_rows = find_rows

    def take(self, part: Part, first: int, end: int) -> None:
        """Put out what is made of the records from `first` to before `end`."""
        draft = self._draft
        draft.at_record(part, first)
        columns, outputs = part.columns, draft.outputs
        for number, made in enumerate(made_of(self._transform, part, first, end, draft, self._find_rows)):
            for place, value, key, time_ns in made:
                draft.place = place
                headers = [*inherited(columns.headers(place)), (SOURCE_HEADER, part.source(place).encode())]
                outputs.append(
                    Output(output=number, key=key, value=encode_value(value), headers=headers, timestamp_ns=time_ns)
                )

    def fire(self, fired: Fired) -> None:
        """Routes set no timers."""
        raise AssertionError(f"timer {fired.name!r} of a route")


def made_of(
    transform: Transform, part: Part, first: int, end: int, draft: Draft, find_rows: FindRows
) -> list[list[Made]]:
    """The same as `Transform.made`, with rows looked up, and the draft at the record that it fails at."""
    keys = part.keys[first:end]
    rows = {name: find_rows(topic, keys) for name, topic in transform.lookups.items()}
    try:
        return transform.made(part, first, end, rows)
    except ExpressionFailed as error:
        draft.place = first + error.place
        raise
