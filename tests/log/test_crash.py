"""The log on a disk that forgets: the power goes at every operation of a script, and nothing promised is lost."""

import asyncio
import errno
import random
from dataclasses import dataclass, field, replace

import pytest

from cluster.config import LogOptions
from cluster.errors import CorruptStorage, OffsetOutOfRange
from cluster.log import Log, ReplicaIdentity, has_log
from cluster.log.fold import encode_trim
from cluster.log.frame import HEADER_BYTES
from cluster.log.vote import COPIES
from cluster.log.write import perform
from cluster.raft import Member, Membership, Vote
from cluster.records import Entry, EntryKind, Record
from cluster.sim.disk import SimCrash, SimDisk
from cluster.types import ClusterId, Index, NodeId, Offset, PartitionId, ReplicaId, Term, TopicId
from cluster.wire.records import make_batch

IDENTITY = ReplicaIdentity(
    cluster=ClusterId(b"c" * 16), partition=PartitionId(TopicId(b"t" * 16), 3), replica=ReplicaId(9)
)
MEMBERS = Membership(voters=(Member(replica=ReplicaId(9), node=NodeId(1)),))
DIRECTORY = "replicas/t/3-9"
OPTIONS = LogOptions(segment_bytes_max=2_000, cache_bytes_max=1_000, allocate_bytes_min=1024, allocate_bytes_max=2048)


@dataclass
class Promised:
    """What was reported as durable."""

    entries: dict[int, Entry] = field(default_factory=dict)
    vote: Vote | None = None
    start: Offset = Offset(0)
    """Records below it are deleted: their entries may be gone, and need not be."""


def entry(log: Log, term: int, size: int = 300) -> Entry:
    """The next entry."""
    batch = make_batch([Record(value=random.Random(log.last_index).randbytes(size), timestamp_ns=log.last_index + 1)])
    return Entry(
        index=Index(log.last_index + 1),
        term=Term(term),
        kind=EntryKind.BATCH,
        base_offset=log.end_offset,
        append_time_ns=log.last_index,
        batch=batch,
    )


def flush(log: Log, disk: SimDisk) -> None:
    """What the writer does, without its loop."""
    write = log.take_write()
    if write is not None:
        perform(disk, {0: write})
        log.written(write, full=False)


def script(disk: SimDisk, promised: Promised, *, trims: bool = False) -> None:
    """Votes, appends over several segments, a truncation, more appends, with or without a trim among them."""
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    for term in (1, 2, 3):
        log.save_vote(Vote(term=Term(term), voted_for=ReplicaId(9)))
        flush(log, disk)
        promised.vote = log.vote
        for _ in range(5):
            fresh = [entry(log, term)]
            log.append(fresh)
            fresh.append(entry(log, term, 20))
            log.append(fresh[1:])
            flush(log, disk)
            promised.entries |= {item.index: item for item in fresh}
        if term == 2:
            for index in range(log.last_index - 2, log.last_index + 1):
                promised.entries.pop(index)
            log.truncate_from(Index(log.last_index - 2))
            log.append([entry(log, term)])
            flush(log, disk)
            promised.entries[log.last_index] = log.entries(
                log.last_index, last=log.last_index, bytes_max=1, count_max=1
            )[0]
            if trims:
                trim(log, disk, promised, term)


