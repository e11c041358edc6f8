"""Making a replica's files, and finding out after a restart what they hold."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from cluster.errors import CorruptStorage
from cluster.log.fold import Fold, MachineOf, decode_fold, encode_fold
from cluster.log.frame import HEADER_BYTES
from cluster.log.mark import Mark, Owes, mark_lost, mend_mark, read_mark
from cluster.log.recovery import Damage, scan
from cluster.log.segment import SPARE_BYTES, ReplicaIdentity, Segment, encode_head, open_segment
from cluster.log.trims import Trims
from cluster.log.vote import FILE_BYTES, encode_vote, load_vote, mend_vote, save_votes
from cluster.raft.ready import Vote
from cluster.records import Entry
from cluster.types import NO_TERM, Index, Term
from cluster.world import Disk, File

VOTE_FILE = "vote"
NEW_VOTE_FILE = "vote.new"
QUARANTINE = "quarantine"
SUFFIX = ".log"
NEW = ".new"
"""Behind a segment's name until its head is on disk."""
REWRITTEN = ".rewritten"
"""Behind the name of a segment's successor until that takes its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What a restart found. See `cluster.log.recovery`."""

    doubts: tuple[tuple[Index, Term], ...] = ()
    doubts_to: Owes = None
    mark: Mark | None = None
    quarantined: tuple[str, ...] = ()
    vote_damaged: bool = False
    """One of its copies was, and the other has taken its place."""

    @property
    def recovering(self) -> bool:
        """Whether entries are missing that may have been acknowledged."""
        return self.mark is not None

    @property
    def owes(self) -> Owes:
        """The newest of them; None: that is not known."""
        return None if self.mark is None else self.mark.owes

    @property
    def whole_at(self) -> Index | None:
        """How far a log that began anew has to reach; None: that is not known."""
        return None if self.mark is None else self.mark.whole_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A replica's files, opened and understood."""

    segments: list[Segment]
    fold: Fold
    vote: Vote
    vote_sequence: int
    vote_file: File
    recovered: Recovery
    trims: Trims


def has_log(disk: Disk, directory: str) -> bool:
    """Whether a replica was made there. Without a vote it was not: the vote is the last that is made."""
    return VOTE_FILE in disk.list(directory)


def create_files(disk: Disk, replicas: Sequence[tuple[str, ReplicaIdentity, Fold]]) -> None:
    """Empty logs and votes for nobody, in (directory, identity, fold); durable when this returns.

    A vote gets its name when all else is durable: a directory without one was never reported as made, and is made
    anew. All replicas together cost four syncs.
    """
    with ExitStack() as files:
        _create_files(disk, replicas, files)


def _create_files(disk: Disk, replicas: Sequence[tuple[str, ReplicaIdentity, Fold]], files: ExitStack) -> None:
    logs: list[File] = []
    directories: dict[str, None] = {}
    for directory, identity, fold in replicas:
        logs.append(_create_log(disk, directory, identity, fold, f"{directory}/{1:020d}{SUFFIX}", files))
        parts = directory.split("/")
        directories.update(dict.fromkeys("/".join(parts[:depth]) or "." for depth in range(len(parts), -1, -1)))
    disk.sync_files(logs, list(directories))
    votes: list[tuple[File, bytes]] = []
    for directory, identity, _ in replicas:
        vote_file = files.enter_context(closing(disk.open(f"{directory}/{NEW_VOTE_FILE}", create=True)))
        vote_file.allocate(FILE_BYTES)
        votes.append((vote_file, encode_vote(Vote(term=NO_TERM, voted_for=None), 1, identity.encoded())))
    save_votes(disk, votes)
    for directory, _, _ in replicas:
        disk.rename(f"{directory}/{NEW_VOTE_FILE}", f"{directory}/{VOTE_FILE}")
    disk.sync_files([], [directory for directory, _, _ in replicas])


