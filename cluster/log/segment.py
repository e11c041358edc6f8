"""One file of frames: a head that says whose it is and what the log added up to before it, then frames without gaps.

In memory a segment keeps one row for each frame. Positions, offsets and times rise (append times never fall, and the
latest event time so far is kept), so all look-ups are bisections.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

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
"""magic, cluster, topic, partition, replica, base index, base offset, installed, fold's length; then fold, CRC32C."""


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
    """What retention asks of a segment. `last_record_time_ns` is an append time; None: it holds no records."""

    base_offset: Offset
    end_offset: Offset
    last_index: Index
    bytes: int
    last_record_time_ns: int | None


def _column() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class Rows:
    """Columns of what is known of each frame, in order: 40 bytes a frame."""

    terms: "array[int]" = field(default_factory=_column)
    offsets: "array[int]" = field(default_factory=_column)
    latest_times: "array[int]" = field(default_factory=_column)
    append_times: "array[int]" = field(default_factory=_column)
    positions: "array[int]" = field(default_factory=_column)


class Segment:
    """One file, and what is in it. `size` is where the next frame goes; `fold` the bytes at its head."""

    def __init__(
        self, path: str, *, base_index: Index, base_offset: Offset, fold: bytes, head_bytes: int, installed: bool
    ) -> None:
        self.path = path
        self.base_index = base_index
        self.base_offset = base_offset
        self.fold = fold
        self.installed = installed
        self.size = head_bytes
        self.head_bytes = head_bytes
        self.end_offset = base_offset
        self.allocated = head_bytes
        self.file: File | None = None
        self.rows = Rows()

    @property
    def last_index(self) -> Index:
        """The last frame's; one before the base if there is none."""
        return Index(self.base_index + len(self.rows.terms) - 1)

    def facts(self) -> SegmentFacts:
        """For retention. Control entries have append times, too, but keep no record from ageing."""
        place = bisect_left(self.rows.offsets, self.end_offset) - 1
        return SegmentFacts(
            base_offset=self.base_offset,
            end_offset=self.end_offset,
            last_index=self.last_index,
            bytes=self.size,
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

    def add(self, term: Term, end_offset: Offset, latest_time: int, append_time: int, frame_bytes: int) -> int:
        """A frame at the end; its position."""
        rows, position = self.rows, self.size
        rows.terms.append(term)
        rows.offsets.append(self.end_offset)
        rows.latest_times.append(max(latest_time, rows.latest_times[-1]) if rows.latest_times else latest_time)
        rows.append_times.append(append_time)
        rows.positions.append(position)
        self.size += frame_bytes
        self.end_offset = end_offset
        return position

    def truncate_from(self, index: Index) -> None:
        """Forget the frame of `index` and those after it."""
        place = index - self.base_index
        rows = self.rows
        self.size = rows.positions[place]
        self.end_offset = Offset(rows.offsets[place])
        for column in (rows.terms, rows.offsets, rows.latest_times, rows.append_times, rows.positions):
            del column[place:]

    def span(self, index: Index) -> tuple[int, int]:
        """Position and length of a frame."""
        place, positions = index - self.base_index, self.rows.positions
        end = positions[place + 1] if place + 1 < len(positions) else self.size
        return positions[place], end - positions[place]

    def end_offset_at(self, index: Index) -> Offset:
        """The offset after the frame's last record."""
        place, offsets = index + 1 - self.base_index, self.rows.offsets
        return Offset(offsets[place]) if place < len(offsets) else self.end_offset

    def index_of_offset(self, offset: Offset) -> Index:
        """The frame that holds the record at `offset`, which is in this segment."""
        return Index(self.base_index + bisect_right(self.rows.offsets, offset) - 1)

    def index_of_time(self, timestamp_ns: int, *, append_time: bool) -> Index | None:
        """The first frame that reaches that time."""
        times = self.rows.append_times if append_time else self.rows.latest_times
        place = bisect_left(times, timestamp_ns)
        return Index(self.base_index + place) if place < len(times) else None


def term_starts(segments: Sequence[Segment]) -> tuple[tuple[Index, Term], ...]:
    """The first index and the term of each run of frames of one term, over all segments of a log."""
    runs: list[tuple[Index, Term]] = []
    for segment in segments:
        for place, term in enumerate(map(Term, segment.rows.terms)):
            if not runs or runs[-1][1] != term:
                runs.append((Index(segment.base_index + place), term))
    return tuple(runs)


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
        segment.installed,
        len(segment.fold),
    )
    body = head + segment.fold
    return body + int(google_crc32c.value(body)).to_bytes(4, "little")


def head_size(fold: bytes) -> int:
    """How long a head with this fold is."""
    return _HEAD.size + len(fold) + 4


def open_segment(disk: Disk, path: str, identity: ReplicaIdentity) -> Segment:
    """The segment of a file, its frames not yet looked at. CorruptStorage, or RefusedToStart if it is another's."""
    file = disk.open(path)
    head = file.read(0, _HEAD.size)
    if len(head) < _HEAD.size:
        file.close()
        raise CorruptStorage(f"the head of {path} is cut short")
    magic, cluster, topic, partition, replica, base_index, base_offset, installed, length = _HEAD.unpack(head)
    body = head + file.read(_HEAD.size, length + 4)
    whole = len(body) == _HEAD.size + length + 4
    if not whole or google_crc32c.value(body[:-4]) != int.from_bytes(body[-4:], "little"):
        file.close()
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
    segment = Segment(
        path,
        base_index=Index(base_index),
        base_offset=Offset(base_offset),
        fold=body[_HEAD.size : -4],
        head_bytes=len(body),
        installed=bool(installed),
    )
    segment.file = file
    return segment
