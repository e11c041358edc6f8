"""The order in which sends stand: each process's own, each key's of a process, and real time's.

A process is one producer, or somebody who waits for each outcome before it sends again. What it has sent to a partition
stands there in the order in which it sent it, whatever it was told: also what it knows nothing of, if anybody has read
it.
"""

from collections import defaultdict
from collections.abc import Iterable

from chaos.checkers.anomaly import Anomaly, proof
from chaos.checkers.operations import Read, Send
from chaos.checkers.places import Places
from chaos.history import Kind


def check_order(sends: list[Send], reads: Iterable[Read], places: Places) -> list[Anomaly]:
    """Everything that stands in a wrong order. What was never seen has none."""
    placed = [(offset, send) for send in sends if (offset := places.last_of(send.value, send.partition)) is not None]
    known: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
    for send in sends:
        if send.kind is Kind.OK and send.offset is not None:
            known[send.partition].append((send.ended_s, send.offset, send.operation))
    for read in reads:
        if read.records:
            highest = max(offset for offset, _, _ in read.records)
            known[read.partition].append((read.ended_s, highest, read.operation))
    by_partition: dict[int, list[tuple[int, Send]]] = defaultdict(list)
    for offset, send in placed:
        by_partition[send.partition].append((offset, send))
    found = _of_processes(placed)
    for partition, mine in sorted(by_partition.items()):
        found += _real_time(mine, known[partition])
    return found


def _of_processes(placed: list[tuple[int, Send]]) -> list[Anomaly]:
    """Each is compared with the one before it, of the same process and partition; and of the same key."""
    last: dict[tuple[str, int], tuple[int, Send]] = {}
    last_of_key: dict[tuple[str, int, str], tuple[int, Send]] = {}
    found = []
    for offset, send in placed:
        mine = send.process, send.partition
        before = last.get(mine)
        if before is not None and before[0] > offset:
            found.append(_inverted("nonmonotonic send", send, before[1]))
        last[mine] = offset, send
        if send.key is not None:
            of_key = *mine, send.key
            before = last_of_key.get(of_key)
            if before is not None and before[0] > offset:
                found.append(_inverted("key out of order", send, before[1]))
            last_of_key[of_key] = offset, send
    return found


def _inverted(name: str, send: Send, before: Send) -> Anomaly:
    detail = f"{send.value} stands before {before.value}, which {send.process} had sent to {send.partition} earlier"
    return Anomaly(name, detail, proof(before.operation, send.operation))


def _real_time(placed: list[tuple[int, Send]], known: list[tuple[float, int, int]]) -> list[Anomaly]:
    """What was acknowledged, or read, before a send began stands before it."""
    known.sort()
    highest, proved_by, place = -1, 0, 0
    found = []
    for offset, send in sorted(placed, key=lambda placed: placed[1].invoked_s):
        while place < len(known) and known[place][0] < send.invoked_s:
            if known[place][1] > highest:
                _, highest, proved_by = known[place]
            place += 1
        if offset < highest:
            found.append(
                Anomaly(
                    "real-time inversion",
                    f"{send.value} at {send.partition}@{offset} began after {highest} was there for all to see",
                    proof(proved_by, send.operation),
                )
            )
    return found
