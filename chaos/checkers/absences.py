"""Nodes that are down one at a time, as faults: an operator restarts or replaces one, or all are restarted in turn.

The fault that restarts all of them names all of them for as long as it takes. Each is down only in its turn, which the
run notes: from `restarting` until `ready`.
"""

from collections.abc import Iterable

from chaos.checkers.faults import Fault
from chaos.history import Event, Kind

SCOPE = "operations"
DOWN = frozenset({"restart", "replace"})
RUN = "run"
IN_TURN = "rolling_restart"
RESTARTING, READY = "restarting", "ready"


def absences_of(events: Iterable[Event]) -> list[Fault]:
    """In the order in which they began. One whose end is not known lasts."""
    begun: dict[int, Event] = {}
    ended: dict[int, float] = {}
    turns: dict[int, Event] = {}
    """By node its last restart in turn."""
    for event in events:
        if event.scope == SCOPE and event.name in DOWN:
            if event.kind is Kind.INVOKE:
                begun[event.operation] = event
            elif event.kind is Kind.OK:
                ended[event.operation] = event.time_s
        elif event.scope == RUN and event.name == "node" and event.kind is Kind.INVOKE:
            node = event.value["node"]
            if event.value["what"] == RESTARTING:
                turns[node] = begun[event.operation] = event
            elif event.value["what"] == READY and node in turns:
                ended[turns.pop(node).operation] = event.time_s
    return [
        Fault(
            event.name if event.scope == SCOPE else IN_TURN,
            frozenset({event.value["node"]}),
            event.time_s,
            ended.get(number, float("inf")),
            number,
        )
        for number, event in begun.items()
    ]
