"""The view `pyarrow.RecordBatch` (riverrun[arrow]): many events as typed columns; rows of what comes back are records.

The columns are the fields of the topic's Event, each with the one Arrow type that its annotation means, so all batches
of a topic have one schema. A Decimal is decimal128(38, 18), which holds what money comes to but leaves no digits for a
product of two: `Annotated[Decimal, msgspec.Meta(extra={"arrow": pyarrow.decimal128(12, 2)})]` gives a field a type of
its own, as it does for every other. A datetime without a zone is taken to be UTC. A value that its column cannot hold
exactly makes its record fail, as a function does that raises.

pyarrow is imported only for who has the view; whether an annotation is it can be told without.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from cluster.errors import InvalidApp

Convert = Callable[[Any], Any]
"""From a field's value to what Arrow takes; None: it takes the value as it is."""

_PLAIN: dict[type, Callable[[Any], Any]] = {
    inspect.BoolType: lambda pa: pa.bool_(),
    inspect.IntType: lambda pa: pa.int64(),
    inspect.FloatType: lambda pa: pa.float64(),
    inspect.StrType: lambda pa: pa.string(),
    inspect.BytesType: lambda pa: pa.binary(),
    inspect.DateType: lambda pa: pa.date32(),
    inspect.TimeType: lambda pa: pa.time64("us"),
    inspect.DateTimeType: lambda pa: pa.timestamp("us", "UTC"),
    inspect.TimeDeltaType: lambda pa: pa.duration("us"),
    inspect.DecimalType: lambda pa: pa.decimal128(38, 18),
}
_LISTS = (inspect.ListType, inspect.SetType, inspect.FrozenSetType, inspect.VarTupleType)


def is_batch(kind: Any) -> bool:
    """Whether a type is `pyarrow.RecordBatch`."""
    return getattr(kind, "__name__", "") == "RecordBatch" and getattr(kind, "__module__", "").startswith("pyarrow")


class BatchView:
    """Makes a RecordBatch of events of one type. InvalidApp: a field has no Arrow type."""

    def __init__(self, event: Any, what: str) -> None:
        import pyarrow as pa  # noqa: PLC0415  an extra

        self._make = pa.RecordBatch.from_arrays
        self._array = pa.array
        try:
            described = inspect.type_info(event)
        except TypeError:
            described = inspect.AnyType()
        if not isinstance(described, inspect.StructType) or not described.fields:
            raise InvalidApp(
                f"{what}: a pyarrow.RecordBatch has the fields of an Event as its columns, not of {event!r}"
            )
        self._fields = [(field.name, *_column(pa, field.type, f"{what}: {field.name}")) for field in described.fields]
        self.schema = pa.schema(
            [
                pa.field(name, kind, nullable=_optional(field.type))
                for (name, kind, _), field in zip(self._fields, described.fields, strict=True)
            ]
        )

    def __call__(self, events: Sequence[Any]) -> Any:
        """ValueError, OverflowError: a value does not fit its column."""
        columns = []
        for name, kind, convert in self._fields:
            values = [getattr(event, name) for event in events]
            columns.append(self._array(values if convert is None else [*map(convert, values)], type=kind))
        return self._make(columns, schema=self.schema)


def rows_of(batch: Any, kind: Any) -> list[Any]:
    """The rows of a RecordBatch as events of a type, or, where it is None, as dicts. ValueError: a row does not fit."""
    rows: list[Any] = batch.to_pylist()
    return rows if kind is None else [msgspec.convert(row, kind) for row in rows]


def _optional(kind: inspect.Type) -> bool:
    bare = _bare(kind)
    return isinstance(bare, inspect.UnionType) and any(isinstance(one, inspect.NoneType) for one in bare.types)


def _bare(kind: inspect.Type) -> inspect.Type:
    return _bare(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _column(pa: Any, kind: inspect.Type, what: str) -> tuple[Any, Convert | None]:
    """The Arrow type of a field, and how its values become what Arrow takes."""
    if isinstance(kind, inspect.Metadata):
        given = (kind.extra or {}).get("arrow")
        found, convert = _column(pa, kind.type, what)
        return (found if given is None else given), convert
    if isinstance(kind, inspect.UnionType):
        some = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        if len(some) != 1:
            raise InvalidApp(f"{what} may be of several types, and a column of a RecordBatch has one")
        found, convert = _column(pa, some[0], what)
        return found, convert and _unless_none(convert)
    if type(kind) in _PLAIN:
        return _PLAIN[type(kind)](pa), None
    if isinstance(kind, inspect.EnumType):
        return _of_values([member.value for member in kind.cls], pa, what), lambda member: member.value
    if isinstance(kind, inspect.LiteralType):
        return _of_values(kind.values, pa, what), None
    if isinstance(kind, inspect.UUIDType):
        return pa.string(), str
    if isinstance(kind, _LISTS):
        found, convert = _column(pa, kind.item_type, what)
        return pa.list_(found), list if convert is None else _each(convert)
    if isinstance(kind, inspect.DictType):
        (keys, of_key), (values, of_value) = (_column(pa, one, what) for one in (kind.key_type, kind.value_type))
        return pa.map_(keys, values), _pairs(of_key or _same, of_value or _same)
    if isinstance(kind, inspect.StructType) and kind.tag is None:
        inner = [(field.name, *_column(pa, field.type, f"{what}.{field.name}")) for field in kind.fields]
        return pa.struct([(name, found) for name, found, _ in inner]), _members([(n, c or _same) for n, _, c in inner])
    raise InvalidApp(f"{what} is of a type that a RecordBatch has no column for; take list[...] instead")


def _of_values(values: Sequence[Any], pa: Any, what: str) -> Any:
    kinds = {type(value) for value in values}
    if kinds == {str}:
        return pa.string()
    if kinds == {int}:
        return pa.int64()
    raise InvalidApp(f"{what} is a choice of {kinds}; a column of a RecordBatch wants text or whole numbers")


def _same(value: Any) -> Any:
    return value


def _unless_none(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _each(convert: Convert) -> Convert:
    return lambda values: [convert(value) for value in values]


def _pairs(of_key: Convert, of_value: Convert) -> Convert:
    return lambda values: [(of_key(key), of_value(value)) for key, value in values.items()]


def _members(fields: Sequence[tuple[str, Convert]]) -> Convert:
    return lambda value: {name: convert(getattr(value, name)) for name, convert in fields}
