"""Keyed state: a write-back cache over what is committed.

Rules:
1. A value is read once and stays decoded. It is handed out as a plain attribute, so nobody knows whether it was looked
   at, set, or changed in place: at the end of what was attempted, all that was handed out (is *in play*) and has a
   value is encoded again, and is a change where the bytes differ. So changes in place persist.
2. `settle` ends an attempt that went well; `roll_back` ends one that did not, and drops what was in play.
3. `take_changes` ends a work: one change for each value that is not what it was before. `drop` ends it without.
4. Callbacks read what is committed, so a value that was changed by work n stays in memory until n is committed.
5. A value that does not decode is nobody's default: `StateUnreadable`, and the work is not done. So one that would not
   is not taken from user code: the attempt fails.
6. What equals the default, and was nothing before, is nothing: to look does not store.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import msgspec

from cluster.errors import StateUnreadable
from cluster.processing.work import StateChange

ReadState = Callable[[Sequence[tuple[str, bytes]]], Sequence[bytes | None]]
"""Committed values of (store, key) pairs, in their order; None where there is none."""

CELLS_MAX = 200_000
BYTES_MAX = 16 * 1024 * 1024
"""Values that a runner keeps in memory, where all is committed, and what they are in bytes, encoded."""

BARE_BYTES_MAX = 256
"""A larger value is put away between attempts, so that who needs it for few records pays for those; smaller ones are
encoded sooner than put away and taken out again."""

OWN = "~"
"""Names of stores that user code has no part in begin so."""
_PLAIN = (int, float, str, bytes, bool)

_NOTHING: Any = object()


class Cell:
    """One value: as it is encoded, and, when somebody has looked, as it is.

    `value` is empty until it is looked at or set, which is for those to whom the cell was handed out; all others `get`.
    """

    __slots__ = ("_away", "before", "encoded", "key", "n", "store", "value")

    def __init__(self, store: "Store", key: bytes, encoded: bytes | None) -> None:
        self.store = store
        self.key = key
        self.encoded = encoded
        self.before: bytes | None = _NOTHING
        """As it was when the work began, if this work has changed it."""
        self.n = 0
        """The work that changed it last."""
        self._away: Any = _NOTHING
        """The value, while it is put away."""

    def __getattr__(self, name: str) -> Any:
        """Python asks here for what is empty."""
        if name != "value":
            raise AttributeError(f"{type(self).__name__} has no {name!r}; it has `value` and `clear`")
        value = self._away if self._away is not _NOTHING else self.store.value(self)
        self.value = value
        return value

    def get(self) -> Any:
        """The value, in play from now on."""
        self.store.keyed.in_play[self] = None
        return self.value

    def put(self, value: Any) -> None:
        """Set it."""
        self.store.keyed.in_play[self] = None
        self.value = value

    def delete(self) -> None:
        """As if it had never been set."""
        self.put(self.store.default())
        self.store.keyed.deleted.add(self)

    def is_seen(self) -> bool:
        """Whether there is a value: somebody has looked at it or set it."""
        try:
            _value_of(self)
        except AttributeError:
            return False
        return True

    def put_away(self) -> None:
        """It stays decoded, but is not looked at."""
        self._away = self.value
        del self.value

    def forget(self) -> None:
        """Only what is encoded counts."""
        self.value = self._away = _NOTHING
        del self.value


_value_of = vars(Cell)["value"].__get__
"""Unlike `cell.value` it leaves empty what is empty: AttributeError, without asking `__getattr__`."""


class Store:
    """All values of one name and one type; `make`: the class that they are handed out as."""

    def __init__(self, keyed: "KeyedState", name: str, kind: Any, default: Callable[[], Any], make: type[Cell]) -> None:
        self.keyed = keyed
        self.name = name
        self.cells: dict[bytes, Cell] = {}
        self.default = default
        self._make = make
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._plain = kind if kind in _PLAIN else None
        self._is_own = name.startswith(OWN)

    @cached_property
    def nothing(self) -> bytes:
        """The default, encoded."""
        return self.keyed.encode(self.default())

    def load(self, keys: Iterable[bytes]) -> None:
        """Have these in memory, with one call for those that are not."""
        cells = self.cells
        missing = [key for key in keys if key not in cells]
        if missing:
            missing = [*dict.fromkeys(missing)]
            found = self.keyed.read([(self.name, key) for key in missing])
            for key, encoded in zip(missing, found, strict=True):
                cells[key] = self._make(self, key, encoded)
                self.keyed.bytes += 0 if encoded is None else len(encoded)

    def cell(self, key: bytes) -> Cell:
        """One of them, read if need be."""
        cell = self.cells.get(key)
        if cell is None:
            self.load((key,))
            cell = self.cells[key]
        return cell

    def hand_out(self, keys: Sequence[bytes]) -> list[Cell]:
        """The cell of each of these keys; they are in play from now on."""
        try:
            cells = [*map(self.cells.__getitem__, keys)]
        except KeyError:
            self.load(keys)
            cells = [*map(self.cells.__getitem__, keys)]
        self.keyed.in_play |= dict.fromkeys(cells)
        return cells

    def value(self, cell: Cell) -> Any:
        """What a cell holds, decoded. StateUnreadable."""
        if cell.encoded is None:
            return self.default()
        try:
            return self._decode(cell.encoded)
        except msgspec.DecodeError as error:
            raise StateUnreadable(
                f"state {self.name!r} of key {cell.key!r} does not decode as its type: {error}; deploy code that reads "
                "it, or a new version that begins anew",
                store=self.name,
                key=cell.key.hex(),
            ) from error

    def check(self, cell: Cell, encoded: bytes) -> None:
        """Of a new value: whether it can be read again. TypeError."""
        if self._is_own or type(cell.value) is self._plain:
            return
        try:
            self._decode(encoded)
        except msgspec.DecodeError as error:
            raise TypeError(
                f"state {self.name!r} was given {cell.value!r:.200}, which is not its type: {error}"
            ) from None


class KeyedState:
    """All stores of one task."""

    def __init__(self, read: ReadState) -> None:
        self.read = read
        self.encode = msgspec.msgpack.Encoder().encode
        self.stores: dict[str, Store] = {}
        self.in_play: dict[Cell, None] = {}
        """In the order in which they came into play, which is the order of the changes."""
        self.deleted: set[Cell] = set()
        """Those of them that were deleted, and may have been set since."""
        self._changed: list[Cell] = []
        """By this work."""
        self.bytes = 0
        """About what all values are, encoded."""

    def store(self, name: str, kind: Any, default: Callable[[], Any] = lambda: None, make: type[Cell] = Cell) -> Store:
        """The store of that name, made when it is first asked for."""
        if name not in self.stores:
            self.stores[name] = Store(self, name, kind, default, make)
        return self.stores[name]

    def settle(self) -> None:
        """The attempt went well. TypeError if a value cannot be encoded, or not be read again: nothing is settled."""
        changes: list[tuple[Cell, bytes | None]] = []
        for cell, now in zip(*self._encoded(), strict=True):
            was = cell.encoded
            if now != was and not (was is None and now == cell.store.nothing):
                if now is not None:
                    cell.store.check(cell, now)
                changes.append((cell, now))
            if now is not None and len(now) > BARE_BYTES_MAX:
                cell.put_away()
        for cell, now in changes:
            if cell.before is _NOTHING:
                cell.before = cell.encoded
                self._changed.append(cell)
            self.bytes += len(now or b"") - len(cell.encoded or b"")
            cell.encoded = now
        self.in_play.clear()
        self.deleted.clear()

    def roll_back(self) -> None:
        """The attempt failed: what was in play is as it was after the last one that went well."""
        for cell in self.in_play:
            cell.forget()
        self.in_play.clear()
        self.deleted.clear()

    def take_changes(self, n: int) -> list[StateChange]:
        """The changes of the work `n`, which ends here."""
        assert not self.in_play, "an attempt is still open"
        changes = []
        for cell in self._changed:
            if cell.encoded != cell.before:
                cell.n = n
                changes.append(StateChange(store=cell.store.name, key=cell.key, value=cell.encoded))
            cell.before = _NOTHING
        self._changed.clear()
        return changes

    def drop(self) -> None:
        """The work came to nothing."""
        self.roll_back()
        for cell in self._changed:
            cell.encoded, cell.before = cell.before, _NOTHING
            cell.forget()
        self._changed.clear()

    def committed(self, n: int) -> None:
        """Works up to `n` are committed and applied, so what they changed can be read again: make room if need be."""
        if self.bytes > BYTES_MAX or sum(len(store.cells) for store in self.stores.values()) > CELLS_MAX:
            for store in self.stores.values():
                store.cells = {key: cell for key, cell in store.cells.items() if cell.n > n}
            left = (cell for store in self.stores.values() for cell in store.cells.values())
            self.bytes = sum(len(cell.encoded or b"") for cell in left)

    def _encoded(self) -> tuple[Iterable[Cell], Sequence[bytes | None]]:
        """What is in play and has a value, and how that is encoded now; None: it was deleted, and is the default."""
        cells: Iterable[Cell] = self.in_play
        try:
            values = [*map(_value_of, cells)]
        except AttributeError:
            cells = [cell for cell in cells if cell.is_seen()]
            values = [*map(_value_of, cells)]
        encoded: list[bytes | None] = []
        try:
            encoded += map(self.encode, values)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            name = [*cells][len(encoded)].store.name
            raise TypeError(f"state {name!r} cannot be stored: {error}") from error
        for place, cell in enumerate(cells) if self.deleted else ():
            if cell in self.deleted and encoded[place] == cell.store.nothing:
                encoded[place] = None
        return cells, encoded
