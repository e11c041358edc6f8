"""How far a log's records are deleted: TRIM_TO entries, known to be committed or not yet. Pure.

A record below a *committed* TRIM_TO is gone for every reader, even while its segment is still there. One that is not
committed changes nothing: it may be cut from the log again.
"""

from collections import deque
from collections.abc import Iterable

from cluster.log.fold import trim_offset
from cluster.records import Entry, EntryKind
from cluster.types import Index, Offset


class Trims:
    """`start` is the first offset that no committed trim has taken."""

    __slots__ = ("_open", "start")

    def __init__(self, start: Offset, entries: Iterable[Entry] = ()) -> None:
        self.start = start
        self._open: deque[tuple[Index, Offset]] = deque()
        self.appended(entries)

    def appended(self, entries: Iterable[Entry]) -> None:
        """Entries came to the end of the log."""
        self._open.extend((entry.index, trim_offset(entry)) for entry in entries if entry.kind is EntryKind.TRIM_TO)

    def truncated_from(self, index: Index) -> None:
        """The entry at `index` and all after it are gone."""
        while self._open and self._open[-1][0] >= index:
            self._open.pop()

    def committed(self, index: Index) -> None:
        """Entries up to `index` are committed."""
        while self._open and self._open[0][0] <= index:
            self.start = max(self.start, self._open.popleft()[1])
