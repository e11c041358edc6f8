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

All of this is done for each record, or each key of a work: over columns, by what takes few steps in Python.
"""

import types
import typing
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import repeat
from operator import ne
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

SCALARS: frozenset[type] = frozenset({int, float, bool, type(None)})
"""Values of these are encoded again for each record, not for each key: that takes less than to tell the keys apart.
Their bytes are few, and not counted."""
PLAIN: frozenset[type] = SCALARS | {str, bytes}
"""A value of one of these types decodes again where its state is of that type: nobody has to try."""

OWN = "~"
"""Names of stores that user code has no part in begin so."""
REMADE_STORE = "~remade"
"""Of a sink, by name: which topic an input is, if it was deleted and made again (`tasks.rebinding`)."""

Encoded = list[tuple[Sequence[bytes], Sequence[bytes | None]]]
"""Keys, and what belongs to them; what comes later counts."""

_NOTHING: Any = object()


class Cell:
    """One value.

    `value` is empty until it is looked at or set, which is for those to whom the cell was handed out; all others `get`.
    """

    __slots__ = ("_away", "key", "store", "value")

    def __init__(self, store: "Store", key: bytes) -> None:
        self.store = store
        self.key = key
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
        self.store.in_play[self] = None
        return self.value

    def put(self, value: Any) -> None:
        """Set it."""
        self.store.in_play[self] = None
        self.value = value

    def delete(self) -> None:
        """As if it had never been set."""
        self.put(self.store.default())
        self.store.deleted.add(self)

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


_key_of = vars(Cell)["key"].__get__
_value_of = vars(Cell)["value"].__get__
"""Unlike `cell.value` it leaves empty what is empty: AttributeError, without asking `__getattr__`."""


def _options(kind: Any) -> Sequence[Any]:
    """Of a union its members."""
    return typing.get_args(kind) if typing.get_origin(kind) in {typing.Union, types.UnionType} else (kind,)


def _are_among(options: Sequence[Any], types_: frozenset[type]) -> bool:
    return all(isinstance(option, type) and option in types_ for option in options)


class Store:
    """All values of one name and one type; `make`: the class that they are handed out as."""

    def __init__(self, read: ReadState, name: str, kind: Any, default: Callable[[], Any], make: type[Cell]) -> None:
        self._read = read
        self.name = name
        self.default = default
        self._make = make
        options = _options(kind)
        self._scalar = _are_among(options, SCALARS)
        self._good = frozenset(options) if _are_among(options, PLAIN) else frozenset()
        """Types of values that are this store's for sure."""
        self.is_own = name.startswith(OWN)
        self.encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self.cells: dict[bytes, Cell] = {}
        self._before: dict[bytes, bytes | None] = {}
        """How their values were encoded when the work began."""
        self.in_play: dict[Cell, None] = {}
        """In the order in which they came into play, which is the order of the changes."""
        self._columns: list[tuple[Sequence[bytes], list[Cell]]] = []
        """In play as well: keys and cells of scalars, with repetitions."""
        self.deleted: set[Cell] = set()
        """Those that were deleted, and may have been set since."""
        self._settled: dict[bytes, bytes | None] = {}
        """How whatever was in play in this work is encoded since the last attempt that went well."""
        self.bytes = 0
        """About what all values are, encoded, as of the last work."""

    @cached_property
    def nothing(self) -> bytes:
        """The default, encoded."""
        return self.encode(self.default())

    def load(self, keys: Iterable[bytes]) -> None:
        """Have these in memory, with one call for those that are not."""
        cells = self.cells
        missing = [key for key in keys if key not in cells]
        if missing:
            missing = [*dict.fromkeys(missing)]
            found = self._read([(self.name, key) for key in missing])
            self.bytes += self._weight(found)
            self._before.update(zip(missing, found, strict=True))
            cells.update(zip(missing, map(self._make, repeat(self), missing), strict=True))

    def committed(self, key: bytes) -> bytes | None:
        """How a value was encoded when the work began."""
        self.cell(key)
        return self._before[key]

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
        if self._scalar:
            self._columns.append((keys, cells))
        else:
            self.in_play |= dict.fromkeys(cells)
        return cells

    def value(self, cell: Cell) -> Any:
        """What a cell holds, decoded. StateUnreadable."""
        encoded = self._settled.get(cell.key, self._before[cell.key])
        if encoded is None:
            return self.default()
        try:
            return self._decode(encoded)
        except msgspec.DecodeError as error:
            raise StateUnreadable(
                f"state {self.name!r} of key {cell.key!r} does not decode as its type: {error}; deploy code that reads "
                "it, or a new version that begins anew",
                store=self.name,
                key=cell.key.hex(),
            ) from error

    def encoded(self) -> Encoded:
        """How all that is in play and has a value is encoded now; None: it was deleted, and is the default."""
        found: Encoded = []
        for keys, column in self._columns:
            try:
                values = [*map(_value_of, column)]
            except AttributeError:  # there are some that nobody has looked at
                self.in_play |= dict.fromkeys(column)
            else:
                encoded: list[bytes | None] = self._encode(values)
                self._check(keys, values, encoded)
                found.append((keys, encoded))
        if self.in_play:
            cells = [cell for cell in self.in_play if cell.is_seen()]
            keys, values = [*map(_key_of, cells)], [*map(_value_of, cells)]
            encoded = self._encode(values)
            for place, cell in enumerate(cells) if self.deleted else ():
                if cell in self.deleted and encoded[place] == self.nothing:
                    encoded[place] = None
            self._check(keys, values, encoded)
            for cell, now in zip(cells, encoded, strict=True):
                if now is not None and len(now) > BARE_BYTES_MAX:
                    cell.put_away()
            found.append((keys, encoded))
        return found

    def _encode(self, values: Sequence[Any]) -> list[bytes | None]:
        encoded: list[bytes | None] = []
        try:
            encoded += map(self.encode, values)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise TypeError(f"state {self.name!r} cannot be stored: {error}") from error
        return encoded

    def _check(self, keys: Sequence[bytes], values: Sequence[Any], encoded: Sequence[bytes | None]) -> None:
        """Whether those that are new can be read again. TypeError."""
        if self.is_own or self._good.issuperset(map(type, values)):
            return
        for key, value, now in zip(keys, values, encoded, strict=True):
            was = self._settled.get(key, self._before[key])
            if now is None or now == was or type(value) in self._good or (was is None and now == self.nothing):
                continue
            try:
                self._decode(now)
            except msgspec.DecodeError as error:
                raise TypeError(
                    f"state {self.name!r} was given {value!r:.200}, which is not its type: {error}"
                ) from None

    def settle(self, encoded: Encoded) -> None:
        """See KeyedState; with what is `encoded` now."""
        for keys, values in encoded:
            self._settled.update(zip(keys, values, strict=True))
        self._end_attempt()

    def roll_back(self) -> None:
        """See KeyedState."""
        for cell in self.in_play:
            cell.forget()
        for _, cells in self._columns:
            for cell in cells:
                cell.forget()
        self._end_attempt()

    def _end_attempt(self) -> None:
        self.in_play = {}
        self._columns = []
        self.deleted.clear()

    def take_changes(self) -> dict[bytes, bytes | None]:
        """Those of the work, which ends here."""
        assert not self.in_play, "an attempt is still open"
        assert not self._columns, "an attempt is still open"
        changed, before = self._settled, self._before
        self._settled = {}
        was = [*map(before.__getitem__, changed)]
        if not all(map(ne, changed.values(), was)) or (None in was and self.nothing in changed.values()):
            nothing = self.nothing
            changed = {
                key: encoded
                for (key, encoded), old in zip(changed.items(), was, strict=True)
                if encoded != old and not (old is None and encoded == nothing)
            }
        self.bytes += self._weight(changed.values()) - self._weight(map(before.__getitem__, changed))
        before.update(changed)
        return changed

    def drop(self) -> None:
        """See KeyedState."""
        self.roll_back()
        for key in self._settled:
            self.cells[key].forget()
        self._settled = {}

    def keep_only(self, keys: Iterable[bytes]) -> None:
        """All others are to be read again."""
        self.cells = {key: self.cells[key] for key in keys}
        self._before = {key: self._before[key] for key in self.cells}
        self.bytes = self._weight(self._before.values())

    def _weight(self, encoded: Iterable[bytes | None]) -> int:
        return 0 if self._scalar else sum(map(len, filter(None, encoded)))


