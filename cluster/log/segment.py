"""One file of frames: a head that says whose it is and what the log added up to before it, then frames without gaps.

In memory a segment keeps one row for each frame. Indices, positions, offsets and times rise (append times never fall,
and the latest event time so far is kept), so all look-ups are bisections; as long as no frame is a hole, which stands
for many indices, a frame's row is found by counting.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter

import google_crc32c

from cluster.errors import CorruptStorage, RefusedToStart
from cluster.log.fold import trim_offset
from cluster.records import Entry, EntryKind
from cluster.types import ClusterId, Index, Offset, PartitionId, ReplicaId, Term
from cluster.world import Disk, File

MAGIC = b"RRLOG001"
SPARE_BYTES = 1
"""Reserved behind the last frame at all times: a file that ends with a frame has been cut."""
_HEAD = struct.Struct("<8s16s16sIQQqBI")
"""magic, cluster, topic, partition, replica, base index, base offset, flags, fold's length; then fold, CRC32C."""
CRC_BYTES = 4
INSTALLED, COMPACTED = 1, 2
"""Flags of a head: see `Segment`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaIdentity:
    """Whose files these are."""

    cluster: ClusterId
    partition: PartitionId
    replica: ReplicaId

    def encoded(self) -> bytes:
        """For checksums: a file of another replica fails them."""
        return self.cluster + self.partition.topic + struct.pack("<IQ", self.partition.number, self.replica)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFacts:
    """What retention and compaction ask of a segment. Times are append times; None: it holds no records."""

    base_offset: Offset
    end_offset: Offset
    last_index: Index
    bytes: int
    first_record_time_ns: int | None
    """Or that of a control entry before the first record."""
    last_record_time_ns: int | None


def _column() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class Rows:
    """Columns of what is known of each frame, in order: 48 bytes a frame. A hole's term is that of its last index."""

    indexes: "array[int]" = field(default_factory=_column)
    terms: "array[int]" = field(default_factory=_column)
    offsets: "array[int]" = field(default_factory=_column)
    latest_times: "array[int]" = field(default_factory=_column)
    append_times: "array[int]" = field(default_factory=_column)
    positions: "array[int]" = field(default_factory=_column)


