"""When a partition acknowledged nothing although somebody was sending to it: of every workload, as liveness is judged.

The definition is `chaos.checkers.liveness`'s: from an acknowledgement, or the first send after it, to the next one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chaos.checkers.liveness import unavailability
from chaos.history import Event, Kind

WINDOW_S_MIN = 0.5
"""What is shorter is latency."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Without an acknowledgement, from its begin to its end."""

    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end_s - self.start_s


def unavailable(events: Sequence[Event], at_least_s: float = WINDOW_S_MIN) -> dict[str, list[Window]]:
    """Of each partition that was sent to ("workload/partition") its windows; of most of them, none."""
    by_scope: dict[str, list[Event]] = {}
    found: dict[str, list[Window]] = {}
    for event in events:
        if event.name == "send" and "partition" in event.value and event.kind is Kind.INVOKE:
            by_scope.setdefault(event.scope, [])
            found.setdefault(f"{event.scope}/{event.value['partition']}", [])
    for event in events:
        if event.scope in by_scope and event.name != "read":
            by_scope[event.scope].append(event)
    for scope, mine in by_scope.items():
        for window in unavailability(mine, scope=scope, at_least_s=at_least_s):
            found[f"{scope}/{window.partition}"].append(Window(window.began_s, window.ended_s))
    return dict(sorted(found.items(), key=lambda item: partition_order(item[0])))


def partition_order(partition: str) -> tuple[str, int, str]:
    """By name, then by number: "log/2" before "log/10"."""
    name, _, number = partition.rpartition("/")
    return name, int(number) if number.isdecimal() else -1, number


def worst(windows: Mapping[str, Iterable[Window]]) -> tuple[str, Window] | None:
    """The longest of all, and whose it is."""
    every = [(partition, window) for partition, mine in windows.items() for window in mine]
    return max(every, key=lambda one: one[1].seconds, default=None)
