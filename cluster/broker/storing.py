"""A replica's way into its log: contents that wait for the core to accept them, and where what is uncommitted ends.

The core decides by headers; the contents travel beside its messages and wait here for the rest of the turn. Of a hole
the core may accept a part: then that piece is stored, where this log ends.
"""

from collections import deque
from collections.abc import Sequence

from cluster.holes import piece, placed
from cluster.log import Log
from cluster.log.mark import UNKNOWN, Mark
from cluster.log.write import MarkRecovering
from cluster.membership import encode_membership
from cluster.messages import AppendEntries, EntryHeader, InstallFold
from cluster.raft import Raft
from cluster.records import Entry, EntryKind
from cluster.types import Index, Offset, Term
from cluster.wire.peer import ReplicaEnvelope, headers_of
from cluster.world import Clock


class Storing:
    """One replica's. What it is told to store is in the log's memory at once."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._incoming: dict[tuple[Index, Term], Entry] = {}
        self._folds: dict[tuple[Index, Term], bytes] = {}
        self._ends: deque[tuple[Index, Offset]] = deque()
        self._mark = log.recovered.mark

    # --- what arrives in a turn

    def arrived(self, envelope: ReplicaEnvelope, raft: Raft) -> Index | None:
        """Keep what a message brought; the first entry that is damaged, if there is one, and then nothing behind it."""
        message = envelope.message
        if isinstance(message, AppendEntries):
            for entry in envelope.entries:
                if entry.batch is not None and not entry.batch.is_intact():
                    return entry.index
                for header in headers_of(entry):
                    if raft.takes(message, header):
                        self._incoming[header.index, header.term] = entry
        elif isinstance(message, InstallFold):
            self._folds[message.index, message.last_term] = envelope.fold
        return None

    def turn_ended(self) -> None:
        """What was not accepted is not wanted."""
        self._incoming.clear()
        self._folds.clear()

    # --- into the log

    def control(self, kind: EntryKind, index: Index, term: Term, content: bytes = b"") -> Entry:
        """An entry of this leader's own, with the time of now."""
        return Entry(
            index=index,
            term=term,
            kind=kind,
            base_offset=self._log.end_offset,
            append_time_ns=max(self._clock.wall_ns(), self._log.fold.last_append_time_ns),
            control=content,
        )

    def store(self, entries: list[Entry]) -> None:
        """At the end of the log."""
        self._log.append(entries)
        self._ends.extend((entry.last_index, entry.end_offset) for entry in entries)

    def store_accepted(self, headers: Sequence[EntryHeader]) -> None:
        """What the core accepted and is not in the log yet."""
        missing = [header for header in headers if header.index > self._log.last_index]
        if not missing:
            return
        entries = [self._content(header) for header in missing]
        if all(entry.hole is None for entry in entries):
            self.store(entries)
            return
        for header, entry in zip(missing, entries, strict=True):
            if entry.hole is None:
                self.store([entry])
            elif header.index > self._log.last_index:
                part = piece(entry, header.index, missing[-1].index)
                self.store([placed(part, self._log.end_offset, self._log.fold.last_append_time_ns)])

    def _content(self, header: EntryHeader) -> Entry:
        """One that nobody proposed or sent is a leader's no-op, or the final membership after a joint one."""
        entry = self._incoming.get((header.index, header.term))
        if entry is not None:
            return entry
        if header.membership is not None:
            content = encode_membership(header.membership)
            return self.control(EntryKind.MEMBERSHIP, header.index, header.term, content)
        return self.control(EntryKind.NO_OP, header.index, header.term)

    def truncate(self, index: Index) -> None:
        """The entry at `index` and all after it go."""
        self._log.truncate_from(index)
        while self._ends and self._ends[-1][0] >= index:
            self._ends.pop()

    def mark_recovering(self, raft: Raft) -> None:
        """What is written next may go over the remains of entries that this replica may have acknowledged."""
        if self._note(raft):
            self._log.pending.add(MarkRecovering(self._mark or UNKNOWN))

    def _note(self, raft: Raft) -> bool:
        """Whether the mark has to be made, or to say something else."""
        mark = Mark(raft.owes, raft.whole_at) if raft.recovering else None
        changed, self._mark = mark not in {None, self._mark}, mark or self._mark
        return changed

    def end_recovery(self, raft: Raft) -> bool:
        """Take the mark away if all is here again; whether it was there, and that is to be written."""
        if raft.recovering or self._mark is None:
            return False
        self._mark = None
        self._log.whole_again()
        return True

    def install(self, fold: InstallFold, raft: Raft) -> None:
        """The log begins anew behind a fold that arrived in this turn."""
        content = self._folds[fold.index, fold.last_term]
        self._note(raft)
        self._log.install(fold.index, fold.last_term, content, mark=self._mark if raft.recovering else None)
        self._ends.clear()

    def committed_end(self, commit: Index) -> Offset:
        """The offset after the entry at `commit`; what is not remembered from its append is looked up in the log."""
        end = None
        while self._ends and self._ends[0][0] <= commit:
            end = self._ends.popleft()
        if end is not None and end[0] == commit:
            return end[1]
        return self._log.end_offset_at(commit)
