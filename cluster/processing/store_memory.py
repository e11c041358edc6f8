"""A store in memory, for tests and the simulator: what was not flushed is lost in a crash, in whole commits. Pure."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from itertools import islice

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


class MemoryStore:
    """See `cluster.processing.store.Store`."""

    def __init__(self) -> None:
        self.applied = NOTHING
        self._values: dict[Place, bytes] = {}
        self._order: list[Place] = []
        self._flushed: tuple[Applied, dict[Place, bytes]] = (NOTHING, {})
        self._pending: list[tuple[Applied, Sequence[StateChange]]] = []
        self._staged: tuple[Applied, list[Row]] | None = None

    @property
    def flushed(self) -> Index:
        """See Store."""
        return self._flushed[0].index

    @property
    def size_bytes(self) -> int:
        """Of all keys and values."""
        return sum(len(key) + len(value) for (_, key), value in self._values.items())

    def get_many(self, places: Sequence[Place]) -> list[bytes | None]:
        """See Store."""
        return [self._values.get(place) for place in places]

    def scan(self, store: str, prefix: bytes, *, after: bytes | None = None, limit: int) -> list[tuple[bytes, bytes]]:
        """See Store."""
        begin = bisect_left(self._order, (store, prefix))
        if after is not None:
            begin = max(begin, bisect_right(self._order, (store, after)))
        found: list[tuple[bytes, bytes]] = []
        for place in islice(self._order, begin, None):
            if len(found) >= limit or place[0] != store or not place[1].startswith(prefix):
                break
            found.append((place[1], self._values[place]))
        return found

    def apply(self, applied: Applied, changes: Sequence[StateChange]) -> None:
        """See Store."""
        self._take(applied, changes)
        self._pending.append((applied, changes))

    def flush(self) -> None:
        """See Store."""
        self._flushed = (self.applied, dict(self._values))
        self._pending.clear()

    def snapshot(self) -> "MemorySnapshot":
        """See Store."""
        return MemorySnapshot(self.applied, [(*place, self._values[place]) for place in self._order])

    @property
    def installing(self) -> tuple[Applied, Place] | None:
        """See Store."""
        if self._staged is None:
            return None
        applied, rows = self._staged
        return applied, rows[-1][:2] if rows else BEFORE_ALL

    def install(self, chunk: bytes) -> bool:
        """See Store."""
        piece = decode_chunk(chunk)
        refuse_stranger(piece, self.applied, self.installing)
        if piece.after == BEFORE_ALL:
            self._staged = (piece.applied, [])
        assert self._staged is not None, "it follows something"
        applied, rows = self._staged
        rows += piece.rows
        if piece.last:
            self._staged = None
            self._be(applied, {(store, key): value for store, key, value in rows})
            self.flush()
        return piece.last

    def close(self) -> None:
        """See Store."""

    def crash(self, kept: int) -> None:
        """The power fails: of the commits since the last flush the first `kept` are still there."""
        pending = self._pending[:kept]
        self._staged = None
        self._be(*self._flushed)
        for applied, changes in pending:
            self._take(applied, changes)
        self._pending = pending

    @property
    def unflushed(self) -> int:
        """Commits that a crash may lose."""
        return len(self._pending)

    def _be(self, applied: Applied, values: dict[Place, bytes]) -> None:
        self.applied, self._values, self._order = applied, dict(values), sorted(values)

    def _take(self, applied: Applied, changes: Sequence[StateChange]) -> None:
        assert applied.index > self.applied.index, f"{applied} after {self.applied}"
        for change in changes:
            place = (change.store, change.key)
            if change.value is not None:
                if place not in self._values:
                    insort(self._order, place)
                self._values[place] = change.value
            elif self._values.pop(place, None) is not None:
                del self._order[bisect_left(self._order, place)]
        self.applied = applied


class MemorySnapshot:
    """See `cluster.processing.store.Snapshot`."""

    def __init__(self, applied: Applied, rows: list[Row]) -> None:
        self.applied = applied
        self._rows = rows

    def chunk(self, after: Place, bytes_max: int) -> bytes:
        """See Snapshot."""
        return encode_chunk(chunk_of(self.applied, after, self._behind(after), bytes_max))

    def close(self) -> None:
        """See Snapshot."""

    def _behind(self, after: Place) -> Iterator[Row]:
        begin = 0 if after == BEFORE_ALL else bisect_right(self._rows, after, key=lambda row: row[:2])
        return islice(self._rows, begin, None)
