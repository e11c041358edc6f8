"""What compaction may remove, and what it must not: of each key of a partition the newest record stays.

A record may be missing from a read only if one of these holds. R1: a record of its key stands at a higher offset and
can have been there when the read ended. R2: it is a tombstone and was sent at least `tombstone_s` before the read
ended (when it was appended nobody knows; not before it was sent). R3: it is not known who stands there. A record
without a key always stays.

Compaction is each replica's own business: what one reader has found gone, a later one may find again, at another
replica. That is no anomaly as long as what superseded it is there, too. So reads are not compared with each other but
each with what is known of the log: what was acknowledged, or read by anybody at any time. A reader that follows is
thus given the newest record of every key once it has passed it, unless that is a tombstone for which it was too slow:
then it goes on with a key that is deleted. The final read begins afresh: for it a tombstone that is gone has taken the
older values of its key with it.

What is not known may be a superseding record, too: a send of unknown outcome which nobody has read. The final read
would have found it or what superseded it in its turn, unless it is a tombstone that is gone by then.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chaos.checkers.anomaly import Anomaly, proof
from chaos.checkers.operations import Read, Send
from chaos.history import Kind

GONE_EARLY = "tombstone gone early"
CAME_BACK = "came back"


@dataclass(frozen=True, slots=True)
class Known:
    """A record that is, or was, in the log."""

    partition: int
    offset: int
    key: str | None
    value: str
    tombstone: bool
    sent_s: float
    operation: int = 0
    """Who sent it."""


class Compaction:
    """All that is known of a compacted topic's log.

    `tombstone_s`: how long a tombstone stays at least; None: it may be gone at once.
    """

    def __init__(self, sends: Iterable[Send], reads: Iterable[Read], tombstone_s: float | None) -> None:
        self._tombstone_s = tombstone_s or 0.0
        sends = list(sends)
        by_value = {send.value: send for send in sends}
        self._records: dict[int, dict[int, Known]] = defaultdict(dict)
        for read in reads:
            for offset, key, value in read.records:
                self._learn(read.partition, offset, key, value, by_value.get(value))
        for send in sends:
            if send.kind is Kind.OK and send.offset is not None:
                self._learn(send.partition, send.offset, send.key, send.value, send)
        self._offsets = {partition: sorted(records) for partition, records in self._records.items()}
        self._of_key: dict[tuple[int, str], list[Known]] = defaultdict(list)
        for partition, offsets in sorted(self._offsets.items()):
            for offset in offsets:
                record = self._records[partition][offset]
                if record.key is not None:
                    self._of_key[partition, record.key].append(record)
        self._earliest = {
            where: earliest_from([record.sent_s for record in records]) for where, records in self._of_key.items()
        }
        placed = {record.value for records in self._records.values() for record in records.values()}
        self._unplaced: dict[tuple[int, str], list[Send]] = defaultdict(list)
        for send in sends:
            if send.kind is not Kind.FAIL and send.value not in placed and send.key is not None:
                self._unplaced[send.partition, send.key].append(send)

    def _learn(self, partition: int, offset: int, key: str | None, value: str, send: Send | None) -> None:
        if send is None:
            known = Known(partition, offset, key, value, tombstone=False, sent_s=float("-inf"))
        else:
            known = Known(
                partition,
                offset,
                send.key,
                value,
                tombstone=send.tombstone,
                sent_s=send.invoked_s,
                operation=send.operation,
            )
        self._records[partition][offset] = known

    def at(self, partition: int, offset: int) -> Known | None:
        """What stands there, if that is known."""
        return self._records[partition].get(offset)

    def between(self, partition: int, start: int, stop: int) -> Iterator[Known]:
        """The known records from `start` to before `stop`."""
        offsets = self._offsets.get(partition, [])
        for offset in offsets[bisect_left(offsets, start) : bisect_left(offsets, stop)]:
            yield self._records[partition][offset]

    def by_key(self) -> Iterator[list[Known]]:
        """The known records of each key of each partition, ascending."""
        yield from self._of_key.values()

    def may_miss(self, record: Known, seen_s: float, *, whole: bool = False) -> bool:
        """Whether a reader may not have found it at that time. `whole`: the reader went to the partition's end."""
        if record.key is None:
            return False
        old = seen_s - self._tombstone_s
        if record.tombstone and record.sent_s <= old:
            return True
        where = record.partition, record.key
        higher = bisect_right(self._of_key[where], record.offset, key=lambda known: known.offset)
        if higher < len(self._of_key[where]) and self._earliest[where][higher] <= seen_s:
            return True
        return any(
            not (send.kind is Kind.OK and send.ended_s < record.sent_s)  # it would stand before the record
            and (send.tombstone and send.invoked_s <= old if whole else send.invoked_s <= seen_s)
            for send in self._unplaced[where]
        )

    def may_miss_send(self, send: Send, seen_s: float) -> bool:
        """The same of something acknowledged, by a reader of all there is. Its offset need not be known."""
        offset = -1 if send.offset is None else send.offset
        known = Known(send.partition, offset, send.key, send.value, send.tombstone, send.invoked_s)
        return self.may_miss(known, seen_s, whole=True)


def named(name: str, record: Known | Send) -> str:
    """What it is called that this one is missing: a tombstone that must not be gone has a name of its own."""
    return GONE_EARLY if record.tombstone and record.key is not None else name


def earliest_from(times_s: list[float]) -> list[float]:
    """Of each place the earliest time from there on."""
    found = list(times_s)
    for place in range(len(found) - 2, -1, -1):
        found[place] = min(found[place], found[place + 1])
    return found


def check_reads(reads: Iterable[Read], compaction: Compaction, *, final: str) -> list[Anomaly]:
    """Of all that a reader has passed, it was given what must not be missing. The final read is judged elsewhere."""
    positions: dict[tuple[str, int], int] = defaultdict(int)
    found = []
    for read in reads:
        if read.process == final:
            continue
        seat, first = (read.process, read.partition), read.first or 0
        position = positions[seat] if read.start is None else read.start
        if not read.records:
            positions[seat] = max(position, first)
            continue
        given = {offset for offset, _, _ in read.records}
        lowest, stop = min(given), max(given) + 1
        positions[seat] = max(stop, first)
        # What lies below `first` was deleted. A first record below its position: the reader began anew, there.
        start = min(max(position, first), lowest)
        found += [
            _missing(record, read, stop - 1)
            for record in compaction.between(read.partition, start, stop)
            if record.offset not in given and not compaction.may_miss(record, read.ended_s)
        ]
    return found


def _missing(record: Known, read: Read, last: int) -> Anomaly:
    what = f"{record.value} at {record.partition}@{record.offset}"
    return Anomaly(
        named("poll skip", record),
        f"{what} was not there for {read.process}, which read up to {last}",
        proof(record.operation, read.operation),
    )


def check_came_back(compaction: Compaction, seen: set[str]) -> list[Anomaly]:
    """A key whose tombstone is gone has no value in the final read, of which `seen` are all values."""
    found = []
    for records in compaction.by_key():
        newest = records[-1]
        left = [record for record in records if record.value in seen]
        if newest.tombstone and left and not left[-1].tombstone:
            place = f"{left[-1].value} is at {newest.partition}@{left[-1].offset}"
            said = f"{place}; {newest.value} at {newest.offset}, which deleted {newest.key}, is gone"
            found.append(Anomaly(CAME_BACK, said, proof(newest.operation, left[-1].operation)))
    return found
