"""Sealed segments written anew, with less in them: what compaction does to files.

A rewritten file stands beside the log until it is whole and on disk; then one rename puts it in the place of the first
segment that it replaces, and the others go (`Replace` in `cluster.log.write`). A crash leaves the old ones, or the new
one and some of the others, which the next start recognises by the new one's flag and removes.

All of this blocks. Entries that hold nothing any more are put together to holes while they are written.
"""

import contextlib
import errno
from collections.abc import Iterable

from cluster.errors import CorruptStorage
from cluster.holes import hole_of, is_empty
from cluster.log.frame import decode_frame, encode_frame
from cluster.log.opening import REWRITTEN
from cluster.log.segment import SPARE_BYTES, ReplicaIdentity, Segment, encode_head
from cluster.records import Entry
from cluster.types import PartitionId
from cluster.world import Disk

FRAMES_MAX = 64
"""Read at once: 0.1 ms each, however small they are."""
RUN_MAX = 1024
"""Empty entries that are kept until they become one."""
HOLE_BYTES_MAX = 256 * 1024
"""A hole that remembers more than this is followed by another one."""


def read_sealed(segment: Segment, place: int, partition: PartitionId, *, bytes_max: int) -> tuple[list[Entry], int]:
    """The entries from the frame in row `place` on, at least one, at most FRAMES_MAX, and the row after them.

    CorruptStorage: a frame is damaged. OSError: also if the segment is no part of its log any more.
    """
    file, positions = segment.file, segment.rows.positions
    if file is None:
        raise OSError(errno.EBADF, f"{segment.path} is closed")
    begin, entries = positions[place], list[Entry]()
    after, most = place + 1, min(len(positions), place + FRAMES_MAX)
    while after < most and positions[after] - begin < bytes_max:
        after += 1
    end = positions[after] if after < len(positions) else segment.size
    data = file.read(begin, end - begin)
    for row in range(place, after):
        entry = decode_frame(data, positions[row] - begin, partition)
        if entry is None or entry.index != segment.rows.indexes[row]:
            raise CorruptStorage(f"entry {segment.rows.indexes[row]} in {segment.path} is damaged")
        entries.append(entry)
    return entries, after


class Rewriting:
    """One file in the making, in the place of `first` and segments that follow it.

    Not while one with that name still waits to take its place (`Pending.replacing`).
    """

    def __init__(self, disk: Disk, first: Segment, identity: ReplicaIdentity) -> None:
        self._disk = disk
        self._identity = identity
        self._path = first.path + REWRITTEN
        self._run: list[Entry] = []
        self._run_bytes = 0
        self.segment = Segment(
            first.path,
            base_index=first.base_index,
            base_offset=first.base_offset,
            fold=first.fold,
            installed=first.installed,
            compacted=True,
        )
        file = disk.open(self._path, create=True)
        self.segment.file = file
        try:
            file.truncate(0)
            file.write(0, [encode_head(self.segment, identity)])
        except OSError:
            self.drop()
            raise

    def add(self, entries: Iterable[Entry]) -> None:
        """The next entries, in order."""
        buffers: list[bytes] = []
        position = self.segment.size
        for entry in entries:
            if is_empty(entry):
                self._run.append(entry)
                self._run_bytes += entry.size_bytes  # holes of an earlier pass may be large already
                if len(self._run) >= RUN_MAX or self._run_bytes > HOLE_BYTES_MAX:
                    self._shorten(buffers)
            else:
                self._end_run(buffers)
                self._frame(entry, buffers)
        self._write(position, buffers)

    def finish(self, last: Segment) -> Segment:
        """The whole file is on disk, beside the others, of which `last` is the last one."""
        buffers: list[bytes] = []
        position = self.segment.size
        self._end_run(buffers)
        self._write(position, buffers)
        new = self.segment
        assert (new.last_index, new.end_offset) == (last.last_index, last.end_offset), "something is left out"
        assert new.file is not None
        new.allocated = new.size + SPARE_BYTES
        new.file.truncate(new.allocated)
        new.file.sync()
        return new

    def drop(self) -> None:
        """It is not wanted."""
        if self.segment.file is not None:
            self.segment.file.close()
            self.segment.file = None
            with contextlib.suppress(FileNotFoundError):  # the topic was deleted, and its directory with it
                self._disk.remove(self._path)

    def _shorten(self, buffers: list[bytes]) -> None:
        hole = hole_of(self._run)
        self._run, self._run_bytes = [hole], hole.size_bytes
        if hole.size_bytes > HOLE_BYTES_MAX:
            self._end_run(buffers)

    def _end_run(self, buffers: list[bytes]) -> None:
        if self._run:
            self._frame(self._run[0] if len(self._run) == 1 else hole_of(self._run), buffers)
            self._run, self._run_bytes = [], 0

    def _frame(self, entry: Entry, buffers: list[bytes]) -> None:
        head, content = encode_frame(entry, self._identity.partition, (entry.last_index, entry.last_term))
        self.segment.add(entry, len(head) + len(content))
        buffers += (head, content) if content else (head,)

    def _write(self, position: int, buffers: list[bytes]) -> None:
        assert self.segment.file is not None
        if buffers:
            self.segment.file.write(position, buffers)
