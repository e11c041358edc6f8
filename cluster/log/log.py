"""The durable log of one replica: append, truncate, read by index or offset, and the vote beside it.

Memory is changed at once, disk work is queued in order and taken by the node's writer (`take_write` … `written`).
Entries that are not written yet are always in memory; the newest written ones stay there as a cache. What is read from
disk is checked, and a frame that fails is CorruptStorage: never served.
"""

from collections.abc import Iterator, Sequence

from cluster.config import LogOptions
from cluster.errors import CorruptStorage, OffsetOutOfRange
from cluster.holes import piece
from cluster.log.cache import Cache
from cluster.log.fold import Fold, MachineOf, decode_fold, encode_fold
from cluster.log.frame import decode_frame, encode_frame
from cluster.log.mark import Mark
from cluster.log.opening import Opened, create_files, open_files
from cluster.log.pending import Pending
from cluster.log.segment import ReplicaIdentity, Segment, SegmentFacts
from cluster.log.segments import Segments
from cluster.log.trims import NO_LIMIT, Trims
from cluster.log.write import Create, Cut, MarkRecovering, Recovered, Remove, Replace, SaveVote, Write
from cluster.raft.ready import LogState, Membership, Vote
from cluster.records import Entry
from cluster.types import NO_TERM, Index, Offset, Term
from cluster.world import Disk

READ_COUNT_MAX = 4096
"""Batches that one read returns: those that compaction has emptied take no bytes."""


