"""What was deleted, as clients saw it: all that somebody asked for, nothing else, and it never comes back.

A partition's first offset is what a reader was told there is; the final read's is where the partition begins at the
end. Every other read is compared with what was known when it began (acknowledged, or told to somebody) and with what
had been asked for when it ended: each asks its leader, which is sure to lead. Reads of records themselves are `log`'s.
"""

from collections.abc import Iterable

from chaos.checkers.anomaly import Anomaly, proof
from chaos.history import Event, Kind


def final_firsts(events: Iterable[Event], final: str) -> dict[int, int]:
    """Where each partition begins at the end."""
    return {
        event.value["partition"]: event.value.get("first", 0)
        for event in events
        if event.name == "read" and event.kind is Kind.OK and event.process == final
    }


def check_deletions(
    events: Iterable[Event], firsts: dict[int, int], *, final: str, retention: bool, compacted: bool
) -> list[Anomaly]:
    """Everything that is wrong about where partitions begin. The first record of a compacted one may be gone."""
    asked: dict[int, tuple[int, int]] = {}
    done: dict[int, tuple[int, int]] = {}
    by_final: dict[int, int] = {}
    events = [event for event in events if event.name in {"delete", "read"}]
    known = _Known(final, retention=retention)
    in_time = sorted(events, key=lambda event: (event.time_s, event.kind is not Kind.INVOKE))
    found = [anomaly for event in in_time for anomaly in known.anomalies(event)]
    for event in events:
        partition = event.value.get("partition", -1)
        first = firsts.get(partition, 0)
        if event.name == "delete" and event.kind in {Kind.INVOKE, Kind.OK}:
            highest = asked if event.kind is Kind.INVOKE else done
            highest[partition] = max(highest.get(partition, (0, 0)), (event.value["before"], event.operation))
            left = event.value.get("left", event.value["before"])
            if event.kind is Kind.OK and left < event.value["before"]:
                detail = f"{partition}: deleted before {event.value['before']}, and told that {left} is left"
                found.append(Anomaly("not deleted", detail, proof(event.operation)))
        elif event.name == "read" and event.kind is Kind.OK:
            told = event.value.get("first", 0)
            if told > first:
                said = f"{partition} began at {told} for {event.process}, at the end {first}"
                found.append(Anomaly("deleted came back", said, proof(event.operation)))
            lowest = next((record[0] for record in event.value["records"]), first)
            begins = lowest == first or (compacted and lowest > first)
            if event.process == final:
                by_final[partition] = event.operation
                if not begins:
                    said = f"{partition} begins at {first}; the first read is {lowest}"
                    found.append(Anomaly("wrong start", said, proof(event.operation)))
    for partition, first in sorted(firsts.items()):
        (before, by), (wanted, _) = done.get(partition, (0, 0)), asked.get(partition, (0, 0))
        both = proof(by, by_final.get(partition))
        if first < before:
            found.append(Anomaly("not deleted", f"{partition} begins at {first}, deleted before {before}", both))
        if first > wanted and not retention:
            found.append(Anomaly("deleted too much", f"{partition} begins at {first}, asked for {wanted}", both))
    return found


class _Known:
    """Where partitions begin, by what was heard so far."""

    def __init__(self, final: str, *, retention: bool) -> None:
        self._final = final
        self._retention = retention
        self._asked: dict[int, int] = {}
        self._gone: dict[int, tuple[int, int]] = {}
        """By partition where it begins, at the least, and the operation that was told so."""
        self._began: dict[int, tuple[int, int]] = {}
        """The same when a read began."""

    def anomalies(self, event: Event) -> list[Anomaly]:
        """What is wrong with this one, beside those before it, in the order of their times."""
        value = event.value
        partition, before = value.get("partition", -1), value.get("before", 0)
        if event.kind is Kind.INVOKE and event.name == "delete":
            self._asked[partition] = max(self._asked.get(partition, 0), before)
        elif event.kind is Kind.INVOKE:
            self._began[event.operation] = self._gone.get(partition, (0, 0))
        if event.kind is not Kind.OK:
            return []
        found = self._of_read(event, partition) if event.name == "read" and event.process != self._final else []
        told = value.get("first", 0) if event.name == "read" else max(before, value.get("left", before))
        self._gone[partition] = max(self._gone.get(partition, (0, 0)), (told, event.operation))
        return found

    def _of_read(self, event: Event, partition: int) -> list[Anomaly]:
        """The final one is judged by itself."""
        found, first = [], event.value.get("first")
        offsets = [record[0] for record in event.value["records"][:1]] + ([] if first is None else [first])
        gone, by = self._began.get(event.operation, (0, 0))
        if offsets and min(offsets) < gone:
            said = f"{event.process} got {partition}@{min(offsets)}, which began at {gone}"
            found.append(Anomaly("deleted came back", said, proof(by, event.operation)))
        asked = self._asked.get(partition, 0)
        if first is not None and first > asked and not self._retention:
            said = f"{partition} begins at {first} for {event.process}, asked for {asked}"
            found.append(Anomaly("deleted too much", said, proof(event.operation)))
        return found
