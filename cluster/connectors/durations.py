"""Lengths of time in options: "250ms", "10s", "5m", "1h", "7d". Pure.

>>> duration_s("250ms", "timeout")
0.25
"""

import re

from cluster.errors import InvalidRoute

S_PER = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def duration_s(written: str, what: str = "a duration") -> float:
    """In seconds; InvalidRoute, naming `what`, if it is not a number and a unit."""
    found = _WRITTEN.fullmatch(written.strip())
    if found is None:
        raise InvalidRoute(f'{what} is {written!r}; write a number and a unit, such as "250ms", "10s" or "1d"')
    number, unit = found.groups()
    return float(number) * S_PER[unit]


def check_duration(written: str, what: str, *, least_s: float, most_s: float) -> None:
    """InvalidRoute unless it is a length of time within these; what is still to be replaced (`${NAME}`) passes."""
    if "${" not in written and not least_s <= duration_s(written, what) <= most_s:
        raise InvalidRoute(f"{what} is {written!r}; it must be from {least_s:g} s to {most_s:g} s")
