"""A directory as a store: files appear whole, are durable when that is said, and are never replaced.

A file is written beside, synced, and linked to its name, which fails if the name is taken; then the directory is
synced. A name that was taken may be somebody's who has not synced the directory yet: it is synced in that case, too.
What a killed process leaves beside (`_riverrun/beside`) is removed by the next one that finds it a day old.
"""

import asyncio
import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cluster.connectors.objects.store import Entry
from cluster.errors import InvalidRoute, Unreachable

BESIDE = "_riverrun/beside"
LEFT_OVER_S = 24 * 3600.0
_THE_ROUTE = (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
_count = itertools.count()


class Directory:
    """See `cluster.connectors.objects.store.Store`."""

    def __init__(self, path: str) -> None:
        self._root = Path(path)
        self._synced: set[Path] = set()
        self._swept = False

    async def create(self, name: str, content: bytes) -> bool:
        """See Store."""
        return await asyncio.to_thread(self._create, name, content)

    async def read(self, name: str, begin: int = 0, length: int | None = None) -> bytes | None:
        """See Store."""
        return await asyncio.to_thread(self._read, name, begin, length)

    async def look(self, name: str) -> Entry | None:
        """See Store."""
        return await asyncio.to_thread(self._look, name)

    async def list(self, folder: str) -> Sequence[Entry]:
        """See Store."""
        return await asyncio.to_thread(self._list, folder)

    async def delete(self, names: Sequence[str]) -> None:
        """See Store."""
        await asyncio.to_thread(self._delete, names)

    def open(self, entry: Entry) -> BinaryIO:
        """See Store."""
        return (self._root / entry.name).open("rb")

    def _create(self, name: str, content: bytes) -> bool:
        target = self._root / name
        with self._mapped():
            self._make(target.parent)
            made = not target.exists() and self._link(content, target)
            _sync(target.parent)
        return made

    def _link(self, content: bytes, target: Path) -> bool:
        beside = self._root / BESIDE
        self._make(beside)
        self._sweep(beside)
        written = beside / f"{os.getpid()}-{next(_count)}-{os.urandom(4).hex()}"
        try:
            with written.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(written, target)
        except FileExistsError:
            return False
        finally:
            with suppress(FileNotFoundError):
                written.unlink()
        return True

    def _make(self, folder: Path) -> None:
        """The folder and those around it, durably. Where the place itself would be has to be there."""
        if folder in self._synced:
            return
        if folder == self._root:
            if not folder.parent.is_dir():
                raise InvalidRoute(f"there is no directory {folder.parent}")
        else:
            self._make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)
        self._synced.add(folder)

    def _sweep(self, beside: Path) -> None:
        """Once: what was left over."""
        if self._swept:
            return
        self._swept = True
        modified: dict[Path, float] = {}
        for path in beside.iterdir():
            with suppress(FileNotFoundError):  # its writer has just ended
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    modified[path] = status.st_mtime
        for path, at in modified.items():
            if at < max(modified.values()) - LEFT_OVER_S:
                path.unlink(missing_ok=True)

    def _read(self, name: str, begin: int, length: int | None) -> bytes | None:
        with self._mapped():
            try:
                with (self._root / name).open("rb") as file:
                    file.seek(begin)
                    return file.read(-1 if length is None else length)
            except FileNotFoundError:
                return None

    def _look(self, name: str) -> Entry | None:
        with self._mapped():
            try:
                status = (self._root / name).stat()
            except FileNotFoundError:
                return None
        return _entry(name, status) if stat.S_ISREG(status.st_mode) else None

    def _list(self, folder: str) -> Sequence[Entry]:
        with self._mapped():
            if not self._root.is_dir():
                if not self._root.parent.is_dir() or self._root.exists():
                    raise InvalidRoute(f"there is no directory {self._root}")
                return []
            return sorted(self._walk(self._root / folder))

    def _walk(self, folder: Path) -> Iterator[Entry]:
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path))
            elif entry.is_file():
                with suppress(FileNotFoundError):
                    yield _entry(str(Path(entry.path).relative_to(self._root)), entry.stat())

    def _delete(self, names: Sequence[str]) -> None:
        with self._mapped():
            for name in names:
                (self._root / name).unlink(missing_ok=True)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """The system's errors as ours."""
        try:
            yield
        except OSError as error:
            failure = InvalidRoute if isinstance(error, _THE_ROUTE) else Unreachable
            raise failure(f"{error.filename or self._root}: {error.strerror}") from error


def _entry(name: str, status: os.stat_result) -> Entry:
    version = f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"
    return Entry(name, status.st_size, version, status.st_mtime)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
