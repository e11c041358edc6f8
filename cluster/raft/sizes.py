"""How large the newest entries are: what flow control counts, and all that a core knows of content."""

from cluster.messages import EntryHeader
from cluster.raft.configuration import Memberships
from cluster.raft.terms import TermRuns
from cluster.types import Index

KEPT_MAX = 4096
"""Sizes remembered of the newest entries; older ones count as `ASSUMED_BYTES`."""
ASSUMED_BYTES = 64 * 1024


class Sizes:
    """Sizes by index. An entry that took another's place has its size; what was dropped is never asked for."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes: dict[Index, int] = {}

    def note(self, header: EntryHeader) -> None:
        """A new entry at the end of the log."""
        self._bytes[header.index] = header.size_bytes
        self._bytes.pop(Index(header.index - KEPT_MAX), None)

    def headers(self, terms: TermRuns, memberships: Memberships, first: Index, last: Index) -> tuple[EntryHeader, ...]:
        """The headers of entries that are in the log."""
        sizes, term_at = self._bytes, terms.term_at
        found = []
        for number in range(first, last + 1):
            index = Index(number)
            term = term_at(index)
            assert term is not None, f"no entry {index} here"
            found.append(EntryHeader(index, term, sizes.get(index, ASSUMED_BYTES), memberships.at(index)))
        return tuple(found)
