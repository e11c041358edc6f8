"""A log with its content, as a list: once in a host's memory, once as what is on its disk.

A command stands for a batch: (producer, sequence), producers from 1, sequences dense from 0. A leader's no-op is
(0, 0). The fold is what the log adds up to at an index: each producer's next sequence, and a digest of everything
before, so that two folds of one index can be compared with the entries that they stand for.

(-1, …) is a membership: the ids of its voters, of its outgoing voters and of its learners, and its version.

Keys and their tombstones are places: an entry in an odd block of `BLOCK` entries deletes the one that stands a block
before it. An entry that is not *whole* has lost its content to compaction. (0, D) is the entry that says that from now
on tombstones up to D may be dropped: the floor. Whoever has a record whole, and its tombstone not, has raised the dead.
"""

from dataclasses import dataclass
from typing import Any

from cluster.raft import LogState, Member, Membership
from cluster.types import Index, NodeId, ReplicaId, Term

Command = tuple[int, Any]
Content = tuple[Command, bool]
"""A command, and whether it is whole."""
NO_OP: Command = (0, 0)
MEMBERSHIP = -1
BLOCK = 8


def saying(membership: Membership) -> Command:
    """The command that is this membership."""
    groups = (membership.voters, membership.outgoing, membership.learners)
    return MEMBERSHIP, (*(tuple(int(member.replica) for member in group) for group in groups), membership.version)


def members(*replicas: int) -> tuple[Member, ...]:
    """Replicas, each on a node of its own."""
    return tuple(Member(replica=ReplicaId(replica), node=NodeId(replica)) for replica in replicas)


def said_by(command: Command) -> Membership | None:
    """The membership that a command is."""
    if command[0] != MEMBERSHIP:
        return None
    voters, outgoing, learners, version = command[1]
    return Membership(
        voters=members(*voters), outgoing=members(*outgoing), learners=members(*learners), version=version
    )


def deleted_by(index: int) -> int | None:
    """The entry that a tombstone at `index` deletes; None if there is none there."""
    return index - BLOCK if index // BLOCK % 2 else None


def digest_after(digest: int, term: Term, command: Command) -> int:
    """The digest of a log that is one entry longer. Integers only: the same in every process."""
    return hash((digest, term, *command))


@dataclass(frozen=True, slots=True)
class Fold:
    """What a log adds up to at `index`, an entry of `term`. `expected` has a place for producer 0."""

    index: Index
    term: Term
    digest: int
    expected: tuple[int, ...]
    membership: Membership
    floor: Index = Index(0)


