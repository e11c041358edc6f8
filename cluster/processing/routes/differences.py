r"""What is expected and what came, as lines to read: only what differs. Pure.

>>> print(*differences([{"id": 1, "tier": "gold"}], [{"id": 1, "tier": None}]), sep="\n")
record 1
  - tier: "gold"
  + tier: null
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import msgspec

VALUE_MAX = 200
"""Characters of a value that are shown."""
LINES_MAX = 60
_MISSING = object()


def differences(expected: Sequence[Any], actual: Sequence[Any]) -> list[str]:
    """Nothing if they are equal. - is what was expected, + what came; no sign: where."""
    matcher = SequenceMatcher(None, list(map(_canonical, expected)), list(map(_canonical, actual)), autojunk=False)
    lines: list[str] = []
    for how, begin, end, other, other_end in matcher.get_opcodes():
        if how == "equal":
            continue
        both = min(end - begin, other_end - other)
        for place in range(both):
            found = list(_fields("", expected[begin + place], actual[other + place]))
            lines += [f"record {begin + place + 1}", *(f"  {line}" for line in found)]
        lines += _alone("is missing", "-", expected, begin + both, end)
        lines += _alone("was not expected", "+", actual, other + both, other_end)
    if len(lines) > LINES_MAX:
        lines = [*lines[:LINES_MAX], f"… and {len(lines) - LINES_MAX} lines more"]
    return lines


def same(expected: Any, actual: Any) -> bool:
    """As JSON has it: true is not 1, and 1 is 1.0."""
    return _canonical(expected) == _canonical(actual)


def shown(value: Any) -> str:
    """JSON, shortened."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=0).decode().replace("\n", " ")
    return text if len(text) <= VALUE_MAX else text[: VALUE_MAX - 1] + "…"


def _alone(what: str, sign: str, records: Sequence[Any], begin: int, end: int) -> list[str]:
    lines: list[str] = []
    for place in range(begin, end):
        lines += [f"record {place + 1} {what}", f"  {sign} {shown(records[place])}"]
    return lines


def _canonical(value: Any) -> str:
    return msgspec.json.encode(_leveled(value), order="sorted").decode()


def _leveled(value: Any) -> Any:
    """With whole floats as integers, as 1.0 and 1 are one number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(name): _leveled(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_leveled(item) for item in value]
    return value


def _fields(path: str, expected: Any, actual: Any) -> Iterator[str]:
    """The fields that differ, by their paths."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for name in dict.fromkeys([*expected, *actual]):
            inner = f"{path}.{name}" if path else str(name)
            yield from _fields(inner, expected.get(name, _MISSING), actual.get(name, _MISSING))
        return
    if expected is not _MISSING and actual is not _MISSING and same(expected, actual):
        return
    label = f"{path}: " if path else ""
    if expected is not _MISSING:
        yield f"- {label}{shown(expected)}"
    if actual is not _MISSING:
        yield f"+ {label}{shown(actual)}"
