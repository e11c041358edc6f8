"""The tests in a route file, read: what is given, and what is expected."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from cluster.processing.routes import times
from cluster.processing.routes.problems import Section, shown
from cluster.processing.routes.route_file import Expected, Given, RouteTest
from cluster.processing.routes.sentences import near

DEFAULT_NS = 1_767_225_600 * 10**9
"""The time of records that are given without one: 2026-01-01 00:00 UTC."""
_GIVEN = ("value", "key", "headers", "timestamp", "topic", "partition", "offset")
_EXPECTED = ("value", "key", "time")


def case_of(section: Section, number: int, route: str, names: Sequence[str], tables: Sequence[str]) -> RouteTest:
    """One of them; what is wrong is noted."""
    name = section.value("name", str, "") or f"test {number + 1}"
    section.what = f"{route}, test {name!r}"
    section.knows(("name", "given", "tables", "expect", "expect_to", "expect_errors"))
    if "given" not in section.table:
        section.wrong("'given' is missing: a record, or a list of them")
    if not {"expect", "expect_to", "expect_errors"} & set(section.table):
        section.wrong("it expects nothing: write `expect`, `expect_to` or `expect_errors`")
    rows = section.value("tables", dict, {})
    for table, by_key in rows.items():
        if table not in tables:
            section.wrong(f"the route looks nothing up in {table!r}{near(table, tables, else_list='but in')}", "tables")
        elif not isinstance(by_key, dict):
            section.wrong(f"rows are by key: {{ {table} = {{ c1 = {{ … }} }} }}", "tables")
    to = section.value("expect_to", dict, {})
    for one in to:
        if one not in names:
            section.wrong(f"the route has no destination {one!r}{near(one, names, else_list='it has')}", "expect_to")
    errors = section.value("expect_errors", list, [])
    if not all(isinstance(said, str) for said in errors):
        section.wrong("it is a list of texts", "expect_errors")
        errors = []
    return RouteTest(
        name=name,
        given=tuple(
            _given(section, one, at) for at, one in enumerate(_many(section, "given", section.table.get("given", [])))
        ),
        tables={table: plain(by_key) for table, by_key in rows.items() if isinstance(by_key, dict)},
        expect=_expected(section, "expect", section.table["expect"]) if "expect" in section.table else None,
        expect_to={one: _expected(section, "expect_to", wanted) for one, wanted in to.items()},
        expect_errors=tuple(errors) if "expect_errors" in section.table else None,
        line=section.problems.line(*section.path),
    )


def plain(value: Any) -> Any:
    """As it is after JSON: a time that stands in the file without quotes is text."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _many(section: Section, name: str, written: Any) -> list[Any]:
    if isinstance(written, dict):
        return [written]
    if not isinstance(written, list):
        section.wrong(f"it is {shown(written)}, and a record (a table), or a list of them, is wanted", name)
        return []
    return written


def _is_whole(value: Any, names: Sequence[str]) -> bool:
    """Whether it is a record with its key, not only its value."""
    return isinstance(value, dict) and "value" in value and set(value) <= set(names)


def _given(section: Section, written: Any, offset: int) -> Given:
    if not _is_whole(written, _GIVEN):
        return Given(value=plain(written), timestamp_ns=DEFAULT_NS, offset=offset)
    headers = written.get("headers", {})
    if not isinstance(headers, dict):
        section.wrong("headers are a table of texts", "given")
        headers = {}
    return Given(
        value=plain(written["value"]),
        key=str(written["key"]) if "key" in written else None,
        headers={str(name): str(value) for name, value in headers.items()},
        timestamp_ns=_ns(section, written["timestamp"], "given") if "timestamp" in written else DEFAULT_NS,
        topic=str(written.get("topic", "")),
        partition=_whole(section, written, "partition", 0),
        offset=_whole(section, written, "offset", offset),
    )


def _whole(section: Section, written: dict[str, Any], name: str, default: int) -> int:
    found = written.get(name, default)
    if not isinstance(found, int) or isinstance(found, bool):
        section.wrong(f"{name} is a whole number", "given")
        return default
    return found


def _ns(section: Section, written: Any, field: str) -> int:
    try:
        if isinstance(written, str | int | float | dt.datetime | dt.date):
            return times.as_ns(written)
    except (TypeError, ValueError, OverflowError):
        pass
    section.wrong(f"{shown(written)} is no time (ISO 8601, or seconds since 1970)", field)
    return 0


def _expected(section: Section, name: str, written: Any) -> tuple[Expected, ...]:
    found = []
    for one in _many(section, name, written):
        if not _is_whole(one, _EXPECTED):
            found.append(Expected(value=plain(one)))
            continue
        found.append(
            Expected(
                value=plain(one["value"]),
                key=str(one["key"]) if "key" in one else msgspec.UNSET,
                time_ns=_ns(section, one["time"], name) if "time" in one else msgspec.UNSET,
            )
        )
    return tuple(found)
