"""What clients did and saw: one event when an operation is invoked, one when its outcome is known.

`ok`: done. `fail`: definitely not done. `info`: unknown, for ever; an operation without a second event is `info`, too.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any, TextIO


class Kind(Enum):
    """What an event says."""

    INVOKE = "invoke"
    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line.

    `value` is the operation's own: for a send {partition, key, value[, tombstone][, expected_end]}, and of its receipt
    {offset[, synced]}; for a read {partition[, start]}, {records[, first][, end]}, where a record is
    [offset, key, value], `first` the first offset that the reader was told there is and `end` the one that it read up
    to, not including it; for a delete {partition, before}.

    A value is the record's identity: no two sends have the same one. A tombstone's value is empty, so that its
    identity has to travel beside it, in a header; in a history it stands where a value stands, sent and read, and the
    send says `tombstone`: true. A record without a key has the key None, which is another than the empty one.

    A read has gone through everything from where it began to the last record that it got, or to `end`. It began at
    `start`; where that is not said, the process went on from where its last read of the partition had stopped (behind
    the last record, or at `first`), and at 0 the first time.
    """

    operation: int
    process: str
    kind: Kind
    name: str
    time_s: float
    value: dict[str, Any]
    scope: str = ""
    """Whose it is, where several workloads share a run: the workload's name; `nemesis` for faults."""


@dataclass
class History:
    """Events in the order of their times; where there is a `file`, each is written as soon as it happens."""

    events: list[Event] = field(default_factory=list)
    file: TextIO | None = None
    scope: str = ""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def scoped(self, scope: str) -> "History":
        """The same history for one workload: its events are in this one, too."""
        return replace(self, scope=scope)

    def invoke(self, process: str, name: str, time_s: float, **value: Any) -> int:
        """An operation begins; its number."""
        operation = next(self._numbers)
        self._add(operation, process, Kind.INVOKE, name, time_s, value)
        return operation

    def end(self, operation: int, process: str, kind: Kind, name: str, time_s: float, **value: Any) -> None:
        """It ended like this."""
        self._add(operation, process, kind, name, time_s, value)

    def _add(self, operation: int, process: str, kind: Kind, name: str, time_s: float, value: dict[str, Any]) -> None:
        self.add(
            Event(
                operation=operation, process=process, kind=kind, name=name, time_s=time_s, value=value, scope=self.scope
            )
        )

    def add(self, event: Event) -> None:
        """One that somebody else has made."""
        self.events.append(event)
        if self.file is not None:
            self.file.write(line(event))

    def write(self, file: TextIO) -> None:
        """One JSON line an event."""
        file.writelines(map(line, self.events))


def line(event: Event) -> str:
    """As it stands in a file."""
    return json.dumps(asdict(event) | {"kind": event.kind.value}) + "\n"


def read_history(lines: Iterable[str]) -> Iterator[Event]:
    """The inverse of `History.write`."""
    for line in lines:
        plain = json.loads(line)
        yield Event(**(plain | {"kind": Kind(plain["kind"])}))
