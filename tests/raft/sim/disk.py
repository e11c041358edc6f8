"""A disk that remembers what was synced, and what a crash makes of the rest.

Writes are queued with their tickets and become durable in that order, a group at a time (or one at a time). A crash
loses what was not synced; a torn crash keeps a beginning of it: the vote whole or not at all (it comes first), then a
prefix of the entries, and perhaps damaged bytes where the next entry began: a doubtful tail, with perhaps some intact
entries of the same write behind it. A flip damages one of the last durable entries, all of one write from there on: the
same doubtful tail, but of entries that may have been promised. Of some such tails nobody can say how many entries they
had: more frames are damaged, or the file was cut.
Damage further down ends the log before it: the replica is recovering.
"""

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from cluster.log.mark import Mark, lost
from cluster.raft import Vote
from cluster.types import UNCOUNTED, Index, Term, Ticket
from tests.raft.sim.stored import Content, Fold, StoredLog

if TYPE_CHECKING:
    from tests.raft.sim.host import Packet

DAMAGED_MORE = 0.3
"""Of damaged ends: so much is damaged that entries cannot be counted."""


@dataclass(slots=True)
class Write:
    """What one ticket asks for, done in the order of `Disk._apply`; `held` is what may be said only afterwards."""

    ticket: Ticket | None
    vote: Vote | None = None
    cut: bool = False
    """The doubtful bytes at the tail go."""
    truncate_from: Index | None = None
    mark: Mark | None = None
    """Entries go that may have been promised: that is remembered before they do."""
    whole: bool = False
    """They are here again: the mark goes."""
    fold: Fold | None = None
    entries: list[tuple[Index, Term, Content]] = field(default_factory=list)
    held: list["Packet"] = field(default_factory=list)