def trim(log: Log, disk: SimDisk, promised: Promised, term: int) -> None:
    """Two thirds of the records go: the entry that says so is committed, then their segments are dropped."""
    offset = Offset(log.end_offset * 2 // 3)
    control = replace(entry(log, term), kind=EntryKind.TRIM_TO, batch=None, control=encode_trim(offset))
    log.append([control])
    flush(log, disk)
    promised.entries[control.index] = control
    promised.start = offset
    assert log.trim(log.last_index, log.last_index) is not None
    flush(log, disk)


def fresh_disk(seed: int) -> SimDisk:
    """A disk with an empty replica on it."""
    disk = SimDisk(random.Random(seed))
    Log.create(disk, [(DIRECTORY, IDENTITY, MEMBERS)])
    return disk


def operations(*, trims: bool) -> int:
    """How many there are in the script."""
    disk = fresh_disk(0)
    before = disk.operations
    script(disk, Promised(), trims=trims)
    return disk.operations - before


@pytest.mark.slow
@pytest.mark.parametrize("trims", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_power_loss_at_every_operation(seed: int, *, trims: bool) -> None:
    """Whatever was reported as durable is there after the crash; a torn end is reported as doubtful, not as damage."""
    for stop in range(operations(trims=trims)):
        disk = fresh_disk(seed * 1000 + stop)
        promised = Promised()
        disk.crash_at_operation = disk.operations + stop
        with pytest.raises(SimCrash):
            script(disk, promised, trims=trims)
        disk.crash()
        log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        found = {
            item.index: item
            for item in log.entries(log.first_index, last=log.last_index, bytes_max=1 << 40, count_max=1 << 40)
        }
        kept = {i: e for i, e in promised.entries.items() if i >= log.first_index or e.end_offset > promised.start}
        for index, item in kept.items():
            assert found.get(Index(index)) == item, f"entry {index} after a crash at operation {stop}"
        assert list(range(log.first_index, log.last_index + 1)) == list(found), "no hole"
        finish(log, disk, promised)
        assert promised.vote is None or log.vote.term >= promised.vote.term
        assert not log.recovered.recovering, f"a crash at operation {stop} was taken for damage"
        if log.recovered.doubts:
            assert log.recovered.doubts[0][0] == log.last_index + 1
        log.append([entry(log, 9)])
        flush(log, disk)
        again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        assert again.last_index == log.last_index
        assert () == again.recovered.doubts


def finish(log: Log, disk: SimDisk, promised: Promised) -> None:
    """Once it is known what is committed, a restart drops what a crash in the middle of a trim left behind."""
    if promised.start:
        log.trim(log.last_index, log.last_index)
        flush(log, disk)
        assert log.start_offset == promised.start
        assert len(log.segments()) == 1 or log.segments()[0].end_offset > promised.start
        with pytest.raises(OffsetOutOfRange) as raised:
            log.read(Offset(promised.start - 1), last=log.last_index, bytes_max=1)
        assert {"first": str(promised.start), "end": str(log.end_offset)} == raised.value.metadata


def test_power_loss_at_every_operation_of_making_replicas() -> None:
    """A replica was made, or it was not and is made anew: never half of one that nobody can open."""
    replicas = [
        (
            f"replicas/t/{n}-{n}",
            ReplicaIdentity(cluster=IDENTITY.cluster, partition=IDENTITY.partition, replica=ReplicaId(n)),
        )
        for n in (1, 2, 3)
    ]
    made = 0
    for stop in range(1_000):
        disk = SimDisk(random.Random(stop))
        disk.crash_at_operation = stop
        try:
            Log.create(disk, [(directory, identity, MEMBERS) for directory, identity in replicas])
        except SimCrash:
            disk.crash()
        else:
            break
        missing = [(directory, identity) for directory, identity in replicas if not has_log(disk, directory)]
        made += len(replicas) - len(missing)
        Log.create(disk, [(directory, identity, MEMBERS) for directory, identity in missing])
        for directory, identity in replicas:
            log = Log.open(disk, directory, identity, OPTIONS)
            assert Vote(term=Term(0), voted_for=None) == log.vote
            assert 0 == log.last_index
            assert MEMBERS == log.fold.membership
    assert stop > 30, "every operation was a place to crash"
    assert made, "some crashes came so late that the replica was there"


def damaged_disk(seed: int) -> SimDisk:
    """A log of several segments whose third entry is damaged, long after it was acknowledged."""
    disk = fresh_disk(seed)
    script(disk, Promised())
    disk.flip(f"{DIRECTORY}/{1:020d}.log", (300 + 3 * 350) * 8)
    return disk


@pytest.mark.slow
def test_a_second_restart_still_knows_that_entries_are_missing() -> None:
    """Cluster seed 2: what was cut was forgotten by the next restart, and the replica might have voted without it.

    The power goes at every operation of the first restart; whoever opens next finds all entries, or knows of the loss.
    """
    whole = fresh_disk(0)
    script(whole, Promised())
    complete = Log.open(whole, DIRECTORY, IDENTITY, OPTIONS).last_index
    for stop in range(1_000):
        disk = damaged_disk(stop)
        disk.crash_at_operation = disk.operations + stop
        try:
            Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).close()
        except SimCrash:
            disk.crash()
        else:
            break
        log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        assert log.last_index < complete
        assert log.recovered.recovering, f"forgotten after a crash at operation {stop}"
        again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        assert again.recovered.recovering
        again.append([entry(again, 9)])
        again.whole_again()
        flush(again, disk)
        assert not Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).recovered.recovering
    assert stop > 5, "there were operations to crash at"


