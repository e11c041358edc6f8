"""A disk in memory that forgets what was not synced, as a real one may when the power goes.

What it holds, and what of it a crash leaves, is told in `inodes.py`. Faults on order: no room, a failing write or sync,
a flipped bit, a cut file; a crash in the middle of a job.
"""

import asyncio
import errno
import os
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from cluster.sim.inodes import Content, Directory, Entry
from cluster.world import File

T = TypeVar("T")


class SimCrash(BaseException):
    """The power went in the middle of a job."""


class SimDisk:
    """One node's disk. It outlives the node's crashes."""

    def __init__(self, rng: random.Random, *, latency_s: float = 0.001, capacity_bytes: int = 1 << 40) -> None:
        self.latency_s = latency_s
        self.capacity_bytes = capacity_bytes
        self.operations = 0
        self.syncs = 0
        self.crash_at_operation: int | None = None
        self.on_crash: Callable[[], None] = lambda: None
        """Called when that operation is reached: whoever uses this disk must not run another line."""
        self.fail: dict[str, int] = {}
        """Kind of operation ("write", "sync") → errno, for the next one of it."""
        self.torn = True
        self.in_use: set[SimFile] = set()
        """Files that were opened and not closed, by whoever runs now."""
        self._random = rng
        self._root = Directory()
        self._lock = asyncio.Lock()

    # --- Disk

    def open(self, path: str, *, create: bool = False) -> "SimFile":
        """See World."""
        parent, name = self._place(path)
        found = parent.now.get(name)
        if isinstance(found, Directory) or not name:
            raise _error(errno.EISDIR, path)
        if found is None:
            if not create:
                raise _error(errno.ENOENT, path)
            self.step("write")
            found = Content()
            parent.change({name: found})
        file = SimFile(self, path, found)
        self.in_use.add(file)
        return file

    def list(self, directory: str) -> list[str]:
        """See World."""
        try:
            return sorted(self._directory(directory).now)
        except FileNotFoundError:
            return []

    def make_directory(self, path: str) -> None:
        """See World."""
        here = self._root
        for part in _parts(path):
            there = here.now.get(part)
            if there is None:
                self.step("write")
                there = Directory()
                here.change({part: there})
            elif isinstance(there, Content):
                raise _error(errno.EEXIST if part == _parts(path)[-1] else errno.ENOTDIR, path)
            here = there

    def rename(self, source: str, target: str) -> None:
        """See World. From one directory to another the two names are two changes."""
        (old_parent, old), (new_parent, new) = self._place(source), self._place(target)
        entry, replaced = self._found(old_parent, old, source), new_parent.now.get(new)
        if isinstance(replaced, Directory) and isinstance(entry, Content):
            raise _error(errno.EISDIR, target)
        if isinstance(entry, Directory) and isinstance(replaced, Content):
            raise _error(errno.ENOTDIR, target)
        if entry is replaced:
            return
        self.step("write")
        if old_parent is new_parent:
            new_parent.change({old: None, new: entry})
        else:
            new_parent.change({new: entry})
            old_parent.change({old: None})

    def remove(self, path: str) -> None:
        """See World."""
        parent, name = self._place(path)
        self._found(parent, name, path)
        self.step("write")
        parent.change({name: None})

    def sync_directory(self, path: str) -> None:
        """See World."""
        directory = self._directory(path)
        self.step("sync")
        directory.sync()

    def sync_files(self, files: Sequence[File], directories: Sequence[str] = ()) -> None:
        """See World."""
        for file in files:
            file.sync()
        for path in directories:
            self.sync_directory(path)

    def free_bytes(self) -> int:
        """See World."""
        return self.capacity_bytes - sum(len(content.now) for _, content in self._root.files())

    def total_bytes(self) -> int:
        """See World."""
        return self.capacity_bytes

    async def run(self, work: Callable[[], T]) -> T:
        """See World. Takes virtual time before and after, so that a crash can come at either."""
        async with self._lock:
            await asyncio.sleep(self.latency_s * self._random.uniform(0.3, 1.0))
            result = work()
            await asyncio.sleep(self.latency_s * self._random.uniform(0.1, 0.5))
            return result

    # --- faults

    def crash(self) -> None:
        """Lose what a power cut may lose; what remains is what the next start finds."""
        self.forget_jobs()
        self._root.settle(self._random, torn=self.torn)

    def forget_jobs(self) -> None:
        """Whoever used it is gone, in the middle of whatever it did."""
        self._lock = asyncio.Lock()
        self.in_use = set()
        self.crash_at_operation = None

    def flip(self, path: str, bit: int) -> None:
        """One bit of a file changes its mind, durably."""
        self._file(path).flip(bit)

    def cut(self, path: str, size: int) -> None:
        """A file loses its end, durably."""
        self._file(path).cut(size)

    def paths(self) -> Sequence[str]:
        """All files."""
        return sorted(path for path, _ in self._root.files())

    def size_of(self, path: str) -> int:
        """A file's length."""
        return len(self._file(path).now)

    # --- for files

    def step(self, kind: str) -> None:
        """One operation begins: it may be the one that the power does not survive, or one that fails."""
        self.operations += 1
        if self.crash_at_operation is not None and self.operations > self.crash_at_operation:
            self.on_crash()
            raise SimCrash
        if kind in self.fail:
            number = self.fail.pop(kind)
            raise OSError(number, errno.errorcode[number])

    # --- paths

    def _directory(self, path: str) -> Directory:
        here = self._root
        for part in _parts(path):
            there = here.now.get(part)
            if not isinstance(there, Directory):
                raise _error(errno.ENOENT if there is None else errno.ENOTDIR, path)
            here = there
        return here

    def _place(self, path: str) -> tuple[Directory, str]:
        """Where its name is, or would be."""
        *parents, name = _parts(path) or [""]
        return self._directory("/".join(parents)), name

    @staticmethod
    def _found(parent: Directory, name: str, path: str) -> Entry:
        entry = parent.now.get(name)
        if entry is None:
            raise _error(errno.ENOENT, path)
        return entry

    def _file(self, path: str) -> Content:
        found = self._found(*self._place(path), path)
        assert isinstance(found, Content)
        return found


class SimFile:
    """See World."""

    def __init__(self, disk: SimDisk, path: str, content: Content) -> None:
        self.path = path
        self._disk = disk
        self._content = content
        self._closed = False

    def write(self, position: int, buffers: Sequence[bytes]) -> int:
        """See World."""
        content = self._open()
        data = b"".join(buffers)
        self._disk.step("write")
        self._room(position + len(data))
        content.write(position, data)
        return len(data)

    def read(self, position: int, size: int) -> bytes:
        """See World."""
        return bytes(self._open().now[position : position + size])

    def size(self) -> int:
        """See World."""
        return len(self._open().now)

    def truncate(self, size: int) -> None:
        """See World."""
        content = self._open()
        self._disk.step("write")
        content.resize(size)

    def allocate(self, size: int) -> None:
        """See World."""
        content = self._open()
        if size > len(content.now):
            self._disk.step("write")
            self._room(size)
            content.resize(size)

    def sync(self) -> None:
        """See World."""
        content = self._open()
        self._disk.step("sync")
        self._disk.syncs += 1
        content.sync()

    def close(self) -> None:
        """See World."""
        self._closed = True
        self._disk.in_use.discard(self)

    def _open(self) -> Content:
        if self._closed:
            raise _error(errno.EBADF, self.path)
        return self._content

    def _room(self, size: int) -> None:
        more = size - len(self._content.now)
        if more > 0 and more > self._disk.free_bytes():
            raise _error(errno.ENOSPC, self.path)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
