"""What is gone: everything that was acknowledged, or that anybody has read, is in the final read, or was deleted.

Jepsen asks whether any reader ever saw it. The final read has to see it again: a record that was read and is gone
later is as lost as one that was never there.
"""

from collections.abc import Iterable

from chaos.checkers.anomaly import Anomaly, proof
from chaos.checkers.compaction import Compaction, check_came_back, named
from chaos.checkers.operations import Read, Send
from chaos.checkers.places import Places
from chaos.history import Kind

NEVER_S = float("inf")


def check_lost(
    sends: list[Send],
    reads: list[Read],
    places: Places,
    firsts: dict[int, int],
    compaction: Compaction | None,
    *,
    final: str,
) -> tuple[list[Send], list[Anomaly]]:
    """The acknowledged sends that are gone, and all anomalies. Unseen: nothing behind it was read."""
    finals = [read for read in reads if read.process == final]
    seen = {value for read in finals for _, _, value in read.records}
    ended_s = {read.partition: read.ended_s for read in finals}
    by_final = {read.partition: read.operation for read in finals}
    lost, found = [], []
    for send in sends:
        if send.kind is not Kind.OK or send.value in seen:
            continue
        offset, first = _offset_of(send, places), firsts.get(send.partition, 0)
        if first and (offset is None or offset < first):
            continue  # deleted, or it may be
        if compaction is not None and compaction.may_miss_send(send, ended_s.get(send.partition, NEVER_S)):
            continue
        name = "lost write" if offset is not None and offset <= places.furthest.get(send.partition, -1) else "unseen"
        name = named(name, send) if compaction is not None else name
        detail = f"{send.value} was acknowledged at {send.partition}@{offset}"
        found.append(Anomaly(name, detail, proof(send.operation, by_final.get(send.partition))))
        lost.append(send)
    acknowledged = {send.value for send in sends if send.kind is Kind.OK}
    found += _read_and_lost(reads, seen | acknowledged, firsts, finals, compaction)
    if compaction is not None:
        found += check_came_back(compaction, seen)
    return lost, found


def _offset_of(send: Send, places: Places) -> int | None:
    """Where it is, by its receipt or by whoever has read it."""
    return places.last_of(send.value, send.partition) if send.offset is None else send.offset


def _read_and_lost(
    reads: list[Read],
    seen_or_acknowledged: set[str],
    firsts: dict[int, int],
    finals: Iterable[Read],
    compaction: Compaction | None,
) -> list[Anomaly]:
    """What was not acknowledged, and somebody has read it."""
    by_final = {read.partition: read for read in finals}
    told: set[str] = set()
    found = []
    for read in reads:
        first, last = firsts.get(read.partition, 0), by_final.get(read.partition)
        for offset, _, value in read.records:
            if value in seen_or_acknowledged or value in told or offset < first:
                continue
            name, known = "lost write", compaction.at(read.partition, offset) if compaction is not None else None
            if compaction is not None and known is not None:
                if compaction.may_miss(known, NEVER_S if last is None else last.ended_s, whole=True):
                    continue
                name = named(name, known)
            told.add(value)
            detail = f"{value} was read by {read.process} at {read.partition}@{offset}"
            found.append(Anomaly(name, detail, proof(read.operation, None if last is None else last.operation)))
    return found
