"""Records as rows: which columns, which values, which statements. Pure: no database.

What SQLite does not have becomes what it has: true and false 1 and 0, lists and objects JSON. A number beyond 64 bits,
and text that is not Unicode, are the record's fault (RecordRefused).
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from cluster.connectors.contract import Delivery
from cluster.errors import InvalidRoute, RecordRefused

FIELDS_MAX = 1000
WHOLE = "value"
"""The column of a value that is not an object."""
RECORD_KEY = "key"
"""The column of the record's key, where no field is the key."""

type_of = {bool: "INTEGER", int: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB", list: "TEXT", dict: "TEXT"}
Row = dict[str, Any]
"""Column → value."""


class Deleted(msgspec.Struct, frozen=True):
    """The row of this key goes."""

    key: Row


def row_of(delivery: Delivery, key: Sequence[str], place: int, *, upsert: bool) -> Row | Deleted:
    """What a record is in the table. RecordRefused."""
    if delivery.value is None:
        if not upsert:
            raise RecordRefused("a tombstone has no fields to append as a row", place=place)
        return Deleted(_deleted_key(delivery, key, place))
    value = delivery.value if isinstance(delivery.value, dict) else {WHOLE: delivery.value}
    if len(value) > FIELDS_MAX:
        raise RecordRefused(f"it has {len(value)} fields, at most {FIELDS_MAX} can be columns", place=place)
    row = {str(name): _plain(content, str(name), place) for name, content in value.items()}
    if len({name.lower() for name in row}) != len(row) or "" in row or any("\0" in name for name in row):
        raise RecordRefused("two of its fields differ in upper and lower case only, or one has no name", place=place)
    if upsert and not key:
        row = {**row, RECORD_KEY: _record_key(delivery, place)}
    for name in key if upsert else ():
        if row.get(name) is None:
            raise RecordRefused(f"it has no field {name!r}, which is the key", place=place)
    return row


def _record_key(delivery: Delivery, place: int) -> Any:
    if delivery.key is None:
        raise RecordRefused("it has no key, and the table has one row for each key", place=place)
    try:
        return delivery.key.decode()
    except UnicodeDecodeError:
        return delivery.key


def _deleted_key(delivery: Delivery, key: Sequence[str], place: int) -> Row:
    written = _record_key(delivery, place)
    if not key:
        return {RECORD_KEY: written}
    try:
        found = msgspec.json.decode(delivery.key or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = written
    if isinstance(found, dict):
        found = [found.get(name) for name in key]
    elif len(key) == 1 and not isinstance(found, list):
        found = [found]
    if not isinstance(found, list) or len(found) != len(key) or any(part is None for part in found):
        raise RecordRefused(f"a tombstone whose key does not say {', '.join(key)} as JSON", place=place)
    return {name: _plain(part, name, place) for name, part in zip(key, found, strict=True)}


def _plain(value: Any, name: str, place: int) -> Any:
    if value is None or isinstance(value, float | bytes):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise RecordRefused(f"field {name!r} is {value}, a number beyond 64 bits", place=place)
        return int(value)
    try:
        if isinstance(value, str):
            value.encode()
            return value
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError, ValueError) as error:
        raise RecordRefused(f"field {name!r} cannot be written: {error}", place=place) from error


def quoted(name: str) -> str:
    """As a name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def columns_of(rows: Iterable[Row]) -> dict[str, str]:
    """Column → type, of what a first batch has; "" where it has several, or nothing but null."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            kinds = found.setdefault(_spelling(found, name), set())
            if value is not None:
                kinds.add(type_of[type(value)])
    return {name: _affinity(kinds) for name, kinds in found.items()}


def _spelling(known: Mapping[str, object], name: str) -> str:
    return next((other for other in known if other.lower() == name.lower()), name) if name not in known else name


def _affinity(kinds: set[str]) -> str:
    if kinds == {"INTEGER", "REAL"}:
        return "REAL"
    return kinds.pop() if len(kinds) == 1 else ""


def create(table: str, columns: Mapping[str, str], key: Sequence[str]) -> str:
    """The statement that makes the table."""
    written = [f"{quoted(name)} {kind}".rstrip() for name, kind in columns.items()]
    if key:
        written.append(f"PRIMARY KEY ({', '.join(map(quoted, key))})")
    return f"CREATE TABLE {quoted(table)} ({', '.join(written)})"


def new_columns(rows: Sequence[Row], known: Iterable[str]) -> dict[str, str]:
    """What the rows have and the table has not."""
    there = {name.lower() for name in known}
    if all(name.lower() in there for name in set[str]().union(*rows)):
        return {}
    return {name: kind for name, kind in columns_of(rows).items() if name.lower() not in there}


def refuse_new(table: str, new: Iterable[str], offset: int) -> InvalidRoute:
    """The error that says which columns are missing."""
    named = ", ".join(repr(name) for name in sorted(new)[:5])
    return InvalidRoute(
        f"table {table} has no column for {named} (first in the batch from offset {offset}): add it, drop the field in"
        " the route, or set add_columns = true"
    )


@lru_cache(maxsize=256)
def put(table: str, names: tuple[str, ...], key: tuple[str, ...]) -> str:
    """The statement that writes a row with these columns."""
    if not names:
        return f"INSERT INTO {quoted(table)} DEFAULT VALUES"
    into = f"INSERT INTO {quoted(table)} ({', '.join(map(quoted, names))}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608  names are quoted
    if not key:
        return into
    keys = {name.lower() for name in key}
    sets = [f"{quoted(name)} = excluded.{quoted(name)}" for name in names if name.lower() not in keys]
    then = f"DO UPDATE SET {', '.join(sets)}" if sets else "DO NOTHING"
    return f"{into} ON CONFLICT ({', '.join(map(quoted, key))}) {then}"


@lru_cache(maxsize=256)
def delete(table: str, names: tuple[str, ...]) -> str:
    """The statement that deletes a key's row."""
    return f"DELETE FROM {quoted(table)} WHERE {' AND '.join(f'{quoted(name)} = ?' for name in names)}"  # noqa: S608  names are quoted
