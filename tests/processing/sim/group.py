"""The task's log on three nodes: Raft, cut down to elections, appends and commits that happen at once or not at all.

What Raft must guarantee is guaranteed (terms, votes by the log, commits by counting in the leader's own term); what it
does not is left open: a leader that was replaced does not know it, goes on appending, and of what it appended in its
old term some is committed later, if the next leader has it.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from cluster.processing.ledger import Ledger
from cluster.types import Index, Term

NODES = 3
MAJORITY = 2


@dataclass(frozen=True, slots=True)
class Item:
    """One slot; `command` empty: the no-op of a new leader."""

    index: Index
    term: Term
    command: bytes


@dataclass(slots=True)
class Replica:
    """A node's part: everything but `commit` and `leading` survives a crash. `head`: the ledger before `log[0]`."""

    number: int
    term: int = 0
    leading: int = 0
    """The term that it believes to lead in."""
    log: list[Item] = field(default_factory=list)
    head: bytes = b""
    head_index: int = 0
    head_term: int = 0
    head_n: int = 0
    """Of the last commit before the log."""
    commit: int = 0
    up: bool = True
    match: dict[int, int] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The last index."""
        return self.head_index + len(self.log)

    def term_at(self, index: int) -> int:
        """Of the entry at that index, which is here or just before."""
        return self.head_term if index == self.head_index else self.log[index - self.head_index - 1].term

    def at(self, index: int) -> Item | None:
        """The entry, if it is here."""
        return self.log[index - self.head_index - 1] if self.head_index < index <= self.last else None


class Group:
    """All replicas. `committed`: what was ever committed, by index, also where it was trimmed everywhere since."""

    def __init__(self, random: Random, counts: Counter[str], ledger_class: type[Ledger]) -> None:
        self.replicas = [Replica(number) for number in range(NODES)]
        self.committed: list[Item] = []
        self._random = random
        self._counts = counts
        self._ledger_class = ledger_class

    def elect(self, candidate: Replica) -> list[Replica]:
        """The voters, if there is a majority for it; it leads then. A voter that leads hears of it."""
        rank = (candidate.term_at(candidate.last), candidate.last)
        others = [r for r in self.replicas if r.up and r is not candidate and (r.term_at(r.last), r.last) <= rank]
        self._random.shuffle(others)
        voters = [candidate, *others[: self._random.randint(MAJORITY - 1, NODES - 1)]]
        if len(voters) < MAJORITY:
            return []
        term = max(r.term for r in voters) + 1
        for voter in voters:
            voter.term = term
        candidate.leading, candidate.match = term, {}
        self.append(candidate, b"")
        self._counts["elections"] += 1
        return voters

    def append(self, leader: Replica, command: bytes) -> int:
        """In its own term, whether it still leads or not."""
        leader.log.append(Item(Index(leader.last + 1), Term(leader.leading), command))
        return leader.last

    def replicate(self, leader: Replica, follower: Replica, count: int) -> bool:
        """Some entries; False if the follower knows of a later term."""
        if follower.term > leader.leading:
            return False
        follower.term = leader.leading
        if follower.leading and follower.leading < leader.leading:
            follower.leading = 0
        behind = follower.last < leader.head_index
        if behind or (
            follower.head_index <= leader.head_index and follower.term_at(leader.head_index) != leader.head_term
        ):
            self._install(leader, follower)
        match = min(follower.last, leader.last)
        while match > max(follower.head_index, leader.head_index) and follower.term_at(match) != leader.term_at(match):
            match -= 1
        sent = leader.log[match - leader.head_index :][:count]
        if sent and follower.last > match:
            self._counts["entries_truncated"] += follower.last - match
            assert match >= follower.commit, "the log's own rules are broken"
            del follower.log[match - follower.head_index :]
        follower.log += sent
        match += len(sent)
        leader.match[follower.number] = max(match, leader.match.get(follower.number, 0))
        follower.commit = max(follower.commit, min(leader.commit, match))
        self._count(leader)
        return True

    def _install(self, leader: Replica, follower: Replica) -> None:
        follower.log, follower.head, follower.head_index = [], leader.head, leader.head_index
        follower.head_term, follower.head_n = leader.head_term, leader.head_n
        follower.commit = max(follower.commit, follower.head_index)
        self._counts["ledgers_installed"] += 1

    def _count(self, leader: Replica) -> None:
        matches = sorted([leader.last, *(leader.match.get(r.number, 0) for r in self.replicas if r is not leader)])
        index = matches[-MAJORITY]
        if index <= leader.commit or leader.term_at(index) != leader.leading:
            return
        leader.commit = index
        for item in leader.log[len(self.committed) - leader.head_index : index - leader.head_index]:
            assert item.index == len(self.committed) + 1
            self._counts["entries_of_an_old_term_committed"] += bool(item.command) and item.term < leader.leading
            self.committed.append(item)

    def trim(self, replica: Replica, upto: int) -> None:
        """Drop what is at or before `upto`: what it adds up to stands at the head."""
        if upto <= replica.head_index:
            return
        ledger = self._ledger_class(replica.head)
        kept = upto - replica.head_index
        for item in replica.log[:kept]:
            if item.command:
                ledger.apply(item.command, item.index, item.term)
        replica.head, replica.head_n, replica.head_term = ledger.encode(), ledger.n, replica.term_at(upto)
        replica.log = replica.log[kept:]
        replica.head_index = upto
        self._counts["logs_trimmed"] += 1
