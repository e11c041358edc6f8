"""What a log's committed entries have deleted: TRIM_TO and DROP_TOMBSTONES, known to be committed or not yet. Pure.

A record below a *committed* TRIM_TO is gone for every reader, even while its segment is still there. One that is not
committed changes nothing: it may be cut from the log again. The same goes for the limit of tombstones.
"""

from collections import deque
from collections.abc import Iterable

from cluster.holes import tombstone_limit
from cluster.log.fold import Fold, trim_offset
from cluster.records import Entry, EntryKind
from cluster.types import Index, Offset

NO_LIMIT = Index(1 << 62)
"""Beyond every entry."""


class Trims:
    """`start` is the first offset that no committed trim has taken; tombstones up to `tombstones_upto` may go."""

    __slots__ = ("_open", "start", "tombstones_upto")

    def __init__(self, fold: Fold) -> None:
        self.start = fold.start_offset
        self.tombstones_upto = fold.tombstones_upto
        self._open: deque[tuple[Index, Offset, Index]] = deque()

    def appended(self, entries: Iterable[Entry]) -> None:
        """Entries came to the end of the log."""
        for entry in entries:
            if entry.kind is EntryKind.TRIM_TO:
                self._open.append((entry.index, trim_offset(entry), Index(0)))
            elif entry.kind is EntryKind.DROP_TOMBSTONES:
                self._open.append((entry.index, Offset(0), tombstone_limit(entry)))
            elif entry.hole is not None and entry.hole.tombstones_upto:
                self._open.append((entry.last_index, Offset(0), entry.hole.tombstones_upto))

    def truncated_from(self, index: Index) -> None:
        """The entry at `index` and all after it are gone."""
        while self._open and self._open[-1][0] >= index:
            self._open.pop()

    def committed(self, index: Index) -> None:
        """Entries up to `index` are committed."""
        while self._open and self._open[0][0] <= index:
            _, start, tombstones = self._open.popleft()
            self.start = max(self.start, start)
            self.tombstones_upto = max(self.tombstones_upto, tombstones)
