"""Durations and sizes as people write them, to milliseconds and bytes and back.

>>> in_ms("7d"), in_ms("90s"), in_bytes("1GiB"), in_bytes("512")
(604800000, 90000, 1073741824, 512)
>>> as_duration(604_800_000), as_duration(90_000), as_duration(5), as_size(1 << 30), as_size(1500), as_size(0)
('7d', '90s', '5ms', '1GiB', '1500B', '0B')
"""

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    _Whole = click.ParamType[int]
else:
    _Whole = click.ParamType  # generic only in newer versions

MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def in_ms(text: str) -> int:
    """Milliseconds; ValueError names what a duration looks like."""
    return _parse(text, MS, "", "a number with ms, s, m, h or d behind it, such as 36h or 7d")


def in_bytes(text: str) -> int:
    """Bytes; ValueError names what a size looks like."""
    return _parse(text, BYTES, "B", "a number of bytes, or with KiB, MiB, GiB or TiB behind it, such as 512MiB")


def _parse(text: str, units: dict[str, int], usual: str, shape: str) -> int:
    match = QUANTITY.fullmatch(text.strip())
    known = {unit.lower(): factor for unit, factor in units.items()}
    factor = known.get((match[2] or usual).lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"{text!r} is not {shape}")
    found = int(float(match[1]) * factor) if "." in match[1] else int(match[1]) * factor
    if found < 1:
        raise ValueError(f"{text!r} is less than the least there is: {shape}")
    return found


def as_duration(milliseconds: int) -> str:
    """In the largest unit that says it exactly."""
    return _told(milliseconds, MS)


def as_size(size_bytes: int) -> str:
    """The same for bytes."""
    return _told(size_bytes, BYTES)


def _told(number: int, units: dict[str, int]) -> str:
    unit, factor = next((u, f) for u, f in reversed(units.items()) if number % f == 0 and (number or f == 1))
    return f"{number // factor}{unit}"


class Duration(_Whole):
    """An option's value, in milliseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Or one sentence that says what was expected."""
        try:
            return in_ms(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Size(_Whole):
    """An option's value, in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Or one sentence that says what was expected."""
        try:
            return in_bytes(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
