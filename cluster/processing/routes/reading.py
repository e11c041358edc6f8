"""From a route file's text to what it says, or to all that is wrong with it. See `route_file` for what it may say."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from cluster.connectors.registry import Registry
from cluster.connectors.secrets import secret_names
from cluster.errors import InvalidApp, InvalidRoute
from cluster.processing.policies import OnError, dead_letter, skip, stop
from cluster.processing.routes import cases
from cluster.processing.routes.checking import RESERVED
from cluster.processing.routes.ends import Ends
from cluster.processing.routes.kinds import ANY, Kind, written_kind
from cluster.processing.routes.lines import Lines
from cluster.processing.routes.plans import plan_of
from cluster.processing.routes.problems import Problem, Problems, Section, shown
from cluster.processing.routes.route_file import FromSource, FromTopic, Route, RouteFile, RouteTest, TableUse, ToSink
from cluster.processing.routes.sentences import near
from cluster.processing.topics import NAME

FILE_BYTES_MAX = 1 << 20
ROUTES_MAX = 200
_TOP = ("name", "connections", "schema", "tables", "route")
_ROUTE = (
    "name", "description", "version", "from", "schema", "where", "lookup", "map", "set", "drop", "key", "time", "to",
    "on_error", "test",
)  # fmt: skip
_TOML_AT = re.compile(r" \(at line (\d+), column \d+\)| \(at end of document\)")


def read_routes(text: str, file_name: str, registry: Registry) -> tuple[RouteFile | None, list[Problem]]:
    """What the file says, and what is wrong with it: if anything is, the first is None."""
    problems = Problems(file_name, Lines(text))
    if len(text) > FILE_BYTES_MAX:
        problems.add((), "", f"the file is larger than {FILE_BYTES_MAX >> 20} MiB")
        return None, problems.found
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        said = str(error)
        at = _TOML_AT.search(said)
        line = int(at[1]) if at and at[1] else len(text.rstrip().split("\n")) if at else None
        message = f"it is not TOML: {_TOML_AT.sub('', said) or 'it is too deep'}"
        if "key part" in said or "inline table" in said:
            message += " (a table in { } stands on one line; a long one is written [route.map], at the route's end)"
        return None, [Problem(file=file_name, line=line, where="", message=message)]
    found = _Reading(Section(problems, values, (), ""), file_name, registry).all()
    return (None if problems.found else found), sorted(problems.found, key=lambda problem: problem.line or 0)


def load_routes(text: str, file_name: str, registry: Registry) -> RouteFile:
    """The same; InvalidRoute with all that is wrong."""
    found, problems = read_routes(text, file_name, registry)
    if found is None:
        raise InvalidRoute("\n".join(map(str, problems)))
    return found


class _Reading:
    def __init__(self, top: Section, file_name: str, registry: Registry) -> None:
        self._top, self._file_name = top, file_name
        top.knows(_TOP)
        self._schemas = self._read_schemas()
        self._tables = self._read_tables()
        self._ends = Ends(top.section("connections"), registry)

    def all(self) -> RouteFile:
        top = self._top
        name = top.value("name", str, PurePath(self._file_name).stem)
        if not NAME.fullmatch(name):
            top.wrong(f"{name!r} is no name: letters, digits, and . _ - between them", "name")
        sections = top.sections("route")
        if not sections and not isinstance(top.table.get("route"), str | int):
            top.wrong("there is no route: write [[route]]")
        if len(sections) > ROUTES_MAX:
            top.wrong(f"there are {len(sections)} routes, and {ROUTES_MAX} are the most in a file", "route")
        routes: dict[str, Route] = {}
        for number, section in enumerate(sections[:ROUTES_MAX]):
            route = self._route(section, number)
            if route.name in routes:
                section.wrong(f"there is a route {route.name!r} already", "name")
            routes.setdefault(route.name, route)
        options = [
            end.options
            for route in routes.values()
            for end in (route.source, *route.destinations)
            if isinstance(end, FromSource | ToSink)
        ]
        return RouteFile(
            name=name,
            file_name=self._file_name,
            routes=tuple(routes.values()),
            tables=self._tables,
            secrets=tuple(dict.fromkeys(secret for one in options for secret in self._secrets(one))),
        )

    def _secrets(self, options: Any) -> list[str]:
        try:
            return secret_names(options)
        except InvalidRoute as error:
            self._top.wrong(error.message)
            return []

    def _read_schemas(self) -> dict[str, Kind]:
        section = self._top.section("schema")
        found = {}
        for name, fields in section.table.items():
            if not isinstance(fields, dict):
                section.wrong(f"it is {shown(fields)}, and a table of fields is wanted", name)
                continue
            kinds = {}
            for field, written in fields.items():
                kinds[field] = ANY
                try:
                    kinds[field] = written_kind(written, field)
                except InvalidRoute as error:
                    self._top.problems.add(("schema", name, field), f"schema {name}", error.message)
            found[name] = Kind("dict", kinds)
        return found

    def _read_tables(self) -> dict[str, TableUse]:
        tables = self._top.section("tables")
        found = {}
        for name in tables.table:
            section = tables.section(name, f"table {name}")
            section.knows(("topic", "key"))
            topic = section.value("topic", str, name)
            if not NAME.fullmatch(topic):
                section.wrong(f"{topic!r} is no name of a topic", "topic")
            kind = self._schemas.get(topic, ANY)
            found[name] = TableUse(name=name, topic=topic, key=section.value("key", str, ""), kind=kind)
        return found

    def _route(self, section: Section, number: int) -> Route:
        name = section.needed("name")
        if name and not NAME.fullmatch(name):
            section.wrong(f"{name!r} is no name: letters, digits, and . _ - between them", "name")
        section.what = f"route {name}" if name else f"route {number + 1}"
        section.knows(_ROUTE)
        version = section.value("version", int, 1)
        if version < 1:
            section.wrong(f"it is {version}, and versions count from 1", "version")
        source = self._ends.source(section)
        record = self._record(section, source)
        lookups = self._lookups(section, record)
        destinations, conditions = self._ends.destinations(section, source)
        plan, makes = plan_of(section, record, {lookup.name: lookup.kind for lookup in lookups}, conditions)
        return Route(
            name=name or f"route {number + 1}",
            source=source,
            plan=plan,
            destinations=destinations,
            lookups=tuple(lookups),
            on_error=_on_error(section),
            version=version,
            description=section.value("description", str, ""),
            tests=self._tests(section, [one.name for one in destinations], lookups),
            record=record,
            makes=makes,
        )

    def _record(self, section: Section, source: FromTopic | FromSource) -> Kind:
        name = section.value("schema", str, "")
        if name and name not in self._schemas:
            section.wrong(f"there is no schema {name!r}{near(name, self._schemas, else_list='there are')}", "schema")
        topic = source.topic if isinstance(source, FromTopic) else ""
        record = self._schemas.get(name or topic, ANY)
        key = source.key if isinstance(source, FromTopic) else ""
        if key and record.fields is not None and key not in record.fields:
            section.wrong(f"{topic} has no field {key!r}{near(key, record.fields)}", "from", "key")
        return record

    def _lookups(self, section: Section, record: Kind) -> list[TableUse]:
        tables = section.section("lookup")
        found: list[TableUse] = []
        for name in tables.table:
            one = tables.section(name, f"{section.what}, lookup.{name}")
            one.knows(("table", "by"))
            if not name.isidentifier() or name in RESERVED or name.startswith("_"):
                one.wrong(f"{name!r} is no name for a look-up: letters, digits and _, and not {' or '.join(RESERVED)}")
            if record.fields is not None and name in record.fields:
                one.wrong(f"{name!r} is a field of the record, too: give the look-up another name")
            table, by = one.needed("table"), one.needed("by")
            if table and table not in self._tables:
                hint = near(table, self._tables, else_list="there are")
                one.wrong(f"there is no table {table!r}{hint}", "table")
            if by and not self._is_field(by, record):
                fields = record.fields or {}
                one.wrong(f"{by!r} is no field of the record{near(by, fields, else_list='it has')}", "by")
            if found and by and found[0].by != tuple(by.split(".")):
                one.wrong(
                    f"look-ups of a route are by one field, and {found[0].name} is by {'.'.join(found[0].by)}", "by"
                )
            used = self._tables.get(table) or TableUse(name=table, topic=table)
            found.append(TableUse(name=name, topic=used.topic, table=table, by=tuple(by.split(".")), kind=used.kind))
        return found

    @staticmethod
    def _is_field(path: str, record: Kind) -> bool:
        for name in path.split("."):
            if not name.isidentifier():
                return False
            if record.fields is not None:
                if name not in record.fields:
                    return False
                record = record.fields[name]
        return True

    def _tests(self, section: Section, names: list[str], lookups: list[TableUse]) -> tuple[RouteTest, ...]:
        tables = [lookup.table for lookup in lookups]
        return tuple(
            cases.case_of(test, number, section.what, names, tables)
            for number, test in enumerate(section.sections("test"))
        )


def _on_error(section: Section) -> OnError:
    written = section.table.get("on_error", "stop")
    simple = {"stop": stop(), "skip": skip(), "dead_letter": dead_letter()}
    if isinstance(written, str):
        if written not in simple:
            section.wrong(f"{written!r} is none of {', '.join(simple)}{near(written, simple)}", "on_error")
        return simple.get(written, stop())
    policy = section.section("on_error")
    policy.knows((*simple, "retries", "park_key"))
    chosen = [name for name in simple if isinstance(written, Mapping) and name in written]
    if isinstance(written, Mapping) and len(chosen) != 1:
        policy.wrong("it has one of dead_letter (a topic), skip = true, stop = true")
        return stop()
    if not chosen:
        return stop()
    how = chosen[0]
    retries = policy.value("retries", int, 3 if how == "dead_letter" else 0)
    park_key = policy.value("park_key", bool, False)
    try:
        if how != "dead_letter":
            if park_key or policy.value(how, bool, True) is not True:
                policy.wrong(f"{how} is true, and has no park_key")
            return skip(retries=retries) if how == "skip" else stop(retries=retries)
        topic = policy.value("dead_letter", str, "")
        if topic and not NAME.fullmatch(topic):
            policy.wrong(f"{topic!r} is no name of a topic", "dead_letter")
        return dead_letter(topic, retries=retries, park_key=park_key)
    except InvalidApp as error:
        policy.wrong(error.message.removeprefix("on_error: "), "retries")
        return stop()
