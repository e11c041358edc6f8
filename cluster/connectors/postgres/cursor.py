"""Where a capture is, as its cursor says it, and which transactions a snapshot has seen. Pure.

**How a snapshot and the stream become one, exactly once, through crashes.** The slot is there first. Then each *run* of
the reading process takes a snapshot of its own and goes on behind the last row that was committed here, in the order of
the primary key. A part of a table that was read in one run is a *segment*: its last key, and the snapshot's `xmin`,
`xmax` and running transactions, which say of every transaction whether it is in there. When the stream is read
afterwards, from the slot's beginning, a change is passed over if, and only if, the segment that its key lies in has
seen its transaction.

No transaction falls between slot and snapshot: the first snapshot waits until everything that had begun when the slot
was there has ended. The segments are forgotten when the stream is behind everything that any of them can have seen.

A table that was emptied, or rewritten, between two runs is begun anew, after a record that says so.
"""

from collections.abc import Sequence

import msgspec

from cluster.connectors.postgres.values import BOOL, BPCHAR, WHOLE

Key = tuple[int | str, ...]
"""Comparable as the reading orders it."""
XID_SPAN = 1 << 32


class Segment(msgspec.Struct):
    """A part of a table, up to and with `upper` (None: to its end), as `seen` ("xmin:xmax:running,…") saw it."""

    seen: str
    lsn: int
    """Whatever it saw was committed before that."""
    upper: list[str] | None


class Reading(msgspec.Struct):
    """A table in the snapshot. `shape` tells whether it is still the same heap with the same key."""

    table: str
    shape: str = ""
    rows: int = 0
    segments: list[Segment] = []

    @property
    def done(self) -> bool:
        """It was read to its end."""
        return bool(self.segments) and self.segments[-1].upper is None


class Cursor(msgspec.Struct):
    """Everything that committed before `lsn` is here, and of what commits at `lsn` the first `changes`.

    `system`: the database cluster that it is a place in. `readings`: the snapshot, as long as it is needed.
    """

    system: str
    slot: str
    lsn: int
    changes: int = 0
    readings: list[Reading] = []
    version: int = 1

    def encode(self) -> bytes:
        """As bytes."""
        return msgspec.json.encode(self)

    @property
    def in_snapshot(self) -> bool:
        """There are tables that were not read to their end."""
        return not all(reading.done for reading in self.readings)


def decode_cursor(content: bytes) -> Cursor:
    """The other way."""
    return msgspec.json.decode(content, type=Cursor)


class Seen:
    """Which transactions a snapshot sees.

    >>> seen = Seen("100:105:100,103")
    >>> [xid for xid in range(98, 107) if seen.has(xid)]
    [98, 99, 101, 102, 104]
    """

    def __init__(self, written: str) -> None:
        lowest, end, running = written.split(":")
        self.lowest, self.end = int(lowest), int(end)
        self.running = frozenset(map(int, filter(None, running.split(","))))

    def has(self, xid: int) -> bool:
        """Whether that transaction had committed. `xid`: its lower 32 bits, of one within 2³¹ of the snapshot."""
        whole = self.end + (xid - self.end + XID_SPAN // 2) % XID_SPAN - XID_SPAN // 2
        return whole < self.end and whole not in self.running


class Overlap:
    """The segments of one table, asked for changes that were in the snapshot already."""

    def __init__(self, reading: Reading, kinds: Sequence[int]) -> None:
        self._kinds = kinds
        self._seen = [Seen(segment.seen) for segment in reading.segments]
        self._uppers = [None if part.upper is None else ordered(part.upper, kinds) for part in reading.segments]

    def has(self, xid: int, key: Sequence[str]) -> bool:
        """The row of that key was read when the transaction had committed."""
        if len(self._seen) == 1:
            return self._seen[0].has(xid)
        place = ordered(key, self._kinds)
        within = (n for n, upper in enumerate(self._uppers) if upper is None or place <= upper)
        return self._seen[next(within)].has(xid)

    def has_all(self, xid: int) -> bool:
        """All rows were read when the transaction had committed."""
        return all(seen.has(xid) for seen in self._seen)


def ordered(key: Sequence[str], kinds: Sequence[int]) -> Key:
    """A key's texts, for comparing: whole numbers as such, all else by its bytes (`COLLATE "C"`)."""
    return tuple(int(text) if kind in WHOLE else text for text, kind in zip(key, kinds, strict=True))


def key_text(written: bytes, kind: int) -> str:
    """What the stream has of a key's column as `column::text` would give it."""
    text = written.decode()
    if kind == BOOL:
        return "true" if text == "t" else "false"
    return text.rstrip(" ") if kind == BPCHAR else text