class Disk:
    """What survives of one host."""

    def __init__(self, fold: Fold) -> None:
        self.image = StoredLog(fold)
        self.vote = Vote(term=Term(0), voted_for=None)
        self.doubts: list[tuple[Index, Term]] = []
        self.doubts_to: tuple[Index, Term] | None = None
        self.written_from = Index(0)
        """The first entry of the last group that was synced."""
        self.mark: Mark | None = None
        self.is_damaged = False
        """Something that was durable is missing."""
        self.damaged: dict[Index, Term] = {}
        """Entries that were durable and are gone by damage, until they are there again."""
        self.queue: deque[Write] = deque()
        self.in_flight: list[Write] = []

    @property
    def recovering(self) -> bool:
        """Whether it is marked."""
        return self.mark is not None

    @property
    def owes(self) -> tuple[Index, Term] | None:
        """What it has promised and lost, if its mark says so."""
        return None if self.mark is None else self.mark.owes

    @property
    def is_uncounted(self) -> bool:
        """Whether nobody can say how much of what it had promised is missing."""
        return any(bound is not None and bound[0] >= UNCOUNTED for bound in (self.doubts_to, self.owes))

    def holds(self, index: int, term: int | None) -> bool:
        """Whether the entry is durable here, was folded, or was durable before damage that is not healed."""
        if index <= self.image.fold.index:
            return True
        return term is not None and (self.image.term_at(index) == term or self.damaged.get(Index(index)) == term)

    def take_group(self, *, whole: bool) -> bool:
        """Begin to sync what waits, or only its first write; whether there was anything and the disk was free."""
        if self.in_flight or not self.queue:
            return False
        if whole:
            self.in_flight = list(self.queue)
            self.queue.clear()
        else:
            self.in_flight = [self.queue.popleft()]
        return True

    def take_votes(self) -> bool:
        """Begin to sync the votes of all that waits, for which there is no room; whether it waits for the disk."""
        if self.in_flight or not self.queue:
            return False
        votes = [write.vote for write in self.queue if write.vote is not None]
        tickets = [write.ticket for write in self.queue if write.ticket is not None]
        self.in_flight = [Write(ticket=max(tickets, default=None), vote=votes[-1] if votes else None)]
        for write in self.queue:
            write.vote = None  # they are not written a second time, over a newer one
        return True

    def finish_group(self) -> list[Write]:
        """The sync is done: all of it is durable."""
        done, self.in_flight = self.in_flight, []
        for write in done:
            if write.entries:
                self.written_from = write.entries[0][0]
            self._apply(write, len(write.entries))
        return done

    def _apply(self, write: Write, entries: int) -> None:
        if write.vote is not None:
            self.vote = write.vote
        if write.truncate_from is not None and write.truncate_from <= self.image.last_index:
            self.image.truncate_from(write.truncate_from)
        if write.mark is not None:
            self._make_mark(write.mark, all_goes=write.fold is not None)
        if write.cut:
            self._doubt_is_over()
        if write.fold is not None:
            self.image.install(write.fold)
            self._doubt_is_over()
        for index, term, (command, whole) in write.entries[:entries]:
            assert index == self.image.last_index + 1, f"a write of {index} after {self.image.last_index}"
            self.image.append(term, command, whole=whole)
            self.damaged.pop(index, None)
            if self.doubts and self.doubts[-1][0] <= index:
                self._doubt_is_over()
        if write.whole and entries == len(write.entries):
            self.mark, self.is_damaged = None, False
            self.damaged.clear()

    def _make_mark(self, mark: Mark, *, all_goes: bool) -> None:
        """If all goes, what is here counts as damaged from now on, until it is here again."""
        self.mark = mark
        if not all_goes:
            return
        for index in range(self.image.fold.index + 1, self.image.last_index + 1):
            self.damaged[Index(index)] = self.image.term_at(index) or Term(0)

    def _doubt_is_over(self) -> None:
        self.doubts.clear()
        self.doubts_to = None
        self.is_damaged = self.is_damaged and self.recovering

    # --- crashes

    def crash(self, random: Random, *, torn: bool) -> bool:
        """Lose what was not synced, or tear it; whether a doubtful tail came of it."""
        group, self.in_flight = self.in_flight, []
        self.queue.clear()
        if not torn:
            return False
        count = random.randint(0, len(group))
        for write in group[:count]:
            kept = random.randint(0, len(write.entries))
            self._apply(write, kept)
            if kept < len(write.entries):
                if random.random() < 0.7:
                    behind = random.choice((0, 0, 1, 5))
                    self._doubt([entry[:2] for entry in write.entries[kept : kept + 1 + behind]], random)
                    return True
                return False
        if group[count:] and group[count].mark is not None:
            self.mark = group[count].mark  # it was made, and nothing else
        return False

    def _doubt(self, entries: list[tuple[Index, Term]], random: Random) -> None:
        """Bytes of the first one cannot be read; its term is known, or that it is at most the term of what follows."""
        index, term = entries[0]
        known = random.random() < 0.5
        bound = term if known else entries[1][1] if entries[1:] else self.vote.term
        if self.doubts:
            assert self.doubts[0][0] == index, "doubtful entries begin after the last readable one"
            bound = max(bound, self.doubts[0][1])
        self.doubts = [(index, bound), *entries[1:]]
        if self.doubts_to is not None or random.random() < DAMAGED_MORE or not (known or entries[1:]):
            counted = random.randint(1, len(entries))
            seen = counted < len(entries) - 1 and self.doubts_to is None and random.random() < 0.5
            self.doubts_to = entries[-1] if seen else (UNCOUNTED, self.vote.term)
            del self.doubts[counted:]

    def flip_last(self, random: Random) -> bool:
        """Damage one of the last durable entries, or cut the file; False if there is none."""
        if self.doubts:
            self._damage_doubts(random)
            return True
        if not self.image.terms:
            return False
        last = self.image.last_index
        cut = random.random() < DAMAGED_MORE
        behind = random.choice((0, 0, 1, 5, 30) if cut else (0, 0, 1, 5))
        first = max(last - behind, 0 if cut else self.written_from, self.image.fold.index + 1)
        entries = [(Index(index), self.image.term_at(index) or Term(0)) for index in range(min(first, last), last + 1)]
        self.image.truncate_from(entries[0][0])
        self.damaged.update(entries)
        if cut:
            self.doubts = [entries[0] if random.random() < 0.5 else (entries[0][0], self.vote.term)]
            self.doubts_to = (UNCOUNTED, self.vote.term)
        else:
            self._doubt(entries, random)
        self.is_damaged = True
        return True

    def _damage_doubts(self, random: Random) -> None:
        """What is in doubt already loses more: the file is cut there, or further down."""
        last = self.image.last_index
        first = max(last + 1 - random.choice((0, 0, 1, 3)), self.image.fold.index + 1)
        for index in range(first, last + 1):
            self.damaged[Index(index)] = self.image.term_at(index) or Term(0)
        self.image.truncate_from(Index(first))
        self.doubts, self.doubts_to = [(Index(first), self.vote.term)], (UNCOUNTED, self.vote.term)
        self.is_damaged = True

    def corrupt(self, random: Random) -> bool:
        """Damage an entry further down: the log ends before it and its replica is recovering."""
        if len(self.image.terms) < 2:
            return False
        first = Index(self.image.last_index - random.randint(1, min(20, len(self.image.terms)) - 1))
        for index in range(first, self.image.last_index + 1):
            self.damaged[Index(index)] = self.image.term_at(index) or Term(0)
        self.image.truncate_from(first)
        self.doubts, self.doubts_to = [], None
        self.mark = lost(self.mark, self.vote.term)
        self.is_damaged = True
        return True
