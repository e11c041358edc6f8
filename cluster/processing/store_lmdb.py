"""A store in an LMDB file (riverrun[lmdb]), with what was not flushed yet in memory.

**Commits.** LMDB has no journal: a commit writes new pages beside the old ones and then a root, and frees pages that
the next but one commit writes over. Without a sync for each (MDB_NOSYNC) a power failure may leave a new root without
its pages, or the old root with pages that were written over: neither is whole. With one for each (MDB_NOMETASYNC still
syncs the pages) it is slow. So `apply` only adds to a dict, and `flush` makes one transaction of it, synced as LMDB
does by default: a crash, of the process as well, leaves the state of the last flush. What waits in memory is bounded by
PENDING_BYTES_MAX: then `apply` flushes first. `snapshot` flushes, too, and is then a transaction that reads.

**Keys** are the store's name, a zero byte and the key. LMDB takes 511 bytes of one, so a longer one stands, with all
that share its first KEY_BYTES, in one row under those: the order of bytes remains.

**Size.** The map is MAP_BYTES of address space, not of disk; full, it is doubled, unless a snapshot is open, which
reads from it: that is DiskFull until the snapshot is closed. The file does not become smaller.

**Damage.** Rows have a CRC32C as in `store_sqlite`, and a file that is shorter than its pages is CorruptStorage. But
LMDB reads its pages where they lie and believes what they say of themselves: a flipped bit in a page's own head might
end the process (in tests it did not). SQLite checks there; that is one reason why it is the default.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from cluster.errors import CorruptStorage, DiskFailed, DiskFull, RefusedToStart
from cluster.processing.directories import sync_directory_of
from cluster.processing.rows import checked, crc_of
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

FORMAT = 1
KEY_BYTES = 500
MAP_BYTES = 16 * 1024**3
PENDING_BYTES_MAX = 32 * 1024**2
ROW_BYTES = 100
"""What a row in memory takes beside its key and value, roughly."""

_STATES = (b"state-0", b"state-1")
_encode = msgspec.msgpack.encode


class Meta(msgspec.Struct, array_like=True):
    """Whose state it is and how far; `current`: which of _STATES it is. `upto`: of a snapshot that is coming in."""

    format: int
    owner: str
    current: int = 0
    applied: Applied = NOTHING
    installing: Applied | None = None
    upto: Place = BEFORE_ALL


Rest = tuple[bytes, bytes, int]
"""Of a long key: what follows its first KEY_BYTES, the value, the row's CRC."""
_decode_meta = msgspec.msgpack.Decoder(Meta).decode
_decode_rests = msgspec.msgpack.Decoder(list[Rest]).decode


