"""A program that writes as nodes do: for each line of its input it makes each kind of call, and says what came."""

import ctypes
import errno
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

DATA = b"x" * 1000


def main(directory: Path) -> None:
    """Until the input ends."""
    file = os.open(directory / "file", os.O_RDWR | os.O_CREAT, 0o600)
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    database = sqlite3.connect(directory / "database", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE rows (value)")
    libc = ctypes.CDLL(None, use_errno=True)

    def syncfs() -> None:
        if libc.syncfs(file):
            raise OSError(ctypes.get_errno(), "syncfs")

    calls: dict[str, Callable[[], object]] = {
        "pwritev": lambda: os.pwritev(file, [DATA, DATA], 0) == 2 * len(DATA),
        "allocate": lambda: os.posix_fallocate(file, 0, 10_000),
        "create": lambda: _create(directory / "new"),
        "fdatasync": lambda: os.fdatasync(file),
        "syncfs": syncfs,
        "directory": lambda: os.fsync(folder),
        "sqlite": lambda: database.execute("INSERT INTO rows VALUES (?)", (DATA,)),
    }
    for _ in sys.stdin:
        print(*(f"{name}={_outcome(call)}" for name, call in calls.items()), flush=True)


def _create(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _outcome(call: Callable[[], object]) -> str:
    try:
        return "short" if call() is False else "ok"
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except sqlite3.Error as error:
        return "ENOSPC" if error.sqlite_errorname == "SQLITE_FULL" else "EIO"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
