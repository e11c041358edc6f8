"""Entries in memory: those that are not written yet, and the newest written ones while there is room. Pure.

And the last hole that was read: a follower takes a large one in many pieces, and each is made of the whole.
"""

from cluster.records import Entry
from cluster.types import Index


class Cache:
    """By index, oldest first. `bytes_max` bounds what is kept beyond what must be."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries: dict[Index, Entry] = {}
        self._bytes = 0
        self._hole: Entry | None = None

    def get(self, index: Index) -> Entry | None:
        """The entry, if it is here."""
        hole = self._hole
        if hole is not None and hole.index <= index <= hole.last_index:
            return hole
        return self._entries.get(index)

    def keep(self, hole: Entry) -> None:
        """It was read, and may be wanted again."""
        self._hole = hole

    def add(self, entry: Entry) -> None:
        """One more at the end."""
        self._entries[entry.index] = entry
        self._bytes += entry.size_bytes

    def forget(self, first: Index, last: Index) -> None:
        """These are no part of the log any more."""
        if self._hole is not None and self._hole.index <= last and first <= self._hole.last_index:
            self._hole = None
        for gone in [index for index in self._entries if first <= index <= last]:
            self._bytes -= self._entries.pop(gone).size_bytes

    def clear(self) -> None:
        """Nothing is left."""
        self._entries.clear()
        self._bytes, self._hole = 0, None

    def shrink(self, written: Index) -> None:
        """Forget the oldest of those up to `written`, down to the limit."""
        while self._bytes > self._bytes_max:
            oldest = next(iter(self._entries))
            if oldest > written:
                return
            self._bytes -= self._entries.pop(oldest).size_bytes