@pytest.mark.slow
def test_a_log_whose_first_head_is_damaged_begins_anew() -> None:
    """What it lacks is fetched from a leader: it must not take its second segment for where it was trimmed.

    The power goes at every operation of the restart that finds it, and the next one knows as much.
    """
    for stop in range(1_000):
        disk = fresh_disk(stop)
        script(disk, Promised())
        disk.flip(f"{DIRECTORY}/{1:020d}.log", 50 * 8)
        disk.crash_at_operation = disk.operations + stop
        crashed = False
        try:
            Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).close()
        except SimCrash:
            disk.crash()
            crashed = True
        disk.crash_at_operation = None
        log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        assert log.recovered.recovering, f"a crash at operation {stop}"
        assert (1, 0, 0) == (log.first_index, log.last_index, log.start_offset), f"a crash at operation {stop}"
        assert MEMBERS == log.fold.membership
        if not crashed:
            break
    aside = [path for path in disk.paths() if "quarantine" in path]
    assert len(aside) > 3, "all that was there is kept for whoever wants to look"
    assert stop > 5, "there were operations to crash at"


@pytest.mark.slow
def test_every_flipped_byte_is_noticed() -> None:
    """A flipped bit anywhere in any file: what is served is right, or the damage is reported."""
    truth = fresh_disk(1)
    promised = Promised()
    script(truth, promised)
    sizes = {path: truth.size_of(path) for path in truth.paths() if path.startswith(DIRECTORY)}
    for path, size in sizes.items():
        for byte in range(0, size, 37):
            disk = fresh_disk(1)
            script(disk, Promised())
            disk.flip(path, byte * 8 + byte % 8)
            try:
                log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
            except CorruptStorage:
                continue
            found = log.entries(log.first_index, last=log.last_index, bytes_max=1 << 40, count_max=1 << 40)
            for item in found:
                assert promised.entries[item.index] == item, f"{path} byte {byte}"
            complete = len(found) == len(promised.entries)
            reported = log.recovered.recovering or log.recovered.doubts
            assert complete or reported, (
                f"{path} byte {byte}: {len(found)} of {len(promised.entries)}, nothing reported"
            )
            assert log.vote == promised.vote


def test_a_damaged_copy_of_the_vote_is_told_of_and_made_good() -> None:
    """The next damage may be the other copy's: it was left as it was until the next vote, and nobody heard of it."""
    disk = fresh_disk(1)
    script(disk, Promised())
    path = f"{DIRECTORY}/vote"
    for copy in COPIES:
        disk.flip(path, (copy + 9) * 8)
        assert Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).recovered.vote_damaged
        log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        assert not log.recovered.vote_damaged
        assert Vote(term=Term(3), voted_for=ReplicaId(9)) == log.vote


@pytest.mark.parametrize("place", ["header", "content"])
def test_intact_frames_of_a_write_whose_first_is_damaged_are_in_doubt_as_well(place: str) -> None:
    """They were promised with it: whoever lacks them must not get this replica's vote. A seed of apps has found it."""
    disk = fresh_disk(1)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    log.save_vote(Vote(term=Term(7), voted_for=None))
    log.append([entry(log, 1)])
    flush(log, disk)
    position = log._segments[-1].size
    for term in (1, 3, 5):
        log.append([entry(log, term)])
    flush(log, disk)
    disk.flip(f"{DIRECTORY}/{1:020d}.log", (position + (HEADER_BYTES + 9 if place == "content" else 20)) * 8)
    recovered = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).recovered
    first = (2, 1) if place == "content" else (2, 3)
    assert not recovered.recovering
    assert (first, (3, 3), (4, 5)) == recovered.doubts


@pytest.mark.slow
def test_every_truncation_is_noticed() -> None:
    """A file cut anywhere, exactly behind a frame too: what is served is right, and what is missing is reported."""
    truth = fresh_disk(1)
    promised = Promised()
    script(truth, promised)
    log = Log.open(truth, DIRECTORY, IDENTITY, OPTIONS)
    last = log._segments[-1]
    sizes = {path: truth.size_of(path) for path in truth.paths() if path.startswith(DIRECTORY)}
    for path, whole in sizes.items():
        ends = {last.head_bytes, *last.rows.positions, last.size} if path == last.path else set()
        for size in sorted({*range(0, whole, 37), *ends}):
            disk = fresh_disk(1)
            script(disk, Promised())
            disk.open(path).truncate(size)
            try:
                log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
            except CorruptStorage:
                continue
            found = log.entries(log.first_index, last=log.last_index, bytes_max=1 << 40, count_max=1 << 40)
            assert [promised.entries[item.index] for item in found] == found, f"{path} cut to {size}"
            complete = len(found) == len(promised.entries)
            reported = log.recovered.recovering or log.recovered.doubts
            assert complete or reported, (
                f"{path} cut to {size}: {len(found)} of {len(promised.entries)}, nothing reported"
            )
            assert log.vote == promised.vote


