"""What is to be written, what is on disk, and what may be said only then.

Rules:
1. Every group of writes that is handed out has a ticket; tickets rise; `persisted(t)` means that the write named t and
   all before it are on disk.
2. A ticket vouches for entries up to the last index that it wrote, *less what was dropped since*: a truncation lowers
   what every open ticket can still vouch for, so a slow sync can never vouch for a newer entry at an old index.
3. A promise (a vote, an acknowledgement, anything in a term that is not on disk yet) waits for the newest ticket there
   is, or for the one that the next group will get if something is still to be written. What rests on nothing but term
   and vote waits no longer than these: a disk without room for entries has room for a vote.
4. Promises of an older term are dropped when the term changes: their receiver would not count them, and an old
   acknowledgement must not leave after the log that it speaks of was cut. So they are when the log is thrown away.
"""

from collections import deque

from cluster.messages import InstallFold, RaftMessage
from cluster.raft.ready import Vote
from cluster.types import Index, Ticket


class Writes:
    """The write side of one core."""

    __slots__ = (
        "_fold",
        "_handed_upto",
        "_held",
        "_last_ticket",
        "_new_from",
        "_open",
        "_released",
        "_truncate_from",
        "_vote_to_save",
        "durable_index",
        "durable_vote",
    )

    def __init__(self, vote: Vote, last_index: Index) -> None:
        self.durable_vote = vote
        self.durable_index = last_index
        """Entries up to here are on disk as they are in memory."""
        self._handed_upto = last_index
        """The last entry that the driver has been given, and so may hold in memory and on disk."""
        self._last_ticket = Ticket(0)
        self._open: deque[tuple[Ticket, Index, Vote | None]] = deque()
        self._held: deque[tuple[Ticket, RaftMessage, bool]] = deque()
        """(what it waits for, promise, whether it rests on entries, too)"""
        self._released: list[RaftMessage] = []
        self._vote_to_save: Vote | None = None
        self._truncate_from: Index | None = None
        self._fold: InstallFold | None = None
        self._new_from: Index | None = None

    # --- what is to be written

    def save_vote(self, vote: Vote, *, new_term: bool) -> None:
        """Term or vote changed."""
        self._vote_to_save = vote
        if new_term:
            self._held.clear()
            self._released.clear()

    def appended(self, first: Index) -> None:
        """Entries from `first` on are new."""
        if self._new_from is None:
            self._new_from = first

    def truncated(self, index: Index) -> None:
        """Everything from `index` on was dropped."""
        self._lower(Index(index - 1))
        if self._new_from is not None and self._new_from >= index:
            self._new_from = None  # they were never handed out: nothing of them is to be written
        if index <= self._handed_upto and (self._truncate_from is None or index < self._truncate_from):
            self._truncate_from = index

    def installed(self, fold: InstallFold) -> None:
        """The whole log was replaced by a fold."""
        self._lower(Index(0))
        self._new_from = self._truncate_from = None
        self._handed_upto = Index(0)
        self._fold = fold

    @property
    def waiting(self) -> bool:
        """Whether something is to be written that was not handed out."""
        return (
            self._vote_to_save is not None
            or self._truncate_from is not None
            or self._fold is not None
            or self._new_from is not None
        )

    def take(self, last_index: Index) -> tuple[Ticket, Vote | None, Index | None, InstallFold | None, Index | None]:
        """Hand out all of it: ticket, vote, first index to drop, fold, first new index."""
        assert self.waiting, "there is nothing to write"
        self._last_ticket = Ticket(self._last_ticket + 1)
        group = (self._last_ticket, self._vote_to_save, self._truncate_from, self._fold, self._new_from)
        self._open.append((self._last_ticket, last_index, self._vote_to_save))
        self._handed_upto = last_index
        self._vote_to_save = self._truncate_from = self._fold = self._new_from = None
        return group

    def persisted(self, ticket: Ticket) -> None:
        """The write named `ticket` and all before it are on disk."""
        assert ticket <= self._last_ticket, f"nobody asked for the write {ticket}"
        while self._open and self._open[0][0] <= ticket:
            _, upto, vote = self._open.popleft()
            self.durable_index = max(self.durable_index, upto)
            if vote is not None:
                self.durable_vote = vote
        while self._held and self._held[0][0] <= ticket:
            self._released.append(self._held.popleft()[1])

    def vote_persisted(self, ticket: Ticket) -> None:
        """Of the write named `ticket`, and of all before it, the votes are on disk."""
        assert ticket <= self._last_ticket, f"nobody asked for the write {ticket}"
        for place, (number, upto, vote) in enumerate(self._open):
            if number <= ticket and vote is not None:
                self.durable_vote = vote
                self._open[place] = number, upto, None
        all_are = self._vote_to_save is None and all(vote is None for _, _, vote in self._open)
        held, self._held = self._held, deque()
        for number, message, rests_on_entries in held:
            if rests_on_entries or not (all_are or number <= ticket):
                self._held.append((number, message, rests_on_entries))
            else:
                self._released.append(message)

    # --- what may be said

    def promise(self, message: RaftMessage, *, rests_on_entries: bool = True) -> None:
        """Say this as soon as everything that was decided up to now is on disk; or only term and vote."""
        if self.waiting:
            self._held.append((Ticket(self._last_ticket + 1), message, rests_on_entries))
        elif self._open:
            self._held.append((self._open[-1][0], message, rests_on_entries))
        else:
            self._released.append(message)

    def take_released(self) -> tuple[RaftMessage, ...]:
        """Promises that have become true."""
        if not self._released:
            return ()
        released = tuple(self._released)
        self._released.clear()
        return released

    @property
    def has_released(self) -> bool:
        """Whether a promise may leave."""
        return bool(self._released)

    def drop_promises(self) -> None:
        """What they speak of is thrown away: as if they had been lost."""
        self._held.clear()
        self._released.clear()

    def term_is_durable(self, vote: Vote) -> bool:
        """Whether this very term and vote are on disk."""
        return self.durable_vote == vote

    def _lower(self, index: Index) -> None:
        self.durable_index = min(self.durable_index, index)
        self._open = deque((ticket, min(upto, index), vote) for ticket, upto, vote in self._open)

    def validate(self) -> None:
        """What must hold at all times."""
        tickets = [ticket for ticket, _, _ in self._open]
        assert tickets == sorted(tickets)
        assert all(held[0] <= self._last_ticket + 1 for held in self._held)
