"""Which kinds of sources and sinks there are, and what a table of a route file has to say of one.

A kind is the path of its options, "module:Class", which is imported when a route names the kind and not before: each
peer's library is an extra. Options are msgspec Structs that forbid unknown fields, tagged with their kind.
"""

import importlib
import re
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

import msgspec

from cluster.errors import InvalidRoute

Paths = Mapping[str, str | type[msgspec.Struct]]

SOURCES: dict[str, str] = {
    "files": "cluster.connectors.files.options:FileTail",
    "kafka": "cluster.connectors.kafka.options:KafkaSource",
    "mqtt": "cluster.connectors.mqtt.options:MqttSource",
    "objects": "cluster.connectors.objects.options:ObjectsSource",
    "postgres": "cluster.connectors.postgres.options:PostgresSource",
    "riverrun": "cluster.connectors.riverrun.options:RiverrunTopic",
    "webhook": "cluster.connectors.http.options:Webhook",
}
SINKS: dict[str, str] = {
    "files": "cluster.connectors.objects.options:FilesSink",
    "kafka": "cluster.connectors.kafka.options:KafkaSink",
    "mqtt": "cluster.connectors.mqtt.options:MqttSink",
    "postgres": "cluster.connectors.postgres.options:PostgresSink",
    "redis": "cluster.connectors.redis.options:RedisSink",
    "riverrun": "cluster.connectors.riverrun.options:RiverrunTopicSink",
    "sqlite": "cluster.connectors.sqlite.options:SqliteSink",
    "webhook": "cluster.connectors.http.options:WebhookTarget",
}

_EXPECTED = re.compile(r"Expected `(.+?)`, got `(.+?)`")
_MISSING = re.compile(r"Object missing required field `(.+?)`")
_AT = re.compile(r" - at `\$\.?(.*)`$")


class Side(StrEnum):
    """Of a route."""

    SOURCE = "source"
    SINK = "sink"


class Registry:
    """The kinds of both sides. A kind is given as a path, or as the Struct itself."""

    def __init__(self, sources: Paths | None = None, sinks: Paths | None = None) -> None:
        self._paths: dict[Side, Paths] = {
            Side.SOURCE: SOURCES if sources is None else sources,
            Side.SINK: SINKS if sinks is None else sinks,
        }

    def kinds(self, side: Side) -> list[str]:
        """Their names, in order."""
        return sorted(self._paths[side])

    def type_of(self, side: Side, kind: str) -> type[msgspec.Struct]:
        """The Struct of its options. InvalidRoute: there is none, or it cannot be imported."""
        paths = self._paths[side]
        if kind not in paths:
            raise InvalidRoute(self._unknown(side, kind))
        found = paths[kind]
        if not isinstance(found, str):
            return found
        module, _, name = found.partition(":")
        try:
            made: type[msgspec.Struct] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise InvalidRoute(f"the kind {kind!r} is not to be had here: {error}") from error
        return made

    def options(self, side: Side, table: Mapping[str, Any]) -> Any:
        """What a table with a `kind` says, checked (SourceOptions or SinkOptions). InvalidRoute: one sentence."""
        kind = table.get("kind")
        if not isinstance(kind, str):
            raise InvalidRoute(f"kind is missing; it is one of {', '.join(self.kinds(side)) or 'none'}")
        struct = self.type_of(side, kind)
        known = [field.encode_name for field in msgspec.structs.fields(struct)]
        for name in table:
            if name not in {"kind", *known}:
                raise InvalidRoute(f"{kind} has no option {name!r}{_near(name, known)}")
        try:
            options: Any = msgspec.convert(dict(table), struct)
        except msgspec.ValidationError as error:
            raise InvalidRoute(f"{kind}: {_said(str(error))}") from error
        options.check()
        return options

    def _unknown(self, side: Side, kind: str) -> str:
        known = self.kinds(side)
        other = Side.SINK if side is Side.SOURCE else Side.SOURCE
        if kind in self._paths[other]:
            does = "read from" if side is Side.SOURCE else "written to"
            return f"{kind!r} cannot be {does}; what can be is {', '.join(known)}"
        return f"there is no kind {kind!r}{_near(kind, known)}"


def _near(name: str, known: list[str]) -> str:
    found = get_close_matches(name, known, n=1)
    return f"; did you mean {found[0]!r}?" if found else f"; there are {', '.join(known) or 'none'}"


def _said(message: str) -> str:
    """A message of msgspec as a sentence about a field.

    >>> _said("Expected `int`, got `str` - at `$.port`")
    'port is a str, and int is wanted'
    """
    at = _AT.search(message)
    where, message = (at[1], message[: at.start()]) if at else ("", message)
    missing = _MISSING.fullmatch(message)
    if missing:
        return f"{f'{where}.' * bool(where)}{missing[1]} is missing"
    expected = _EXPECTED.fullmatch(message)
    if expected:
        return f"{where or 'it'} is a {expected[2]}, and {expected[1]} is wanted"
    return f"{where}: {message}" if where else message
