"""An operator's steps, by the history alone: done, accepted, and what they left behind.

Events: `began` (the nodes at first); `add`, `drain`, `remove`, `replace`, `restart`, each with its node, and with what
was refused on the way (`refused`: reasons and sentences); `left` (steps that the run's time was not enough for); and
`settled` at the end, with the nodes that there are and, if it is `info`, what had not come to rest.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from chaos.checkers.anomaly import Anomaly, proof
from chaos.history import Event, Kind

BEGAN, LEFT, SETTLED = "began", "left", "settled"
STEPS = frozenset({"add", "drain", "remove", "replace", "restart"})
IN_USE = "NODE_IN_USE"
HOLDS = "replica"
"""A word of the refusal to remove a node that has some; one that has a seat is to be asked again."""


def check_changes(events: Iterable[Event], *, strict: bool = False) -> list[Anomaly]:
    """Everything that is wrong. `strict`: there were no faults, so that every step is done, and accepted at once."""
    found: list[Anomaly] = []
    there: set[int] = set()
    gone: dict[int, int] = {}
    begun: dict[int, Event] = {}
    for event in events:
        if event.kind is Kind.INVOKE:
            begun[event.operation] = event
            continue
        begun.pop(event.operation, None)
        value = event.value
        if event.name == BEGAN:
            there.update(value["nodes"])
        elif event.name == LEFT and strict:
            found.append(Anomaly("step left out", f"the time was not enough for {', '.join(value['steps'])}"))
        elif event.name == SETTLED:
            found += _settled(event, there, gone)
        elif event.name in STEPS:
            found += _step(event, strict=strict)
            if event.kind is Kind.OK:
                _note(event, there, gone)
    unended = (event for event in begun.values() if event.name in {*STEPS, SETTLED})
    return [*found, *(Anomaly("step not done", _told(event), proof(event.operation)) for event in unended)]


def _note(event: Event, there: set[int], gone: dict[int, int]) -> None:
    """Who is there by now."""
    if event.name in {"remove", "replace"}:
        there.discard(event.value["node"])
        gone[event.value["node"]] = event.operation
    if event.name in {"add", "replace"}:
        there.add(event.value["node" if event.name == "add" else "replacement"])


def _step(event: Event, *, strict: bool) -> Iterator[Anomaly]:
    refused = [(reason, sentence) for reason, sentence in event.value.get("refused", ())]
    held = [sentence for reason, sentence in refused if reason == IN_USE and HOLDS in sentence]
    if held:
        yield Anomaly("said to be empty", f"{_told(event)}: {held[0]}", proof(event.operation))
    others = [sentence for reason, sentence in refused if reason != IN_USE]
    if event.kind is Kind.FAIL or (strict and others):
        why = event.value.get("detail") or others[-1]
        yield Anomaly("refused step", f"{_told(event)}: {why}", proof(event.operation))
    elif event.kind is Kind.INFO:
        why = "; ".join([str(event.value.get("error", "")), *(sentence for _, sentence in refused)])
        yield Anomaly("step not done", f"{_told(event)}: {why}", proof(event.operation))


def _settled(event: Event, there: set[int], gone: Mapping[int, int]) -> Iterator[Anomaly]:
    value: Mapping[str, Any] = event.value
    if event.kind is not Kind.OK:
        left = {name: what for name, what in value.items() if name != "nodes"}
        yield Anomaly("not settled", f"at {event.time_s:.1f} s there was still {left}", proof(event.operation))
        return
    nodes = set(value["nodes"])
    for node in sorted(nodes & set(gone)):
        yield Anomaly("node came back", f"node {node} was removed, and is there", proof(gone[node], event.operation))
    for node in sorted(there - nodes):
        yield Anomaly("node missing", f"node {node} was not removed, and is not there", proof(event.operation))


def _told(event: Event) -> str:
    node = event.value.get("node")
    return event.name if node is None else f"{event.name} of node {node}"
