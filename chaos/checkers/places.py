"""Which offset holds which value, by everything that anybody saw: the order of each partition is observed, not guessed.

A receipt and a read say it alike. Where they do not agree, both are kept: that is what the anomalies are made of.
"""

from collections.abc import Iterable, Iterator

from chaos.checkers.anomaly import Anomaly, proof
from chaos.checkers.operations import Read, Send
from chaos.history import Kind

Place = tuple[int, int]
"""Partition, offset."""


class Places:
    """Of all sends and reads. Each value and each offset has the operation that said it first."""

    def __init__(self, sends: Iterable[Send], reads: Iterable[Read]) -> None:
        self._at: dict[int, dict[int, tuple[str, int]]] = {}
        self._of: dict[str, tuple[int, int, int]] = {}
        self._others_at: dict[Place, dict[str, int]] = {}
        self._others_of: dict[str, dict[Place, int]] = {}
        self.readers: dict[str, tuple[str | None, Read]] = {}
        """Of each value that was read its key, and who read it first."""
        self.rekeyed: list[tuple[str, str | None, Read]] = []
        """Values that were read with another key than the first time."""
        self.furthest: dict[int, int] = {}
        """Of each partition the highest offset that anybody has read."""
        for read in reads:
            self._take_read(read)
        for send in sends:
            if send.kind is Kind.OK and send.offset is not None:
                self._take(send.partition, self._at.setdefault(send.partition, {}), send.offset, send.value, send)

    def _take_read(self, read: Read) -> None:
        partition, operation = read.partition, read.operation
        at, of, readers = self._at.setdefault(partition, {}), self._of, self.readers
        highest = self.furthest.get(partition, -1)
        for offset, key, value in read.records:
            highest = max(highest, offset)
            first = readers.get(value)
            if first is None:
                readers[value] = key, read
            elif first[0] != key:
                self.rekeyed.append((value, key, read))
            known = at.get(offset)
            if known is None and value not in of:
                at[offset] = value, operation
                of[value] = partition, offset, operation
            elif known is None or known[0] != value:
                self._take(partition, at, offset, value, read)
        self.furthest[partition] = highest

    def _take(self, partition: int, at: dict[int, tuple[str, int]], offset: int, value: str, by: Send | Read) -> None:
        known = at.setdefault(offset, (value, by.operation))
        if known[0] != value:
            place = partition, offset
            self._others_at.setdefault(place, {known[0]: known[1]}).setdefault(value, by.operation)
        there = self._of.setdefault(value, (partition, offset, by.operation))
        if there[0] != partition or there[1] != offset:
            first = {(there[0], there[1]): there[2]}
            self._others_of.setdefault(value, first).setdefault((partition, offset), by.operation)

    def is_known(self, partition: int, offset: int) -> bool:
        """Whether anybody saw a record there."""
        return offset in self._at.get(partition, ())

    def operation_at(self, partition: int, offset: int) -> int:
        """The operation that says what stands there; 0 if nobody does."""
        return self._at.get(partition, {}).get(offset, ("", 0))[1]

    def all_of(self, value: str) -> Iterator[Place]:
        """Everywhere that value was seen, or acknowledged."""
        if value in self._others_of:
            yield from sorted(self._others_of[value])
        elif value in self._of:
            yield self._of[value][:2]

    def outside(self, value: str, partition: int) -> list[Place]:
        """Everywhere but in that partition."""
        place = self._of.get(value)
        if place is None or (place[0] == partition and value not in self._others_of):
            return []
        return [(other, offset) for other, offset in self.all_of(value) if other != partition]

    def last_of(self, value: str, partition: int) -> int | None:
        """The highest offset in that partition at which it was seen."""
        if value in self._others_of:
            return max((offset for number, offset in self._others_of[value] if number == partition), default=None)
        place = self._of.get(value)
        return place[1] if place is not None and place[0] == partition else None

    def anomalies(self) -> list[Anomaly]:
        """One offset, one value; and one value, one offset."""
        found = [
            Anomaly(
                "inconsistent offsets",
                f"partition {partition} offset {offset} holds {sorted(values)}",
                proof(*values.values()),
            )
            for (partition, offset), values in sorted(self._others_at.items())
        ]
        found += [
            Anomaly("duplicate", f"{value} is at {sorted(where)}", proof(*where.values()))
            for value, where in sorted(self._others_of.items())
        ]
        return found