class Segment:
    """One file, and what is in it. `size` is where the next frame goes; `fold` the bytes at its head."""

    def __init__(
        self,
        path: str,
        *,
        base_index: Index,
        base_offset: Offset,
        fold: bytes,
        installed: bool = False,
        compacted: bool = False,
    ) -> None:
        self.path = path
        self.base_index = base_index
        self.base_offset = base_offset
        self.fold = fold
        self.installed = installed
        """Whatever lies before it is no part of the log."""
        self.compacted = compacted
        """Written anew in the place of older files, of which some may still be there after a crash."""
        self.head_bytes = self.size = self.allocated = _HEAD.size + len(fold) + CRC_BYTES
        self.last_index = Index(base_index - 1)
        """The last frame's; one before the base if there is none."""
        self.end_offset = base_offset
        self.file: File | None = None
        self.rows = Rows()
        self._term_starts: dict[int, tuple[tuple[Index, Term], ...]] = {}
        """Of rows that are holes over several terms."""

    def place(self, index: Index) -> int:
        """The row of the frame that stands for `index`."""
        place = index - self.base_index
        if self.last_index - self.base_index + 1 == len(self.rows.indexes):
            return place
        return bisect_right(self.rows.indexes, index) - 1

    def facts(self) -> SegmentFacts:
        """For retention. Control entries have append times, too, but keep no record from ageing."""
        place = bisect_left(self.rows.offsets, self.end_offset) - 1
        return SegmentFacts(
            base_offset=self.base_offset,
            end_offset=self.end_offset,
            last_index=self.last_index,
            bytes=self.size,
            first_record_time_ns=self.rows.append_times[0] if place >= 0 else None,
            last_record_time_ns=self.rows.append_times[place] if place >= 0 else None,
        )

    def ends_before(self, entry: Entry, age_max_ns: int | None) -> bool:
        """Whether `entry` begins a new segment though this one is not full: it is old, or about to be trimmed whole."""
        if self.end_offset == self.base_offset:
            return False
        if entry.kind is EntryKind.TRIM_TO and trim_offset(entry) >= self.end_offset:
            return True
        return age_max_ns is not None and entry.append_time_ns - self.rows.append_times[0] >= age_max_ns

    def bytes_after(self, index: Index) -> int:
        """How many bytes follow the frame of `index`; all of them if it lies before this segment."""
        if index < self.base_index:
            return self.size
        return self.size - sum(self.span(index)) if index <= self.last_index else 0

    def add(self, entry: Entry, frame_bytes: int) -> int:
        """The entry's frame at the end; its position."""
        rows, position = self.rows, self.size
        latest_time = entry.batch.max_timestamp_ns if entry.batch is not None else 0
        if entry.hole is not None and len(entry.hole.term_starts) > 1:
            self._term_starts[len(rows.indexes)] = entry.hole.term_starts
        rows.indexes.append(entry.index)
        rows.terms.append(entry.last_term)
        rows.offsets.append(entry.base_offset)
        rows.latest_times.append(max(latest_time, rows.latest_times[-1]) if rows.latest_times else latest_time)
        rows.append_times.append(entry.append_time_ns)
        rows.positions.append(position)
        self.size += frame_bytes
        self.last_index = entry.last_index
        self.end_offset = entry.end_offset
        return position

    def truncate_from(self, index: Index) -> None:
        """Forget the frame of `index` and those after it."""
        place = self.place(index)
        rows = self.rows
        assert rows.indexes[place] == index, "a hole is committed: nothing of it is ever cut"
        self.size = rows.positions[place]
        self.last_index = Index(index - 1)
        self.end_offset = Offset(rows.offsets[place])
        for column in (
            rows.indexes,
            rows.terms,
            rows.offsets,
            rows.latest_times,
            rows.append_times,
            rows.positions,
        ):
            del column[place:]
        self._term_starts = {row: starts for row, starts in self._term_starts.items() if row < place}

    def span(self, index: Index) -> tuple[int, int]:
        """Position and length of a frame."""
        place, positions = self.place(index), self.rows.positions
        end = positions[place + 1] if place + 1 < len(positions) else self.size
        return positions[place], end - positions[place]

    def end_offset_at(self, index: Index) -> Offset:
        """The offset after the entry's last record; in a hole, before its last index, the one where it begins."""
        place, rows = self.place(index), self.rows
        last = rows.indexes[place + 1] - 1 if place + 1 < len(rows.indexes) else self.last_index
        if index < last:
            return Offset(rows.offsets[place])
        return Offset(rows.offsets[place + 1]) if place + 1 < len(rows.offsets) else self.end_offset

    def base_offset_at(self, index: Index) -> Offset:
        """The offset of the frame's first record."""
        return Offset(self.rows.offsets[self.place(index)])

    def first_index_at(self, index: Index) -> Index:
        """The first index of the frame that stands for `index`: its own, but for a hole."""
        return Index(self.rows.indexes[self.place(index)])

    def term_at(self, index: Index) -> Term:
        """The entry's term."""
        place = self.place(index)
        starts = self._term_starts.get(place)
        if starts is None:
            return Term(self.rows.terms[place])
        return starts[bisect_right(starts, index, key=itemgetter(0)) - 1][1]

    def term_starts(self) -> Iterator[tuple[Index, Term]]:
        """(first index, term) of all frames, in order; a term may come again and again."""
        for place, (index, term) in enumerate(zip(self.rows.indexes, self.rows.terms, strict=True)):
            yield from self._term_starts.get(place, ((Index(index), Term(term)),))

    def append_time_at(self, index: Index) -> int:
        """When the leader appended it."""
        return self.rows.append_times[self.place(index)]

    def index_of_offset(self, offset: Offset) -> Index:
        """The frame that holds the record at `offset`, which is in this segment, or the first behind it."""
        return Index(self.rows.indexes[max(bisect_right(self.rows.offsets, offset) - 1, 0)])

    def index_of_time(self, timestamp_ns: int, *, append_time: bool) -> Index | None:
        """The first frame that reaches that time."""
        times = self.rows.append_times if append_time else self.rows.latest_times
        place = bisect_left(times, timestamp_ns)
        return Index(self.rows.indexes[place]) if place < len(times) else None


def encode_head(segment: Segment, identity: ReplicaIdentity) -> bytes:
    """What stands at the beginning of the file."""
    head = _HEAD.pack(
        MAGIC,
        identity.cluster,
        identity.partition.topic,
        identity.partition.number,
        identity.replica,
        segment.base_index,
        segment.base_offset,
        segment.installed * INSTALLED | segment.compacted * COMPACTED,
        len(segment.fold),
    )
    body = head + segment.fold
    return body + int(google_crc32c.value(body)).to_bytes(4, "little")


def open_segment(disk: Disk, path: str, identity: ReplicaIdentity) -> Segment:
    """The segment of a file, its frames not yet looked at. CorruptStorage, or RefusedToStart if it is another's."""
    file = disk.open(path)
    try:
        segment = _read_head(file, path, identity)
    except BaseException:
        file.close()
        raise
    segment.file = file
    return segment


def _read_head(file: File, path: str, identity: ReplicaIdentity) -> Segment:
    head = file.read(0, _HEAD.size)
    if len(head) < _HEAD.size:
        raise CorruptStorage(f"the head of {path} is cut short")
    magic, cluster, topic, partition, replica, base_index, base_offset, flags, length = _HEAD.unpack(head)
    body = head + file.read(_HEAD.size, length + CRC_BYTES)
    whole = len(body) == _HEAD.size + length + CRC_BYTES
    if not whole or google_crc32c.value(body[:-4]) != int.from_bytes(body[-4:], "little"):
        raise CorruptStorage(f"the head of {path} is damaged")
    if magic != MAGIC:
        raise RefusedToStart(f"{path} was written by another version of riverrun (format {magic!r})")
    if (cluster, topic, partition, replica) != (
        identity.cluster,
        identity.partition.topic,
        identity.partition.number,
        identity.replica,
    ):
        raise RefusedToStart(f"{path} belongs to another cluster, partition or replica")
    return Segment(
        path,
        base_index=Index(base_index),
        base_offset=Offset(base_offset),
        fold=body[_HEAD.size : -CRC_BYTES],
        installed=bool(flags & INSTALLED),
        compacted=bool(flags & COMPACTED),
    )
