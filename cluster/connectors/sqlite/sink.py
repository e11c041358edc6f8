"""Writes a SQLite table: each batch is one transaction, which also moves the lane's position.

**Exactly once.** `riverrun_positions` has one row for each lane. A transaction takes the database's write lock first
(BEGIN IMMEDIATE), finds the position where the batch begins, or leaves all as it is; so of two that write the same
batch one does it. With `synchronous=EXTRA` a transaction that was reported is there after a loss of power as well.

**Threads.** SQLite blocks, so each call runs in a thread. A call that was cancelled runs to its end there, or is
interrupted by `close`, which waits for it: either its transaction is whole, with its position, or nothing of it is.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from cluster.connectors.contract import Delivery, Position
from cluster.connectors.durations import duration_s
from cluster.connectors.sqlite.options import SqliteSink
from cluster.connectors.sqlite.rows import (
    RECORD_KEY,
    Deleted,
    Row,
    columns_of,
    create,
    delete,
    new_columns,
    put,
    quoted,
    refuse_new,
    row_of,
)
from cluster.errors import InvalidRoute, RecordRefused, RiverrunError, Unreachable

_POSITIONS = "CREATE TABLE IF NOT EXISTS riverrun_positions (lane TEXT PRIMARY KEY, position INTEGER NOT NULL)"
_MOVE = "INSERT INTO riverrun_positions VALUES (?, ?) ON CONFLICT (lane) DO UPDATE SET position = excluded.position"
_THE_ROUTE = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
}
"""What a person has to mend; the rest (busy, locked, full, failing) is waited for."""
_THE_RECORD = {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG}


class SqliteTable:
    """See `cluster.connectors.contract.Sink`."""

    def __init__(self, options: SqliteSink) -> None:
        self._options = options
        self._upsert = options.mode == "upsert"
        self._key = (options.key_columns or (RECORD_KEY,)) if self._upsert else ()
        self._busy = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._columns: list[str] = []
        self._closed = False

    async def last_position(self, lane: str) -> int | None:
        """See Sink."""
        return await asyncio.to_thread(self._last_position, lane)

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:
        """See Sink: always there when it returns."""
        await asyncio.to_thread(self._write, batch, position)
        return True

    async def settle(self) -> None:
        """Nothing is held."""

    async def close(self) -> None:
        """See Sink."""
        self._closed = True
        database = self._database
        if database is not None:
            with suppress(sqlite3.ProgrammingError):
                database.interrupt()
        await asyncio.shield(asyncio.to_thread(self._close))

    def _close(self) -> None:
        with self._busy:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _last_position(self, lane: str) -> int | None:
        with self._busy, self._mapped():
            return _position(self._connected(), lane)

    def _write(self, batch: Sequence[Delivery], position: Position) -> None:
        options = self._options
        key = options.key_columns
        rows = [row_of(delivery, key, place, upsert=self._upsert) for place, delivery in enumerate(batch)]
        with self._busy, self._mapped(), _transaction(self._connected()) as database:
            there = _position(database, position.lane)
            if there is not None and there != position.begin:
                what = f"somebody else has written {position.lane} up to {there}, not to {position.begin}"
                raise Unreachable(f"{options.summary}: {what}")
            self._fit([row for row in rows if not isinstance(row, Deleted)], position)
            for place, row in enumerate(rows):
                self._put(database, row, place)
            database.execute(_MOVE, (position.lane, position.end))

    def _fit(self, rows: Sequence[Row], position: Position) -> None:
        """Make the table, or find its columns; those that it has not are added, or are the route's fault."""
        database = self._connected()
        table = self._options.table
        self._columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({quoted(table)})")]
        if not rows:
            return
        if not self._columns:
            columns = columns_of(rows) or {"value": ""}
            database.execute(create(table, columns, self._key))
            self._columns = list(columns)
        new = new_columns(rows, self._columns)
        if new and not self._options.add_columns:
            raise refuse_new(table, new, position.begin)
        for name, kind in new.items():
            database.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(name)} {kind}")
        self._columns += new

    def _put(self, database: sqlite3.Connection, row: Row | Deleted, place: int) -> None:
        table = self._options.table
        try:
            if not isinstance(row, Deleted):
                database.execute(put(table, tuple(row), self._key), tuple(row.values()))
            elif self._columns:
                database.execute(delete(table, tuple(row.key)), tuple(row.key.values()))
        except sqlite3.Error as error:
            if _code(error) in _THE_RECORD:
                raise RecordRefused(f"{self._options.summary}: {error}", place=place) from error
            raise

    def _connected(self) -> sqlite3.Connection:
        if self._closed:
            raise Unreachable(f"{self._options.summary}: it was closed")
        path = Path(self._options.path)
        if self._database is not None and _file_of(path) != self._file:
            raise Unreachable(f"{self._options.summary}: the file was replaced or is gone")
        if self._database is None:
            if not path.parent.is_dir():
                raise InvalidRoute(f"{self._options.summary}: there is no directory {path.parent}")
            database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=self._busy_s())
            try:
                database.execute("PRAGMA synchronous=EXTRA")
                database.execute(_POSITIONS)
            except BaseException:
                database.close()
                raise
            self._database, self._file = database, _file_of(path)
        return self._database

    def _busy_s(self) -> float:
        return duration_s(self._options.busy_timeout, "busy_timeout")

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except RiverrunError:
            raise
        except sqlite3.Error as error:
            failure = InvalidRoute if _code(error) in _THE_ROUTE else Unreachable
            raise failure(f"{self._options.summary}: {error}") from error
        except OSError as error:
            raise InvalidRoute(f"{self._options.summary}: {error.strerror}") from error


def _position(database: sqlite3.Connection, lane: str) -> int | None:
    with closing(database.execute("SELECT position FROM riverrun_positions WHERE lane = ?", (lane,))) as rows:
        found = rows.fetchone()
    return None if found is None else int(found[0])


def _file_of(path: Path) -> tuple[int, int] | None:
    """Which file has the name now: SQLite goes on writing to one that was taken away."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _code(error: sqlite3.Error) -> int:
    """The primary one of SQLite's codes; -1: it is the module's own error."""
    code = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
