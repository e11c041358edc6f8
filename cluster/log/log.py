"""The durable log of one replica: append, truncate, read by index or offset, and the vote beside it.

Memory is changed at once, disk work is queued in order and taken by the node's writer (`take_write` … `written`).
Entries that are not written yet are always in memory; the newest written ones stay there as a cache. What is read from
disk is checked, and a frame that fails is CorruptStorage: never served.
"""

from bisect import bisect_right
from collections.abc import Sequence

from cluster.config import LogOptions
from cluster.errors import CorruptStorage, OffsetOutOfRange
from cluster.log.cache import Cache
from cluster.log.fold import Fold, MachineOf, decode_fold, encode_fold
from cluster.log.frame import decode_frame, encode_frame
from cluster.log.opening import VOTE_FILE, Recovery, create_files, open_files
from cluster.log.segment import ReplicaIdentity, Segment, SegmentFacts, head_size
from cluster.log.trims import Trims
from cluster.log.write import Create, Cut, Put, Recovered, Remove, SaveVote, Step, Write
from cluster.raft.ready import LogState, Membership, Vote
from cluster.records import Entry, EntryKind
from cluster.types import NO_TERM, Index, Offset, Term
from cluster.world import Disk, File


class Log:
    """One replica's log. Owned by its replica; only the writer's thread touches the files' ends."""

    def __init__(
        self,
        *,
        directory: str,
        identity: ReplicaIdentity,
        options: LogOptions,
        segments: list[Segment],
        fold: Fold,
        vote: Vote,
        vote_sequence: int,
        vote_file: File,
        recovered: Recovery,
        trims: Trims,
        machine_of: MachineOf | None = None,
    ) -> None:
        self.recovered = recovered
        self.fold = fold
        self.vote = vote
        self.full = False
        self.closed = False
        self.pending_bytes = 0
        self.segment_age_max_ns: int | None = None
        """A segment that begins with an entry older than this takes no more: what is in it can then be trimmed."""
        self._trims = trims
        self._directory = directory
        self._identity = identity
        self._options = options
        self._machine_of = machine_of
        self._segment_bytes_max = options.folded_segment_bytes_max if machine_of else options.segment_bytes_max
        self._segments = segments
        self._vote_sequence = vote_sequence
        self._vote_file = vote_file
        self._steps: list[Step] = []
        self._failed: Write | None = None
        self._cache = Cache(options.cache_bytes_max)
        self._written = fold.index
        self._synced: tuple[Index, Term] = (fold.index, fold.term)
        self._under_way = False
        self._cut_first = recovered.doubtful is not None

    # --- opening

    @staticmethod
    def exists(disk: Disk, directory: str) -> bool:
        """Whether a replica was made there. Without a vote it was not: the vote is the last that is made."""
        return VOTE_FILE in disk.list(directory)

    @staticmethod
    def create(disk: Disk, replicas: Sequence[tuple[str, ReplicaIdentity, Membership]]) -> None:
        """New replicas' files in (directory, identity, membership), durable with their names at the end. Blocks."""
        create_files(
            disk, [(directory, identity, Fold(membership=members)) for directory, identity, members in replicas]
        )

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
        return Log(
            directory=directory,
            identity=identity,
            options=options,
            segments=opened.segments,
            fold=opened.fold,
            vote=opened.vote,
            vote_sequence=opened.vote_sequence,
            vote_file=opened.vote_file,
            recovered=opened.recovered,
            trims=opened.trims,
            machine_of=machine_of,
        )

    def close(self) -> None:
        """Close the files, after the write that is under way; what is queued is not written."""
        self.closed = True
        if not self._under_way:
            self._close_files()

    def _close_files(self) -> None:
        removing = [step.segment for step in self._steps if isinstance(step, Remove)]
        for segment in [*self._segments, *removing]:
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
    def end_offset(self) -> Offset:
        """The offset of the next record, committed or not."""
        return self.fold.end_offset

    def state(self) -> LogState:
        """For the Raft core."""
        first = decode_fold(self._segments[0].fold)
        runs: list[tuple[Index, Term]] = []
        for segment in self._segments:
            for place, term in enumerate(map(Term, segment.rows.terms)):
                if not runs or runs[-1][1] != term:
                    runs.append((Index(segment.base_index + place), term))
        return LogState(
            fold_index=first.index, fold_term=first.term, term_starts=tuple(runs), last_index=self.last_index
        )

    def end_offset_at(self, index: Index) -> Offset:
        """The offset after the entry's last record."""
        if index < self.first_index:
            return self._segments[0].base_offset
        return self._segment_of(index).end_offset_at(index)

    def segments(self) -> list[SegmentFacts]:
        """What is where, oldest first; the last one takes the entries that come."""
        return [segment.facts() for segment in self._segments]

    def bytes_after(self, index: Index) -> int:
        """How much of the log follows the entry at `index`."""
        return sum(segment.bytes_after(index) for segment in self._segments)

    # --- changes

    def save_vote(self, vote: Vote) -> None:
        """Replace term and vote."""
        self.vote = vote
        self._vote_sequence += 1
        self._steps.append(SaveVote(vote, self._vote_sequence))

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries that follow the last one in index, term and offset."""
        for entry in entries:
            segment = self._segments[-1]
            # A state that is large is written again only after as many bytes of entries, whatever the limit.
            full = segment.size >= max(self._segment_bytes_max, 2 * segment.head_bytes)
            if segment.rows.terms and (full or segment.ends_before(entry, self.segment_age_max_ns)):
                segment = self._new_segment(self.fold, encode_fold(self.fold), installed=False)
            if self._cut_first:
                self._steps.append(Cut(segment, segment.size))
                self._cut_first = False
            self.fold.apply(entry)
            head, content = encode_frame(entry, self._identity.partition, self._synced)
            latest = entry.batch.max_timestamp_ns if entry.batch else 0
            size = len(head) + len(content)
            position = segment.add(entry.term, entry.end_offset, latest, entry.append_time_ns, size)
            self._put(segment, position, [head, content] if content else [head], size)
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
            self._steps.append(Remove(self._segments.pop()))
        segment = self._segments[-1]
        self.fold = decode_fold(segment.fold, self._machine_of)
        keep = [self._entry(Index(number)) for number in range(segment.base_index, index)]
        if index <= segment.last_index:
            segment.truncate_from(index)
        for entry in keep:
            self.fold.apply(entry)
        self._steps.append(Cut(segment, segment.size))
        self._written = min(self._written, Index(index - 1))
        if self._synced[0] >= index:
            self._synced = (Index(index - 1), self.fold.term)
        self._cut_first = False

    def whole_again(self) -> None:
        """What was damaged is here again, on disk: a restart need not recover."""
        self._steps.append(Recovered())

    def install(self, index: Index, term: Term, fold_bytes: bytes) -> None:
        """Replace everything by a fold; the log continues after `index`."""
        fold = decode_fold(fold_bytes, self._machine_of)
        assert (fold.index, fold.term) == (index, term), "a fold says of which entry it is"
        old, self._segments = self._segments, []
        # What lies behind the fold is no part of the log any more, and goes first: found beside the new segment it
        # would be taken for damage.
        self._steps += [Remove(segment) for segment in reversed(old) if segment.base_index > index + 1]
        self._new_segment(fold, fold_bytes, installed=True)
        new = self._segments[0].path
        before = [segment for segment in reversed(old) if segment.base_index <= index + 1]
        self._steps += [Remove(segment, replaced=segment.path == new) for segment in before]
        self.fold = fold
        self._trims = Trims(fold.start_offset)
        self._cache.clear()
        self._written = index
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
        before, upto = len(self._segments), min(commit, durable) + 1
        while len(self._segments) > 1 and self._segments[1].base_index <= upto:
            if self._segments[1].base_offset > self._trims.start:
                break
            gone = self._segments.pop(0)
            self._cache.forget(gone.base_index, gone.last_index)
            self._steps.append(Remove(gone, following=self._segments[0]))
        return self.fold_at_start()[:2] if len(self._segments) < before else None

    # --- to disk

    def take_write(self) -> Write | None:
        """All queued work; what met a full disk comes first."""
        steps, self._steps = self._steps, []
        if self._failed is not None:
            steps = [*self._failed.steps, *steps]
            self._failed = None
        if not steps:
            return None
        self._under_way = True
        return Write(
            steps,
            last_index=self.last_index,
            directory=self._directory,
            identity=self._identity,
            vote_file=self._vote_file,
            allocate_min=self._options.allocate_bytes_min,
            allocate_max=self._options.allocate_bytes_max,
        )

    def written(self, write: Write, *, full: bool) -> None:
        """The work is on disk; or, `full`, it waits."""
        self._under_way = False
        if self.closed:
            self._close_files()
            return
        self.full = full
        if full:
            self._failed = write
            return
        self.pending_bytes -= write.bytes
        upto = min(write.last_index, self.last_index)
        self._written = max(self._written, upto)
        if upto > self._synced[0] and upto >= self.first_index:
            segment = self._segment_of(upto)
            self._synced = (upto, Term(segment.rows.terms[upto - segment.base_index]))
        self._cache.shrink(self._written)

    # --- reading

    def entries(self, first: Index, *, last: Index, bytes_max: int, count_max: int) -> list[Entry]:
        """Entries from `first` to at most `last`, for replication; at least one if `first` is here."""
        found: list[Entry] = []
        size = 0
        for number in range(first, min(last, self.last_index) + 1):
            entry = self._entry(Index(number))
            size += entry.size_bytes
            if found and (size > bytes_max or len(found) >= count_max):
                break
            found.append(entry)
        return found

    def read(self, offset: Offset, *, last: Index, bytes_max: int) -> list[Entry]:
        """Batches from the one that holds `offset` on, up to the entry at `last`."""
        if offset < self.start_offset:
            raise OffsetOutOfRange(
                f"offset {offset} is below the first one, {self.start_offset}",
                first=str(self.start_offset),
                end=str(self.end_offset_at(last)),
            )
        _, first = self.find(offset)
        found: list[Entry] = []
        size = 0
        for number in range(first, min(last, self.last_index) + 1):
            entry = self._entry(Index(number))
            if entry.kind is not EntryKind.BATCH or entry.end_offset <= offset:
                continue
            size += entry.size_bytes
            if found and size > bytes_max:
                break
            found.append(entry)
        return found

    def find(self, offset: Offset) -> tuple[Segment, Index]:
        """The segment and the index of the entry that holds the record at `offset`, which must be here."""
        segment = self._segments[bisect_right([segment.base_offset for segment in self._segments], offset) - 1]
        return segment, segment.index_of_offset(offset)

    def append_time_ns(self, offset: Offset) -> int:
        """When the leader appended the record at `offset`, which must be here."""
        segment, index = self.find(offset)
        return segment.rows.append_times[index - segment.base_index]

    def offset_of_time(self, timestamp_ns: int, *, append_time: bool, last: Index) -> Offset | None:
        """The first offset whose batch reaches that time, up to the entry at `last`; None if there is none."""
        for segment in self._segments:
            index = segment.index_of_time(timestamp_ns, append_time=append_time)
            if index is not None:
                found = Offset(segment.rows.offsets[index - segment.base_index])
                return max(found, self.start_offset) if index <= last else None
        return None

    def _entry(self, index: Index) -> Entry:
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        segment = self._segment_of(index)
        assert segment.file is not None, "what is not written is in memory"
        position, length = segment.span(index)
        entry = decode_frame(segment.file.read(position, length), 0, self._identity.partition)
        if entry is None or entry.index != index:
            raise CorruptStorage(f"entry {index} in {segment.path} is damaged")
        return entry

    def _segment_of(self, index: Index) -> Segment:
        for segment in reversed(self._segments):
            if segment.base_index <= index:
                return segment
        raise AssertionError(f"entry {index} is below the log's start")

    # --- segments and memory

    def _new_segment(self, fold: Fold, fold_bytes: bytes, *, installed: bool) -> Segment:
        base = Index(fold.index + 1)
        segment = Segment(
            f"{self._directory}/{base:020d}.log",
            base_index=base,
            base_offset=fold.end_offset,
            fold=fold_bytes,
            head_bytes=head_size(fold_bytes),
            installed=installed,
        )
        self._segments.append(segment)
        self._steps.append(Create(segment))
        return segment

    def _put(self, segment: Segment, position: int, buffers: list[bytes], size: int) -> None:
        self.pending_bytes += size
        last = self._steps[-1] if self._steps else None
        if isinstance(last, Put) and last.segment is segment and last.position + last.size == position:
            last.buffers.extend(buffers)
            last.size += size
        else:
            self._steps.append(Put(segment, position, buffers, size))
