"""A disk in memory that forgets what was not synced, as a real one may when the power goes.

Each file has what is durable and the writes since its last sync; each directory likewise its names. `crash` keeps, for
every un-synced write, all of it, none of it, or some of its sectors, as the seed says; un-synced names may be gone.
Faults on order: no room, a failing write or sync, a flipped bit, a cut file; a crash in the middle of a job.
"""

import asyncio
import errno
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cluster.world import File

T = TypeVar("T")
SECTOR_BYTES = 512


class SimCrash(BaseException):
    """The power went in the middle of a job."""


@dataclass
class _Node:
    """A file's content: as it is, as it would be after a crash, and the writes between the two."""

    content: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(position, bytes), or (size, None) for a cut or growth."""


class SimDisk:
    """One node's disk. It outlives the node's crashes."""

    def __init__(self, rng: random.Random, *, latency_s: float = 0.001, capacity_bytes: int = 1 << 40) -> None:
        self.latency_s = latency_s
        self.capacity_bytes = capacity_bytes
        self.operations = 0
        self.syncs = 0
        self.crash_at_operation: int | None = None
        self.fail: dict[str, int] = {}
        """Kind of operation ("write", "sync") → errno, for the next one of it."""
        self.torn = True
        self._random = rng
        self._files: dict[str, _Node] = {}
        self._names: dict[str, _Node] = {}
        """What a crash leaves: names that are durable."""
        self._directories: set[str] = {"."}
        self._lock = asyncio.Lock()

    # --- Disk

    def open(self, path: str, *, create: bool = False) -> "SimFile":
        """See World."""
        if path not in self._files:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "no such file", path)
            self._step("write")
            self._files[path] = _Node()
        return SimFile(self, path, self._files[path])

    def list(self, directory: str) -> list[str]:
        """See World."""
        prefix = "" if directory in {".", ""} else directory.rstrip("/") + "/"
        paths = [*self._files, *(f"{path}/" for path in self._directories if path != ".")]
        return sorted(
            {path[len(prefix) :].split("/")[0] for path in paths if path.startswith(prefix) and path != prefix}
        )

    def make_directory(self, path: str) -> None:
        """See World."""
        parts = path.split("/")
        self._directories |= {"/".join(parts[: depth + 1]) for depth in range(len(parts))}

    def rename(self, source: str, target: str) -> None:
        """See World."""
        self._step("write")
        self._files[target] = self._files.pop(source)

    def remove(self, path: str) -> None:
        """See World."""
        self._step("write")
        gone = [name for name in self._files if name == path or name.startswith(path + "/")]
        if not gone and path not in self._directories:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        for name in gone:
            del self._files[name]
        self._directories = {name for name in self._directories if name != path and not name.startswith(path + "/")}

    def sync_directory(self, path: str) -> None:
        """See World."""
        self._step("sync")
        inside = "" if path in {".", ""} else path.rstrip("/") + "/"
        for name in [name for name in self._names if _parent(name) == inside and name not in self._files]:
            del self._names[name]
        for name, node in self._files.items():
            if _parent(name) == inside:
                self._names[name] = node

    def sync_files(self, files: Sequence[File], directories: Sequence[str] = ()) -> None:
        """See World."""
        for file in files:
            file.sync()
        for path in directories:
            self.sync_directory(path)

    def free_bytes(self) -> int:
        """See World."""
        return self.capacity_bytes - sum(len(node.content) for node in self._files.values())

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
        self._lock = asyncio.Lock()
        self.crash_at_operation = None
        survivors = dict(self._names)
        for name, node in self._files.items():
            if name not in survivors and self._random.random() < 0.5:
                survivors[name] = node  # a name that was not synced may be there all the same
        for name in [name for name in survivors if name not in self._files and self._random.random() < 0.5]:
            del survivors[name]  # … and so may a removal
        for name in sorted(survivors):
            self._settle(survivors[name])
        self._files = survivors
        self._names = dict(survivors)

    def _settle(self, node: _Node) -> None:
        content = bytearray(node.durable)
        for position, data in node.pending:
            luck = self._random.random()
            if luck < 0.4:
                continue
            if data is None:
                _resize(content, position)
            elif luck < 0.7 or not self.torn:
                _put(content, position, data)
            else:
                for start in range(0, len(data), SECTOR_BYTES):
                    if self._random.random() < 0.5:
                        _put(content, position + start, data[start : start + SECTOR_BYTES])
        node.content = content
        node.durable = bytes(content)
        node.pending.clear()

    def flip(self, path: str, bit: int) -> None:
        """One bit of a file changes its mind, durably."""
        node = self._files[path]
        node.content[bit // 8] ^= 1 << bit % 8
        durable = bytearray(node.durable)
        if bit // 8 < len(durable):
            durable[bit // 8] ^= 1 << bit % 8
            node.durable = bytes(durable)

    def cut(self, path: str, size: int) -> None:
        """A file loses its end, durably."""
        node = self._files[path]
        del node.content[size:]
        node.durable = bytes(node.content)
        node.pending.clear()

    def paths(self) -> Sequence[str]:
        """All files."""
        return sorted(self._files)

    def size_of(self, path: str) -> int:
        """A file's length."""
        return len(self._files[path].content)

    # --- for files

    def step(self, kind: str) -> None:
        """One operation begins: it may be the one that the power does not survive, or one that fails."""
        self._step(kind)

    def _step(self, kind: str) -> None:
        self.operations += 1
        if self.crash_at_operation is not None and self.operations > self.crash_at_operation:
            raise SimCrash
        if kind in self.fail:
            number = self.fail.pop(kind)
            raise OSError(number, errno.errorcode[number])


class SimFile:
    """See World."""

    def __init__(self, disk: SimDisk, path: str, node: _Node) -> None:
        self.path = path
        self._disk = disk
        self._node = node

    def write(self, position: int, buffers: Sequence[bytes]) -> int:
        """See World."""
        data = b"".join(buffers)
        self._disk.step("write")
        self._room(position + len(data))
        _put(self._node.content, position, data)
        self._node.pending.append((position, data))
        return len(data)

    def read(self, position: int, size: int) -> bytes:
        """See World."""
        return bytes(self._node.content[position : position + size])

    def size(self) -> int:
        """See World."""
        return len(self._node.content)

    def truncate(self, size: int) -> None:
        """See World."""
        self._disk.step("write")
        _resize(self._node.content, size)
        self._node.pending.append((size, None))

    def allocate(self, size: int) -> None:
        """See World."""
        if size > len(self._node.content):
            self._disk.step("write")
            self._room(size)
            _resize(self._node.content, size)
            self._node.pending.append((size, None))

    def sync(self) -> None:
        """See World."""
        self._disk.step("sync")
        self._disk.syncs += 1
        self._node.durable = bytes(self._node.content)
        self._node.pending.clear()

    def close(self) -> None:
        """See World."""

    def _room(self, size: int) -> None:
        if size - len(self._node.content) > self._disk.free_bytes():
            raise OSError(errno.ENOSPC, "no space left on device")


def _parent(path: str) -> str:
    return path.rsplit("/", 1)[0] + "/" if "/" in path else ""


def _put(content: bytearray, position: int, data: bytes) -> None:
    if position > len(content):
        content.extend(bytes(position - len(content)))
    content[position : position + len(data)] = data


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))
