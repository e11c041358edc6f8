"""Readers go forward, over everything: within one read and from each read of a process to its next of that partition.

Offsets have no gaps when they are given out, so that a reader who goes from one to anything but the next has skipped
something, or the log has a gap: it is a skip if anybody ever saw a record in between. Of a compacted topic offsets only
have to rise here; what may be missing is `compaction`'s.

A reader that was told where the partition begins may go on from there: what lies before was deleted. Members of groups
are no readers in this sense (`groups`).
"""

from collections.abc import Iterable
from itertools import pairwise

from chaos.checkers.anomaly import Anomaly, proof
from chaos.checkers.operations import Read
from chaos.checkers.places import Places


def check_polls(reads: Iterable[Read], places: Places, *, final: str, compacted: bool) -> list[Anomaly]:
    """Everything that is wrong about how readers went on. The final reads each begin afresh."""
    positions: dict[tuple[str, int], tuple[int, int]] = {}
    found: list[Anomaly] = []
    gaps: set[tuple[int, int, int]] = set()
    for read in reads:
        steps: list[tuple[int, int, int]] = []
        seat = read.process, read.partition
        position, last = positions.get(seat, (0, 0))
        if read.start is not None:
            position, last = read.start, read.operation
        if read.records:
            lowest = read.records[0][0]
            # `first` was told before the first record or behind the last one; the history does not say which.
            goes_on = lowest == position or (read.first is not None and lowest == max(position, read.first))
            if read.process != final and not goes_on:
                steps.append((position - 1, lowest, last))
            steps += [
                (before, after, read.operation)
                for (before, _, _), (after, _, _) in pairwise(read.records)
                if after != before + 1
            ]
            position = read.records[-1][0] + 1
        positions[seat] = max(position, read.first or 0), read.operation
        for before, after, earlier in steps:
            if after <= before:
                name = "nonmonotonic poll"
            elif compacted:
                continue
            else:
                skipped = any(places.is_known(read.partition, offset) for offset in range(before + 1, after))
                name = "poll skip" if skipped else "offset gap"
            if name == "offset gap":  # everybody meets it: once is enough
                if (read.partition, before, after) in gaps:
                    continue
                gaps.add((read.partition, before, after))
            detail = f"{read.process} read {read.partition}@{after} after {before}"
            found.append(Anomaly(name, detail, proof(earlier, read.operation)))
    return found
