"""Records as the contents of files: JSON lines, CSV, text; for Parquet, as columns (`parquet` writes those). Pure.

Whether a record is refused depends on it alone (see `pieces`). Columns are those of the records of one file, in the
order in which they first come. JSON has no NaN, which becomes null; bytes within a value become base64.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from cluster.connectors.contract import Delivery
from cluster.errors import RecordRefused

WHOLE = "value"
"""The column of a value that is not an object."""
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_FAULTS = (msgspec.MsgspecError, UnicodeError, OverflowError, TypeError, ValueError, RecursionError)


def encoder_of(form: str) -> Callable[[Delivery, int], bytes]:
    """Makes a record's bytes, as they are held until the file is made. The encoder raises RecordRefused."""
    make = {"jsonl": _json_line, "text": _text_line}.get(form, _packed)

    def encode(delivery: Delivery, place: int) -> bytes:
        if delivery.value is None:
            raise RecordRefused("a tombstone has no value to write into a file", place=place)
        try:
            return make(delivery.value)
        except _FAULTS as error:
            raise RecordRefused(f"it cannot be written as {form}: {error}", place=place) from error

    return encode


def _json_line(value: Any) -> bytes:
    if isinstance(value, bytes):
        value = msgspec.json.decode(value)
    return msgspec.json.encode(value) + b"\n"


def _text_line(value: Any) -> bytes:
    line = (
        value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else msgspec.json.encode(value)
    )
    if b"\n" in line:
        raise ValueError("there is a line's end in it")
    return line + b"\n"


def _packed(value: Any) -> bytes:
    row = value if isinstance(value, dict) else {WHOLE: value}
    if not row:
        raise ValueError("it has no fields")
    return _pack({str(name): _flat(content) for name, content in row.items()})


def _flat(value: Any) -> Any:
    """Nested values and numbers beyond 64 bits as text."""
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return str(value)
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    return msgspec.json.encode(value).decode()


def columns(rows: Iterable[bytes]) -> dict[str, list[Any]]:
    """Column → values, all of the same length."""
    found: dict[str, list[Any]] = {}
    for count, row in enumerate(map(_unpack, rows)):
        for name, value in row.items():
            if name not in found:
                found[name] = [None] * count
            found[name].append(value)
        for name, values in found.items():
            if name not in row:
                values.append(None)
    return found


def content_of_lines(rows: Sequence[bytes]) -> bytes:
    """JSON lines, text."""
    return b"".join(rows)


def content_of_csv(rows: Sequence[bytes]) -> bytes:
    """A header, and a line each; what is not there is empty."""
    table = columns(rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*(map(_csv_field, values) for values in table.values()), strict=True))
    return out.getvalue().encode()


def _csv_field(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return msgspec.json.encode(value).decode().strip('"')
    return value
