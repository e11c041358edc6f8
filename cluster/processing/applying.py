"""From the task's committed log into its store, on every replica alike. Pure but for the store's own work.

A replica has two ledgers: the log's fold, as of its last entry, committed or not, against which the leader decides; and
the one here, as of what is committed and applied. It repeats the verdicts, so it knows which commits count without
anybody having written it down, and what it says of shipping and trimming rests on committed entries only.

The store may be ahead: it was flushed, or installed from a snapshot, and the log is read again from an earlier index.
Then commits go into the ledger alone, until it has caught up.
"""

from cluster.errors import CorruptStorage
from cluster.processing.commit import Begin, TaskCommit, checksum_of, decode
from cluster.processing.ledger import Accepted, Ledger, Verdict
from cluster.processing.snapshot import Applied
from cluster.processing.store import Store
from cluster.types import Index, Term


class Applying:
    """Committed commands, one after another. `index`: of the last one; `ledger`: as of it."""

    def __init__(self, ledger: Ledger, index: Index, store: Store) -> None:
        self.ledger = ledger
        self.index = index
        self._store = store

    @property
    def whole(self) -> bool:
        """Whether ledger and store are of the same commit: before that, state must not be read by the ledger's word."""
        return self.ledger.n == self._store.applied.n

    def apply(self, command: bytes, index: Index, term: Term) -> tuple[Begin | TaskCommit, Verdict]:
        """The next committed command; what it was, and whether it counts.

        CorruptStorage: the store is not the one of this log. It is thrown away, and installed from another replica's.
        """
        assert index > self.index, f"{index} after {self.index}"
        decoded = decode(command)
        verdict = self.ledger.take(decoded, checksum_of(command), index, term)
        self.index = index
        applied = self._store.applied
        if isinstance(verdict, Accepted) and isinstance(decoded, TaskCommit) and index > applied.index:
            if decoded.n != applied.n + 1:
                raise CorruptStorage(f"a task's state is that of commit {applied.n}; the log goes on with {decoded.n}")
            self._store.apply(Applied(index, decoded.n), decoded.state)
        return decoded, verdict

    def pass_over(self, index: Index) -> None:
        """The next committed entry is no command."""
        assert index > self.index, f"{index} after {self.index}"
        self.index = index

    def trim_limit(self) -> Index:
        """Up to here the log may go."""
        return min(self.index, self.ledger.trim_limit(self._store.flushed))
