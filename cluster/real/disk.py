"""Files of the operating system below one directory, and one thread that does the blocking work of a node."""

import contextlib
import ctypes
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from cluster.errors import RefusedToStart
from cluster.real.worker import Worker
from cluster.world import File

log_event = structlog.get_logger()
T = TypeVar("T")
SYNC_ALONE_MAX = 2
"""Up to so many files are synced each alone (fdatasync), more by one syncfs, which covers the whole file system that
the data directory lies on. Measured: see cluster/log/__init__.py."""
SYNCFS_SINCE = (5, 8)
"""Linux before that does not say by syncfs what could not be written back."""
LOCK_FILE = ".lock"
_CLOSED = 2**31 - 1
"""Instead of a closed file's descriptor: no file has this number, so whatever is asked of it is EBADF."""
_BUFFERS_MAX = 1000
"""Of one pwritev; the system's limit is 1024."""


class RealFile:
    """A file descriptor."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def write(self, position: int, buffers: Sequence[bytes]) -> int:
        """See World."""
        start = position
        for first in range(0, len(buffers), _BUFFERS_MAX):
            position += self._write_some(position, buffers[first : first + _BUFFERS_MAX])
        return position - start

    def _write_some(self, position: int, buffers: Sequence[bytes]) -> int:
        total = sum(map(len, buffers))
        done = os.pwritev(self._descriptor, buffers, position)
        if done < total:  # rare (a signal, nearly full): the rest in one piece
            rest = b"".join(buffers)[done:]
            while rest:
                count = os.pwrite(self._descriptor, rest, position + total - len(rest))
                rest = rest[count:]
        return total

    def read(self, position: int, size: int) -> bytes:
        """See World."""
        parts = []
        while size > 0:
            part = os.pread(self._descriptor, size, position)
            if not part:
                break
            parts.append(part)
            position += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def size(self) -> int:
        """See World."""
        return os.fstat(self._descriptor).st_size

    def truncate(self, size: int) -> None:
        """See World."""
        os.ftruncate(self._descriptor, size)

    def allocate(self, size: int) -> None:
        """See World."""
        os.posix_fallocate(self._descriptor, 0, size)

    def sync(self) -> None:
        """See World."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """See World. The number is forgotten: the next file that is opened may get it."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)


def _find_syncfs() -> "Callable[[int], int] | None":
    with contextlib.suppress(OSError, AttributeError):
        found: Callable[[int], int] = ctypes.CDLL(None, use_errno=True).syncfs
        return found
    return None


_SYNCFS = _find_syncfs()


def _tells_of_failures(release: str) -> bool:
    """Whether a kernel's syncfs does; one whose release cannot be read is taken not to."""
    version = re.match(r"(\d+)\.(\d+)", release)
    return version is not None and (int(version[1]), int(version[2])) >= SYNCFS_SINCE


class RealDisk:
    """One node's data directory, locked against a second process while this object lives."""

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(root / LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RefusedToStart(f"cannot use the data directory {root}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise RefusedToStart(
                f"the data directory {root} is in use by another process; stop that one first"
            ) from None
        self._worker = Worker("disk")
        release = os.uname().release
        self._at_once = _SYNCFS is not None and _tells_of_failures(release)
        if not self._at_once:
            log_event.warning(
                "files_synced_alone", kernel=release, detail="one sync for many files is not to be relied on: slower"
            )

    def open(self, path: str, *, create: bool = False) -> RealFile:
        """See World."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        return RealFile(path, os.open(self._root / path, flags, 0o600))

    def list(self, directory: str) -> list[str]:
        """See World."""
        try:
            return sorted(path.name for path in (self._root / directory).iterdir() if path.name != LOCK_FILE)
        except FileNotFoundError:
            return []

    def make_directory(self, path: str) -> None:
        """See World."""
        (self._root / path).mkdir(parents=True, exist_ok=True)

    def rename(self, source: str, target: str) -> None:
        """See World."""
        (self._root / source).rename(self._root / target)

    def remove(self, path: str) -> None:
        """See World."""
        full = self._root / path
        if full.is_dir():
            shutil.rmtree(full)
        else:
            full.unlink()

    def sync_directory(self, path: str) -> None:
        """See World."""
        descriptor = os.open(self._root / path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_files(self, files: Sequence[File], directories: Sequence[str] = ()) -> None:
        """See World."""
        if len(files) + len(directories) > SYNC_ALONE_MAX and self._at_once and _SYNCFS is not None:
            if _SYNCFS(self._lock):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(self._root))
            return
        for file in files:
            file.sync()
        for path in directories:
            self.sync_directory(path)

    def free_bytes(self) -> int:
        """See World."""
        status = os.statvfs(self._root)
        return status.f_bavail * status.f_frsize

    def total_bytes(self) -> int:
        """See World."""
        status = os.statvfs(self._root)
        return status.f_blocks * status.f_frsize

    async def run(self, work: Callable[[], T]) -> T:
        """See World."""
        return await self._worker.run(work)

    def close(self) -> None:
        """Wait for the thread's work and give up the lock."""
        self._worker.close()
        os.close(self._lock)
