"""Lengths of time as people write them: "250ms", "30s", "10m", "24h", "7d". Pure.

>>> duration_ns("10m")
600000000000
"""

import re

from cluster.errors import InvalidApp

NS_PER = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
LENGTH_NS_MAX = 7300 * NS_PER["d"]
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h|d)")


def duration_ns(text: object, what: str = "a duration") -> int:
    """In nanoseconds; InvalidApp, naming `what`, if it is not a number and a unit."""
    found = _WRITTEN.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise InvalidApp(f'{what} is {text!r}; write a number and a unit, such as "250ms", "10m" or "1d"')
    number, unit = found.groups()
    if "." not in number:
        return int(number) * NS_PER[unit]
    return round(float(number) * NS_PER[unit])


def length_ns(text: object, what: str) -> int:
    """`duration_ns`, at most 7300d: event times, and what is reckoned from them, stay within 64 bits."""
    length = duration_ns(text, what)
    if length > LENGTH_NS_MAX:
        raise InvalidApp(f"{what} is {text!r}; at most {LENGTH_NS_MAX // NS_PER['d']}d")
    return length


def written(length_ns: int) -> str:
    """The inverse, in the largest unit that leaves nothing over: "250ms", "0s"."""
    unit = max((unit for unit, ns in NS_PER.items() if length_ns % ns == 0), key=NS_PER.__getitem__)
    return f"{length_ns // NS_PER[unit]}{unit}" if length_ns else "0s"


def positive_ns(text: object, what: str) -> int:
    """`length_ns`, and above zero."""
    length = length_ns(text, what)
    if length <= 0:
        raise InvalidApp(f"{what} is {text!r}; it must be above zero")
    return length
