"""What a follower stores when leaders send it the same entries in different shapes: each compacts at its own time."""

import random
from dataclasses import replace

import pytest

from cluster.broker.storing import Storing
from cluster.config import RaftOptions
from cluster.holes import hole_of, piece
from cluster.log import Log
from cluster.messages import AppendEntries
from cluster.raft import Member, Membership, Raft
from cluster.real.clock import RealClock
from cluster.records import Entry, EntryKind, Record
from cluster.types import Index, NodeId, Offset, ReplicaId, Term
from cluster.wire.compacting import without_records
from cluster.wire.peer import ReplicaEnvelope, headers_of
from cluster.wire.records import make_batch
from tests.log.test_crash import DIRECTORY, IDENTITY, OPTIONS, flush, fresh_disk

pytestmark = pytest.mark.slow
COUNT = 150
LEADER, ME = ReplicaId(2), IDENTITY.replica


def published() -> list[Entry]:
    """As they were."""
    entries: list[Entry] = []
    for number in range(1, COUNT + 1):
        records = [Record(value=b"v" * 20, key=b"k", timestamp_ns=1)] * (1 + number % 3)
        end = entries[-1].end_offset if entries else Offset(0)
        batch, kind = make_batch(records), EntryKind.BATCH
        entries.append(
            Entry(index=Index(number), term=Term(1), kind=kind, base_offset=end, append_time_ns=number, batch=batch)
        )
    return entries


def emptied(entry: Entry) -> Entry:
    """What is left of it when all its records are superseded."""
    assert entry.batch is not None
    return replace(entry, batch=without_records(entry.batch, entry.base_offset, lambda *_: False))


def compacted(entries: list[Entry], empty: list[Entry], clean_upto: int) -> list[Entry]:
    """One leader's log: up to there nothing is left but every 40th entry and holes."""
    found: list[Entry] = []
    run: list[Entry] = []
    for entry, nothing in zip(entries, empty, strict=True):
        if entry.index <= clean_upto and entry.index % 40:
            run.append(nothing)
            continue
        if run:
            found.append(hole_of(run))
            run = []
        found.append(entry)
    return found + ([hole_of(run)] if run else [])


def sent(log: list[Entry], first: int, last: int) -> list[Entry]:
    """What an append of these indices carries."""
    return [
        piece(entry, Index(max(first, entry.index)), Index(last)) if entry.hole is not None else entry
        for entry in log
        if entry.index <= last and entry.last_index >= first
    ]


@pytest.mark.parametrize("seed", range(4))
def test_pieces_of_a_hole_go_on_with_another_leaders_entries(seed: int) -> None:
    """Where one leader has a hole another still has its entries; the follower takes both, and opens again with both."""
    chance = random.Random(seed)
    disk = fresh_disk(seed)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    whole = published()
    empty = [emptied(entry) for entry in whole]
    voters = (Member(replica=ME, node=NodeId(1)), Member(replica=LEADER, node=NodeId(2)))
    while log.last_index < COUNT:
        leader = compacted(whole, empty, chance.choice([0, chance.randint(1, COUNT), COUNT]))
        first, last = log.last_index + 1, min(log.last_index + chance.choice([1, 3, 30]), COUNT)
        entries = sent(leader, first, last)
        headers = tuple(header for entry in entries for header in headers_of(entry))
        message = AppendEntries(
            sender=LEADER,
            to=ME,
            term=Term(1),
            prev_index=log.last_index,
            prev_term=log.fold.term,
            entries=headers,
            commit=log.last_index,
            last_index=Index(COUNT),
        )
        raft = Raft(
            me=ME,
            membership=Membership(voters=voters),
            vote=log.vote,
            log=log.state(),
            options=RaftOptions(),
            draw_election_ticks=lambda: 10,
        )
        storing = Storing(log, RealClock())
        envelope = ReplicaEnvelope(partition=IDENTITY.partition, message=message, entries=tuple(entries))
        assert storing.arrived(envelope, raft) is None
        storing.store_accepted(headers)
        flush(log, disk)
        if chance.random() < 0.5:
            last_index, end_offset = log.last_index, log.end_offset
            log.close()
            log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
            assert (last_index, end_offset) == (log.last_index, log.end_offset)
            assert not log.recovered.recovering
            assert not log.recovered.doubts

    assert (COUNT, whole[-1].end_offset) == (log.last_index, log.end_offset)
    for offset in range(whole[-1].end_offset):
        entry = next(entry for entry in whole if entry.base_offset <= offset < entry.end_offset)
        found = log.read(Offset(offset), last=log.last_index, bytes_max=1)[0]
        assert entry.index % 40 or entry == found
        assert offset < found.end_offset
