"""What is known of a value before there is one: the kinds of JSON, and of what expressions make of them. Pure.

A kind is known, or is ANY, which fits everywhere. A schema in a route file writes kinds as int, float, str, bool, list,
dict, any, `list[str]`; with ? behind, it may be null; a dict whose fields are known is a table of its own.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from cluster.errors import InvalidRoute
from cluster.processing.routes.sentences import near

WRITTEN = ("int", "float", "str", "bool", "list", "dict", "any")
NUMBERS = frozenset({"int", "float"})
_TEXTS = (
    msgspec.inspect.StrType,
    msgspec.inspect.BytesType,
    msgspec.inspect.DateTimeType,
    msgspec.inspect.DateType,
    msgspec.inspect.TimeType,
    msgspec.inspect.UUIDType,
    msgspec.inspect.DecimalType,
)
_LIST = re.compile(r"list\[(.*)\]")
_DEEP_MAX = 20


class Kind(msgspec.Struct, frozen=True):
    """`name`: one of WRITTEN, or null, datetime, date, duration. `fields` None: not known; `item`: of a list."""

    name: str
    fields: dict[str, "Kind"] | None = None
    item: "Kind | None" = None

    def __str__(self) -> str:
        return f"list[{self.item}]" if self.item is not None and self.item.name != "any" else self.name

    @property
    def family(self) -> str:
        """What can be compared with what: int and float are one."""
        return "number" if self.name in NUMBERS else self.name


ANY, INT, FLOAT, STR, BOOL, NULL = map(Kind, ("any", "int", "float", "str", "bool", "null"))
LIST, DICT, DATETIME, DATE, DURATION = map(Kind, ("list", "dict", "datetime", "date", "duration"))


def joined(kinds: Iterable[Kind]) -> Kind:
    """What a value is that is of one of them; null is passed over, for a kind does not say whether it may be null."""
    known = [kind for kind in kinds if kind.name != "null"]
    names = {kind.name for kind in known}
    if known and all(kind == known[0] for kind in known):
        return known[0]
    if len(names) == 1:
        return Kind(names.pop())
    return FLOAT if names and names <= NUMBERS else ANY


def kind_of(value: object) -> str:
    """The word for a value that is there."""
    if value is None:
        return "null"
    name = type(value).__name__
    return {"tuple": "list", "timedelta": "duration"}.get(name, name)


def written_kind(written: object, what: str) -> Kind:
    """From a schema. InvalidRoute, naming `what`, where it is no kind."""
    if isinstance(written, Mapping):
        return Kind("dict", {str(name): written_kind(item, f"{what}.{name}") for name, item in written.items()})
    if not isinstance(written, str):
        raise InvalidRoute(f'{what} is {written!r}; a kind in quotes, such as "int", or a table of fields')
    name = written.strip().removesuffix("?").strip()
    listed = _LIST.fullmatch(name)
    if listed:
        return Kind("list", item=written_kind(listed[1], what))
    if name in {"datetime", "date", "time"}:
        raise InvalidRoute(f'{what} is {written!r}; a time in JSON is a "str": write datetime(…) in the expression')
    if name not in WRITTEN:
        raise InvalidRoute(f"{what} is {written!r}, which is no kind{near(name, WRITTEN)} {_kinds()}".rstrip())
    return Kind(name)


def _kinds() -> str:
    return f"({', '.join(WRITTEN)}, list[…], each with ? where it may be null)"


def event_kind(event: Any) -> Kind:
    """Of an Event type, as its values are in JSON; whatever a route cannot know is ANY. InvalidRoute: it is none."""
    try:
        return _inspected(msgspec.inspect.type_info(event), _DEEP_MAX)
    except TypeError as error:
        raise InvalidRoute(f"{event!r} is no Event, so its fields are not known: {error}") from error


def _inspected(info: msgspec.inspect.Type, deep: int) -> Kind:
    plain = {
        msgspec.inspect.IntType: INT,
        msgspec.inspect.FloatType: FLOAT,
        msgspec.inspect.BoolType: BOOL,
        msgspec.inspect.NoneType: NULL,
        msgspec.inspect.DictType: DICT,
    }
    if type(info) in plain:
        return plain[type(info)]
    if isinstance(info, _TEXTS):
        return STR
    if deep and isinstance(info, msgspec.inspect.StructType | msgspec.inspect.DataclassType):
        if getattr(info, "array_like", False):
            return LIST
        return Kind("dict", {field.encode_name: _inspected(field.type, deep - 1) for field in info.fields})
    if deep and isinstance(info, msgspec.inspect.ListType | msgspec.inspect.SetType | msgspec.inspect.VarTupleType):
        return Kind("list", item=_inspected(info.item_type, deep - 1))
    if deep and isinstance(info, msgspec.inspect.UnionType):
        return joined([_inspected(option, deep - 1) for option in info.types])
    return ANY
