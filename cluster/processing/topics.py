"""What an app reads and writes, as its author names it."""

import re
from dataclasses import dataclass
from typing import Any

from cluster.errors import InvalidApp
from cluster.processing.durations import length_ns, positive_ns
from cluster.processing.event import field_type, time_reader
from cluster.processing.spec import InputKind, InputSpec, OutputSpec

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of events of one type; `event` None: whatever is written to it. Made by `App.topic`."""

    name: str
    event: Any = None
    key: str = ""
    time: str = ""
    disorder_ns: int = 0
    idle_ns: int = 30 * 10**9

    def as_input(self, start: str, until: str) -> InputSpec:
        """Of a processor."""
        return InputSpec(
            topic=self.name,
            key=self.key,
            time=self.time,
            disorder_ns=self.disorder_ns,
            idle_ns=self.idle_ns,
            start=start,
            until=until,
        )

    def as_output(self) -> OutputSpec:
        """Of a processor."""
        return OutputSpec(topic=self.name, key=self.key)


@dataclass(frozen=True, slots=True)
class TableTopic:
    """A compacted topic whose newest value of each key can be looked up. Made by `App.table`."""

    name: str
    event: Any
    key: str = ""

    @property
    def parameter(self) -> str:
        """What a function calls it."""
        return self.name.replace("-", "_").replace(".", "_")

    def as_input(self) -> InputSpec:
        """Of a processor."""
        return InputSpec(topic=self.name, kind=InputKind.TABLE, key=self.key)


def check_name(name: object, what: str) -> str:
    """InvalidApp if it cannot be the name of a topic, processor or app."""
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise InvalidApp(f"{what} {name!r}: a name is letters, digits, dots, dashes and underlines, at most 100")
    return name


def make_topic(name: str, event: Any, key: str, time: str, disorder: str, idle: str) -> Topic:
    """Checked; InvalidApp says what is wrong."""
    what = f"topic {check_name(name, 'topic')!r}"
    if key:
        field_type(event, key, f"{what}, key")
    if time:
        time_reader(event, time, f"{what}, time")
    return Topic(
        name,
        event,
        key,
        time,
        length_ns(disorder, f"{what}: disorder"),
        positive_ns(idle, f"{what}: idle"),
    )
