"""Stores of tasks in SQLite files, each beside its task's log, and one thread that uses them."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cluster.processing.store_sqlite import SqliteStore
from cluster.real.worker import Worker

T = TypeVar("T")
FILE = "state.db"
FILES = (FILE, f"{FILE}-wal", f"{FILE}-shm")


class RealStores:
    """See `cluster.processing.surroundings.Stores`. The thread begins with the first store."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._worker: Worker | None = None

    def open(self, directory: str, owner: str) -> SqliteStore:
        """See Stores."""
        return SqliteStore(str(self._data_dir / directory / FILE), owner)

    def remove(self, directory: str) -> None:
        """See Stores."""
        for name in FILES:
            (self._data_dir / directory / name).unlink(missing_ok=True)

    def bytes_in(self, directory: str) -> int:
        """See Stores."""
        size = 0
        for name in FILES:
            with contextlib.suppress(FileNotFoundError):
                size += (self._data_dir / directory / name).stat().st_size
        return size

    async def run(self, work: Callable[[], T]) -> T:
        """See Stores."""
        return await self._thread().run(work)

    def soon(self, work: Callable[[], object]) -> None:
        """See Stores."""
        self._thread().start(work).add_done_callback(_look)

    async def close(self) -> None:
        """See Stores."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _thread(self) -> Worker:
        if self._worker is None:
            self._worker = Worker("stores")
        return self._worker


def _look(done: "asyncio.Future[object]") -> None:
    if not done.cancelled():
        done.exception()
