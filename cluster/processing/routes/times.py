"""Times in expressions: read from text, written as text, cut to a length. All of them are in UTC."""

import datetime as dt
from collections.abc import Callable
from typing import Any, TypeVar

from cluster.processing.durations import duration_ns
from cluster.processing.event import EPOCH, datetime_ns, ns_datetime

T = TypeVar("T")
FORMAT_MAX = 100
SHOWN_MAX = 40
_MICROSECOND = dt.timedelta(microseconds=1)


def moment(time_ns: int) -> dt.datetime:
    """Of a record's timestamp."""
    return ns_datetime(time_ns)


def as_datetime(value: Any) -> dt.datetime:
    """From ISO 8601 text (UTC, where it names no zone), seconds since 1970, or a date."""
    if isinstance(value, dt.datetime):
        found = value
    elif isinstance(value, dt.date):
        found = dt.datetime.combine(value, dt.time(), dt.UTC)
    elif isinstance(value, str):
        found = _read(dt.datetime.fromisoformat, value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return _since_1970(value)
    else:
        raise TypeError(f"datetime() takes a str in ISO 8601 or a number of seconds, not {type(value).__name__}")
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)


def as_date(value: Any) -> dt.date:
    """The day in UTC; text may be a day alone."""
    if isinstance(value, str) and len(value) == len("2026-01-31"):
        return _read(dt.date.fromisoformat, value)
    return as_datetime(value).date()


def _since_1970(seconds: float) -> dt.datetime:
    try:
        return EPOCH + dt.timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError(
            "the number of seconds since 1970 is too large; of milliseconds: datetime(x / 1000)"
        ) from error


def _read(reader: Callable[[str], T], value: str) -> T:
    try:
        return reader(value)
    except ValueError as error:
        raise ValueError(f"{value[:SHOWN_MAX]!r} is no time in ISO 8601") from error


def as_duration(written: Any) -> dt.timedelta:
    """From "30s", "10m", "24h", "7d"."""
    return dt.timedelta(microseconds=duration_ns(written, "duration()") / 1000)


def unix(value: Any) -> float:
    """Seconds since 1970."""
    return (as_datetime(value) - EPOCH) / dt.timedelta(seconds=1)


def format_time(value: Any, form: Any) -> str:
    """As `strftime` does."""
    if not isinstance(form, str) or len(form) > FORMAT_MAX:
        raise ValueError(f"format_time() takes a format of at most {FORMAT_MAX} characters, such as '%Y-%m-%d'")
    return as_datetime(value).strftime(form)


def truncate(value: Any, written: Any) -> dt.datetime:
    """The beginning of the stretch of that length, counted from 1970, in which the time lies."""
    length = as_duration(written)
    if length < _MICROSECOND:
        raise ValueError("truncate() takes a length of at least a microsecond")
    found = as_datetime(value)
    return found - (found - EPOCH) % length


def as_ns(value: Any) -> int:
    """What `time = …` comes to: as `as_datetime`, in nanoseconds since 1970."""
    if type(value) is int and 0 <= value < 1 << 40:
        return value * 10**9
    return datetime_ns(as_datetime(value))
