"""Nodes that an operator had down, as faults: while one is restarted, or replaced because its disk was wiped."""

from collections.abc import Iterable

from chaos.checkers.faults import Fault
from chaos.history import Event, Kind

SCOPE = "operations"
DOWN = frozenset({"restart", "replace"})


def absences_of(events: Iterable[Event]) -> list[Fault]:
    """In the order in which they began. One whose end is not known lasts."""
    begun: dict[int, Event] = {}
    ended: dict[int, float] = {}
    for event in events:
        if event.scope == SCOPE and event.name in DOWN:
            if event.kind is Kind.INVOKE:
                begun[event.operation] = event
            elif event.kind is Kind.OK:
                ended[event.operation] = event.time_s
    return [
        Fault(event.name, frozenset({event.value["node"]}), event.time_s, ended.get(number, float("inf")), number)
        for number, event in begun.items()
    ]
