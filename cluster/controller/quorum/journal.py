"""PySyncObj's log, term and vote on our disk: one append-only file of CRC-framed records.

PySyncObj 0.3.17 never syncs its own journal and has no checksums in it. Here memory changes at once, as it expects, and
`sync` makes the file equal to memory with one write and one fdatasync; the transport calls it before any message
leaves, and the driver before a leader counts itself. A truncation is written only for a real conflict: PySyncObj
truncates and adds again what it had.

What is written together is one group, and every record of it says up to which byte the file was synced before. So a
record that cannot be read is damage if a later one knows that it was whole, which refuses the start; otherwise it was
torn by a power loss in mid-sync, was never acknowledged, and is wiped out. So that the last group is known to have been
whole, too, a small record follows it, unsynced, as soon as there is nothing else to write.

The journal of a later configuration of the quorum begins with the state that the seal of the one before it left: the
file has its name only when that is on disk.

Room is reserved ahead, durably, and records say how much: a file that is shorter has been cut, which is damage. A file
begins its life with such a record; one of an earlier version gets it with its first group.
"""

import contextlib
import errno
import json
import struct
from collections.abc import Iterator
from typing import Any

import google_crc32c
from pysyncobj.journal import Journal

from cluster.errors import CorruptStorage, DiskFailed, DiskFull
from cluster.world import Disk, File

_HEAD = struct.Struct("<IIQB")
"""Length, CRC32C over all the rest, up to where the file was synced before, kind."""
_ENTRY = struct.Struct("<QQ")
_ROOM = struct.Struct("<Q")
ENTRY, TRUNCATE, META, ROOM, BEGINNING = 1, 2, 3, 4, 5
NEW = ".new"
RESERVE_BYTES = 8 * 1024
FULL = {errno.ENOSPC, errno.EDQUOT}
NO_ROOM = "the disk has no room for the controller's journal"
RawEntry = tuple[bytes, int, int]
"""PySyncObj's: command, index, term."""


