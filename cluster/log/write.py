"""Logs' queued disk work, in order: performed on the writer's thread; if the disk was full half-way it goes on there.

All logs' votes go first, together, then each log's other steps, then one sync for all of them. So there is never an
entry on disk of a term that the vote beside it does not know, unless both were lost with the same crash.
"""

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from cluster.log.mark import Mark, clear_mark, set_mark
from cluster.log.opening import NEW, REWRITTEN
from cluster.log.segment import SPARE_BYTES, ReplicaIdentity, Segment, encode_head
from cluster.log.vote import encode_vote, save_votes
from cluster.raft.ready import Vote
from cluster.types import Index
from cluster.world import Disk, File

FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class SaveVote:
    """Replace the vote."""

    vote: Vote
    sequence: int


@dataclass(frozen=True, slots=True)
class Create:
    """A new segment, on disk before anything is written to it.

    It gets its name when its head is there: one whose head cannot be read was damaged later.
    """

    segment: Segment


@dataclass(frozen=True, slots=True)
class Cut:
    """Shorten a segment, durably, before anything new is written in that place."""

    segment: Segment
    size: int


@dataclass(frozen=True, slots=True)
class Remove:
    """A segment that is not needed any more. `replaced`: another has taken its name.

    `following`: it was the log's first one and is trimmed, and here the log begins then. All of it is on disk, so it
    may go before whatever is queued, to make room for that.
    """

    segment: Segment
    replaced: bool = False
    following: Segment | None = None


@dataclass(frozen=True, slots=True)
class Replace:
    """A rewritten file takes the place of sealed segments. It makes room, so a full disk does not stop it."""

    old: tuple[Segment, ...]
    new: Segment


@dataclass(frozen=True, slots=True)
class MarkRecovering:
    """Entries will be missing that may have been acknowledged: the mark that says so is on disk before they go."""

    mark: Mark


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was damaged is here again: the mark that says otherwise goes, after everything before is on disk."""


@dataclass(slots=True)
class Put:
    """Frames, one after another; grows until it is taken."""

    segment: Segment
    position: int
    buffers: list[bytes]
    size: int


Step = SaveVote | Create | Cut | Remove | Replace | MarkRecovering | Recovered | Put
Key = TypeVar("Key")


def perform(disk: Disk, writes: "Mapping[Key, Write]") -> set[Key]:
    """Do them all and sync; the keys of those for which the disk was too full. OSError for any other failure."""
    save_votes(disk, [vote for write in writes.values() if (vote := write.vote()) is not None])
    dirty: list[File] = []
    full: set[Key] = set()
    for key, write in writes.items():
        try:
            dirty += write.perform(disk)
        except OSError as error:
            if error.errno not in FULL:
                raise
            full.add(key)
            with _suppress_full():
                write.make_room(disk)
    disk.sync_files(dirty)
    return full


@contextmanager
def _suppress_full() -> Iterator[None]:
    """There is no room for this either."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise


