"""Which files a pattern matches now, and where a file is that does not match it any more. Blocks: for threads."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from cluster.connectors.files.marks import FINGER_BYTES, FileId, Mark
from cluster.errors import InvalidRoute, Unreachable

COMPRESSED = ".gz"


class Found(NamedTuple):
    """A file and its name."""

    file: FileId
    name: str
    size: int


def matching(pattern: str, files_max: int) -> list[Found]:
    """The oldest first. InvalidRoute: there are too many, or the place is not one where files could come to be."""
    is_pattern = glob.has_magic(pattern)
    names = glob.iglob(pattern, recursive=True) if is_pattern else [pattern]  # noqa: PTH207  a pattern may be absolute
    found: dict[FileId, tuple[int, Found]] = {}
    with mapped(pattern):
        for name in names:
            try:
                status = os.stat(name)  # noqa: PTH116
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not name.isprintable():
                raise InvalidRoute(f"{name!r} is a name that cannot be kept: give the file another one")
            if stat.S_ISREG(status.st_mode) and not (is_pattern and name.endswith(COMPRESSED)):
                file = status.st_dev, status.st_ino
                found[file] = (status.st_mtime_ns, Found(file, name, status.st_size))
            elif not is_pattern:
                raise InvalidRoute(f"{pattern} is no file; write {pattern.rstrip('/')}/* for the files within it")
        if len(found) > files_max:
            raise InvalidRoute(f"{pattern} matches {len(found)} files, at most {files_max} are read (files_max)")
        if not found:
            _refuse_nowhere(pattern)
    return [file for _, file in sorted(found.values())]


def _refuse_nowhere(pattern: str) -> None:
    folder = Path(pattern)
    while glob.has_magic(str(folder)):
        folder = folder.parent
    folder = folder if glob.has_magic(pattern) else folder.parent
    if not folder.is_dir():
        raise InvalidRoute(f"{pattern}: there is no directory {folder}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InvalidRoute(f"{pattern}: no right to list {folder}")


def renamed(files: Iterable[FileId], names: Iterable[str]) -> dict[FileId, str]:
    """Where these are now, in the directories of those names."""
    wanted, found = {inode: (device, inode) for device, inode in files}, {}
    for folder in {Path(name).parent for name in names}:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if (file := wanted.get(entry.inode())) and entry.is_file() and entry.stat().st_dev == file[0]:
                        found[file] = entry.path
        except OSError:
            continue
    return found


def any_here(marks: Iterable[Mark], pattern: str, files_max: int) -> bool:
    """Whether one of the files that were begun is on this machine, with what was read of it; or none was begun."""
    begun = {mark.file: mark for mark in marks if mark.offset > 0}
    found = renamed(begun, [mark.name for mark in begun.values()])
    with suppress(InvalidRoute):  # there is not even a directory
        found |= {file: name for file, name, _ in matching(pattern, files_max) if file in begun}
    return not begun or any(_is_as_read(name, begun[file]) for file, name in found.items())


def _is_as_read(name: str, mark: Mark) -> bool:
    length = min(FINGER_BYTES, mark.offset)
    with mapped(name), open(name, "rb") as file:  # noqa: PTH123
        head = file.read(length)
        file.seek(mark.offset - length)
        return mark.fits(head, file.read(length))


@contextmanager
def mapped(name: str) -> Iterator[None]:
    """The system's errors as ours."""
    try:
        yield
    except PermissionError as error:
        raise InvalidRoute(f"no right to read {error.filename or name}") from error
    except OSError as error:
        raise Unreachable(f"{error.filename or name}: {error.strerror}") from error