def test_a_full_disk_keeps_the_write_and_still_votes() -> None:
    """ENOSPC is met before a byte is written; when there is room the same write goes through."""
    disk = fresh_disk(2)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    disk.capacity_bytes = 0
    log.append([entry(log, 1)])
    write = log.take_write()
    assert write is not None
    with pytest.raises(OSError, match="No space"):
        write.perform(disk)
    log.written(write, full=True)
    assert log.full
    disk.capacity_bytes = 1 << 40
    flush(log, disk)

    assert not log.full
    assert Log.open(disk, DIRECTORY, IDENTITY, OPTIONS).last_index == 1


def test_a_full_disk_is_trimmed_all_the_same() -> None:
    """What others have committed to delete makes the room that the entries before it wait for."""
    disk = fresh_disk(2)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    while len(log.segments()) < 4:
        log.append([entry(log, 1)])
    flush(log, disk)
    durable = log.last_index
    disk.capacity_bytes = disk.capacity_bytes - disk.free_bytes()
    for _ in range(5):
        log.append([entry(log, 1, 600)])
    log.append([replace(entry(log, 1), kind=EntryKind.TRIM_TO, batch=None, control=encode_trim(log.end_offset))])
    begins = log.segments()[-1].base_offset
    assert log.trim(log.last_index, durable) is not None
    write = log.take_write()
    assert write is not None
    assert {0} == perform(disk, {0: write})
    log.written(write, full=True)
    assert disk.free_bytes() > 4_000
    flush(log, disk)

    again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    assert (log.last_index, log.first_index) == (again.last_index, again.first_index)
    assert begins >= again.segments()[0].base_offset > 0


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_failed_write_or_sync_reaches_the_writer(operation: str) -> None:
    """Nobody may try it again: what the file holds is not known."""
    disk = fresh_disk(3)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    log.append([entry(log, 1)])
    disk.fail[operation] = errno.EIO
    write = log.take_write()
    assert write is not None

    with pytest.raises(OSError, match="EIO"):
        perform(disk, {0: write})


def test_an_installed_fold_replaces_everything() -> None:
    """The log continues behind the fold; the old segments are gone after a restart."""
    disk = fresh_disk(4)
    log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
    for _ in range(20):
        log.append([entry(log, 1)])
        flush(log, disk)
    index, term, data = log.fold_at_start()
    assert (0, 0) == (index, term)
    gone = Promised()
    trim(log, disk, gone, 1)
    index, term, data = log.fold_at_start()
    assert index > 0
    other = fresh_disk(5)
    follower = Log.open(other, DIRECTORY, IDENTITY, OPTIONS)
    follower.append([entry(follower, 1)])
    flush(follower, other)
    follower.install(index, term, data)
    flush(follower, other)
    again = Log.open(other, DIRECTORY, IDENTITY, OPTIONS)

    assert (index, term) == (again.last_index, again.fold.term)
    assert log.fold_at_start()[2] == again.fold_at_start()[2]


@pytest.mark.slow
def test_an_installed_fold_may_take_the_name_of_a_segment() -> None:
    """The old segment begins at the same index, in another term: the new one must not go with it, crash or not."""
    leader = Log.open(fresh_disk(6), DIRECTORY, IDENTITY, OPTIONS)
    while len(leader._segments) < 2:
        leader.append([entry(leader, 2)])
    base = leader._segments[1].base_index
    data = leader._segments[1].fold
    for stop in range(1_000):
        disk = fresh_disk(stop)
        log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        while len(log._segments) < 2:
            log.append([entry(log, 1)])
        flush(log, disk)
        assert base == log._segments[1].base_index
        disk.crash_at_operation = disk.operations + stop
        log.install(Index(base - 1), Term(2), data)
        crashed = False
        try:
            flush(log, disk)
        except SimCrash:
            crashed = True
        disk.crash()
        again = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS)
        assert not again.recovered.recovering, f"a crash at operation {stop} was taken for damage"
        assert ((base - 1, 2) if again.fold.term == 2 else (base, 1)) == (again.last_index, again.fold.term)
        if not crashed:
            break
    assert data == again.fold_at_start()[2]
    assert stop > 4, "there were operations to crash at"


def test_virtual_latency_is_taken_in_order() -> None:
    """Jobs of one disk run one at a time, in the order asked."""

    async def work() -> list[int]:
        disk = SimDisk(random.Random(1), latency_s=0.0)
        done: list[int] = []
        await asyncio.gather(*(disk.run(lambda number=number: done.append(number)) for number in range(5)))
        return done

    assert [0, 1, 2, 3, 4] == asyncio.run(work())
