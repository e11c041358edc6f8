"""Where a route reads and where it writes: `from` and `to`, with the options of connections put into them."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from cluster.connectors.registry import Registry, Side
from cluster.errors import InvalidRoute
from cluster.processing.routes.problems import Section, shown
from cluster.processing.routes.route_file import FromSource, FromTopic, ToSink, ToTopic
from cluster.processing.routes.sentences import near
from cluster.processing.topics import NAME

DESTINATIONS_MAX = 20
START = re.compile(
    r"earliest|latest|-\d+(ms|s|m|h|d)|\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|[+-]\d\d:\d\d)?"
)
_OWN = ("connection", "where", "name")
"""Of a destination's table, and no options."""


class _Nothing(msgspec.Struct, frozen=True):
    """In the place of options that cannot be used; the file is refused."""

    summary: str = "?"


class Ends:
    """Reads them, given the file's connections."""

    def __init__(self, connections: Section, registry: Registry) -> None:
        self._registry = registry
        self._connections: dict[str, Mapping[str, Any]] = {}
        for name in connections.table:
            section = connections.section(name, f"connection {name}")
            self._connections[name] = section.table
            kind = section.table.get("kind")
            kinds = sorted({*registry.kinds(Side.SOURCE), *registry.kinds(Side.SINK)})
            if not isinstance(kind, str):
                section.wrong(f"kind is missing; it is one of {', '.join(kinds) or 'none'}")
            elif kind not in kinds:
                section.wrong(f"there is no kind {kind!r}{near(kind, kinds, else_list='there are')}", "kind")

    def source(self, route: Section) -> FromTopic | FromSource:
        """Of a route."""
        if "from" not in route.table:
            route.wrong(f"'from' is missing: a topic, or a source{_below(route, 'from')}")
            return FromTopic(topic="")
        section = route.section("from")
        if not isinstance(route.table["from"], dict):
            return FromTopic(topic="")
        if not _is_topic(section):
            options, connection = self._options(section, Side.SOURCE, ("connection",))
            return FromSource(options=options, connection=connection)
        section.knows(("topic", "start", "until", "key"))
        topic = self._topic(section)
        start, until = section.value("start", str, "earliest"), section.value("until", str, "")
        if not START.fullmatch(start):
            section.wrong(f'{start!r} is none of "earliest", "latest", a time (ISO 8601), "-24h"', "start")
        if until and (not START.fullmatch(until) or not until[0].isdigit()):
            section.wrong(f"{until!r} is no time (ISO 8601)", "until")
        return FromTopic(topic=topic, start=start, until=until, key=section.value("key", str, ""))

    def destinations(
        self, route: Section, source: FromTopic | FromSource
    ) -> tuple[tuple[ToTopic | ToSink, ...], list[tuple[Section, Any]]]:
        """Of a route, and for each the condition as it is written (None: there is none), with where that stands."""
        if "to" not in route.table:
            route.wrong(f"'to' is missing: a topic, or a sink, or a list of them{_below(route, 'to')}")
            return (), []
        sections = route.sections("to")
        if not sections and route.table["to"] == []:
            route.wrong("it is empty: at least one destination is wanted", "to")
        if len(sections) > DESTINATIONS_MAX:
            route.wrong(f"there are {len(sections)} destinations, and {DESTINATIONS_MAX} are the most", "to")
        found: list[ToTopic | ToSink] = []
        for section in sections[:DESTINATIONS_MAX]:
            one = self._destination(section)
            if any(one.name == other.name for other in found):
                section.wrong(f"there is a destination {one.name!r} already: give one of them a `name`")
            if isinstance(one, ToTopic) and isinstance(source, FromTopic) and one.topic == source.topic != "":
                section.wrong(f"it writes {one.topic!r}, which it reads: it would never end", "topic")
            found.append(one)
        return tuple(found), [(section, section.table.get("where")) for section in sections[:DESTINATIONS_MAX]]

    def _destination(self, section: Section) -> ToTopic | ToSink:
        name = section.value("name", str, "")
        if _is_topic(section):
            section.knows(("topic", "where", "name"))
            topic = self._topic(section)
            return ToTopic(name=name or topic, topic=topic)
        options, connection = self._options(section, Side.SINK, _OWN)
        kind = section.table.get("kind") or self._connections.get(connection, {}).get("kind")
        return ToSink(name=name or str(kind), options=options, connection=connection)

    @staticmethod
    def _topic(section: Section) -> str:
        topic = section.value("topic", str, "")
        if not NAME.fullmatch(topic):
            section.wrong(f"{shown(topic)} is no name of a topic: letters, digits, and . _ - between them", "topic")
        return topic

    def _options(self, section: Section, side: Side, own: tuple[str, ...]) -> tuple[Any, str]:
        connection = section.value("connection", str, "")
        shared: Mapping[str, Any] = {}
        if connection:
            if connection not in self._connections:
                hint = near(connection, self._connections, else_list="there are")
                section.wrong(f"there is no connection {connection!r}{hint}", "connection")
                return _Nothing(), connection
            shared = self._connections[connection]
        table = {**shared, **{name: value for name, value in section.table.items() if name not in own}}
        if "kind" not in table:
            kinds = ", ".join(self._registry.kinds(side)) or "none"
            section.wrong(f"it has none of topic, connection and kind; kinds are {kinds}")
            return _Nothing(), connection
        if "kind" in section.table and "kind" in shared and section.table["kind"] != shared["kind"]:
            section.wrong(f"connection {connection!r} is of the kind {shared['kind']!r}", "kind")
            return _Nothing(), connection
        try:
            return self._registry.options(side, table), connection
        except InvalidRoute as error:
            section.wrong(error.message)
            return _Nothing(), connection


def _is_topic(section: Section) -> bool:
    """One of ours: a kind may have an option of that name."""
    return "topic" in section.table and not {"kind", "connection"} & set(section.table)


def _below(route: Section, name: str) -> str:
    """What is written below [route.map] is a part of that: everybody falls for it once."""
    for table in ("map", "set", "lookup"):
        inner = route.table.get(table)
        if isinstance(inner, dict) and isinstance(inner.get(name), dict | list):
            return f"; it stands below [route.{table}], and so within that: write it above"
    return ""
