"""Ends of a log of which nobody can say how many entries they had: several frames damaged, or the file cut.

Whoever counts too few of them helps somebody into office who lacks what was acknowledged here.
"""

from dataclasses import replace

import pytest

from cluster.holes import encode_hole
from cluster.log import Log
from cluster.log.frame import HEADER_BYTES
from cluster.log.opening import Recovery
from cluster.log.segment import SPARE_BYTES
from cluster.raft import Vote
from cluster.records import EntryKind, Hole
from cluster.sim.disk import SimDisk
from cluster.types import UNCOUNTED, Index, Term
from tests.log.test_crash import DIRECTORY, IDENTITY, OPTIONS, entry, flush, fresh_disk

PATH = f"{DIRECTORY}/{1:020d}.log"
VOTE = 7
HEADER, CONTENT = 20, HEADER_BYTES + 9
"""Where in a frame a bit flips."""


def written() -> tuple[SimDisk, list[int]]:
    """Entries 1 to 5 of terms 1 to 5, the first by itself, then all others at once; and where each begins and ends."""
    disk = fresh_disk(1)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    log.save_vote(Vote(term=Term(VOTE), voted_for=None))
    for term in range(1, 6):
        log.append([entry(log, term)])
        if term == 1:
            flush(log, disk)
    flush(log, disk)
    positions = [*log._segments[-1].rows.positions, log._segments[-1].size]
    log.close()
    return disk, positions


def found(disk: SimDisk) -> Recovery:
    """What a start finds."""
    return Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).recovered


def flip(disk: SimDisk, position: int) -> None:
    """A bit."""
    disk.flip(PATH, position * 8)


def test_the_last_frame_alone_is_counted_by_its_header() -> None:
    """As a torn write leaves it, too."""
    disk, at = written()
    flip(disk, at[4] + CONTENT)
    assert (((5, 5),), None) == (found(disk).doubts, found(disk).doubts_to)


def test_without_its_header_its_bytes_may_be_some() -> None:
    """How long it was is not known, nor whether it was a hole."""
    disk, at = written()
    flip(disk, at[4] + HEADER)
    assert (((5, VOTE),), (UNCOUNTED, VOTE)) == (found(disk).doubts, found(disk).doubts_to)


@pytest.mark.parametrize("place", [HEADER, CONTENT])
def test_a_frame_whose_header_is_damaged_behind_a_damaged_one_may_be_some(place: int) -> None:
    """Sparse seed 603046: two bits had flipped in a running node, and only the first frame was doubted."""
    disk, at = written()
    flip(disk, at[3] + place)
    flip(disk, at[4] + HEADER)
    first = (4, 4 if place == CONTENT else VOTE)
    assert ((first,), (UNCOUNTED, VOTE)) == (found(disk).doubts, found(disk).doubts_to)


def test_what_lies_between_damaged_headers_is_of_no_known_term() -> None:
    """Of entries that are counted, all but the first have the term that they had; this one would have got another."""
    disk, at = written()
    flip(disk, at[2] + CONTENT)
    flip(disk, at[3] + HEADER)
    assert (((3, 3),), (5, 5)) == (found(disk).doubts, found(disk).doubts_to)


def test_a_file_that_ends_too_early_may_have_held_any_number() -> None:
    """Cut anywhere: behind a frame, within a header, which is zeros mostly, or within the content."""
    disk, at = written()
    for size in range(at[1], at[5] + SPARE_BYTES):
        disk, _ = written()
        disk.cut(PATH, size)
        recovered = found(disk)
        left = max(place for place, position in enumerate(at) if position <= size)
        known = left + 1 if left < 5 and size >= at[left] + HEADER_BYTES else VOTE
        assert (((left + 1, known),), (UNCOUNTED, VOTE)) == (recovered.doubts, recovered.doubts_to), f"cut to {size}"


def test_a_hole_may_stand_for_any_number() -> None:
    """Which of them it stood for is in its content."""
    disk = fresh_disk(1)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    log.save_vote(Vote(term=Term(VOTE), voted_for=None))
    log.append([entry(log, 1)])
    position = log._segments[-1].size
    terms = (Index(2), Term(2)), (Index(30), Term(5))
    hole = Hole(last_index=Index(60), record_count=0, term_starts=terms, producers=(), tombstones_upto=Index(0))
    log.append([replace(entry(log, 2), kind=EntryKind.HOLE, batch=None, hole=hole, control=encode_hole(hole))])
    flush(log, disk)
    log.close()
    assert 60 == Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).last_index
    flip(disk, position + CONTENT)
    assert (((2, 2),), (UNCOUNTED, VOTE)) == (found(disk).doubts, found(disk).doubts_to)


def test_damage_to_what_a_cut_has_left_counts_what_was_cut() -> None:
    """Sparse seed 603062: a file lost its last frame, then a bit of the one before flipped, and nobody had looked."""
    disk, at = written()
    disk.cut(PATH, at[4])
    flip(disk, at[3] + CONTENT)
    recovered = found(disk)
    assert (((4, 4),), (UNCOUNTED, VOTE)) == (recovered.doubts, recovered.doubts_to)


def test_damage_further_up_is_no_doubt() -> None:
    """A later frame says that it had been whole."""
    disk, at = written()
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    log.append([entry(log, 5)])
    flush(log, disk)
    log.close()
    flip(disk, at[4] + CONTENT)
    recovered = found(disk)
    assert ((), None, True) == (recovered.doubts, recovered.doubts_to, recovered.recovering)
