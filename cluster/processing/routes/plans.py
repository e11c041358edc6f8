"""The expressions of a route, read and checked against each other: what they are of, and what they make."""

from collections.abc import Mapping
from typing import Any

from cluster.processing.routes.checking import Scope, condition_in, kind_in
from cluster.processing.routes.expressions import Expression, parsed
from cluster.processing.routes.kinds import ANY, Kind
from cluster.processing.routes.problems import Section, shown
from cluster.processing.routes.program import Plan
from cluster.processing.routes.sentences import InvalidExpression

FIELDS_MAX = 500
_MADE = "what the route makes"


def plan_of(
    route: Section, record: Kind, lookups: Mapping[str, Kind], conditions: list[tuple[Section, Any]]
) -> tuple[Plan, Kind]:
    """The plan of a route, and the kind of what it makes. What is wrong is noted, and left out."""
    scope = Scope(record=record, lookups=lookups)
    where = _condition(route, "where", route.table.get("where"), scope)
    makes = record
    fields: dict[str, Any] | None = None
    changes: dict[str, Expression] = {}
    drop = _dropped(route)
    if "map" in route.table:
        if "set" in route.table or "drop" in route.table:
            route.wrong("a route has `map` (a new record) or `set` and `drop` (the old one, changed), not both")
        fields, makes = _mapped(route.section("map"), scope)
    else:
        changes, makes = _set(route, scope, drop)
    changed = fields is not None or bool(changes or drop)
    after = Scope(record=makes, where=_MADE if changed else scope.where, lookups=lookups, input=record)
    plan = Plan(
        where=where,
        map=fields,
        set=changes,
        drop=drop,
        key=_value(route, "key", route.table.get("key"), after)[0],
        time=_time(route, after),
        destinations=tuple(_condition(section, "where", written, after) for section, written in conditions),
        lookups=tuple(lookups),
    )
    return plan, makes


def _condition(section: Section, name: str, written: Any, scope: Scope) -> Expression | None:
    if written is None:
        return None
    if not isinstance(written, str):
        section.wrong(f"it is {shown(written)}, and a condition in quotes is wanted", name)
        return None
    try:
        expression = parsed(written)
        condition_in(expression, scope)
    except InvalidExpression as error:
        section.tried((name,), error)
        return None
    return expression


def _value(section: Section, name: str, written: Any, scope: Scope) -> tuple[Expression | None, Kind]:
    """An expression and its kind; None where it is missing or wrong."""
    if written is None:
        return None, ANY
    if isinstance(written, bool | int | float):
        written = repr(written)
    if not isinstance(written, str):
        what = "a list" if isinstance(written, list) else shown(written)
        section.wrong(f"it is {what}, and an expression in quotes is wanted", name)
        return None, ANY
    try:
        expression = parsed(written)
        return expression, kind_in(expression, scope)
    except InvalidExpression as error:
        section.tried((name,), error)
        return None, ANY


def _time(route: Section, scope: Scope) -> Expression | None:
    expression, kind = _value(route, "time", route.table.get("time"), scope)
    if expression is not None and kind.name not in {"any", "datetime", "date", "str", "int", "float"}:
        route.wrong(f"it is a {kind}, and a time is wanted: text in ISO 8601, or seconds since 1970", "time")
    return expression


def _mapped(section: Section, scope: Scope, deep: int = 0) -> tuple[dict[str, Any], Kind]:
    found: dict[str, Any] = {}
    kinds: dict[str, Kind] = {}
    if len(section.table) > FIELDS_MAX or deep > 20:
        section.wrong(f"it is too large; {FIELDS_MAX} fields, 20 deep, are the most")
        return found, ANY
    for name, written in section.table.items():
        if isinstance(written, dict):
            inner = Section(section.problems, written, (*section.path, name), f"{section.what}.{name}")
            found[name], kinds[name] = _mapped(inner, scope, deep + 1)
            continue
        expression, kinds[name] = _value(section, name, written, scope)
        if expression is not None:
            found[name] = expression
    return found, Kind("dict", kinds)


def _set(route: Section, scope: Scope, drop: tuple[str, ...]) -> tuple[dict[str, Expression], Kind]:
    section = route.section("set")
    changes: dict[str, Expression] = {}
    kinds: dict[str, Kind] = {}
    for name, written in section.table.items():
        if isinstance(written, dict):
            section.wrong("fields within a field cannot be set: use `map`, or write the dict as an expression", name)
            continue
        expression, kinds[name] = _value(section, name, written, scope)
        if expression is not None:
            changes[name] = expression
        if name in drop:
            section.wrong("it is set, and dropped as well", name)
    fields = scope.record.fields
    if fields is None:
        return changes, scope.record
    for name in drop:
        if name not in fields:
            route.wrong(f"the record has no field {name!r} that could be dropped", "drop")
    left = {name: kind for name, kind in fields.items() if name not in drop}
    return changes, Kind("dict", left | kinds)


def _dropped(route: Section) -> tuple[str, ...]:
    written = route.value("drop", list, [])
    if not all(isinstance(name, str) for name in written):
        route.wrong("it is a list of names of fields", "drop")
        return ()
    return tuple(dict.fromkeys(written))
