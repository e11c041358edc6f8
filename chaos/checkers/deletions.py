"""What was deleted, as clients saw it: all that somebody asked for, nothing else, and it never comes back.

A partition's first offset is what a reader was told there is; the final read's is where the partition begins at the
end. Reads of records themselves are `log`'s.
"""

from collections import defaultdict
from collections.abc import Iterable

from chaos.checkers.anomaly import Anomaly
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
    asked: dict[int, int] = defaultdict(int)
    done: dict[int, int] = defaultdict(int)
    found = []
    for event in events:
        partition = event.value.get("partition", -1)
        first = firsts.get(partition, 0)
        if event.name == "delete" and event.kind is Kind.INVOKE:
            asked[partition] = max(asked[partition], event.value["before"])
        elif event.name == "delete" and event.kind is Kind.OK:
            done[partition] = max(done[partition], event.value["before"])
            left = event.value.get("left", event.value["before"])
            if left < event.value["before"]:
                detail = f"{partition}: deleted before {event.value['before']}, and told that {left} is left"
                found.append(Anomaly("not deleted", detail))
        elif event.name == "read" and event.kind is Kind.OK:
            told = event.value.get("first", 0)
            if told > first:
                found.append(
                    Anomaly("deleted came back", f"{partition} began at {told} for {event.process}, at the end {first}")
                )
            offsets = [record[0] for record in event.value["records"]]
            begins = not offsets or offsets[0] == first or (compacted and offsets[0] > first)
            if event.process == final and not begins:
                found.append(Anomaly("wrong start", f"{partition} begins at {first}; the first read is {offsets[0]}"))
    for partition, first in sorted(firsts.items()):
        if first < done[partition]:
            found.append(Anomaly("not deleted", f"{partition} begins at {first}, deleted before {done[partition]}"))
        if first > asked[partition] and not retention:
            found.append(Anomaly("deleted too much", f"{partition} begins at {first}, asked for {asked[partition]}"))
    return found
