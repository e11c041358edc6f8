"""Every replica's own copy, compared with the others' and with what readers were given in the end.

A copy is what stands on one node's disk, read there and not through a leader; the history says what was committed. It
is looked at when everything is healed and quiet, so that every copy has all of it, from where the partition begins.
Behind what the final read has seen nothing is known to be committed, and a copy may have more there than another, but
not something else.

Replicas trim and compact each by itself. So where a copy begins later than the final read did, records are missing
unless the topic has limits (`ages` judges those of age); what another one has is compared all the same, each from where
it begins. Copies of a compacted topic are equal where they both have something, in all records
without a key, and in the map that their records add up to.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.checkers.anomaly import Anomaly, proof
from chaos.checkers.operations import Read, Send, sends_and_reads
from chaos.checkers.receipts import RECEIPT_LIED, promised
from chaos.history import Event, Kind

DIVERGENT = "divergent"


@dataclass(frozen=True, slots=True)
class Held:
    """A record as one replica has it. `value` is its identity, as in a history: of a tombstone what its header says."""

    offset: int
    key: str | None
    value: str
    tombstone: bool = False
    checksum: int = 0
    """Of the record's own bytes, not of its batch: batches are written anew where they are compacted. 0: not told."""

    def __str__(self) -> str:
        checked = f" ({self.checksum:08x})" if self.checksum else ""
        return f"{self.value} of {self.key}{checked}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One partition as one node has it: its records from `first` on, ascending."""

    node: int
    partition: int
    first: int
    records: Sequence[Held]

    def plain(self) -> dict[str, Any]:
        """As it stands in an event `copy`."""
        records = [[held.offset, held.key, held.value, held.tombstone, held.checksum] for held in self.records]
        return {"node": self.node, "partition": self.partition, "first": self.first, "records": records}


def copies_in(events: Iterable[Event]) -> list[Copy]:
    """Those that a history has."""
    return [
        Copy(
            node=event.value["node"],
            partition=event.value["partition"],
            first=event.value["first"],
            records=[Held(*plain) for plain in event.value["records"]],
        )
        for event in events
        if event.name == "copy" and event.kind is Kind.OK
    ]


def check_replicas(
    copies: Iterable[Copy],
    events: Iterable[Event],
    *,
    final: str = "final",
    retention: bool = False,
    compacted: bool = False,
    replicas: int | None = None,
) -> list[Anomaly]:
    """Where two copies differ, or one lacks what is committed. The options are `check_log`'s."""
    sends, reads = sends_and_reads(events)
    finals = {read.partition: read for read in reads if read.process == final}
    by_partition: dict[int, list[Copy]] = defaultdict(list)
    for copy in copies:
        by_partition[copy.partition].append(copy)
    acknowledged: dict[int, list[Send]] = defaultdict(list)
    for send in sends:
        if send.kind is Kind.OK and send.offset is not None:
            acknowledged[send.partition].append(send)
    found = []
    for partition in sorted({*by_partition, *finals}):
        mine = sorted(by_partition[partition], key=lambda copy: copy.node)
        if replicas is not None and len(mine) != replicas:
            nodes = [copy.node for copy in mine]
            found.append(Anomaly("missing copy", f"of {replicas} copies of {partition} there are those on {nodes}"))
        read = finals.get(partition)
        first = read.first or 0 if read is not None else 0
        begins = {copy.node: max(first, copy.first) for copy in mine}
        tables = {copy.node: _from(copy, begins[copy.node]) for copy in mine}
        found += _between(partition, tables)
        if read is not None:
            found += _beginnings(mine, read, retention=retention)
        if compacted:
            latest = max([first, *begins.values()])
            both = {copy.node: _from(copy, latest) for copy in mine}
            found += _maps(partition, both)
            found += _maps_of_reader(both, read, sends, latest) if read is not None else []
        elif read is not None:
            found += _against_reader(tables, read, begins)
        if replicas is not None and not compacted:
            found += _receipts(tables, acknowledged[partition], begins, replicas)
    return found


def _from(copy: Copy, begins: int) -> dict[int, Held]:
    """Its records from there on, by their offsets."""
    return {held.offset: held for held in copy.records if held.offset >= begins}


