"""A disk to look through: it reads what another one holds, and keeps in memory whatever is written.

To find out what a data directory holds is to open it, and opening repairs: so a look that must change nothing is a look
through this. Files that are written are copied into memory as a whole.
"""

import os
from collections.abc import Callable, Sequence
from errno import ENOENT
from typing import TypeVar

from cluster.world import Disk, File

T = TypeVar("T")


class Overlay:
    """See Disk. Nothing is durable, and nothing has to be."""

    def __init__(self, below: Disk) -> None:
        self._below = below
        self._own: dict[str, bytearray] = {}
        self._removed: set[str] = set()

    def open(self, path: str, *, create: bool = False) -> "OverlayFile":
        """See Disk."""
        directory, _, name = path.rpartition("/")
        if path in self._own:
            return OverlayFile(self, path, None)
        if name in self.list(directory or "."):
            return OverlayFile(self, path, self._below.open(path))
        if not create:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), path)
        self._own[path] = bytearray()
        return OverlayFile(self, path, None)

    def list(self, directory: str) -> list[str]:
        """See Disk."""
        prefix = "" if directory in {"", "."} else f"{directory}/"
        below = {name for name in self._below.list(directory) if not self._is_removed(prefix + name)}
        own = {path[len(prefix) :].split("/")[0] for path in self._own if path.startswith(prefix)}
        return sorted(below | own)

    def make_directory(self, path: str) -> None:
        """See Disk. Directories are what files' names say."""

    def rename(self, source: str, target: str) -> None:
        """See Disk; of a file."""
        file = self.open(source)
        content = bytearray(file.read(0, file.size()))
        self.remove(source)
        self._own[target] = content

    def remove(self, path: str) -> None:
        """See Disk."""
        for own in [own for own in self._own if own == path or own.startswith(f"{path}/")]:
            del self._own[own]
        self._removed.add(path)

    def sync_directory(self, path: str) -> None:
        """See Disk."""

    def sync_files(self, files: Sequence[File], directories: Sequence[str] = ()) -> None:
        """See Disk."""

    def free_bytes(self) -> int:
        """See Disk."""
        return self._below.free_bytes()

    def total_bytes(self) -> int:
        """See Disk."""
        return self._below.total_bytes()

    async def run(self, work: Callable[[], T]) -> T:
        """See Disk."""
        return work()

    # --- for files

    def own(self, path: str) -> bytearray | None:
        """A file that was written."""
        return self._own.get(path)

    def take(self, path: str, content: bytes) -> bytearray:
        """From now on the file is in memory."""
        return self._own.setdefault(path, bytearray(content))

    def _is_removed(self, path: str) -> bool:
        return any(path == gone or path.startswith(f"{gone}/") for gone in self._removed)


class OverlayFile:
    """See File. `below` None: it is in memory from its beginning."""

    def __init__(self, overlay: Overlay, path: str, below: File | None) -> None:
        self.path = path
        self._overlay = overlay
        self._below = below

    def write(self, position: int, buffers: Sequence[bytes]) -> int:
        """See File."""
        data, content = b"".join(buffers), self._taken()
        content.extend(bytes(max(position - len(content), 0)))
        content[position : position + len(data)] = data
        return len(data)

    def read(self, position: int, size: int) -> bytes:
        """See File."""
        content = self._overlay.own(self.path)
        if content is not None or self._below is None:
            return bytes((content or b"")[position : position + size])
        return self._below.read(position, size)

    def size(self) -> int:
        """See File."""
        content = self._overlay.own(self.path)
        if content is not None or self._below is None:
            return len(content or b"")
        return self._below.size()

    def truncate(self, size: int) -> None:
        """See File."""
        content = self._taken()
        del content[size:]
        content.extend(bytes(size - len(content)))

    def allocate(self, size: int) -> None:
        """See File."""
        content = self._taken()
        content.extend(bytes(max(size - len(content), 0)))

    def sync(self) -> None:
        """See File."""

    def close(self) -> None:
        """See File."""
        if self._below is not None:
            self._below.close()

    def _taken(self) -> bytearray:
        content = self._overlay.own(self.path)
        if content is not None:
            return content
        below = self._below
        return self._overlay.take(self.path, below.read(0, below.size()) if below is not None else b"")
