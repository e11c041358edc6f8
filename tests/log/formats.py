"""What each format that ever landed looked like on disk: `python -m tests.log.formats NAME` writes today's.

A sample is written once, when a format lands, and never again: later code must open it as it is.
"""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec

from cluster.config import LogOptions
from cluster.controller.quorum.journal import DurableJournal
from cluster.log import Log, ReplicaIdentity
from cluster.log.rewriting import Rewriting, read_sealed
from cluster.log.write import perform
from cluster.membership import encode_membership
from cluster.raft import Member, Membership, Vote
from cluster.real.disk import RealDisk
from cluster.records import Entry, EntryKind, Header, Record
from cluster.types import ClusterId, Codec, Index, NodeId, PartitionId, ProducerId, ReplicaId, Term, TopicId
from cluster.wire.compacting import without_records
from cluster.wire.records import decode_batch, make_batch
from cluster.world import Disk

FOLDER = Path(__file__).parent / "samples"
FACTS = "facts.json"
IDENTITY = ReplicaIdentity(
    cluster=ClusterId(b"c" * 16), partition=PartitionId(TopicId(b"t" * 16), 3), replica=ReplicaId(9)
)
MEMBERS = Membership(voters=(Member(replica=ReplicaId(9), node=NodeId(1)),))
JOINT = Membership(
    voters=(Member(replica=ReplicaId(9), node=NodeId(1)), Member(replica=ReplicaId(10), node=NodeId(2))),
    learners=(Member(replica=ReplicaId(300), node=NodeId(3)),),
    outgoing=MEMBERS.voters,
    version=700,
)
DIRECTORY = "replicas/t/3-9"
JOURNAL = "controller/journal"
OPTIONS = LogOptions(segment_bytes_max=600, allocate_bytes_min=256, allocate_bytes_max=256)


def facts(disk: Disk) -> dict[str, Any]:
    """What is in a sample, in plain words."""
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    journal = DurableJournal(disk, JOURNAL)
    entries = log.entries(log.first_index, last=log.last_index, bytes_max=1 << 30, count_max=1 << 30)
    found = {
        "vote": [log.vote.term, log.vote.voted_for],
        "members": _plain(log.fold.membership.voters),
        **_change_facts(log),
        "whole": not log.recovered.doubts and not log.recovered.recovering,
        "entries": [_entry_facts(entry) for entry in entries],
        "journal": [[command.decode(), index, term] for command, index, term in journal[0 : len(journal)]],
        "journal_term": [journal.getCurrentTerm(), journal.getVotedForNodeId()],
    }
    log.close()
    journal._destroy()
    return msgspec.json.decode(msgspec.json.encode(found))


def _plain(members: tuple[Member, ...]) -> list[list[int]]:
    return [[member.replica, member.node] for member in members]


def _change_facts(log: Log) -> dict[str, Any]:
    """Of a log whose membership has changed."""
    fold, state = log.fold, log.state()
    if not fold.membership_index:
        return {}
    assert state.membership is not None
    return {
        "learners": _plain(fold.membership.learners),
        "outgoing": _plain(fold.membership.outgoing),
        **({"version": fold.membership.version} if fold.membership.version else {}),
        "since": [fold.membership_index, fold.membership_term],
        "before": _plain(state.membership.voters),
        "changes": [[index, _plain(membership.voters)] for index, membership in state.memberships],
    }


def _entry_facts(entry: Entry) -> dict[str, Any]:
    batch = entry.batch
    return {
        "index": entry.index,
        "term": entry.term,
        "kind": entry.kind.name,
        "base_offset": entry.base_offset,
        "append_time_ns": entry.append_time_ns,
        "producer": None if batch is None else [batch.producer_id, batch.producer_epoch, batch.base_sequence],
        "codec": None if batch is None else batch.codec.name,
        "records": [] if batch is None else [asdict(record) for record in decode_batch(batch, entry.base_offset)],
        **({"compacted": batch.compacted} if batch is not None and batch.compacted else {}),
        **({"hole": asdict(entry.hole)} if entry.hole is not None else {}),
    }


def write(disk: Disk) -> None:
    """A log of several segments with all that a frame can hold, and a journal with a change of mind in it."""
    Log.create(disk, [(DIRECTORY, IDENTITY, MEMBERS)])
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    log.save_vote(Vote(term=Term(2), voted_for=ReplicaId(9)))
    _append_control(log, disk, EntryKind.MEMBERSHIP, encode_membership(JOINT))
    for number, codec in enumerate([Codec.NONE] * 4 + [Codec.LZ4, Codec.ZSTD] * 2):
        if number % 4 == 0:
            _append(log, disk, number, None)
        _append(log, disk, number, codec)
    _compact(log, disk)
    log.close()
    journal = DurableJournal(disk, JOURNAL)
    journal.add(b"first", 1, 0)
    journal.add(b"second", 2, 1)
    journal.add(b"not this", 3, 1)
    journal.setCurrentTerm(1, "2")
    journal.deleteEntriesFrom(2)
    journal.add(b"third", 3, 2)
    journal.setCurrentTerm(2, "1")
    journal._destroy()


def _append(log: Log, disk: Disk, number: int, codec: Codec | None) -> None:
    batch = None
    if codec is not None:
        headers = (Header(name="row", value=b"%d" % number), Header(name="empty", value=b""))
        record = Record(value=b"value %d" % number * 9, key=b"key", timestamp_ns=10**18 + number, headers=headers)
        batch = make_batch(
            [record, Record(value=b"", timestamp_ns=10**18)],
            codec=codec,
            producer_id=ProducerId(77),
            producer_epoch=1,
            base_sequence=2 * number,
        )
    entry = Entry(
        index=Index(log.last_index + 1),
        term=Term(1 + number // 5),
        kind=EntryKind.NO_OP if batch is None else EntryKind.BATCH,
        base_offset=log.end_offset,
        append_time_ns=10**18 + number,
        batch=batch,
    )
    log.append([entry])
    _write(log, disk)


def _append_control(log: Log, disk: Disk, kind: EntryKind, content: bytes) -> None:
    log.append(
        [
            Entry(
                index=Index(log.last_index + 1),
                term=Term(1),
                kind=kind,
                base_offset=log.end_offset,
                append_time_ns=10**18,
                control=content,
            )
        ]
    )
    _write(log, disk)


def _write(log: Log, disk: Disk) -> None:
    taken = log.take_write()
    assert taken is not None
    perform(disk, {0: taken})
    log.written(taken, full=False)


def _compact(log: Log, disk: Disk) -> None:
    """The first segments become one: a batch without its second record, then a hole."""
    old = log.sealed(log.last_index, log.last_index)[:2]
    rewriting = Rewriting(disk, old[0], IDENTITY)
    for segment in old:
        place = 0
        while place < len(segment.rows.indexes):
            entries, place = read_sealed(segment, place, IDENTITY.partition, bytes_max=1)
            rewriting.add([_thinned(entry) for entry in entries])
    assert log.replace(old, rewriting.finish(old[-1]))
    _write(log, disk)


def _thinned(entry: Entry) -> Entry:
    if entry.batch is None:
        return entry
    batch = without_records(entry.batch, entry.base_offset, lambda offset, *_: offset == 0)
    return replace(entry, batch=batch)


if __name__ == "__main__":
    folder = FOLDER / sys.argv[1]
    target = RealDisk(folder)
    write(target)
    (folder / FACTS).write_bytes(msgspec.json.format(msgspec.json.encode(facts(target))) + b"\n")
    target.close()