def _between(partition: int, tables: Mapping[int, Mapping[int, Held]]) -> list[Anomaly]:
    """No two have something else at one offset."""
    chosen: dict[int, tuple[int, Held]] = {}
    found = []
    for node, table in tables.items():
        for offset, held in table.items():
            other, known = chosen.setdefault(offset, (node, held))
            if known != held:
                where = f"{partition}@{offset}: node {other} has {known}, node {node} has {held}"
                found.append(Anomaly(DIVERGENT, where))
    return found


def _beginnings(copies: Iterable[Copy], read: Read, *, retention: bool) -> list[Anomaly]:
    first = read.first or 0
    return [
        Anomaly(
            DIVERGENT,
            f"{copy.partition} begins at {copy.first} on node {copy.node}, and was read from {first} on",
            proof(read.operation),
        )
        for copy in copies
        if copy.first > first and not retention
    ]


def _against_reader(tables: Mapping[int, Mapping[int, Held]], read: Read, begins: Mapping[int, int]) -> list[Anomaly]:
    """What was read in the end is on every node, from where that one begins."""
    found = []
    for node, table in tables.items():
        for offset, key, value in read.records:
            held = table.get(offset)
            if offset < begins[node] or (held is not None and held.value == value and held.key == key):
                continue
            has = "lacks it" if held is None else f"has {held}"
            where = f"{read.partition}@{offset} is {value} of {key} for {read.process}; node {node} {has}"
            found.append(Anomaly(DIVERGENT, where, proof(read.operation)))
    return found


def _added_up(records: Iterable[Held]) -> dict[tuple[str | None, int], Held]:
    """Of each key the newest record, unless it is a tombstone; and every record without a key, by its offset."""
    found: dict[tuple[str | None, int], Held] = {}
    for held in records:
        place = (held.key, -1) if held.key is not None else (None, held.offset)
        found[place] = held
        if held.tombstone and held.key is not None:
            del found[place]
    return found


def _maps(partition: int, tables: Mapping[int, Mapping[int, Held]]) -> list[Anomaly]:
    """Copies that were compacted add up to the same."""
    maps = {node: _added_up(table.values()) for node, table in tables.items()}
    found = []
    for place in sorted({place for held in maps.values() for place in held}, key=str):
        has = {node: held.get(place) for node, held in maps.items()}
        if len(set(has.values())) > 1:
            what = f"key {place[0]}" if place[0] is not None else f"offset {place[1]}, without a key"
            said = ", ".join(f"{held} on node {node}" for node, held in has.items())
            found.append(Anomaly(DIVERGENT, f"{partition}, {what}: {said}"))
    return found


def _maps_of_reader(
    tables: Mapping[int, Mapping[int, Held]], read: Read, sends: Iterable[Send], begins: int
) -> list[Anomaly]:
    """The same, with what was read in the end. What it was not given up to `end` was gone: tombstones, perhaps."""
    tombstones = {send.value for send in sends if send.tombstone}
    end = max(read.end or 0, read.records[-1][0] + 1 if read.records else 0)
    wanted = _added_up(
        Held(offset, key, value, tombstone=value in tombstones)
        for offset, key, value in read.records
        if offset >= begins
    )
    found = []
    for node, table in tables.items():
        has = _added_up(held for held in table.values() if held.offset < end)
        for place in sorted({*wanted, *has}, key=str):
            ours, theirs = wanted.get(place), has.get(place)
            if _identity(ours) != _identity(theirs):
                where = f"{read.partition}, key {place[0]}: {ours} for {read.process}, {theirs} on node {node}"
                found.append(Anomaly(DIVERGENT, where, proof(read.operation)))
    return found


def _identity(held: Held | None) -> tuple[int, str] | None:
    """Of a record that was read and has no checksum, or of one on disk."""
    return None if held is None else (held.offset, held.value)


def _receipts(
    tables: Mapping[int, Mapping[int, Held]], sends: Iterable[Send], begins: Mapping[int, int], replicas: int
) -> list[Anomaly]:
    """What a majority was said to have is on every node once all is healed."""
    found = []
    for send in sends:
        if send.offset is None or not promised(send, replicas):
            continue
        lacking = [
            node
            for node, table in tables.items()
            if send.offset >= begins[node] and (send.offset not in table or table[send.offset].value != send.value)
        ]
        if lacking:
            where = (
                f"{send.value} at {send.partition}@{send.offset} was on {send.synced} disks; not on those of {lacking}"
            )
            found.append(Anomaly(RECEIPT_LIED, where, proof(send.operation)))
    return found
