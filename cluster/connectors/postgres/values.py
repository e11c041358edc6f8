"""What PostgreSQL's text of a value becomes as plain data. Pure.

As Debezium's JSON, where that has a say: integers and floats are numbers; `numeric` and `money` are text, exact to the
last digit; NaN and infinities are text; times are ISO 8601 (`timestamptz` in UTC with a Z, `interval` as P1DT2H),
`infinity` stays that; `json` is the data itself (its numbers become 64-bit floats unless they are integers); `bytea` is
base64; arrays are lists, of lists where they have more dimensions. All else is the text as it is: `uuid`, `inet`,
enumerations, ranges, composites.
"""

import base64
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from cluster.connectors.postgres.pgoutput import Convert

BOOL, BYTEA, INT8, INT2, INT4, OID, JSON, JSONB = 16, 17, 20, 21, 23, 26, 114, 3802
FLOAT4, FLOAT8, TIMESTAMP, TIMESTAMPTZ, BPCHAR, UUID = 700, 701, 1114, 1184, 1042, 2950
WHOLE = frozenset({INT2, INT4, INT8, OID})
ARRAYS = {
    1000: BOOL, 1001: BYTEA, 1016: INT8, 1005: INT2, 1007: INT4, 1028: OID, 199: JSON, 3807: JSONB, 1021: FLOAT4,
    1022: FLOAT8, 1115: TIMESTAMP, 1185: TIMESTAMPTZ, 1014: BPCHAR, 2951: UUID, 1009: 25, 1015: 1043, 1231: 1700,
    1182: 1082, 1183: 1083, 1270: 1266, 1187: 1186, 791: 790, 1041: 869, 651: 650, 1003: 19,
}  # fmt: skip
"""Of PostgreSQL's own types: array → element."""
OWN_TYPES_END = 16384
"""From here on types are somebody's, and the catalog knows what they are."""
_DAY, _TIME = len("2026-01-02"), len("2026-01-02 ")
"""Where they end in a time that ISO 8601 has as well; those before Christ and of later millennia stay as they are."""
_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^",{}\s][^",{}]*)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Known(msgspec.Struct, frozen=True):
    """What the catalog says of a type: the one below a domain, or an array's element (0: none)."""

    base: int = 0
    element: int = 0
    delimiter: str = ","


Types = Mapping[int, Known]


def converter(type_id: int, types: Types) -> Convert:
    """For values of that type; `types` has those that are not PostgreSQL's own."""
    known = types.get(type_id, Known(element=ARRAYS.get(type_id, 0)))
    if known.base:
        return converter(known.base, types)
    if known.element:
        return partial(_array, convert=converter(known.element, types), delimiter=known.delimiter)
    return _CONVERT.get(type_id, _text)


def _text(written: bytes) -> str:
    return str(written, "utf-8")


def _float(written: bytes) -> float | str:
    found = float(written)
    return found if math.isfinite(found) else _text(written)


def _bytea(written: bytes) -> str:
    return base64.b64encode(bytes.fromhex(_text(written[2:]))).decode()


def _timestamp(written: bytes) -> str:
    text = _text(written)
    return text.replace(" ", "T", 1) if text[_DAY:_TIME] == " " and not text.endswith(" BC") else text


def _timestamptz(written: bytes) -> str:
    text = _text(written)
    return f"{text[:_DAY]}T{text[_TIME:-3]}Z" if text[_DAY:_TIME] == " " and text.endswith("+00") else text


def _json(written: bytes) -> Any:
    try:
        return msgspec.json.decode(written)
    except msgspec.DecodeError:  # a number or depth beyond what plain data has
        return _text(written)


_CONVERT: dict[int, Convert] = {
    BOOL: lambda written: written == b"t",
    BYTEA: _bytea,
    JSON: _json,
    JSONB: _json,
    FLOAT4: _float,
    FLOAT8: _float,
    TIMESTAMP: _timestamp,
    TIMESTAMPTZ: _timestamptz,
    **dict.fromkeys(WHOLE, int),
}


def _array(written: bytes, convert: Convert, delimiter: str) -> Any:
    """`{1,2,NULL,{"a b"}}`; bounds in front (`[0:1]={…}`) are left out."""
    text = _text(written)
    found, end = _items(text, text.index("{") + 1, convert, delimiter)
    assert end == len(text), text
    return found


def _items(text: str, at: int, convert: Callable[[bytes], Any], delimiter: str) -> tuple[list[Any], int]:
    found: list[Any] = []
    while text[at] != "}":
        if text[at] == delimiter:
            at += 1
        elif text[at] == "{":
            inner, at = _items(text, at + 1, convert, delimiter)
            found.append(inner)
        elif text[at] == '"':
            item = _ITEM.match(text, at)
            assert item is not None, text
            found.append(convert(_ESCAPED.sub(r"\1", item[1]).encode()))
            at = item.end()
        else:
            end = min(place for place in (text.find(delimiter, at), text.find("}", at)) if place >= 0)
            item_text = text[at:end]
            found.append(None if item_text == "NULL" else convert(item_text.encode()))
            at = end
    return found, at + 1
