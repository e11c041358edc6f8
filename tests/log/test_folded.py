"""A log whose commands fold into a state that stands at the head of each of its segments."""

import random
from dataclasses import replace

from cluster.log import Log
from cluster.records import EntryKind
from cluster.sim.disk import SimDisk
from cluster.types import Index, Term
from tests.log.test_crash import DIRECTORY, IDENTITY, MEMBERS, OPTIONS, entry, flush

STATE_BYTES = 10_000
COMMAND_BYTES = 500
FRAME_BYTES_MAX = 600


class Large:
    """A state that is larger than a segment is to be."""

    def apply(self, command: bytes, index: Index, term: Term) -> None:
        """It stays as it is."""

    def encode(self) -> bytes:
        """All of it."""
        return bytes(STATE_BYTES)


class Telling:
    """A state that is what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[bytes, Index, Term]] = []

    def apply(self, command: bytes, index: Index, term: Term) -> None:
        """All of it."""
        self.told.append((command, index, term))

    def encode(self) -> bytes:
        """Nothing that matters here."""
        return b""


def test_a_command_comes_with_its_entry_s_index_and_term() -> None:
    """Whatever its proposer thought them to be; and again when the log is opened."""
    disk = SimDisk(random.Random(1))
    Log.create(disk, [(DIRECTORY, IDENTITY, MEMBERS)])
    folded: list[Telling] = []

    def telling(_: bytes) -> Telling:
        folded.append(Telling())
        return folded[-1]

    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS, telling)
    for term in (1, 3):
        log.append([replace(entry(log, term), kind=EntryKind.COMMAND, batch=None, control=b"%d" % term)])
    flush(log, disk)
    Log.open(disk, DIRECTORY, IDENTITY, OPTIONS, telling)

    told = [(b"1", Index(1), Term(1)), (b"3", Index(2), Term(3))]
    assert told in [state.told for state in folded[:-1]]
    assert told == folded[-1].told


def test_a_state_larger_than_a_segment_is_not_written_with_each_entry() -> None:
    """What is written of the state is no more than what is written of the entries."""
    disk = SimDisk(random.Random(1))
    Log.create(disk, [(DIRECTORY, IDENTITY, MEMBERS)])
    options = replace(OPTIONS, folded_segment_bytes_max=4_096)
    log = Log.open(disk, DIRECTORY, IDENTITY, options, lambda _: Large())
    for _ in range(200):
        command = replace(entry(log, 1), kind=EntryKind.COMMAND, batch=None, control=bytes(COMMAND_BYTES))
        log.append([command])
        flush(log, disk)
    segments = sum(name.endswith(".log") for name in disk.list(DIRECTORY))

    assert 2 < segments <= 2 + 200 * FRAME_BYTES_MAX // STATE_BYTES
    assert log.last_index == Log.open(disk, DIRECTORY, IDENTITY, options, lambda _: Large()).last_index


def test_what_somebody_still_needs_stays() -> None:
    """Segments behind the limit are not trimmed, and go when the limit has passed them."""
    disk = SimDisk(random.Random(1))
    Log.create(disk, [(DIRECTORY, IDENTITY, MEMBERS)])
    log = Log.open(disk, DIRECTORY, IDENTITY, replace(OPTIONS, folded_segment_bytes_max=4_096), lambda _: Telling())
    log.trim_limit = Index(0)
    for _ in range(50):
        log.append([replace(entry(log, 1), kind=EntryKind.COMMAND, batch=None, control=bytes(COMMAND_BYTES))])
        flush(log, disk)

    assert log.trim(log.last_index, log.last_index) is None
    last = log.segments()[0].last_index
    log.trim_limit = last
    assert log.trim(log.last_index, log.last_index) == (last, Term(1))
    assert log.first_index == last + 1
