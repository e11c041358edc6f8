"""Operators and conversions with bounds, where Python's own could make too much. Pure.

Plain `+` only adds up what is there. Multiplication is of numbers only: `generating` writes +a * +b, for + before what
is no number is an error. What is left is here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

TEXT_MAX = 8 << 20
"""Characters of a text, or items of a list, that a function may make."""
POWER_BITS_MAX = 4096
FORMAT_WIDTH_MAX = 200
"""In a format specification: f"{total:>20.2f}"."""
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def bounded(size: int) -> None:
    """ValueError: it would be too long."""
    if size > TEXT_MAX:
        raise ValueError(f"the result would have {size:,} characters, and {TEXT_MAX:,} is the most")


def power(base: Any, exponent: Any) -> Any:
    """Of numbers."""
    if not isinstance(base, int | float) or not isinstance(exponent, int | float):
        raise TypeError("** is of numbers")
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        bits = base.bit_length() * exponent
        if bits > POWER_BITS_MAX:
            raise ValueError(f"the result of ** would be too large (over {POWER_BITS_MAX} bits)")
    found = base**exponent
    if isinstance(found, complex):
        raise ValueError("the result of ** is no real number")  # noqa: TRY004  the types were right
    return found


def text(value: Any) -> str:
    """As `str`, but what JSON writes differently (lists, dicts, times) is as it is in JSON."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, int | float):
        return str(value)
    return to_json(value).strip('"')


def formatted(value: Any, form: str) -> str:
    """As in an f-string, but not within the generated code, for Python imports something to write a time."""
    return format(value, form)


def to_json(value: Any) -> str:
    """One line."""
    found = _encoder.encode(value)
    bounded(len(found))
    return found.decode()


def parse_json(value: Any) -> Any:
    """The inverse."""
    if not isinstance(value, str):
        raise TypeError(f"parse_json() takes a str, not {type(value).__name__}")
    try:
        return _decoder.decode(value)
    except msgspec.DecodeError as error:
        raise ValueError(f"the text is not JSON: {error}") from error


def rounded(number: Any, digits: int | None = None) -> Any:
    """As `round`; without `digits` a whole number."""
    if digits is None:
        return round(number)
    if not isinstance(digits, int) or not -400 <= digits <= 400:
        raise ValueError("round() takes from -400 to 400 digits")
    return round(number, digits)


def get(value: Any, path: Sequence[str], default: Any = None) -> Any:
    """What is at the end of a path of fields; `default` where the path breaks off, or ends in null."""
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return default
        value = value[name]
    return default if value is None else value


def has(value: Any, path: Sequence[str]) -> bool:
    """Whether all of the path is there, and is not null at its end."""
    return get(value, path) is not None


def without(record: Any, names: frozenset[str]) -> dict[str, Any]:
    """A copy that lacks some fields."""
    return {name: value for name, value in record.items() if name not in names}
