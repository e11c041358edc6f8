"""What a route makes of records, in one call for many. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from cluster.processing.draft import Part


class Row(NamedTuple):
    """One record that comes of another, and which: its place in the part."""

    place: int
    value: Any


class RowFailed(Exception):
    """An expression failed at one record; its cause says why."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


class Transform(Protocol):
    """A compiled route."""

    def rows(self, part: Part, first: int, end: int) -> Sequence[Row]:
        """What is made of the records from `first` to before `end`; RowFailed: nothing is."""
