"""What a function is handed beside its event: state of the current key, and tables.

A `State` is of one key for good. Of maps and tables there is one object for the whole life of a processor, which is
pointed at the key of the record before each call.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from cluster.errors import InvalidRequest
from cluster.processing.event import encode_key
from cluster.processing.state import Cell, Store

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
_MISSING: Any = object()


class State(Cell, Generic[T]):
    """One value for each key. `value` is there when it was never set, too, if its type can be made from nothing.

    What `value` gives may be changed in place: at the end of the work it is written if it is not what it was. Do not
    keep the object: only what happens to it during a call for its key counts. A value that is not of its type makes the
    record fail.
    """

    __slots__ = ()
    value: T
    """The value of the current key; by default `T()`, or None where that cannot be."""

    def clear(self) -> None:
        """Forget it, as if it had never been set."""
        self.delete()


class MapState(Generic[K, V]):
    """Values by a second key within the current one, each read and written for itself: `seen[order_id] = True`."""

    __slots__ = ("_key", "_store")
    _key: bytes

    def __init__(self, store: Store) -> None:
        self._store = store

    def _at(self, key: bytes) -> "MapState[K, V]":
        self._key = key
        return self

    def _cell(self, key: K) -> Cell:
        return self._store.cell(len(self._key).to_bytes(4, "big") + self._key + encode_key(key))

    def get(self, key: K, default: V | None = None) -> V | None:
        """The value, which may be changed in place; `default` if there is none (and then it is not stored)."""
        found = self._cell(key).get()
        return default if found is None else found

    def __getitem__(self, key: K) -> V:
        """KeyError if there is none."""
        found = self._cell(key).get()
        if found is None:
            raise KeyError(key)
        return found  # type: ignore[no-any-return]

    def __setitem__(self, key: K, value: V) -> None:
        """None cannot be told from nothing."""
        if value is None:
            raise ValueError("MapState holds no None: delete the key instead")
        self._cell(key).put(value)

    def __delitem__(self, key: K) -> None:
        """Nothing happens if there is none."""
        self._cell(key).delete()

    def __contains__(self, key: K) -> bool:
        """Whether there is a value."""
        return self._cell(key).get() is not None


class Table(Generic[V]):
    """The newest value of each key of a table's topic, of the keys that this task has.

    What it gives is the caller's own copy: a table is changed by its topic alone.
    """

    __slots__ = ("_key", "_mine", "_name", "_store")
    _key: bytes

    def __init__(self, name: str, store: Store, mine: Callable[[bytes], bool]) -> None:
        self._name = name
        self._store = store
        self._mine = mine

    def _at(self, key: bytes) -> "Table[V]":
        self._key = key
        return self

    def get(self, key: Any = _MISSING, default: V | None = None) -> V | None:
        """The value of a key, by default of the current record's; `default` if there is none."""
        encoded = self._key if key is _MISSING else encode_key(key)
        if encoded is not self._key and not self._mine(encoded):
            raise InvalidRequest(
                f"table {self._name!r}: key {key!r} belongs to another task; give the processor the table's key"
            )
        found = self._store.value(self._store.cell(encoded))
        return default if found is None else found

    def __getitem__(self, key: Any) -> V:
        """KeyError if there is none."""
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found