def _create_log(disk: Disk, directory: str, identity: ReplicaIdentity, fold: Fold, path: str, files: ExitStack) -> File:
    """The first segment, not synced yet."""
    disk.make_directory(directory)
    data = encode_fold(fold)
    segment = Segment(
        path,
        base_index=Index(1),
        base_offset=fold.end_offset,
        fold=data,
    )
    file = files.enter_context(closing(disk.open(segment.path, create=True)))
    file.truncate(0)
    file.write(0, [encode_head(segment, identity)])
    file.truncate(segment.size + SPARE_BYTES)
    return file


def open_files(disk: Disk, directory: str, identity: ReplicaIdentity, machine_of: MachineOf | None = None) -> Opened:
    """Read everything; damage is set aside or reported as doubtful, never repaired by guessing.

    Whatever stops it, nothing is left open: where a full disk does, it is tried again and again.
    """
    with ExitStack() as files:
        opened = _open_files(disk, directory, identity, machine_of, files)
        files.pop_all()  # they are the log's now
        return opened


def _open_files(
    disk: Disk, directory: str, identity: ReplicaIdentity, machine_of: MachineOf | None, files: ExitStack
) -> Opened:
    vote_file, vote, sequence, whole = _open_vote(disk, directory, identity, files)
    mend_mark(disk, directory, identity.encoded())
    segments, aside = _open_segments(disk, directory, identity, files, vote.term)
    fold = decode_fold(segments[0].fold, machine_of)
    trims = Trims(fold)
    damage: Damage | None = None
    kept: list[Segment] = []
    for place, segment in enumerate(segments):
        if damage is None and kept and kept[-1].compacted and segment.base_index <= kept[-1].last_index:
            _drop(disk, segment)  # the one before has taken its place
            continue
        if segment.base_index != fold.index + 1:
            damage = Damage(position=0, corruption=True)
        if damage is not None:
            aside.append(_set_aside(disk, directory, segment, 0))
            mark_lost(disk, directory, identity.encoded(), vote.term)
            _drop(disk, segment)
            continue
        kept.append(segment)
        data = _read_all(segment)
        after = segments[place + 1].base_index if place + 1 < len(segments) else None
        entries, damage = scan(segment, data, identity.partition, next_base=after, vote_term=vote.term)
        _take_in(segment, entries, fold)
        trims.appended(entries)
        segment.allocated = len(data)
        if damage is not None:
            if damage.position < len(data):
                aside.append(_set_aside(disk, directory, segment, damage.position))
            if damage.corruption:
                mark_lost(disk, directory, identity.encoded(), vote.term)
                assert segment.file is not None
                segment.file.truncate(segment.size)
                segment.file.truncate(segment.size + SPARE_BYTES)
                segment.file.sync()
                segment.allocated = segment.size + SPARE_BYTES
    disk.sync_directory(directory)
    doubtful = damage if damage is not None and not damage.corruption else None
    return Opened(
        segments=kept,
        fold=fold,
        vote=vote,
        vote_sequence=sequence,
        vote_file=vote_file,
        recovered=Recovery(
            doubts=doubtful.doubts if doubtful is not None else (),
            doubts_to=doubtful.doubts_to if doubtful is not None else None,
            mark=read_mark(disk, directory, identity.encoded()),
            quarantined=tuple(aside),
            vote_damaged=not whole,
        ),
        trims=trims,
    )


def _drop(disk: Disk, segment: Segment) -> None:
    assert segment.file is not None
    segment.file.close()
    disk.remove(segment.path)


def _open_vote(disk: Disk, directory: str, identity: ReplicaIdentity, files: ExitStack) -> tuple[File, Vote, int, bool]:
    """The file, the vote, its sequence, and whether both copies were whole; they are now, and equal."""
    if VOTE_FILE not in disk.list(directory):
        raise CorruptStorage(f"{directory} has no vote")
    file = files.enter_context(closing(disk.open(f"{directory}/{VOTE_FILE}")))
    vote, sequence, whole = load_vote(file, identity.encoded())
    mend_vote(disk, file, encode_vote(vote, sequence, identity.encoded()))
    return file, vote, sequence, whole