class Log:
    """One replica's log. Owned by its replica; only the writer's thread touches the files' ends."""

    def __init__(
        self,
        opened: Opened,
        *,
        directory: str,
        identity: ReplicaIdentity,
        options: LogOptions,
        machine_of: MachineOf | None = None,
    ) -> None:
        self.recovered = opened.recovered
        self.fold = fold = opened.fold
        self.vote = opened.vote
        self.full = False
        self.closed = False
        self.pending = Pending()
        self.segment_age_max_ns: int | None = None
        """A segment that begins with an entry older than this takes no more: what is in it can then be trimmed."""
        self.trim_limit = NO_LIMIT
        """Entries behind this index stay, whatever was trimmed: somebody still needs them here."""
        self.trim_waits = False  # more is to be dropped, as soon as what was is gone from the disk
        self._trims = opened.trims
        self.directory = directory
        self.identity = identity
        self._options = options
        self._machine_of = machine_of
        self._segment_bytes_max = options.folded_segment_bytes_max if machine_of else options.segment_bytes_max
        self._segments = Segments(opened.segments)
        self._vote_sequence = opened.vote_sequence
        self._vote_file = opened.vote_file
        self._cache = Cache(options.cache_bytes_max)
        self._written = fold.index
        self._synced: tuple[Index, Term] = (fold.index, fold.term)
        self._cut_first = bool(opened.recovered.doubts)

    # --- opening

    @staticmethod
    def create(disk: Disk, replicas: Sequence[tuple[str, ReplicaIdentity, Membership]]) -> None:
        """New replicas' files in (directory, identity, membership), durable with their names at the end. Blocks."""
        create_files(disk, [(directory, who, Fold(membership=members)) for directory, who, members in replicas])

    @staticmethod
    def open(
        disk: Disk,
        directory: str,
        identity: ReplicaIdentity,
        options: LogOptions,
        machine_of: MachineOf | None = None,
    ) -> "Log":
        """What is there after a restart, of whatever kind. Blocks.

        RefusedToStart: another's files. CorruptStorage: the vote or the log's start is lost.
        """
        opened = open_files(disk, directory, identity, machine_of)
        return Log(opened, directory=directory, identity=identity, options=options, machine_of=machine_of)

    def close(self) -> None:
        """Close the files, after the write that is under way; what is queued is not written."""
        self.closed = True
        if self.pending.under_way is None:
            self._close_files()

    def _close_files(self) -> None:
        for segment in [*self._segments, *self.pending.leaving()]:
            if segment.file is not None:
                segment.file.close()
                segment.file = None
        self._vote_file.close()

    # --- what is in it

    @property
    def last_index(self) -> Index:
        """The last entry."""
        return self.fold.index

    @property
    def first_index(self) -> Index:
        """The first entry that is still here (or will be)."""
        return self._segments[0].base_index

    @property
    def start_offset(self) -> Offset:
        """The first record that can be read: the first that is here and that no committed trim has taken."""
        return max(self._segments[0].base_offset, self._trims.start)

    @property
    def tombstones_upto(self) -> Index:
        """Tombstones at or below this index may be removed: that is committed."""
        return self._trims.tombstones_upto

    @property
    def end_offset(self) -> Offset:
        """The offset of the next record, committed or not."""
        return self.fold.end_offset

    def state(self) -> LogState:
        """For the Raft core, when it starts."""
        first = decode_fold(self._segments[0].fold)
        return LogState(
            membership=first.membership,
            memberships=tuple(found for found in self.fold.memberships if found[0] > first.index),
            fold_index=first.index,
            fold_term=first.term,
            term_starts=self._segments.term_starts(),
            last_index=self.last_index,
        )

    def end_offset_at(self, index: Index) -> Offset:
        """The offset after the entry's last record."""
        return self._segments.end_offset_at(index)

    def segments(self) -> list[SegmentFacts]:
        """What is where, oldest first; the last one takes the entries that come."""
        return self._segments.facts()

    def bytes_after(self, index: Index) -> int:
        """How much of the log follows the entry at `index`."""
        return self._segments.bytes_after(index)

    # --- changes

    def save_vote(self, vote: Vote) -> None:
        """Replace term and vote."""
        self.vote = vote
        self._vote_sequence += 1
        self.pending.add(SaveVote(vote, self._vote_sequence))

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries that follow the last one in index, term and offset."""
        for entry in entries:
            segment = self._segments[-1]
            if self._cut_first:
                self.pending.add(Cut(segment, segment.size))  # before another one may be begun: nobody cuts it then
                self._cut_first = False
            # A state that is large is written again only after as many bytes of entries, whatever the limit.
            full = segment.size >= max(self._segment_bytes_max, 2 * segment.head_bytes)
            if segment.rows.terms and (full or segment.ends_before(entry, self.segment_age_max_ns)):
                segment = self._new_segment(self.fold, encode_fold(self.fold), installed=False)
            self.fold.apply(entry)
            head, content = encode_frame(entry, self.identity.partition, self._synced)
            size = len(head) + len(content)
            position = segment.add(entry, size)
            self.pending.put(segment, position, [head, content] if content else [head], size)
            self._cache.add(entry)
        self._trims.appended(entries)

    def truncate_from(self, index: Index) -> None:
        """Drop the entry at `index` and all after it."""
        assert self.first_index <= index <= self.last_index, f"entry {index} is not here"
        self._cache.forget(index, self.last_index)
        self._trims.truncated_from(index)
        while self._segments[-1].base_index > index or (
            self._segments[-1].base_index == index and len(self._segments) > 1
        ):
            self.pending.add(Remove(self._segments.pop()))
        segment = self._segments[-1]
        self.fold = decode_fold(segment.fold, self._machine_of)
        keep = list(self._entries(segment.base_index, Index(index - 1)))
        if index <= segment.last_index:
            segment.truncate_from(index)
        for entry in keep:
            self.fold.apply(entry)
        self.pending.add(Cut(segment, segment.size))
        self._written = min(self._written, Index(index - 1))
        if self.pending.under_way is not None:
            self.pending.under_way.vouches_upto(Index(index - 1))
        if self._synced[0] >= index:
            self._synced = (Index(index - 1), self.fold.term)
        self._cut_first = False

    def whole_again(self) -> None:
        """What was damaged is here again, on disk: a restart need not recover."""
        self.pending.add(Recovered())

    def install(self, index: Index, term: Term, data: bytes, *, mark: Mark | None = None) -> None:
        """Replace everything by a fold, wherever the log begins and ends; it continues after `index`.

        `mark`: what may have been acknowledged goes; a restart knows it before it does.
        """
        fold = decode_fold(data, self._machine_of)
        assert (fold.index, fold.term) == (index, term), "a fold says of which entry it is"
        old, self._segments = self._segments, Segments()
        # What lies behind the fold goes first, or it would look damaged. One stays: a log without any cannot be opened.
        behind = [segment for segment in reversed(old[1:]) if segment.base_index > index + 1]
        self.pending.add(*([] if mark is None else [MarkRecovering(mark)]), *map(Remove, behind))
        new = self._new_segment(fold, data, installed=True).path
        rest = reversed(old[: len(old) - len(behind)])
        self.pending.add(*(Remove(segment, replaced=segment.path == new) for segment in rest))
        self.fold = fold
        self._trims = Trims(fold)
        self._cache.clear()
        self._written = index
        if self.pending.under_way is not None:
            self.pending.under_way.vouches_upto(Index(0))
        self._synced = (Index(0), NO_TERM)
        self._cut_first = False

    def fold_at_start(self) -> tuple[Index, Term, bytes]:
        """The fold just before the first entry: what a replica that is behind begins with."""
        data = self._segments[0].fold
        fold = decode_fold(data)
        return fold.index, fold.term, data

    def trim(self, commit: Index, durable: Index) -> tuple[Index, Term] | None:
        """Drop whole segments, oldest first, that committed trims have taken and that are on disk; never the last one.

        The last entry that is not here any more, if that is news. A restart takes up here what a crash left undone.
        """
        self._trims.committed(commit)
        taken = self._segments.taken(Index(min(commit, durable, self.trim_limit)), self._trims.start)
        count = min(taken, self.pending.removals_left) if taken else 0
        self.trim_waits = count < taken
        for _ in range(count):
            gone = self._segments.pop(0)
            self._cache.forget(gone.base_index, gone.last_index)
            self.pending.add(Remove(gone, following=self._segments[0]))
        return self.fold_at_start()[:2] if count else None

    def sealed(self, commit: Index, durable: Index) -> list[Segment]:
        """The segments that may be written anew: all of it is committed and on disk, and nothing more comes to it."""
        return self._segments.sealed(min(commit, durable))

    def holds(self, segments: Sequence[Segment]) -> bool:
        """Whether all of these are still parts of it, and none of them the last one."""
        return not self.closed and all(any(own is segment for own in self._segments[:-1]) for segment in segments)

    def replace(self, old: Sequence[Segment], new: Segment) -> bool:
        """Put a rewritten segment in the place of sealed ones; False if the log has moved on from any of these."""
        if self.closed or not self._segments.replace(old, new):
            return False
        self._cache.forget(new.base_index, new.last_index)
        self.pending.add(Replace(tuple(old), new))
        return True

    # --- to disk

    def take_write(self) -> Write | None:
        """All queued work; what met a full disk comes first."""
        steps, dirty = self.pending.take()
        if not steps:
            return None
        self.pending.under_way = Write(
            steps,
            last_index=self.last_index,
            directory=self.directory,
            identity=self.identity,
            vote_file=self._vote_file,
            allocate_min=self._options.allocate_bytes_min,
            allocate_max=self._options.allocate_bytes_max,
            dirty=dirty,
        )
        return self.pending.under_way

    def written(self, write: Write, *, full: bool) -> None:
        """The work is on disk; or, `full`, it waits."""
        self.pending.written(write, full=full)
        if self.closed:
            self._close_files()
            return
        self.full = full
        if full:
            return
        upto = min(write.last_index, self.last_index)
        self._written = max(self._written, upto)
        if upto > self._synced[0] and upto >= self.first_index:
            self._synced = (upto, self._segments.of_index(upto).term_at(upto))
        self._cache.shrink(self._written)

    # --- reading

    def entries(self, first: Index, *, last: Index, bytes_max: int, count_max: int) -> list[Entry]:
        """Entries from `first` to at most `last`, for replication; at least one if `first` is here."""
        found: list[Entry] = []
        size = 0
        for entry in self._entries(first, min(last, self.last_index)):
            size += entry.size_bytes
            if found and (size > bytes_max or len(found) >= count_max):
                break
            found.append(entry)
        return found

    def read(self, offset: Offset, *, last: Index, bytes_max: int) -> list[Entry]:
        """Batches, and holes, from the one that holds `offset` on, up to the entry at `last`."""
        if offset < self.start_offset:
            raise OffsetOutOfRange(
                f"offset {offset} is below the first one, {self.start_offset}",
                first=str(self.start_offset),
                end=str(self.end_offset_at(last)),
            )
        found: list[Entry] = []
        size = 0
        for entry in self._entries(self.find(offset)[1], min(last, self.last_index)):
            if not entry.record_count or entry.end_offset <= offset:
                continue
            size += entry.size_bytes
            if found and (size > bytes_max or len(found) >= READ_COUNT_MAX):
                break
            found.append(entry)
        return found

    def find(self, offset: Offset) -> tuple[Segment, Index]:
        """The segment and the index of the entry that holds the record at `offset`, which must be here."""
        segment = self._segments.of_offset(offset)
        return segment, segment.index_of_offset(offset)

    def append_time_ns(self, offset: Offset) -> int:
        """When the leader appended the record at `offset`, which must be here."""
        segment, index = self.find(offset)
        return segment.append_time_at(index)

    def last_index_before(self, append_time_ns: int) -> Index:
        """The last entry that was appended before that time."""
        found = self._segments.of_time(append_time_ns, append_time=True)
        return Index(found[0] - 1) if found is not None else self.last_index

    def offset_of_time(self, timestamp_ns: int, *, append_time: bool, last: Index) -> Offset | None:
        """The first offset whose batch reaches that time, up to the entry at `last`; None if there is none."""
        found = self._segments.of_time(timestamp_ns, append_time=append_time)
        return max(found[1], self.start_offset) if found is not None and found[0] <= last else None

    def _entries(self, first: Index, last: Index) -> Iterator[Entry]:
        """All from `first` to `last`; of holes that go further on either side, the piece between."""
        index = first
        while index <= last:
            entry = self._entry(index)
            if entry.hole is not None:
                entry = piece(entry, index, last)
            yield entry
            index = Index(entry.last_index + 1)

    def _entry(self, index: Index) -> Entry:
        """The one that stands for `index`."""
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        segment = self._segments.of_index(index)
        index = segment.first_index_at(index)
        cached = self._cache.get(index)  # a hole has its place by its first index
        if cached is not None:
            return cached
        assert segment.file is not None, "what is not written is in memory"
        position, length = segment.span(index)
        entry = decode_frame(segment.file.read(position, length), 0, self.identity.partition)
        if entry is None or entry.index != index:
            raise CorruptStorage(f"entry {index} in {segment.path} is damaged")
        if entry.hole is not None:
            self._cache.keep(entry)
        return entry

    # --- segments and memory

    def _new_segment(self, fold: Fold, fold_bytes: bytes, *, installed: bool) -> Segment:
        base = Index(fold.index + 1)
        segment = Segment(
            f"{self.directory}/{base:020d}.log",
            base_index=base,
            base_offset=fold.end_offset,
            fold=fold_bytes,
            installed=installed,
        )
        self._segments.append(segment)
        self.pending.add(Create(segment))
        return segment
