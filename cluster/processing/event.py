"""Events, their values as JSON, their keys as bytes and their times in nanoseconds.

An event's value is JSON, checked against its type when it is decoded: what does not fit is a `msgspec` error with the
path in it, and its record is a poison record; so is one that is nested too deeply, or that its class raises for. Keys
are bytes that any client can make: text as UTF-8, whole numbers as their decimal digits, bytes as they are; anything
else as JSON.
"""

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import inspect

from cluster.errors import InvalidApp

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_json = msgspec.json.Encoder()


class Event(msgspec.Struct):
    """Base of what an app's topics hold: a class of typed fields, made by position or by name.

    >>> class Purchase(Event):
    ...     sku: str
    ...     quantity: int = 1
    >>> Purchase("s1", quantity=2)
    Purchase(sku='s1', quantity=2)
    """


class Tombstone(msgspec.Struct, frozen=True):
    """What a processor returns, or emits, instead of an event: the key is deleted, by a record with an empty value.

    >>> encode_value(Tombstone())
    b''
    """


def encode_value(value: object) -> bytes:
    """JSON; bytes stay as they are. TypeError for what JSON cannot say."""
    if isinstance(value, bytes):
        return value
    return b"" if value.__class__ is Tombstone else _json.encode(value)


def encode_key(key: object) -> bytes:
    """The record key, or key of state, that stands for a value; see the module."""
    if isinstance(key, str):
        return key.encode()
    if isinstance(key, bytes):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return b"%d" % key
    return _json.encode(key)


def decode_key(key: bytes, kind: Any) -> Any:
    """The inverse, for the type of the field that keys come from. ValueError: it stands for nothing of that type."""
    if kind is bytes:
        return key
    try:
        if kind is str:
            return key.decode()
        if kind is int:
            return int(key)
        return _decoded(key, kind)
    except (ValueError, msgspec.DecodeError) as error:
        raise ValueError(f"the record's key is {key!r:.200}, which stands for no {kind}: {error}") from None


def _decoded(key: bytes, kind: Any) -> Any:
    """What is not JSON is bytes or text; so are types that are made of them (choices of text, NewType, `| None`)."""
    with suppress(msgspec.ValidationError):
        return msgspec.convert(None if key == b"null" else key, kind)
    with suppress(msgspec.ValidationError):
        return msgspec.convert(key.decode(), kind)
    return msgspec.json.decode(key, type=kind)


def field_type(event: type, field: str, what: str) -> Any:
    """The type of a field; InvalidApp, naming `what`, if there is no such field."""
    try:
        fields = {found.name: found.type for found in msgspec.structs.fields(event)}
    except TypeError as error:
        raise InvalidApp(f"{what} wants a field of {event!r}, which is no Event and has none") from error
    if field not in fields:
        raise InvalidApp(f"{what}: {event.__name__} has no field {field!r}; it has {', '.join(fields) or 'none'}")
    return fields[field]


def foreign_in(kind: Any) -> type | None:
    """A class within a type that JSON and msgpack know nothing of, if there is one. TypeError, NameError: no type."""
    todo: list[Any] = [inspect.type_info(kind)]
    seen: list[Any] = []
    while todo:
        found = todo.pop()
        if isinstance(found, inspect.CustomType) and found.cls is not object:
            return found.cls
        if isinstance(found, tuple):
            todo += found
        elif isinstance(found, inspect.Type | inspect.Field) and all(found is not known for known in seen):
            seen.append(found)
            todo += [getattr(found, name) for name in found.__struct_fields__]
    return None


def datetime_ns(moment: dt.datetime) -> int:
    """Nanoseconds since 1970; without a zone it is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - EPOCH) // _MICROSECOND * 1000


def ns_datetime(time_ns: int) -> dt.datetime:
    """The inverse, in UTC, to the microsecond; OverflowError far outside of the calendar."""
    return EPOCH + dt.timedelta(microseconds=time_ns // 1000)


class _DayTimes(dict[dt.date, int]):
    """Days to their beginning in UTC. Days are few, so each is computed once."""

    def __missing__(self, day: dt.date) -> int:
        if len(self) > 100_000:
            self.clear()
        self[day] = value = (day.toordinal() - EPOCH.date().toordinal()) * 86400 * 10**9
        return value


def time_reader(event: type, field: str, what: str) -> Callable[[Any], int]:
    """From the field's value to nanoseconds: a datetime, a date (its beginning in UTC), an int that counts them."""
    kind = field_type(event, field, what)
    if kind is dt.datetime:
        return datetime_ns
    if kind is dt.date:
        return _DayTimes().__getitem__
    if kind is int:
        return int
    raise InvalidApp(f"{what}: {event.__name__}.{field} is {kind!r}; a time is a datetime, a date, or an int of ns")
