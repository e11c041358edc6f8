"""Keyed state: a write-back cache over what is committed.

Rules:
1. A value is read once and stays decoded. Whoever looks at it has *touched* it: at the end of what was attempted, what
   was touched is encoded again, and is a change where the bytes differ. So changes in place persist.
2. `settle` ends an attempt that went well; `roll_back` ends one that did not, and drops what it touched.
3. `take_changes` ends a work: one change for each value that is not what it was before. `drop` ends it without.
4. Callbacks read what is committed, so a value that was changed by work n stays in memory until n is committed.
5. A value that does not decode is nobody's default: `StateUnreadable`, and the work is not done.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from cluster.errors import StateUnreadable
from cluster.processing.work import StateChange

ReadState = Callable[[Sequence[tuple[str, bytes]]], Sequence[bytes | None]]
"""Committed values of (store, key) pairs, in their order; None where there is none."""

CELLS_MAX = 200_000
"""Values that a runner keeps in memory, where all is committed."""

_UNDECODED: Any = object()


class Cell:
    """One value: as it is encoded, and, when somebody has looked, as it is."""

    __slots__ = ("encoded", "explicit", "fresh", "key", "n", "store", "value")

    def __init__(self, store: "Store", key: bytes, encoded: bytes | None) -> None:
        self.store = store
        self.key = key
        self.encoded = encoded
        self.value: Any = _UNDECODED
        self.fresh = True
        """Not touched in this attempt."""
        self.explicit = False
        """Set, not only looked at: then it is written though it equals the default."""
        self.n = 0
        """The work that changed it last."""

    def get(self) -> Any:
        """The value, which from now on may be changed in place."""
        if self.fresh:
            self.store.touch(self)
        return self.value

    def put(self, value: Any) -> None:
        """Set it."""
        if self.fresh:
            self.store.keyed.touched.append(self)
            self.fresh = False
        self.value = value
        self.explicit = True

    def delete(self) -> None:
        """As if it had never been set."""
        self.put(_UNDECODED)


class Store:
    """All values of one name and one type."""

    def __init__(self, keyed: "KeyedState", name: str, kind: Any, default: Callable[[], Any]) -> None:
        self.keyed = keyed
        self.name = name
        self.cells: dict[bytes, Cell] = {}
        self.default = default
        self._decode = msgspec.msgpack.Decoder(kind).decode

    def load(self, keys: Iterable[bytes]) -> None:
        """Have these in memory, with one call for those that are not."""
        missing = set(keys).difference(self.cells)
        if missing:
            found = self.keyed.read([(self.name, key) for key in missing])
            for key, encoded in zip(missing, found, strict=True):
                self.cells[key] = Cell(self, key, encoded)

    def cell(self, key: bytes) -> Cell:
        """One of them, read if need be."""
        cell = self.cells.get(key)
        if cell is None:
            self.load((key,))
            cell = self.cells[key]
        return cell

    def touch(self, cell: Cell) -> None:
        """Somebody looks at it, and may change it in place."""
        if cell.value is _UNDECODED:
            cell.value = self.default() if cell.encoded is None else self._decoded(cell, cell.encoded)
        cell.fresh = False
        self.keyed.touched.append(cell)

    def encode(self, cell: Cell) -> bytes | None:
        """What it is now, as bytes; a default that was only looked at is nothing."""
        if cell.value is _UNDECODED:
            return None
        encoded = self.keyed.encode(cell.value)
        if cell.encoded is None and not cell.explicit and encoded == self.keyed.encode(self.default()):
            return None
        return encoded

    def _decoded(self, cell: Cell, encoded: bytes) -> Any:
        try:
            return self._decode(encoded)
        except msgspec.DecodeError as error:
            raise StateUnreadable(
                f"state {self.name!r} of key {cell.key!r} does not decode as its type: {error}; deploy code that reads "
                "it, or a new version that begins anew",
                store=self.name,
                key=cell.key.hex(),
            ) from error


class KeyedState:
    """All stores of one task."""

    def __init__(self, read: ReadState) -> None:
        self.read = read
        self.encode = msgspec.msgpack.Encoder().encode
        self.stores: dict[str, Store] = {}
        self.touched: list[Cell] = []
        self._before: dict[Cell, bytes | None] = {}

    def store(self, name: str, kind: Any, default: Callable[[], Any] = lambda: None) -> Store:
        """The store of that name, made when it is first asked for."""
        if name not in self.stores:
            self.stores[name] = Store(self, name, kind, default)
        return self.stores[name]

    def settle(self) -> None:
        """The attempt went well. TypeError if a value cannot be encoded: then nothing is settled."""
        encoded = [cell.store.encode(cell) for cell in self.touched]
        for cell, now in zip(self.touched, encoded, strict=True):
            if now != cell.encoded:
                self._before.setdefault(cell, cell.encoded)
                cell.encoded = now
            cell.fresh, cell.explicit = True, False
        self.touched.clear()

    def roll_back(self) -> None:
        """The attempt failed: what it touched is as it was after the last one that went well."""
        for cell in self.touched:
            cell.value, cell.fresh, cell.explicit = _UNDECODED, True, False
        self.touched.clear()

    def take_changes(self, n: int) -> list[StateChange]:
        """The changes of the work `n`, which ends here."""
        assert not self.touched, "an attempt is still open"
        changes = []
        for cell, before in self._before.items():
            if cell.encoded != before:
                cell.n = n
                changes.append(StateChange(store=cell.store.name, key=cell.key, value=cell.encoded))
        self._before.clear()
        return changes

    def drop(self) -> None:
        """The work came to nothing."""
        self.roll_back()
        for cell, before in self._before.items():
            cell.encoded, cell.value = before, _UNDECODED
        self._before.clear()

    def committed(self, n: int) -> None:
        """Works up to `n` are committed and applied, so what they changed can be read again: make room if need be."""
        if sum(len(store.cells) for store in self.stores.values()) > CELLS_MAX:
            for store in self.stores.values():
                for key in [key for key, cell in store.cells.items() if cell.n <= n]:
                    del store.cells[key]
