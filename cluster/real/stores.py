"""Stores of tasks in files, each beside its task's log, and one thread that uses them.

Which kind of file is the node's choice (`processing.store`). A node that chose the other one before finds its state in
the other file: it is moved by way of a snapshot when the store is opened, and only then is the old file removed.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from cluster.errors import RefusedToStart
from cluster.processing.snapshot import BEFORE_ALL, NOTHING, decode_chunk
from cluster.processing.store import Store
from cluster.processing.store_sqlite import SqliteStore
from cluster.real.worker import Worker

T = TypeVar("T")
FILES = {"sqlite": ("state.db", "state.db-wal", "state.db-shm"), "lmdb": ("state.mdb", "state.mdb-lock")}
"""The files of each kind of store; the first is there if the store is."""
CHUNK_BYTES = 1024 * 1024


class RealStores:
    """See `cluster.processing.surroundings.Stores`. The thread begins with the first store.

    RefusedToStart: what this kind of store needs is not installed.
    """

    def __init__(self, data_dir: Path, kind: str = "sqlite") -> None:
        self._data_dir = data_dir
        self._kind = kind
        self._worker: Worker | None = None
        if kind == "lmdb":
            _require_lmdb('processing.store is "lmdb"')

    def open(self, directory: str, owner: str) -> Store:
        """See Stores."""
        place = self._data_dir / directory
        store = _open(self._kind, place, owner)
        try:
            for kind in FILES:
                if kind != self._kind and (place / FILES[kind][0]).exists():
                    _move(kind, place, owner, store)
        except BaseException:
            store.close()
            raise
        return store

    def remove(self, directory: str) -> None:
        """See Stores."""
        for kind in FILES:
            _remove(kind, self._data_dir / directory)

    def bytes_in(self, directory: str) -> int:
        """See Stores."""
        size = 0
        for name in itertools.chain(*FILES.values()):
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


def _require_lmdb(why: str) -> None:
    if find_spec("lmdb") is None:
        raise RefusedToStart(f"{why}, and lmdb is not installed: it comes with riverrun[lmdb]")


def _open(kind: str, place: Path, owner: str) -> Store:
    path = str(place / FILES[kind][0])
    if kind == "sqlite":
        return SqliteStore(path, owner)
    _require_lmdb(f"there is a task's state in {path}")
    from cluster.processing.store_lmdb import LmdbStore  # noqa: PLC0415  an extra

    return LmdbStore(path, owner)


def _move(kind: str, place: Path, owner: str, store: Store) -> None:
    """What an earlier choice left, if it is not here yet; then its files go."""
    earlier = _open(kind, place, owner)
    try:
        if NOTHING.index < earlier.applied.index and store.applied.index < earlier.applied.index:
            snapshot = earlier.snapshot()
            after, last = BEFORE_ALL, False
            while not last:
                chunk = snapshot.chunk(after, CHUNK_BYTES)
                last, after = store.install(chunk), decode_chunk(chunk).upto
            snapshot.close()
    finally:
        earlier.close()
    _remove(kind, place)


def _remove(kind: str, place: Path) -> None:
    for name in FILES[kind]:
        (place / name).unlink(missing_ok=True)


def _look(done: "asyncio.Future[object]") -> None:
    if not done.cancelled():
        done.exception()
