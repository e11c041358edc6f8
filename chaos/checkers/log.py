"""The log as clients saw it: Jepsen's Kafka anomalies, over sends and reads of unique values.

The order of a partition is observed: every read says which offset holds which value. Names and definitions follow
jepsen.tests.kafka; `chaos.checkers` lists them all.
"""

from collections.abc import Iterable

from chaos.checkers.anomaly import Anomaly, proof
from chaos.checkers.compaction import Compaction, check_reads
from chaos.checkers.deletions import check_deletions, final_firsts
from chaos.checkers.lost import check_lost
from chaos.checkers.operations import Read, Send, sends_and_reads
from chaos.checkers.order import check_order
from chaos.checkers.places import Places
from chaos.checkers.polls import check_polls
from chaos.checkers.receipts import check_receipts
from chaos.history import Event, Kind


def check_log(
    events: Iterable[Event],
    *,
    final: str = "final",
    retention: bool = False,
    compacted: bool = False,
    tombstone_s: float | None = None,
    replicas: int | None = None,
) -> list[Anomaly]:
    """Everything that is wrong. Reads of the process `final` are taken to have seen all there is.

    What lies below the `first` offset of a partition's final read is deleted. `retention`: the topic has limits, so
    that more may be deleted than anybody asked for. `compacted`: records may be missing by the rules of `compaction`,
    tombstones after `tombstone_s` seconds, or at any time if that is None. `replicas`: how many copies the topic has;
    without it receipts are not judged.
    """
    events = list(events)
    sends, reads = sends_and_reads(events)
    compaction = Compaction(sends, reads, tombstone_s) if compacted else None
    firsts = final_firsts(events, final)
    by_value = {send.value: send for send in sends}
    places = Places(sends, reads)
    found = places.anomalies()
    found += _against_sends(by_value, places)
    found += _conditions(by_value, places)
    lost, anomalies = check_lost(sends, reads, places, firsts, compaction, final=final)
    found += anomalies
    if replicas is not None:
        found += check_receipts(sends, lost, replicas)
    found += check_deletions(events, firsts, final=final, retention=retention, compacted=compacted)
    found += check_polls(reads, places, final=final, compacted=compacted)
    if compaction is not None:
        found += check_reads(reads, compaction, final=final)
    found += check_order(sends, reads, places)
    return found


def _against_sends(by_value: dict[str, Send], places: Places) -> list[Anomaly]:
    """What was read is what was sent, where it was sent to."""
    found = []
    for value, (key, read) in places.readers.items():
        send = by_value.get(value)
        if send is None:
            found.append(Anomaly("phantom read", f"{value} was read and never sent", proof(read.operation)))
        elif send.kind is Kind.FAIL:
            said = f"{value} was read, and its send had failed"
            found.append(Anomaly("aborted read", said, proof(send.operation, read.operation)))
        elif send.key != key:
            found.append(_changed(send, key, read))
    found += [
        _changed(by_value[value], key, read)
        for value, key, read in places.rekeyed
        if value in by_value and by_value[value].kind is not Kind.FAIL and by_value[value].key != key
    ]
    for send in by_value.values():
        for partition, offset in places.outside(send.value, send.partition):
            said = f"{send.value} was sent to partition {send.partition} and is at {partition}@{offset}"
            proved = proof(send.operation, places.operation_at(partition, offset))
            found.append(Anomaly("wrong partition", said, proved))
    return found


def _changed(send: Send, key: str | None, read: Read) -> Anomaly:
    detail = f"{send.value} was sent with key {send.key} and read with {key}"
    return Anomaly("changed record", detail, proof(send.operation, read.operation))


def _conditions(by_value: dict[str, Send], places: Places) -> list[Anomaly]:
    """What was sent on condition of the partition's end stands there or nowhere, whatever its sender was told."""
    return [
        Anomaly(
            "broken condition",
            f"{value} expected the end {send.expected_end} and is at {partition}@{offset}",
            proof(send.operation, places.operation_at(partition, offset)),
        )
        for value, send in by_value.items()
        if send.expected_end is not None
        for partition, offset in places.all_of(value)
        if offset != send.expected_end
    ]
