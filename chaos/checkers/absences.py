"""Nodes that are down beside any fault: an operator restarts or replaces one, all are restarted in turn, or one starts.

The fault that restarts all of them names all of them for as long as it takes. Each is down only in its turn, which the
run notes: from `restarting` until `ready`.

A fault is over when its nodes are started again, and that may take long. So whoever was started once and is started
again is down until it is `up`, as it says itself, or gone for good; in histories that have no such note nobody is.
"""

from collections.abc import Iterable

from chaos.checkers.faults import Fault
from chaos.history import Event, Kind

SCOPE = "operations"
DOWN = frozenset({"restart", "replace"})
RUN = "run"
IN_TURN = "rolling_restart"
RESTARTING, READY = "restarting", "ready"
STARTED, UP = "started", "up"
STARTING = "starting"
GONE = frozenset({"off", "removed"})


def absences_of(events: Iterable[Event]) -> list[Fault]:
    """In the order in which they began. One whose end is not known lasts."""
    begun: dict[int, Event] = {}
    ended: dict[int, float] = {}
    turns: dict[int, Event] = {}
    """By node its last restart in turn."""
    starting = _Starting()
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
            else:
                starting.note(node, event)
    found = [
        Fault(
            event.name if event.scope == SCOPE else IN_TURN,
            frozenset({event.value["node"]}),
            event.time_s,
            ended.get(number, float("inf")),
            number,
        )
        for number, event in begun.items()
    ]
    return sorted([*found, *starting.faults()], key=lambda fault: fault.began_s)


class _Starting:
    """Nodes that are started again, until they are up."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._begun: dict[int, Event] = {}
        """By node; it may have been started more than once since."""
        self._over: list[Fault] = []
        self._told = False
        """Whether anybody is ever said to be up."""

    def note(self, node: int, event: Event) -> None:
        """What became of a node."""
        what = event.value["what"]
        self._told = self._told or what == UP
        if what == STARTED and node in self._known:
            self._begun.setdefault(node, event)
        elif what == STARTED:
            self._known.add(node)
        elif what in {UP, *GONE} and node in self._begun:
            self._over.append(_starting(self._begun.pop(node), event.time_s))

    def faults(self) -> list[Fault]:
        """All of them."""
        lasting = [_starting(event, float("inf")) for event in self._begun.values()]
        return [*self._over, *lasting] if self._told else []


def _starting(event: Event, ended_s: float) -> Fault:
    return Fault(STARTING, frozenset({event.value["node"]}), event.time_s, ended_s, event.operation)
