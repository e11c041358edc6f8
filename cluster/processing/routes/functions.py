"""What expressions may call: a fixed list. Each is quick, bounded, and gives the same for the same.

`takes` are kinds (or families of them) of its parameters: number, sized (a str, list or dict), time (what `datetime`
takes), json (anything); with ? behind, it may be left out; * may come as often as one likes.
"""

import hashlib
import math
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cluster.processing.routes import guards, times
from cluster.processing.routes.kinds import ANY, BOOL, DATE, DATETIME, DURATION, FLOAT, INT, STR, Kind, joined

_SHOWN = {"json": "value", "sized": "text or list", "str": "text", "int": "number", "*": "…"}
_NAMESPACES = {"dns": uuid.NAMESPACE_DNS, "url": uuid.NAMESPACE_URL, "oid": uuid.NAMESPACE_OID}


class Function(NamedTuple):
    """One of them. `gives`: a kind, or how it comes of the arguments' kinds."""

    call: Callable[..., Any]
    takes: tuple[str, ...]
    gives: Kind | Callable[[Sequence[Kind]], Kind]
    does: str

    def form(self, name: str) -> str:
        """How it is written."""
        words = [_SHOWN.get(kind.removesuffix("?"), kind.removesuffix("?")) for kind in self.takes]
        marked = [f"[{word}]" if kind.endswith("?") else word for word, kind in zip(words, self.takes, strict=True)]
        return f"{name}({', '.join(marked)})"


def _split(text: str, separator: str | None = None) -> list[str]:
    return str.split(text, separator)


def _join(parts: Any, separator: str) -> str:
    if isinstance(parts, str) or not isinstance(parts, list | tuple):
        raise TypeError(f"join() takes a list, not {type(parts).__name__}")
    guards.bounded(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def _replace(text: str, old: str, new: str) -> str:
    if len(new) > len(old):
        guards.bounded(len(text) + str.count(text, old) * len(new))
    return str.replace(text, old, new)


def _contains(whole: Any, part: Any) -> bool:
    return part in whole


def _substring(text: str, begin: int, end: int | None = None) -> str:
    if not isinstance(text, str):
        raise TypeError(f"substring() takes a str, not {type(text).__name__}")
    return text[begin:end]


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _sha256(value: Any) -> str:
    return hashlib.sha256(guards.text(value).encode()).hexdigest()


def _uuid5(namespace: str, name: Any) -> str:
    known = _NAMESPACES.get(namespace) or uuid.UUID(namespace)
    return str(uuid.uuid5(known, guards.text(name)))


def _placed(*_arguments: Any) -> Any:
    raise AssertionError("the generator puts something else in its place")


def _element(kinds: Sequence[Kind]) -> Kind:
    if len(kinds) > 1:
        return joined(kinds)
    return kinds[0].item or ANY if kinds else ANY


def _rounded(kinds: Sequence[Kind]) -> Kind:
    return INT if len(kinds) == 1 else _number(kinds)


def _number(kinds: Sequence[Kind]) -> Kind:
    return INT if kinds[0].name == "bool" else kinds[0]


TEXTS = Kind("list", item=STR)
PATH = "a path in quotes"
FUNCTIONS: dict[str, Function] = {
    "str": Function(guards.text, ("json",), STR, "as text; lists, dicts and times as in JSON"),
    "int": Function(int, ("json",), INT, "a whole number, from text, too"),
    "float": Function(float, ("json",), FLOAT, "a number, from text, too"),
    "bool": Function(bool, ("json",), BOOL, "whether it is not 0, empty or null"),
    "len": Function(len, ("sized",), INT, "characters of a text, items of a list or dict"),
    "min": Function(min, ("json", "*"), _element, "the least of its arguments, or of a list"),
    "max": Function(max, ("json", "*"), _element, "the greatest"),
    "sum": Function(sum, ("list",), ANY, "of a list of numbers"),
    "abs": Function(abs, ("number",), _number, "without its sign"),
    "round": Function(guards.rounded, ("number", "int?"), _rounded, "to so many digits"),
    "floor": Function(math.floor, ("number",), INT, "the whole number below"),
    "ceil": Function(math.ceil, ("number",), INT, "the whole number above"),
    "lower": Function(str.lower, ("str",), STR, "in small letters"),
    "upper": Function(str.upper, ("str",), STR, "in capitals"),
    "strip": Function(str.strip, ("str", "str?"), STR, "without white space (or other characters) around it"),
    "split": Function(_split, ("str", "str?"), TEXTS, "at white space, or at another text"),
    "join": Function(_join, ("list", "str"), STR, "texts of a list, with another between them"),
    "replace": Function(_replace, ("str", "str", "str"), STR, "each of the second by the third"),
    "startswith": Function(str.startswith, ("str", "str"), BOOL, "whether it begins with that"),
    "endswith": Function(str.endswith, ("str", "str"), BOOL, "whether it ends with that"),
    "contains": Function(_contains, ("sized", "json"), BOOL, "whether that is in it"),
    "substring": Function(
        _substring, ("str", "int", "int?"), STR, "from a character (0 is the first) to before another"
    ),
    "matches": Function(_placed, ("str", "a pattern in quotes"), BOOL, "whether a regular expression is found in it"),
    "get": Function(
        _placed, (PATH, "json?"), ANY, "a field that may be missing or null: get('a.b', 0), get(a, 'b', 0)"
    ),
    "has": Function(_placed, (PATH,), BOOL, "whether a field is there and not null: has('a.b'), has(a, 'b')"),
    "coalesce": Function(_coalesce, ("json", "*"), joined, "the first that is not null"),
    "now": Function(_placed, (), DATETIME, "the record's time"),
    "datetime": Function(times.as_datetime, ("time",), DATETIME, "from ISO 8601 text, or seconds since 1970"),
    "date": Function(times.as_date, ("time",), DATE, "its day, in UTC"),
    "duration": Function(times.as_duration, ("str",), DURATION, "a length of time: duration('10m')"),
    "unix": Function(times.unix, ("time",), FLOAT, "seconds since 1970"),
    "format_time": Function(times.format_time, ("time", "str"), STR, "as strftime: format_time(now(), '%Y-%m')"),
    "truncate": Function(times.truncate, ("time", "str"), DATETIME, "where its hour, say, began: truncate(t, '1h')"),
    "parse_json": Function(guards.parse_json, ("str",), ANY, "what JSON text says"),
    "to_json": Function(guards.to_json, ("json",), STR, "as JSON text"),
    "sha256": Function(_sha256, ("json",), STR, "of its text, in hexadecimal"),
    "uuid5": Function(_uuid5, ("str", "json"), STR, "a name's UUID: uuid5('url', id), or within another UUID"),
}
META: dict[str, Kind] = {
    "key": STR,
    "timestamp": DATETIME,
    "offset": INT,
    "partition": INT,
    "topic": STR,
    "headers": Kind("dict"),
}
"""What `meta.` has of a record beside its value: its key as text (null without one), its headers as texts by name."""
