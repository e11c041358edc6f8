"""The log as clients saw it: Jepsen's Kafka anomalies, over sends and reads of unique values.

The order of a partition is observed: every read says which offset holds which value. Names and definitions follow
jepsen.tests.kafka.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from chaos.checkers.anomaly import Anomaly
from chaos.checkers.deletions import check_deletions, final_firsts
from chaos.history import Event, Kind


@dataclass
class _Send:
    partition: int
    key: str
    value: str
    process: str
    invoked_s: float
    kind: Kind = Kind.INFO
    offset: int | None = None
    expected_end: int | None = None
    ended_s: float = float("inf")


def check_log(events: Iterable[Event], *, final: str = "final", retention: bool = False) -> list[Anomaly]:
    """Everything that is wrong. Reads of the process `final` are taken to have seen all there is.

    What lies below the `first` offset of a partition's final read is deleted. `retention`: the topic has limits, so
    that more may be deleted than anybody asked for.
    """
    events = list(events)
    sends, reads = _sort(events)
    firsts = final_firsts(events, final)
    by_value = {send.value: send for send in sends}
    placed: dict[tuple[int, int], set[str]] = defaultdict(set)
    places: dict[str, set[tuple[int, int]]] = defaultdict(set)
    keys: dict[str, str] = {}
    for _, partition, records in reads:
        for offset, key, value in records:
            placed[partition, offset].add(value)
            places[value].add((partition, offset))
            keys[value] = key
    for send in sends:
        if send.kind is Kind.OK and send.offset is not None:
            placed[send.partition, send.offset].add(send.value)
            places[send.value].add((send.partition, send.offset))
    found = [
        Anomaly("inconsistent offsets", f"partition {partition} offset {offset} holds {sorted(values)}")
        for (partition, offset), values in sorted(placed.items())
        if len(values) > 1
    ]
    found += [
        Anomaly("duplicate", f"{value} is at {sorted(where)}")
        for value, where in sorted(places.items())
        if len(where) > 1
    ]
    found += _against_sends(by_value, keys)
    found += _conditions(by_value, places)
    found += _finally(sends, reads, final, firsts)
    found += check_deletions(events, firsts, final=final, retention=retention)
    found += _gaps(reads)
    found += _order(sends, reads, final)
    return found


def _sort(events: Iterable[Event]) -> tuple[list[_Send], list[tuple[str, int, list[tuple[int, str, str]]]]]:
    sends: dict[int, _Send] = {}
    reads = []
    for event in events:
        value = event.value
        if event.name == "send" and event.kind is Kind.INVOKE:
            sends[event.operation] = _Send(
                value["partition"],
                value["key"],
                value["value"],
                event.process,
                event.time_s,
                expected_end=value.get("expected_end"),
            )
        elif event.name == "send":
            send = sends[event.operation]
            send.kind, send.ended_s = event.kind, event.time_s
            send.offset = value.get("offset")
        elif event.name == "read" and event.kind is Kind.OK:
            reads.append((event.process, value["partition"], [tuple(record) for record in value["records"]]))
    return list(sends.values()), reads


def _against_sends(by_value: dict[str, _Send], keys: dict[str, str]) -> list[Anomaly]:
    found = []
    for value, key in sorted(keys.items()):
        send = by_value.get(value)
        if send is None:
            found.append(Anomaly("phantom read", f"{value} was read and never sent"))
        elif send.kind is Kind.FAIL:
            found.append(Anomaly("aborted read", f"{value} was read, and its send had failed"))
        elif send.key != key:
            found.append(Anomaly("changed record", f"{value} was sent with key {send.key} and read with {key}"))
    return found


def _conditions(by_value: dict[str, _Send], places: dict[str, set[tuple[int, int]]]) -> list[Anomaly]:
    """What was sent on condition of the partition's end stands there or nowhere, whatever its sender was told."""
    return [
        Anomaly("broken condition", f"{value} expected the end {send.expected_end} and is at {partition}@{offset}")
        for value, send in sorted(by_value.items())
        if send.expected_end is not None
        for partition, offset in sorted(places.get(value, ()))
        if offset != send.expected_end
    ]


def _finally(
    sends: list[_Send], reads: list[tuple[str, int, list[tuple[int, str, str]]]], final: str, firsts: dict[int, int]
) -> list[Anomaly]:
    """Lost: acknowledged or read before, neither read at the end nor deleted. Unseen: nothing behind it was read."""
    seen = {value for process, _, records in reads if process == final for _, _, value in records}
    furthest: dict[int, int] = defaultdict(lambda: -1)
    for _, partition, records in reads:
        for offset, _, _ in records:
            furthest[partition] = max(furthest[partition], offset)
    found = []
    for send in sends:
        deleted = send.offset is not None and send.offset < firsts.get(send.partition, 0)
        if send.kind is Kind.OK and send.value not in seen and not deleted:
            lost = send.offset is not None and send.offset <= furthest[send.partition]
            name = "lost write" if lost else "unseen"
            found.append(Anomaly(name, f"{send.value} was acknowledged at {send.partition}@{send.offset}"))
    acknowledged = {send.value for send in sends if send.kind is Kind.OK}
    for process, partition, records in reads:
        for offset, _, value in records:
            if value not in seen and value not in acknowledged and offset >= firsts.get(partition, 0):
                found.append(Anomaly("lost write", f"{value} was read by {process} at {partition}@{offset}"))
    return found


def _gaps(reads: list[tuple[str, int, list[tuple[int, str, str]]]]) -> list[Anomaly]:
    """Within one read of one partition, offsets follow one another."""
    found = []
    for process, partition, records in reads:
        for (before, _, _), (after, _, _) in pairwise(records):
            if after != before + 1:
                name = "nonmonotonic poll" if after <= before else "poll skip"
                found.append(Anomaly(name, f"{process} read {partition}@{after} after {before}"))
    return found


def _order(sends: list[_Send], reads: list[tuple[str, int, list[tuple[int, str, str]]]], final: str) -> list[Anomaly]:
    """A process's sends of one key stand in the order in which it sent them."""
    place = {value: offset for process, _, records in reads if process == final for offset, _, value in records}
    last: dict[tuple[str, int, str], tuple[int, str]] = {}
    found = []
    for send in sends:
        offset = place.get(send.value)
        if offset is None:
            continue
        mine = (send.process, send.partition, send.key)
        before = last.get(mine)
        if before is not None and before[0] > offset:
            found.append(Anomaly("nonmonotonic send", f"{send.value} stands before {before[1]}, sent earlier"))
        last[mine] = (offset, send.value)
    for partition in {send.partition for send in sends}:
        found += _real_time([s for s in sends if s.partition == partition and s.kind is Kind.OK])
    return found


def _real_time(sends: list[_Send]) -> list[Anomaly]:
    """What was acknowledged before another send began stands before it."""
    found = []
    ended = sorted((s for s in sends if s.offset is not None), key=lambda s: s.ended_s)
    highest, place = -1, 0
    for send in sorted(ended, key=lambda s: s.invoked_s):
        while place < len(ended) and ended[place].ended_s < send.invoked_s:
            highest = max(highest, ended[place].offset or 0)
            place += 1
        if send.offset is not None and send.offset < highest:
            found.append(
                Anomaly("real-time inversion", f"{send.value} at {send.offset} began after {highest} was acknowledged")
            )
    return found
