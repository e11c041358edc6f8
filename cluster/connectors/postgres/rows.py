"""From records to what is done to a table: columns as PostgreSQL's text, and one last word for each key. Pure.

Values are written as text, and the column's type reads them: so nothing is rounded on the way, and a text that is no
number is refused by the database in its own words. Nested values become JSON, or an array where the column is one; text
for a `bytea` column is base64, as the source writes it.
"""

import base64
import binascii
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cluster.connectors.contract import Delivery
from cluster.errors import InvalidRoute, RecordRefused

Texts = dict[str, str | None]
"""By column, in the order of their names: rows with the same columns are written at once."""
_encode = msgspec.json.Encoder().encode


class TargetColumn(msgspec.Struct, frozen=True):
    """Of the table that is written. `kind`: `json`, `array`, `bytea`, `whole` (numbers) or empty."""

    kind: str = ""
    generated: bool = False


class Action(msgspec.Struct):
    """What is done about one key: first `deletes` it, then writes `texts` (None: nothing)."""

    key: tuple[str | None, ...]
    deletes: bool
    texts: Texts | None


class Reader:
    """Records of a route as actions on one table."""

    def __init__(self, table: str, columns: Mapping[str, TargetColumn], key: Sequence[str]) -> None:
        self._table, self._columns, self._key = table, columns, key

    def actions(self, batch: Sequence[Delivery]) -> list[Action]:
        """One for each record, in order. RecordRefused; InvalidRoute: a field has no column."""
        found = []
        for place, delivery in enumerate(batch):
            try:
                found.append(self._action(delivery))
            except _Refused as refused:
                raise RecordRefused(f"{self._table} cannot take {refused}", place=place) from None
        return found

    def _action(self, delivery: Delivery) -> Action:
        value = delivery.value
        if value is None:
            if not self._key:
                raise _Refused('a record without a value: with mode = "append" nothing is deleted')
            key = self._key_of(delivery)
            return Action(tuple(self._text(name, key[name]) for name in self._key), deletes=True, texts=None)
        if isinstance(value, bytes):
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                value = msgspec.json.decode(value)
        if not isinstance(value, dict):
            raise _Refused(f"a value that is no object with fields, but {type(value).__name__}")
        if any(name not in value for name in self._key):
            value = {**self._key_of(delivery), **value}
        texts = {name: self._text(name, value[name]) for name in sorted(value)}
        key_texts = tuple(texts[name] for name in self._key)
        if None in key_texts:
            raise _Refused(f"a record whose key ({', '.join(self._key)}) is null")
        return Action(key_texts, deletes=False, texts=texts)

    def _key_of(self, delivery: Delivery) -> dict[str, Any]:
        """From the record's key: a JSON object, or as it is where the table's key has one column."""
        content: Any = None
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            content = msgspec.json.decode(delivery.key or b"")
        if isinstance(content, dict) and all(content.get(name) is not None for name in self._key):
            return {name: content[name] for name in self._key}
        if len(self._key) == 1 and delivery.key and not isinstance(content, dict | list):
            with contextlib.suppress(UnicodeDecodeError):
                return {self._key[0]: content if isinstance(content, str) else delivery.key.decode()}
        raise _Refused(f"a record that has no {', '.join(self._key)}, neither in its value nor in its key")

    def _text(self, name: str, value: Any) -> str | None:
        column = self._columns.get(name)
        if column is None:
            raise InvalidRoute(f"{self._table} has no column {name}: add it, or leave the field out")
        if column.generated:
            raise InvalidRoute(f"column {name} of {self._table} is generated: leave the field out")
        text = _written(value, column.kind, name)
        if text is not None and "\0" in text:
            raise _Refused(f"text with a NUL character in {name}")
        return text


class _Refused(Exception):
    """Why one record is."""


def _written(value: Any, kind: str, name: str) -> str | None:
    if value is None:
        return None
    if not kind and type(value) is str:  # most are
        return _sound(value, name)
    if kind == "json" or (isinstance(value, dict | list | tuple) and kind != "array"):
        return _encoded(value, name)
    if isinstance(value, str):
        return _from_base64(value, name) if kind == "bytea" else _sound(value, name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"\\x{value.hex()}" if kind == "bytea" else _decoded(value, name)
    if isinstance(value, list | tuple):
        return _array(value, name)
    if isinstance(value, float) and not (kind == "whole" and value.is_integer()):
        return repr(value)
    return str(int(value)) if isinstance(value, float) else str(value)


def _encoded(value: Any, name: str) -> str:
    try:
        return _encode(value).decode()
    except (TypeError, ValueError, UnicodeError) as wrong:
        raise _Refused(f"{name}, which is not plain data: {wrong}") from None


def _sound(text: str, name: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _Refused(f"{name}, which has half a surrogate pair") from None
    return text


def _decoded(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _Refused(f"{name}, whose bytes are not UTF-8") from None


def _from_base64(text: str, name: str) -> str:
    try:
        return f"\\x{base64.b64decode(text, validate=True).hex()}"
    except (binascii.Error, ValueError):
        raise _Refused(f"{name}, whose text is not base64") from None


def _array(value: Sequence[Any], name: str) -> str:
    """`{"1",NULL,"a"}`, and lists in it as more dimensions."""
    items = []
    for item in value:
        if isinstance(item, list | tuple):
            items.append(_array(item, name))
            continue
        text = _written(item, "", name)
        quoted = None if text is None else text.replace("\\", "\\\\").replace('"', '\\"')
        items.append("NULL" if quoted is None else f'"{quoted}"')
    return "{" + ",".join(items) + "}"


def folded(actions: Sequence[Action]) -> list[Action]:
    """The same outcome with each key once, in the order of their last changes.

    A later record's fields come over the earlier ones'; what came before a delete does not matter.
    """
    found: dict[tuple[str | None, ...], Action] = {}
    for action in actions:
        before = found.pop(action.key, None)
        if before is None or action.texts is None:
            found[action.key] = action
            continue
        texts = action.texts if before.texts is None else dict(sorted({**before.texts, **action.texts}.items()))
        found[action.key] = Action(action.key, deletes=before.deletes, texts=texts)
    return [*found.values()]
