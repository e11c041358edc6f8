"""The segments of one log, oldest first, and where in them an index, an offset or a time is."""

from bisect import bisect_right
from collections.abc import Sequence

from cluster.log.segment import Segment, SegmentFacts
from cluster.types import Index, Offset, Term


class Segments(list[Segment]):
    """Each begins where the one before ends; the last one takes the entries that come."""

    def of_index(self, index: Index) -> Segment:
        """The one that holds the entry at `index`, which is not below the first one's base."""
        for segment in reversed(self):
            if segment.base_index <= index:
                return segment
        raise AssertionError(f"entry {index} is below the log's start")

    def of_offset(self, offset: Offset) -> Segment:
        """The one that holds the record at `offset`, which is not below the first one's base."""
        return self[bisect_right([segment.base_offset for segment in self], offset) - 1]

    def end_offset_at(self, index: Index) -> Offset:
        """The offset after the entry's last record."""
        if index < self[0].base_index:
            return self[0].base_offset
        return self.of_index(index).end_offset_at(index)

    def of_time(self, timestamp_ns: int, *, append_time: bool) -> tuple[Index, Offset] | None:
        """The first entry that reaches that time, and its first record's offset."""
        for segment in self:
            index = segment.index_of_time(timestamp_ns, append_time=append_time)
            if index is not None:
                return index, segment.base_offset_at(index)
        return None

    def taken(self, upto: Index, start: Offset) -> int:
        """How many, from the first one on, have nothing behind `upto`, and nothing from `start` on; never the last."""
        count = 0
        while count + 1 < len(self) and self[count + 1].base_index <= upto + 1 and self[count + 1].base_offset <= start:
            count += 1
        return count

    def sealed(self, upto: Index) -> list[Segment]:
        """Those that end at `upto` or before, and take no more entries."""
        return [segment for segment in self[:-1] if segment.last_index <= upto]

    def replace(self, old: Sequence[Segment], new: Segment) -> bool:
        """Put `new` in the place of some that follow one another; False if they are not all here, and as they were.

        Not the last one: when what followed it is cut, it takes entries again.
        """
        sealed = self[:-1]
        first = next((place for place, segment in enumerate(sealed) if segment is old[0]), None)
        if first is None or sealed[first : first + len(old)] != list(old) or new.last_index != old[-1].last_index:
            return False
        self[first : first + len(old)] = [new]
        return True

    def facts(self) -> list[SegmentFacts]:
        """What retention asks of each."""
        return [segment.facts() for segment in self]

    def bytes_after(self, index: Index) -> int:
        """How many bytes follow the entry at `index`."""
        return sum(segment.bytes_after(index) for segment in self)

    def term_starts(self) -> tuple[tuple[Index, Term], ...]:
        """(first index, term) runs over all of them."""
        runs: list[tuple[Index, Term]] = []
        for segment in self:
            for index, term in segment.term_starts():
                if not runs or runs[-1][1] != term:
                    runs.append((index, term))
        return tuple(runs)
