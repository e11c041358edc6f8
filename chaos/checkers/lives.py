"""Topics that are made, deleted and made again under one name: each life begins empty."""

from collections.abc import Iterable

from chaos.checkers.anomaly import Anomaly
from chaos.history import Event, Kind


def check_lives(events: Iterable[Event]) -> list[Anomaly]:
    """Events `life` {topic, mark, values[, newest]}: what a topic held after it was made and written to as `mark`.

    `newest`: of each key the last value, where all have been acknowledged before; others may have been compacted.
    """
    found = []
    for event in events:
        if event.name != "life" or event.kind is not Kind.OK:
            continue
        topic, mark = event.value["topic"], event.value["mark"]
        foreign = [value for value in event.value["values"] if not value.startswith(mark)]
        if foreign:
            found.append(Anomaly("inherited", f"{topic}, made anew as {mark!r}, has {foreign[:3]}"))
        lost = [value for value in event.value.get("newest", ()) if value not in event.value["values"]]
        if lost:
            found.append(Anomaly("lost write", f"{topic}, made anew as {mark!r}, lacks {lost}"))
        elif not event.value["values"]:
            found.append(Anomaly("lost write", f"{topic}, made anew as {mark!r}, is empty after it was written to"))
    return found
