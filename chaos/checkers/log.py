"""The log as clients saw it: Jepsen's Kafka anomalies, over sends and reads of unique values.

The order of a partition is observed: every read says which offset holds which value. Names and definitions follow
jepsen.tests.kafka.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from chaos.checkers.anomaly import Anomaly
from chaos.checkers.compaction import Compaction, check_came_back, check_reads, named
from chaos.checkers.deletions import check_deletions, final_firsts
from chaos.checkers.operations import Read, Send, sends_and_reads
from chaos.history import Event, Kind


def check_log(
    events: Iterable[Event],
    *,
    final: str = "final",
    retention: bool = False,
    compacted: bool = False,
    tombstone_s: float | None = None,
) -> list[Anomaly]:
    """Everything that is wrong. Reads of the process `final` are taken to have seen all there is.

    What lies below the `first` offset of a partition's final read is deleted. `retention`: the topic has limits, so
    that more may be deleted than anybody asked for. `compacted`: records may be missing by the rules of `compaction`,
    tombstones after `tombstone_s` seconds, or at any time if that is None.
    """
    events = list(events)
    sends, reads = sends_and_reads(events)
    compaction = Compaction(sends, reads, tombstone_s) if compacted else None
    firsts = final_firsts(events, final)
    by_value = {send.value: send for send in sends}
    placed: dict[tuple[int, int], set[str]] = defaultdict(set)
    places: dict[str, set[tuple[int, int]]] = defaultdict(set)
    keys: dict[str, str | None] = {}
    for read in reads:
        for offset, key, value in read.records:
            placed[read.partition, offset].add(value)
            places[value].add((read.partition, offset))
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
    found += _finally(sends, reads, final, firsts, compaction)
    found += check_deletions(events, firsts, final=final, retention=retention, compacted=compacted)
    found += _gaps(reads, compacted=compacted)
    if compaction is not None:
        found += check_reads(reads, compaction, final=final)
    found += _order(sends, places)
    return found


def _against_sends(by_value: dict[str, Send], keys: dict[str, str | None]) -> list[Anomaly]:
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


def _conditions(by_value: dict[str, Send], places: dict[str, set[tuple[int, int]]]) -> list[Anomaly]:
    """What was sent on condition of the partition's end stands there or nowhere, whatever its sender was told."""
    return [
        Anomaly("broken condition", f"{value} expected the end {send.expected_end} and is at {partition}@{offset}")
        for value, send in sorted(by_value.items())
        if send.expected_end is not None
        for partition, offset in sorted(places.get(value, ()))
        if offset != send.expected_end
    ]


def _finally(
    sends: list[Send], reads: list[Read], final: str, firsts: dict[int, int], compaction: Compaction | None
) -> list[Anomaly]:
    """Lost: acknowledged or read before, neither read at the end nor deleted. Unseen: nothing behind it was read."""
    seen = {value for read in reads if read.process == final for _, _, value in read.records}
    ended_s = {read.partition: read.ended_s for read in reads if read.process == final}
    furthest: dict[int, int] = defaultdict(lambda: -1)
    for read in reads:
        for offset, _, _ in read.records:
            furthest[read.partition] = max(furthest[read.partition], offset)
    found = []
    for send in sends:
        deleted = send.offset is not None and send.offset < firsts.get(send.partition, 0)
        if send.kind is not Kind.OK or send.value in seen or deleted:
            continue
        if compaction is not None and compaction.may_miss_send(send, ended_s.get(send.partition, float("inf"))):
            continue
        lost = send.offset is not None and send.offset <= furthest[send.partition]
        name = "lost write" if lost else "unseen"
        name = named(name, send) if compaction is not None else name
        found.append(Anomaly(name, f"{send.value} was acknowledged at {send.partition}@{send.offset}"))
    found += _read_and_lost(sends, reads, seen, firsts, ended_s, compaction)
    if compaction is not None:
        found += check_came_back(compaction, seen)
    return found


def _read_and_lost(
    sends: list[Send],
    reads: list[Read],
    seen: set[str],
    firsts: dict[int, int],
    ended_s: dict[int, float],
    compaction: Compaction | None,
) -> list[Anomaly]:
    """What was not acknowledged, and somebody has read it."""
    acknowledged = {send.value for send in sends if send.kind is Kind.OK}
    found = []
    for read in reads:
        for offset, _, value in read.records:
            if value in seen or value in acknowledged or offset < firsts.get(read.partition, 0):
                continue
            name, known = "lost write", compaction.at(read.partition, offset) if compaction is not None else None
            if compaction is not None and known is not None:
                if compaction.may_miss(known, ended_s.get(read.partition, float("inf")), whole=True):
                    continue
                name = named(name, known)
            found.append(Anomaly(name, f"{value} was read by {read.process} at {read.partition}@{offset}"))
    return found


def _gaps(reads: list[Read], *, compacted: bool) -> list[Anomaly]:
    """Within one read of one partition, offsets follow one another; of a compacted topic they rise."""
    found = []
    for read in reads:
        for (before, _, _), (after, _, _) in pairwise(read.records):
            if after <= before or (after != before + 1 and not compacted):
                name = "nonmonotonic poll" if after <= before else "poll skip"
                found.append(Anomaly(name, f"{read.process} read {read.partition}@{after} after {before}"))
    return found


def _order(sends: list[Send], places: dict[str, set[tuple[int, int]]]) -> list[Anomaly]:
    """A process's sends of one key stand in the order in which it sent them."""
    last: dict[tuple[str, int, str], tuple[int, str]] = {}
    found = []
    for send in sends:
        if send.key is None or not places.get(send.value):
            continue
        _, offset = max(places[send.value])
        mine = (send.process, send.partition, send.key)
        before = last.get(mine)
        if before is not None and before[0] > offset:
            found.append(Anomaly("nonmonotonic send", f"{send.value} stands before {before[1]}, sent earlier"))
        last[mine] = (offset, send.value)
    for partition in {send.partition for send in sends}:
        found += _real_time([s for s in sends if s.partition == partition and s.kind is Kind.OK])
    return found


def _real_time(sends: list[Send]) -> list[Anomaly]:
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