class Write:
    """Steps up to the log's last index at the time it was taken. `dirty`: files that earlier ones left unsynced.

    None of them is ever done twice: a segment may have been made, written and removed by then, and another may have its
    name.
    """

    def __init__(
        self,
        steps: list[Step],
        *,
        last_index: Index,
        directory: str,
        identity: ReplicaIdentity,
        vote_file: File,
        allocate_min: int,
        allocate_max: int,
        dirty: Sequence[File] = (),
    ) -> None:
        self.steps = steps
        self.last_index = last_index
        self._done = 0
        self._dirty = {id(file): file for file in dirty}
        self._directory = directory
        self._identity = identity
        self._vote_file = vote_file
        self._allocate_min = allocate_min
        self._allocate_max = allocate_max

    def vouches_upto(self, index: Index) -> None:
        """While this is written, entries behind `index` were dropped: others have, or will have, their places."""
        self.last_index = min(self.last_index, index)

    @property
    def undone(self) -> list[Step]:
        """What is still to be done."""
        return self.steps[self._done :]

    @property
    def dirty(self) -> list[File]:
        """Files that still need a sync for what was done."""
        return list(self._dirty.values())

    @property
    def written_bytes(self) -> int:
        """Of the frames that were written."""
        return sum(step.size for step in self.steps[: self._done] if isinstance(step, Put))

    def vote(self) -> tuple[File, bytes] | None:
        """The file and the copy of the last vote among the steps, if there is one: nothing was promised in between."""
        votes = [step for step in self.steps if isinstance(step, SaveVote)]
        if not votes:
            return None
        return self._vote_file, encode_vote(votes[-1].vote, votes[-1].sequence, self._identity.encoded())

    def perform(self, disk: Disk) -> list[File]:
        """All but votes; the files that still need a sync. OSError: `undone` begins with the step that failed."""
        for step in self.undone:
            self._do(disk, step)
            self._done += 1
        return self.dirty

    def _do(self, disk: Disk, step: Step) -> None:
        match step:
            case SaveVote():
                pass
            case Create(segment):
                self._sync(disk)  # a later segment vouches for the earlier ones
                self._create(disk, segment)
            case Cut(segment, size):
                if segment.file is None:
                    return  # it took no more entries, and went since to make room
                segment.file.truncate(size)
                segment.file.truncate(size + SPARE_BYTES)
                self._dirty[id(segment.file)] = segment.file
                self._sync(disk)
                segment.allocated = size + SPARE_BYTES
            case Remove():
                self._remove(disk, step)
            case Replace():
                self._replace(disk, step)
            case MarkRecovering(mark):
                set_mark(disk, self._directory, self._identity.encoded(), mark)
            case Recovered():
                self._sync(disk)
                clear_mark(disk, self._directory)
            case Put(segment, position, buffers, size):
                assert segment.file is not None
                self._reserve(segment, position + size)
                segment.file.write(position, buffers)
                self._dirty[id(segment.file)] = segment.file

    def _sync(self, disk: Disk) -> None:
        """What could not be synced, for want of room, too, may be lost, and a later sync would not say so."""
        try:
            disk.sync_files(self.dirty)
        except OSError as error:
            raise OSError(errno.EIO, f"a sync failed: {error}") from error
        self._dirty.clear()

    def make_room(self, disk: Disk) -> None:
        """The disk is full: what is trimmed goes now, oldest first, while the log's next beginning is on disk."""
        for step in self.undone:
            if isinstance(step, Replace):
                self._replace(disk, step)
            if isinstance(step, Remove) and step.following is not None:
                if step.following.file is None:
                    return
                self._remove(disk, step)

    def _remove(self, disk: Disk, step: Remove) -> None:
        """Once: it may have gone before, or half-way."""
        segment = step.segment
        if segment.file is None:
            return
        if not step.replaced:
            with suppress(FileNotFoundError):
                disk.remove(segment.path)
            disk.sync_directory(self._directory)
        self._close(segment)

    def _replace(self, disk: Disk, step: Replace) -> None:
        """Once: it may have been done before, or half-way."""
        first = step.old[0]
        if first.file is None:
            return
        with suppress(FileNotFoundError):
            disk.rename(first.path + REWRITTEN, first.path)
        disk.sync_directory(self._directory)
        for segment in step.old[1:]:
            with suppress(FileNotFoundError):
                disk.remove(segment.path)
        disk.sync_directory(self._directory)
        for segment in step.old:
            self._close(segment)

    def _close(self, segment: Segment) -> None:
        assert segment.file is not None
        self._dirty.pop(id(segment.file), None)
        segment.file.close()
        segment.file = None

    def _create(self, disk: Disk, segment: Segment) -> None:
        new = segment.path + NEW
        segment.file = disk.open(new, create=True)
        try:
            segment.file.truncate(0)
            segment.allocated = 0
            self._reserve(segment, segment.head_bytes)
            segment.file.write(0, [encode_head(segment, self._identity)])
            segment.file.sync()
            disk.rename(new, segment.path)
            disk.sync_directory(self._directory)
        except OSError:
            segment.file.close()
            segment.file = None  # what has a file has its name, and may follow one that goes
            raise

    def _reserve(self, segment: Segment, end: int) -> None:
        """Meet a full disk here, before any byte of a frame is written."""
        assert segment.file is not None
        needed = end + SPARE_BYTES
        if needed > segment.allocated:
            step = min(max(segment.allocated, self._allocate_min), self._allocate_max)
            needed = max(needed, segment.allocated + step)
            segment.file.allocate(needed)
            segment.allocated = needed
