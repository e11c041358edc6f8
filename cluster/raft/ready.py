"""What the core hands to its driver: one `Ready` at a time, and the small values in it."""

from dataclasses import dataclass
from enum import Enum

from cluster.membership import Member, Membership
from cluster.messages import EntryHeader, InstallFold, RaftMessage
from cluster.types import NO_INDEX, NO_TERM, Index, ReplicaId, Term, Ticket

__all__ = ["LogState", "Member", "Membership", "Ready", "Role", "Vote"]


class Role(Enum):
    """§5.1, with the pre-candidate of thesis §9.6."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre_candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What must survive a crash before any message of its term leaves (§5.1, figure 2: persistent state)."""

    term: Term
    voted_for: ReplicaId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """What the core must know of the durable log when it starts.

    `fold_index`/`fold_term` name the entry just before the log's first (0, 0 for a log from the beginning).
    `term_starts` are (first index, term) runs, ascending, covering fold_index + 1 … last_index. `memberships` are those
    entries beyond the fold that are one, ascending. `membership` is the fold's; None: as the core is told beside this.
    """

    fold_index: Index = NO_INDEX
    fold_term: Term = NO_TERM
    term_starts: tuple[tuple[Index, Term], ...] = ()
    last_index: Index = NO_INDEX
    membership: Membership | None = None
    memberships: tuple[tuple[Index, Membership], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What is to be done now, in the order of the fields.

    1. `messages` may leave at once: everything they rest on is durable already, but for the leader's own copy of the
       entries it replicates (thesis §10.2.1).
    2. `vote`, `truncate_from`, `fold`, `entries` are to be made durable, in this order, as one write named `ticket`;
       when it is on disk, the driver calls `persisted(ticket)`; before that `vote_persisted(ticket)`, perhaps, when
       `vote` is, and those before it. `ticket` is None iff there is nothing to write.
    3. `promises` are votes and acknowledgements whose writes have become durable since: they may leave now.
    4. `commit`, if not None, has moved there. It is told with every `fold`, and may have fallen only with one of a
       beginning: then this replica is recovering, and the driver must remember that before it removes anything.
    5. `barriers` are read barriers that were confirmed: reads up to `commit` (as of now) are linearizable.
    """

    messages: tuple[RaftMessage, ...] = ()
    vote: Vote | None = None
    truncate_from: Index | None = None
    fold: InstallFold | None = None
    entries: tuple[EntryHeader, ...] = ()
    ticket: Ticket | None = None
    promises: tuple[RaftMessage, ...] = ()
    commit: Index | None = None
    barriers: tuple[int, ...] = ()
    failed_barriers: tuple[int, ...] = ()
    role: Role | None = None
    """Set when role, term or leader changed; `leader` and `term` then say to what."""
    leader: ReplicaId | None = None
    term: Term = NO_TERM