class LmdbStore:
    """See `cluster.processing.store.Store`. `owner` names the task: the file of another one is CorruptStorage.

    RefusedToStart: the file was written by another version of riverrun.
    """

    def __init__(self, path: str, owner: str, *, map_bytes: int = MAP_BYTES) -> None:
        self._path = path
        self._pending: dict[Place, bytes | None] = {}
        self._pending_bytes = 0
        self._snapshots: set[LmdbSnapshot] = set()
        with _mapped():
            self._env = lmdb.open(path, subdir=False, map_size=map_bytes, max_dbs=3, readahead=False)
        try:
            self._refuse_short()
            self._begin(owner)
            sync_directory_of(path)
        except BaseException:
            self._env.close()
            raise
        self.applied = self._meta.applied
        self.flushed = self.applied.index

    def get_many(self, places: Sequence[Place]) -> list[bytes | None]:
        """See Store."""
        with _mapped(), self._env.begin(self._state) as txn:
            return [self._pending[place] if place in self._pending else _value(txn, place) for place in places]

    def scan(self, store: str, prefix: bytes, *, after: bytes | None = None, limit: int) -> list[tuple[bytes, bytes]]:
        """See Store."""
        waiting = {
            key: value
            for (name, key), value in self._pending.items()
            if name == store and key.startswith(prefix) and (after is None or key > after)
        }
        found = {key: value for key, value in waiting.items() if value is not None}
        first = prefix if after is None else max(prefix, after)
        with _mapped(), self._env.begin(self._state) as txn:
            beside = 0
            for name, key, value in _rows(txn, (store, first)):
                if name != store or not key.startswith(prefix) or beside == limit:
                    break
                if key != after and key not in waiting:
                    found[key] = value
                    beside += 1
        return sorted(found.items())[:limit]

    def apply(self, applied: Applied, changes: Sequence[StateChange]) -> None:
        """See Store. What does not fit into memory any more is flushed first."""
        assert applied.index > self.applied.index, f"{applied} after {self.applied}"
        if self._pending_bytes > PENDING_BYTES_MAX:
            self.flush()
        for change in changes:
            self._pending[change.store, change.key] = change.value
            self._pending_bytes += ROW_BYTES + len(change.key) + len(change.value or b"")
        self.applied = applied

    def flush(self) -> None:
        """See Store."""
        if self.applied == self._meta.applied:
            return
        meta = msgspec.structs.replace(self._meta, applied=self.applied)
        self._write(lambda txn: _put(txn, self._state, self._pending), meta)
        self._pending, self._pending_bytes = {}, 0
        self.flushed = self.applied.index

    def snapshot(self) -> "LmdbSnapshot":
        """See Store."""
        self.flush()
        with _mapped():
            snapshot = LmdbSnapshot(self._env.begin(self._state), self.applied, self._snapshots)
        self._snapshots.add(snapshot)
        return snapshot

    @property
    def installing(self) -> tuple[Applied, Place] | None:
        """See Store."""
        return None if self._meta.installing is None else (self._meta.installing, self._meta.upto)

    def install(self, chunk: bytes) -> bool:
        """See Store."""
        piece = decode_chunk(chunk)
        refuse_stranger(piece, self.applied, self.installing)
        staged = self._databases[1 - self._meta.current]
        rows: dict[Place, bytes | None] = {(store, key): value for store, key, value in piece.rows}

        def put(txn: Any) -> None:
            if piece.after == BEFORE_ALL:
                txn.drop(staged, delete=False)
            _put(txn, staged, rows)
            if piece.last:
                txn.drop(self._state, delete=False)

        if not piece.last:
            self._write(put, msgspec.structs.replace(self._meta, installing=piece.applied, upto=piece.upto))
            return False
        self._write(put, Meta(FORMAT, self._meta.owner, 1 - self._meta.current, piece.applied))
        self._pending, self._pending_bytes = {}, 0
        self.applied, self.flushed = piece.applied, piece.applied.index
        return True

    def close(self) -> None:
        """See Store."""
        self._env.close()

    # --- inside

    @property
    def _state(self) -> Any:
        return self._databases[self._meta.current]

    def _begin(self, owner: str) -> None:
        with _mapped():
            self._databases = [self._env.open_db(name) for name in _STATES]
            self._about = self._env.open_db(b"about")
            with self._env.begin(self._about) as txn:
                found = txn.get(b"meta")
        self._meta = Meta(FORMAT, owner)
        if found is None:
            self._write(lambda _: None, self._meta)
            return
        try:
            meta = _decode_meta(found)
        except msgspec.DecodeError as error:
            raise CorruptStorage(f"{self._path} does not say whose state it is: {error}") from error
        if meta.format != FORMAT:
            raise RefusedToStart(
                f"{self._path} was written by another version of riverrun (format {meta.format}, not {FORMAT})"
            )
        if meta.owner != owner:
            raise CorruptStorage(f"{self._path} holds the state of {meta.owner}, not of {owner}")
        self._meta = meta

    def _refuse_short(self) -> None:
        """Reading behind the end of the file would end the process."""
        needed = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        size = Path(self._path).stat().st_size
        if size < needed:
            raise CorruptStorage(f"{self._path} has {size} bytes, and should have {needed}")

    def _write(self, put: Callable[[Any], None], meta: Meta) -> None:
        """One transaction, synced; done again in a larger map where it does not fit."""
        while True:
            try:
                with _mapped(), self._env.begin(write=True) as txn:
                    put(txn)
                    txn.put(b"meta", _encode(meta), db=self._about)
            except lmdb.MapFullError as error:
                if self._snapshots:
                    raise DiskFull(
                        "a task's state wants a larger map; that waits until its snapshot is read"
                    ) from error
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            else:
                self._meta = meta
                return


