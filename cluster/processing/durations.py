"""Lengths of time as people write them: "250ms", "30s", "10m", "24h", "7d". Pure.

>>> duration_ns("10m")
600000000000
"""

import re

from cluster.errors import InvalidApp

NS_PER = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
LENGTH_NS_MAX = 7300 * NS_PER["d"]
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h|d)")


def duration_ns(written: object, what: str = "a duration") -> int:
    """In nanoseconds; InvalidApp, naming `what`, if it is not a number and a unit."""
    found = _WRITTEN.fullmatch(written.strip()) if isinstance(written, str) else None
    if found is None:
        raise InvalidApp(f'{what} is {written!r}; write a number and a unit, such as "250ms", "10m" or "1d"')
    number, unit = found.groups()
    if "." not in number:
        return int(number) * NS_PER[unit]
    return round(float(number) * NS_PER[unit])


def length_ns(written: object, what: str) -> int:
    """The same, at most 7300d: event times, and what is reckoned from them, stay within 64 bits."""
    length = duration_ns(written, what)
    if length > LENGTH_NS_MAX:
        raise InvalidApp(f"{what} is {written!r}; at most {LENGTH_NS_MAX // NS_PER['d']}d")
    return length


def positive_ns(written: object, what: str) -> int:
    """The same, and above zero."""
    length = length_ns(written, what)
    if length <= 0:
        raise InvalidApp(f"{what} is {written!r}; it must be above zero")
    return length
