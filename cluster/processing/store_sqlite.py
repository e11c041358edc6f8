"""A store in a SQLite file.

**Journal.** Write-ahead, `synchronous=NORMAL`, checkpoints only at a flush. SQLite syncs nothing at a commit then; its
frames carry a checksum that goes on from frame to frame, so whatever a power failure leaves of the file's unsynced end,
what is found again is the state after some earlier commit, whole. A rollback journal without syncs could not promise
that: it writes into the database itself, and unsynced pages reach the disk in any order. And with a write-ahead log a
snapshot reads on while commits go on beside it. The price is that pages are written twice, and the log's growth between
flushes.

**Flush** syncs the write-ahead log, which makes every commit durable, and then copies it into the database as far as
open snapshots allow; it is used again from its start when all of it was copied.

**Damage.** SQLite has no checksums of its own for pages, so each row has a CRC32C over where it belongs and what it is;
one that fails it is CorruptStorage, as is a file whose structure SQLite finds broken.

**Install.** Chunks go into a table beside the state, each in its own transaction; the last one puts that table into the
state's place, in one transaction.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cluster.errors import CorruptStorage, DiskFailed, DiskFull, RefusedToStart
from cluster.processing.directories import sync_directory_of
from cluster.processing.rows import checked, crc_of, end_of
from cluster.processing.snapshot import (
    BEFORE_ALL,
    NOTHING,
    Applied,
    Place,
    Row,
    chunk_of,
    decode_chunk,
    encode_chunk,
    refuse_stranger,
)
from cluster.processing.work import StateChange
from cluster.types import Index

FORMAT = 1
APPLICATION = 0x72697672
"""`riverrun` in the file's header."""
JOURNAL_BYTES_KEPT = 64 * 1024 * 1024
CACHE_KIB = 8 * 1024

_ROWS = "(store TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (store, key))"
_SCHEMA = f"""
CREATE TABLE state {_ROWS} WITHOUT ROWID;
CREATE TABLE staged {_ROWS} WITHOUT ROWID;
CREATE TABLE progress (name TEXT PRIMARY KEY, entry INTEGER NOT NULL, n INTEGER NOT NULL, store TEXT, key BLOB);
CREATE TABLE owner (name TEXT NOT NULL);
"""


