"""Lengths of time as people write them in a route: "250ms", "10s", "5m", "1h", "1d". Pure.

>>> duration_s("250ms")
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
        raise InvalidRoute(f'{what} is {written!r}; write a number and a unit, such as "250ms", "10s", "5m" or "1d"')
    return float(found[1]) * S_PER[found[2]]