class DurableJournal(Journal):  # type: ignore[misc]
    """Behind PySyncObj's Journal interface, whose names are not ours."""

    def __init__(self, disk: Disk, path: str, beginning: bytes = b"") -> None:
        """Open it; one that is not there is made, with `beginning` in it. DiskFull if there is no room for it."""
        self._path = path
        self.beginning = b""
        """What it was made with."""
        self._memory: list[RawEntry] = []
        self._on_disk: list[tuple[int, int]] = []
        self._meta: dict[str, Any] = {"term": 0, "vote": None, "commit": 1}
        self._meta_on_disk = dict(self._meta)
        self._end = self._synced = 0
        self._room = 0
        """The file's length, all of it on disk."""
        self._room_told = 0
        """As its records say."""
        self._vouched = True
        """A record says that all before it is synced."""
        self._torn = False
        """Something stands behind the end, and is to be wiped out."""
        self._failed = ""
        """How the disk failed."""
        self.full = False
        """What is in memory waits for room on the disk."""
        self.syncs = 0
        self._file = self._open(disk, beginning)
        self._load()

    # --- PySyncObj's interface

    def add(self, command: bytes, idx: int, term: int) -> None:
        """An entry at the end."""
        self._memory.append((bytes(command), idx, term))

    def clear(self) -> None:
        """Forget all entries."""
        self._memory = []

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803
        """Forget the entries from that place on."""
        del self._memory[entryFrom:]

    def deleteEntriesTo(self, entryTo: int) -> None:  # noqa: N802, N803
        """Compaction: not used, because no snapshot is ever made (see the adapter)."""
        raise AssertionError(f"the controller's journal is not compacted (asked for {entryTo})")

    def __getitem__(self, place: int) -> RawEntry:
        return self._memory[place]

    def __len__(self) -> int:
        return len(self._memory)

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:  # noqa: N802, N803
        """A hint for the next start; it travels with the next record."""
        self._meta["commit"] = raftCommitIndex

    def getRaftCommitIndex(self) -> int:  # noqa: N802
        """Never beyond what is there."""
        return max(1, min(int(self._meta["commit"]), self._memory[-1][1] if self._memory else 1))

    def setCurrentTerm(self, currentTerm: int, votedForNodeId: str | None) -> None:  # noqa: N802, N803
        """Term and vote, on disk before anything is said in that term.

        Where there is no room they wait, as all does: PySyncObj is not interrupted, for it may be about to step down.
        """
        self._meta["term"], self._meta["vote"] = currentTerm, votedForNodeId
        with contextlib.suppress(DiskFull):
            self.sync()

    def getCurrentTerm(self) -> int:  # noqa: N802
        """The term."""
        return int(self._meta["term"])

    def getVotedForNodeId(self) -> str | None:  # noqa: N802
        """Whom this node voted for in it."""
        vote: str | None = self._meta["vote"]
        return vote

    def size_bytes(self) -> int:
        """What the file holds."""
        return self._end

    def is_new(self) -> bool:
        """Whether this member has neither promised nor stored anything: PySyncObj's own first entry is no word."""
        return int(self._meta["term"]) == 0 and all(entry[2] == 0 for entry in self._memory)

    def onOneSecondTimer(self) -> None:  # noqa: N802
        """Nothing: what matters is synced when it matters."""

    def _destroy(self) -> None:
        with contextlib.suppress(DiskFull):  # what waits was never acknowledged
            self.sync()
        self._file.close()

    # --- durability

    def sync(self) -> None:
        """Make the file equal to memory: at most one write and one fdatasync.

        DiskFull: it waits. DiskFailed, and from then on always: the process ends, for a later sync might succeed over
        pages that were lost.
        """
        if self._failed:
            raise DiskFailed(self._failed)
        try:
            self._sync()
            self.full = False
        except DiskFull:
            self.full = True
            raise
        except OSError as error:
            self._failed = f"the disk failed below the controller's journal: {error}"
            raise DiskFailed(self._failed) from error

    def _sync(self) -> None:
        memory, disk = self._memory, self._on_disk
        same = min(len(memory), len(disk))
        while same and memory[same - 1][1:] != disk[same - 1]:
            same -= 1  # equal (index, term) means an equal prefix: Raft's log matching
        records = []
        if same < len(disk):
            records.append(self._record(TRUNCATE, struct.pack("<Q", disk[same][0])))
        records += [self._record(ENTRY, _ENTRY.pack(entry[1], entry[2]) + entry[0]) for entry in memory[same:]]
        bound = ("term", "vote")
        if any(self._meta[name] != self._meta_on_disk[name] for name in bound) or (
            records and self._meta != self._meta_on_disk
        ):
            records.append(self._record(META, json.dumps(self._meta).encode()))
        if not records:
            self._vouch()
            return
        self._append(records)
        self.syncs += 1
        del disk[same:]
        disk.extend(entry[1:] for entry in memory[same:])
        self._meta_on_disk = dict(self._meta)

    def _record(self, kind: int, body: bytes) -> bytes:
        return _HEAD.pack(len(body), _crc(self._synced, kind, body), self._synced, kind) + body

    def _append(self, records: list[bytes]) -> None:
        """DiskFull leaves the file as it was; what is in memory is written when there is room."""
        self._reserve(sum(map(len, records)))
        if self._room_told != self._room:  # it comes first: still within the room that is known of
            records = [self._record(ROOM, _ROOM.pack(self._room)), *records]
        written = self._write(records)
        self._file.sync()
        self._end += written
        self._synced = self._end
        self._room_told = self._room
        self._vouched = False

    def _reserve(self, size: int) -> None:
        """Room for so much, and for three records about room, durable before any of it is used.

        One may come with these, one vouches for them, and one will say that there is more.
        """
        needed = self._end + size + 3 * (_HEAD.size + _ROOM.size)
        if needed > self._room:
            room = -(-needed // RESERVE_BYTES) * RESERVE_BYTES
            with _needing_room():
                self._file.allocate(room)
            self._file.sync()
            self._room = room

    def _vouch(self) -> None:
        """All before this record is synced. It is not itself: the next group's sync takes it along."""
        if not self._vouched:
            with contextlib.suppress(DiskFull):  # it can be said later
                self._end += self._write([self._record(ROOM, _ROOM.pack(self._room))])
                self._vouched = True

    def _write(self, records: list[bytes]) -> int:
        """At the end. A file system that writes elsewhere may be full in spite of what was reserved: DiskFull."""
        if self._torn:
            with _needing_room():
                self._wipe()
            self._file.sync()  # or power lost in the next write might leave some of both
        self._torn = True
        with _needing_room():
            written = self._file.write(self._end, records)
        self._torn = False
        return written

    def _wipe(self) -> None:
        """What stands there was never acknowledged. The file keeps its length, or it would seem to have been cut."""
        self._file.write(self._end, [bytes(max(self._file.size() - self._end, 0))])
        self._torn = False

    def _open(self, disk: Disk, beginning: bytes) -> File:
        directory, name = self._path.rsplit("/", 1)
        if name in disk.list(directory):
            return disk.open(self._path)
        disk.make_directory(directory)
        disk.sync_directory(".")
        file = disk.open(self._path + NEW, create=True)
        with contextlib.closing(file), _needing_room():
            file.truncate(0)
            room = -(-(len(beginning) + RESERVE_BYTES) // RESERVE_BYTES) * RESERVE_BYTES
            file.allocate(room)
            records = [self._record(ROOM, _ROOM.pack(room))]
            if beginning:
                records.append(self._record(BEGINNING, beginning))
            file.write(0, records)
            file.sync()
        disk.rename(self._path + NEW, self._path)
        disk.sync_directory(directory)
        return disk.open(self._path)

    def _load(self) -> None:
        data = self._file.read(0, self._file.size())
        position = 0
        while (end := self._take(data, position)) is not None:
            position = end
        if len(data) < self._room_told or not position:
            raise CorruptStorage(
                f"the controller's journal {self._path} is damaged: it was cut to {len(data)} bytes: replace this node"
            )
        self._end = self._synced = position
        self._torn = any(data[position:])
        if self._torn:
            with contextlib.suppress(DiskFull), _needing_room():
                self._wipe()
        self._file.sync()  # what is vouched for from now on
        self._room = len(data)
        self._on_disk = [entry[1:] for entry in self._memory]
        self._meta_on_disk = dict(self._meta)

    def _take(self, data: bytes, position: int) -> int | None:
        """Take the record at `position`; where the next one begins, or None if there is none, or it was torn."""
        if not any(data[position : position + _HEAD.size]) and not any(data[position:]):
            return None
        found = _whole_record(data, position)
        if found is None:
            if any(synced > position for synced in _synced_behind(data, position + 1)):
                raise CorruptStorage(
                    f"the controller's journal {self._path} is damaged at byte {position}: replace this node"
                )
            return None
        _, kind, body = found
        if kind == ENTRY:
            index, term = _ENTRY.unpack_from(body)
            self._memory.append((body[_ENTRY.size :], index, term))
        elif kind == TRUNCATE:
            (index,) = struct.unpack("<Q", body)
            while self._memory and self._memory[-1][1] >= index:
                self._memory.pop()
        elif kind == BEGINNING:
            self.beginning = body
        elif kind == ROOM:
            self._room_told = max(self._room_told, *_ROOM.unpack(body))
        else:
            self._meta = json.loads(body)
        return position + _HEAD.size + len(body)


@contextlib.contextmanager
def _needing_room() -> Iterator[None]:
    """DiskFull, if there is none: that is no failure."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(NO_ROOM) from error
        raise


def _whole_record(data: bytes, position: int) -> tuple[int, int, bytes] | None:
    """The record at `position`: up to where the file was synced before it, kind, body. None if it is not whole."""
    start = position + _HEAD.size
    if start > len(data):
        return None
    length, crc, synced, kind = _HEAD.unpack_from(data, position)
    if kind not in {ENTRY, TRUNCATE, META, ROOM, BEGINNING} or start + length > len(data):
        return None
    body = data[start : start + length]
    return (synced, kind, body) if crc == _crc(synced, kind, body) else None


def _synced_behind(data: bytes, position: int) -> Iterator[int]:
    """What whole records anywhere from `position` on say was synced before them."""
    for place in range(position, len(data) - _HEAD.size):
        found = _whole_record(data, place)
        if found is not None:
            yield found[0]


def _crc(synced: int, kind: int, body: bytes) -> int:
    return int(google_crc32c.value(struct.pack("<IQB", len(body), synced, kind) + body))