class SqliteStore:
    """See `cluster.processing.store.Store`. `owner` names the task: the file of another one is CorruptStorage.

    RefusedToStart: the file was written by another version of riverrun.
    """

    def __init__(self, path: str, owner: str) -> None:
        self._path = path
        with _mapped():
            self._db = _connect(path)
            try:
                self._begin(owner)
            except BaseException:
                self._db.close()
                raise
        self.applied = self._progress("applied") or NOTHING
        self.flushed = Index(0)
        sync_directory_of(path)
        self.flush()

    def get_many(self, places: Sequence[Place]) -> list[bytes | None]:
        """See Store."""
        found: list[bytes | None] = []
        with _mapped():
            for place in places:
                row = self._db.execute("SELECT value, crc FROM state WHERE store = ? AND key = ?", place).fetchone()
                found.append(checked(*place, *row) if row is not None else None)
        return found

    def scan(self, store: str, prefix: bytes, *, after: bytes | None = None, limit: int) -> list[tuple[bytes, bytes]]:
        """See Store."""
        behind, begin = ("key > ?", after) if after is not None and after >= prefix else ("key >= ?", prefix)
        end = end_of(prefix)
        before = "" if end is None else " AND key < ?"
        query = f"SELECT key, value, crc FROM state WHERE store = ? AND {behind}{before} ORDER BY key LIMIT ?"  # noqa: S608  of constants
        arguments = (store, begin, limit) if end is None else (store, begin, end, limit)
        with _mapped():
            return [(key, checked(store, key, value, crc)) for key, value, crc in self._db.execute(query, arguments)]

    def apply(self, applied: Applied, changes: Sequence[StateChange]) -> None:
        """See Store."""
        assert applied.index > self.applied.index, f"{applied} after {self.applied}"
        values = {(change.store, change.key): change.value for change in changes}
        gone = [place for place, value in values.items() if value is None]
        rows = [_row(*place, value) for place, value in values.items() if value is not None]
        with self._transaction():
            self._db.executemany("DELETE FROM state WHERE store = ? AND key = ?", gone)
            self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)", rows)
            self._set_progress("applied", applied)
        self.applied = applied

    def flush(self) -> None:
        """See Store."""
        try:
            journal = os.open(f"{self._path}-wal", os.O_RDONLY)
        except FileNotFoundError:
            journal = None
        if journal is not None:
            try:
                os.fsync(journal)
            except OSError as error:
                raise DiskFailed(f"{self._path}-wal: {error}") from error
            finally:
                os.close(journal)
        with _mapped():
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self.flushed = self.applied.index

    def snapshot(self) -> "SqliteSnapshot":
        """See Store."""
        with _mapped():
            return SqliteSnapshot(_connect(self._path), self.applied)

    @property
    def installing(self) -> tuple[Applied, Place] | None:
        """See Store."""
        applied = self._progress("installing")
        if applied is None:
            return None
        with _mapped():
            row = self._db.execute("SELECT store, key FROM progress WHERE name = 'installing'").fetchone()
        return applied, (row[0], row[1])

    def install(self, chunk: bytes) -> bool:
        """See Store."""
        piece = decode_chunk(chunk)
        refuse_stranger(piece, self.applied, self.installing)
        with self._transaction():
            if piece.after == BEFORE_ALL:
                self._db.execute("DELETE FROM staged")
            self._db.executemany("INSERT INTO staged VALUES (?, ?, ?, ?)", [_row(*row) for row in piece.rows])
            if piece.last:
                self._db.execute("DROP TABLE state")
                self._db.execute("ALTER TABLE staged RENAME TO state")
                self._db.execute(f"CREATE TABLE staged {_ROWS} WITHOUT ROWID")
                self._db.execute("DELETE FROM progress WHERE name = 'installing'")
                self._set_progress("applied", piece.applied)
            else:
                self._set_progress("installing", piece.applied, piece.upto)
        if piece.last:
            self.applied = piece.applied
            self.flush()
        return piece.last

    def close(self) -> None:
        """See Store."""
        with _mapped():
            self._db.close()

    # --- inside

    def _begin(self, owner: str) -> None:
        application, version = (
            self._db.execute(f"PRAGMA {of}").fetchone()[0] for of in ("application_id", "user_version")
        )
        if (application, version) == (0, 0) and not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[
            0
        ]:
            with self._transaction():
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO owner VALUES (?)", (owner,))
                self._db.execute(f"PRAGMA application_id = {APPLICATION}")
                self._db.execute(f"PRAGMA user_version = {FORMAT}")
            return
        if application != APPLICATION:
            raise CorruptStorage(f"{self._path} holds something else than a task's state")
        if version != FORMAT:
            raise RefusedToStart(
                f"{self._path} was written by another version of riverrun (format {version}, not {FORMAT})"
            )
        named = self._db.execute("SELECT name FROM owner").fetchone()
        if named != (owner,):
            raise CorruptStorage(f"{self._path} holds the state of {named[0] if named else 'nobody'}, not of {owner}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _mapped():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _progress(self, name: str) -> Applied | None:
        with _mapped():
            row = self._db.execute("SELECT entry, n FROM progress WHERE name = ?", (name,)).fetchone()
        return Applied(Index(row[0]), row[1]) if row is not None else None

    def _set_progress(self, name: str, applied: Applied, place: Place | tuple[None, None] = (None, None)) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?)", (name, applied.index, applied.n, *place)
        )


class SqliteSnapshot:
    """See `cluster.processing.store.Snapshot`: a connection of its own, in one transaction that reads."""

    def __init__(self, db: sqlite3.Connection, applied: Applied) -> None:
        self.applied = applied
        self._db = db
        db.execute("BEGIN")
        found = db.execute("SELECT entry, n FROM progress WHERE name = 'applied'").fetchone()
        assert found in {None, (applied.index, applied.n)}, f"a snapshot of {applied} is one of {found}"

    def chunk(self, after: Place, bytes_max: int) -> bytes:
        """See Snapshot."""
        with _mapped():
            return encode_chunk(chunk_of(self.applied, after, self._behind(after), bytes_max))

    def close(self) -> None:
        """See Snapshot."""
        self._db.close()

    def _behind(self, after: Place) -> Iterator[Row]:
        query = "SELECT store, key, value, crc FROM state WHERE (store, key) > (?, ?) ORDER BY store, key"
        for store, key, value, crc in self._db.execute(query, after):
            yield store, key, checked(store, key, value, crc)


def _connect(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        assert mode == "wal", f"{path}: journal mode {mode}"
        for setting in (
            "synchronous = NORMAL",
            "wal_autocheckpoint = 0",
            f"journal_size_limit = {JOURNAL_BYTES_KEPT}",
            f"cache_size = -{CACHE_KIB}",
        ):
            db.execute(f"PRAGMA {setting}")
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def _mapped() -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            raise DiskFull(f"there is no room for a task's state: {error}") from error
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise CorruptStorage(f"a task's state is damaged: {error}") from error
        raise DiskFailed(f"a task's state: {name} {error}") from error


def _row(store: str, key: bytes, value: bytes) -> tuple[str, bytes, bytes, int]:
    return store, key, value, crc_of(store, key, value)