class LmdbSnapshot:
    """See `cluster.processing.store.Snapshot`: a transaction that reads."""

    def __init__(self, txn: Any, applied: Applied, among: "set[LmdbSnapshot]") -> None:
        self.applied = applied
        self._txn = txn
        self._among = among

    def chunk(self, after: Place, bytes_max: int) -> bytes:
        """See Snapshot."""
        with _mapped():
            behind = (row for row in _rows(self._txn, after) if row[:2] != after)
            return encode_chunk(chunk_of(self.applied, after, behind, bytes_max))

    def close(self) -> None:
        """See Snapshot."""
        self._txn.abort()
        self._among.discard(self)


def _name(store: str, key: bytes) -> bytes:
    assert store and "\0" not in store, f"{store!r} is the name of a parameter or table"  # noqa: PT018  one rule
    return store.encode() + b"\0" + key


def _value(txn: Any, place: Place) -> bytes | None:
    store, key = place
    name = _name(store, key)
    data = txn.get(name[:KEY_BYTES])
    if data is None:
        return None
    if len(name) < KEY_BYTES:
        return checked(store, key, data[4:], int.from_bytes(data[:4], "little"))
    for rest, value, crc in _rests(data):
        if rest == name[KEY_BYTES:]:
            return checked(store, key, value, crc)
    return None


def _rows(txn: Any, first: Place) -> Iterator[Row]:
    """From `first` on, in their order."""
    name = _name(*first) if first != BEFORE_ALL else b""
    cursor = txn.cursor()
    if not (cursor.set_range(name[:KEY_BYTES]) if name else cursor.first()):
        return
    for head, data in cursor:
        store, _, begin = head.partition(b"\0")
        found = _rests(data) if len(head) == KEY_BYTES else [(b"", data[4:], int.from_bytes(data[:4], "little"))]
        for rest, value, crc in found:
            if head + rest >= name:
                named, key = store.decode(errors="replace"), begin + rest
                yield named, key, checked(named, key, value, crc)


def _put(txn: Any, database: Any, changes: Mapping[Place, bytes | None]) -> None:
    long: dict[bytes, dict[bytes, Rest | None]] = {}
    for (store, key), value in sorted(changes.items()):
        name = _name(store, key)
        crc = 0 if value is None else crc_of(store, key, value)
        if len(name) >= KEY_BYTES:
            rest = name[KEY_BYTES:]
            long.setdefault(name[:KEY_BYTES], {})[rest] = None if value is None else (rest, value, crc)
        elif value is None:
            txn.delete(name, db=database)
        else:
            txn.put(name, crc.to_bytes(4, "little") + value, db=database)
    for head, changed in long.items():
        data = txn.get(head, db=database)
        rests: dict[bytes, Rest | None] = {} if data is None else {rest[0]: rest for rest in _rests(data)}
        kept = sorted(rest for rest in (rests | changed).values() if rest is not None)
        if kept:
            txn.put(head, _encode(kept), db=database)
        else:
            txn.delete(head, db=database)


def _rests(data: bytes) -> list[Rest]:
    try:
        return _decode_rests(data)
    except msgspec.DecodeError as error:
        raise CorruptStorage(f"rows of a task's state are damaged: {error}") from error


@contextmanager
def _mapped() -> Iterator[None]:
    """LMDB's errors as ours, but for a full map."""
    try:
        yield
    except lmdb.MapFullError:
        raise
    except lmdb.DiskError as error:
        raise DiskFull(f"there is no room for a task's state: {error}") from error
    except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError) as error:
        raise CorruptStorage(f"a task's state is damaged: {error}") from error
    except lmdb.VersionMismatchError as error:
        raise RefusedToStart(f"a task's state was written by another version of LMDB: {error}") from error
    except lmdb.Error as error:
        raise DiskFailed(f"a task's state: {error}") from error