def _open_segments(
    disk: Disk, directory: str, identity: ReplicaIdentity, files: ExitStack, term: Term
) -> tuple[list[Segment], list[str]]:
    """The segments in order. One whose head is damaged is set aside; one that never got its name was never used.

    `term`: none of their entries is of a later one.
    """
    segments: list[Segment] = []
    damaged: list[str] = []
    for name in disk.list(directory):
        if name.endswith((SUFFIX + NEW, SUFFIX + REWRITTEN)):
            disk.remove(f"{directory}/{name}")
    names = [name for name in disk.list(directory) if name.endswith(SUFFIX)]
    for name in names:
        path = f"{directory}/{name}"
        try:
            segment = open_segment(disk, path, identity)
        except CorruptStorage:
            if len(names) == 1:
                raise
            damaged.append(path)
            continue
        assert segment.file is not None
        files.enter_context(closing(segment.file))
        if segment.installed:
            for older in segments:
                assert older.file is not None
                older.file.close()
                disk.remove(older.path)
            segments.clear()
        segments.append(segment)
    if not segments:
        raise CorruptStorage(f"{directory} has no segment with a whole head")
    aside = [_set_head_aside(disk, directory, identity, path, term) for path in damaged]
    if damaged and damaged[0] < segments[0].path and not segments[0].installed:
        members = decode_fold(segments[0].fold).membership
        _begin_anew(disk, directory, identity, Fold(membership=members))
        for segment in segments:
            assert segment.file is not None
            segment.file.close()
        segments, more = _open_segments(disk, directory, identity, files, term)
        return segments, aside + more
    for path in damaged:
        disk.remove(path)
    return segments, aside


def _set_head_aside(disk: Disk, directory: str, identity: ReplicaIdentity, path: str, term: Term) -> str:
    with closing(disk.open(path)) as file:
        data = file.read(0, file.size())
    aside = _write_aside(disk, directory, path.rsplit("/", 1)[1], data)
    mark_lost(disk, directory, identity.encoded(), term)
    return aside


def _begin_anew(disk: Disk, directory: str, identity: ReplicaIdentity, fold: Fold) -> None:
    """The log's first segment is lost, and with it what the others follow: an empty one stands before all of them.

    Whatever is there after a crash, the next start finds it before a gap, and sets the rest aside. Beginning at the
    second segment instead would look as if everything before had been trimmed.
    """
    name = f"{directory}/{1:020d}{SUFFIX}"
    with ExitStack() as files:
        _create_log(disk, directory, identity, fold, name + NEW, files).sync()
    disk.rename(name + NEW, name)
    disk.sync_directory(directory)


def _take_in(segment: Segment, entries: list[Entry], fold: Fold) -> None:
    for entry in entries:
        fold.apply(entry)
        segment.add(entry, entry.size_bytes + HEADER_BYTES)


def _read_all(segment: Segment) -> bytes:
    assert segment.file is not None
    return segment.file.read(0, segment.file.size())


def _set_aside(disk: Disk, directory: str, segment: Segment, position: int) -> str:
    assert segment.file is not None
    name = segment.path.rsplit("/", 1)[1]
    return _write_aside(disk, directory, f"{name}.{position}", segment.file.read(position, segment.file.size()))


def _write_aside(disk: Disk, directory: str, name: str, data: bytes) -> str:
    """Keep damaged bytes for whoever wants to look: they are never deleted by us."""
    folder = f"{directory}/{QUARANTINE}"
    disk.make_directory(folder)
    path = f"{folder}/{name}"
    with closing(disk.open(path, create=True)) as file:
        file.truncate(0)
        file.write(0, [data])
        file.sync()
    disk.sync_directory(folder)
    disk.sync_directory(directory)
    return path
