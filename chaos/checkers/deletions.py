"""What was deleted, as clients saw it: all that somebody asked for, nothing else, and it never comes back.

A partition's first offset is what a reader was told there is; the final read's is where the partition begins at the
end. Reads of records themselves are `log`'s.
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
    found = []
    for event in events:
        if event.name not in {"delete", "read"}:
            continue
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
