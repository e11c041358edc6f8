"""Entries in memory: those that are not written yet, and the newest written ones while there is room. Pure."""

from cluster.records import Entry
from cluster.types import Index


class Cache:
    """By index, oldest first. `bytes_max` bounds what is kept beyond what must be."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries: dict[Index, Entry] = {}
        self._bytes = 0

    def get(self, index: Index) -> Entry | None:
        """The entry, if it is here."""
        return self._entries.get(index)

    def add(self, entry: Entry) -> None:
        """One more at the end."""
        self._entries[entry.index] = entry
        self._bytes += entry.size_bytes

    def forget(self, first: Index, last: Index) -> None:
        """These are no part of the log any more."""
        for gone in [index for index in self._entries if first <= index <= last]:
            self._bytes -= self._entries.pop(gone).size_bytes

    def clear(self) -> None:
        """Nothing is left."""
        self._entries.clear()
        self._bytes = 0

    def shrink(self, written: Index) -> None:
        """Forget the oldest of those up to `written`, down to the limit."""
        while self._bytes > self._bytes_max:
            oldest = next(iter(self._entries))
            if oldest > written:
                return
            self._bytes -= self._entries.pop(oldest).size_bytes
