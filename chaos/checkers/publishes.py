"""Publishes that had to succeed: where nothing is broken, none may fail or stay without an answer."""

from collections.abc import Iterable

from chaos.checkers.anomaly import Anomaly, proof
from chaos.history import Event, Kind


def check_publishes(events: Iterable[Event]) -> list[Anomaly]:
    """Each that failed, or of which nothing is known. One on condition of the partition's end may be refused."""
    begun: dict[int, Event] = {}
    found = []
    for event in events:
        if event.name != "send":
            continue
        if event.kind is Kind.INVOKE:
            begun[event.operation] = event
            continue
        sent = begun.pop(event.operation)
        refused = event.kind is Kind.FAIL and "expected_end" in sent.value
        if event.kind is not Kind.OK and not refused:
            found.append(_failed(sent, f"{event.value.get('error', 'it failed')} after", event.time_s))
    return [*found, *(_failed(sent, "no answer since", sent.time_s) for sent in begun.values())]


def _failed(sent: Event, how: str, ended_s: float) -> Anomaly:
    where = f"{sent.value['value']} to partition {sent.value['partition']} at {sent.time_s:.1f} s"
    took = f" {ended_s - sent.time_s:.1f} s" if ended_s > sent.time_s else ""
    return Anomaly("failed publish", f"{where}: {how}{took}", proof(sent.operation))