class KeyedState:
    """All stores of one task."""

    def __init__(self, read: ReadState) -> None:
        self._read = read
        self.stores: dict[str, Store] = {}
        self._uncommitted: deque[tuple[int, dict[str, dict[bytes, bytes | None]]]] = deque()
        """What each work has changed, by the names of the stores."""

    def store(self, name: str, kind: Any, default: Callable[[], Any] = lambda: None, make: type[Cell] = Cell) -> Store:
        """The store of that name, made when it is first asked for."""
        if name not in self.stores:
            self.stores[name] = Store(self._read, name, kind, default, make)
        return self.stores[name]

    def settle(self) -> None:
        """The attempt went well. TypeError if a value cannot be encoded, or not be read again: nothing is settled."""
        for store, encoded in [(store, store.encoded()) for store in self.stores.values()]:
            store.settle(encoded)

    def roll_back(self) -> None:
        """The attempt failed: what was in play is as it was after the last one that went well."""
        for store in self.stores.values():
            store.roll_back()

    def take_changes(self, n: int) -> list[StateChange]:
        """The changes of the work `n`, which ends here: store by store, those of user code first."""
        stores = sorted(self.stores.values(), key=lambda store: store.is_own)
        changed = {store.name: store.take_changes() for store in stores}
        self._uncommitted.append((n, changed))
        changes: list[StateChange] = []
        for name, found in changed.items():
            changes += map(StateChange, repeat(name), found, found.values())
        return changes

    def drop(self) -> None:
        """The work came to nothing."""
        for store in self.stores.values():
            store.drop()

    def committed(self, n: int) -> None:
        """Works up to `n` are committed and applied, so what they changed can be read again: make room if need be."""
        while self._uncommitted and self._uncommitted[0][0] <= n:
            self._uncommitted.popleft()
        stores = self.stores.values()
        if sum(store.bytes for store in stores) > BYTES_MAX or sum(len(store.cells) for store in stores) > CELLS_MAX:
            for store in stores:
                store.keep_only(key for _, changed in self._uncommitted for key in changed.get(store.name, ()))