class StoredLog:
    """Entries after a fold."""

    __slots__ = ("commands", "expected", "floors", "fold", "memberships", "places", "terms", "whole")

    def __init__(self, fold: Fold) -> None:
        self.install(fold)

    def install(self, fold: Fold) -> None:
        """Begin again after `fold`."""
        self.fold = fold
        self.terms: list[Term] = []
        self.commands: list[Command] = []
        self.whole: list[bool] = []
        self.floors: list[tuple[Index, Index]] = []
        """(index, floor) of the entries that raised it."""
        self.memberships: list[tuple[Index, Membership]] = []
        """The entries that are one."""
        self.expected = list(fold.expected)
        self.places: dict[Command, Index] = {}
        """Where each command since the fold is."""

    def copy(self) -> "StoredLog":
        """Another log that is equal."""
        other = StoredLog(self.fold)
        other.terms = self.terms.copy()
        other.commands = self.commands.copy()
        other.whole = self.whole.copy()
        other.floors = self.floors.copy()
        other.memberships = self.memberships.copy()
        other.expected = self.expected.copy()
        other.places = self.places.copy()
        return other

    @property
    def last_index(self) -> Index:
        """The last entry's index; the fold's if there is none."""
        return Index(self.fold.index + len(self.terms))

    @property
    def last_term(self) -> Term:
        """The last entry's term; the fold's if there is none."""
        return self.terms[-1] if self.terms else self.fold.term

    def term_at(self, index: int) -> Term | None:
        """The entry's term; None before the fold and after the end."""
        place = index - self.fold.index - 1
        if 0 <= place < len(self.terms):
            return self.terms[place]
        return self.fold.term if place == -1 else None

    def command_at(self, index: int) -> Command:
        """The content of an entry after the fold."""
        return self.commands[index - self.fold.index - 1]

    def is_whole(self, index: int) -> bool:
        """Whether the entry is here with its content."""
        return index > self.fold.index and self.whole[index - self.fold.index - 1]

    def contents_between(self, first: int, last: int) -> list[Content]:
        """The content of entries `first` … `last`, all after the fold, and whether it is whole."""
        assert first > self.fold.index, "these entries were trimmed"
        places = slice(first - self.fold.index - 1, last - self.fold.index)
        return list(zip(self.commands[places], self.whole[places], strict=True))

    @property
    def membership(self) -> Membership:
        """The newest."""
        return self.memberships[-1][1] if self.memberships else self.fold.membership

    def floor_at(self, index: int) -> Index:
        """The floor, as far as entries up to `index` have raised it."""
        return max((floor for at, floor in self.floors if at <= index), default=self.fold.floor)

    def compact(self, upto: Index, floor: Index) -> int:
        """Drop what entries up to `upto` have deleted, and tombstones up to `floor`; how many of these."""
        dropped = 0
        for index in range(self.fold.index + 1, upto + 1):
            place, deleted = index - self.fold.index - 1, deleted_by(index)
            if deleted is None:
                self.whole[place] &= index + BLOCK > upto
            elif index <= floor and not self.is_whole(deleted):
                dropped += self.whole[place]
                self.whole[place] = False
        return dropped

    def append(self, term: Term, command: Command, *, whole: bool = True) -> None:
        """One more entry."""
        self.terms.append(term)
        self.commands.append(command)
        self.whole.append(whole)
        producer, sequence = command
        membership = said_by(command)
        if membership is not None:
            self.memberships.append((self.last_index, membership))
        elif producer:
            self.expected[producer] = sequence + 1
            self.places[command] = self.last_index
        elif sequence:
            self.floors.append((self.last_index, Index(sequence)))

    def truncate_from(self, index: int) -> None:
        """Drop the entry at `index` and all after it; what they added up to is undone."""
        assert index > self.fold.index, "a fold is never cut"
        while self.last_index >= index:
            self.terms.pop()
            command = self.commands.pop()
            self.whole.pop()
            producer, sequence = command
            if producer == MEMBERSHIP:
                self.memberships.pop()
            elif producer:
                self.expected[producer] = sequence
                self.places.pop(command, None)
            elif sequence:
                self.floors.pop()

    def trim_to(self, index: int) -> None:
        """Fold entries up to and including `index`."""
        assert index <= self.last_index, "only what is there can be folded"
        count = index - self.fold.index
        digest, expected = self.fold.digest, list(self.fold.expected)
        for term, command in zip(self.terms[:count], self.commands[:count], strict=True):
            digest = digest_after(digest, term, command)
            if command[0] > 0:
                expected[command[0]] = command[1] + 1
                self.places.pop(command, None)
        floor = self.floor_at(index)
        before = [said for at, said in self.memberships if at <= index]
        membership = before[-1] if before else self.fold.membership
        self.fold = Fold(Index(index), self.term_at(index) or Term(0), digest, tuple(expected), membership, floor)
        self.memberships = self.memberships[len(before) :]
        self.floors = [(at, raised) for at, raised in self.floors if at > index]
        del self.terms[:count], self.commands[:count], self.whole[:count]

    def runs(self) -> tuple[tuple[Index, Term], ...]:
        """(first index, term) of each run of one term."""
        found: list[tuple[Index, Term]] = []
        for place, term in enumerate(self.terms):
            if not found or found[-1][1] != term:
                found.append((Index(self.fold.index + 1 + place), term))
        return tuple(found)

    def state(self) -> LogState:
        """What a core is told of the log when it starts."""
        return LogState(
            fold_index=self.fold.index,
            fold_term=self.fold.term,
            term_starts=self.runs(),
            last_index=self.last_index,
            membership=self.fold.membership,
            memberships=tuple(self.memberships),
        )
