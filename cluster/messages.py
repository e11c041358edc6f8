"""What replicas of one partition say to each other: frozen values, nothing else.

Raft's own messages follow the paper's names (§5, §6; pre-vote: Ongaro's thesis §9.6; transfer: §3.10; read barrier:
§6.4). The core sees `EntryHeader`s only; the bytes of the entries travel beside the message and never enter it.
Every message carries the sender's term. A message is for one replica id: one that reaches another id is dropped.
"""

from dataclasses import dataclass

from cluster.membership import Membership
from cluster.types import Index, ReplicaId, Term


@dataclass(frozen=True, slots=True)
class EntryHeader:
    """What the core knows of an entry. `size_bytes` is its content's size, 0 where it is no longer known.

    `membership`: what it says, if it is one; the only content that the core has a use for.
    """

    index: Index
    term: Term
    size_bytes: int
    membership: Membership | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftMessage:
    """The part common to all: who speaks to whom, in which term."""

    sender: ReplicaId
    to: ReplicaId
    term: Term


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestVote(RaftMessage):
    """§5.2, §5.4.1. With `pre` nobody's term changes; `term` is then the term the sender would campaign in.

    `transfer` says that the leader itself asked for this election, so that stickiness does not apply.
    """

    last_index: Index
    last_term: Term
    pre: bool = False
    transfer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteReply(RaftMessage):
    """`term` is the term asked for when granted, the voter's own when refused."""

    granted: bool
    pre: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendEntries(RaftMessage):
    """§5.3. Without entries it is a probe. `commit` and `last_index` are the leader's.

    `beginning`: what begins below the leader's floor is only for a follower that has begun anew with that number.
    `search`: how often the leader had begun to look for where the logs part; a rejection repeats it.
    """

    prev_index: Index
    prev_term: Term
    entries: tuple[EntryHeader, ...]
    commit: Index
    last_index: Index
    beginning: int = 0
    search: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendReply(RaftMessage):
    """`match`: everything up to here equals the leader's log and is on the sender's disk.

    When `rejected`, `hint_index` and `hint_term` name the sender's last entry that could match (§5.3, fast back-up):
    the leader continues there. `recovering`: the sender lost entries that it had acknowledged; the leader must
    forget its match index until it has brought the sender to its own last index. `beginning`: the last that the sender
    obeyed in this term and since its start. `blank`: the sender takes nothing but a fold. `search`, when `rejected`: of
    the append; a rejection of an earlier one is late.
    """

    match: Index
    rejected: bool = False
    rejected_prev: Index = Index(0)
    hint_index: Index = Index(0)
    hint_term: Term = Term(0)
    recovering: bool = False
    beginning: int = 0
    blank: bool = False
    search: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(RaftMessage):
    """Keeps a leader's followers, tells the commit, carries a read barrier's round (0: none).

    `commit` never exceeds the receiver's match index. `sleep` invites the follower of an idle group to stop ticking.
    """

    commit: Index
    barrier: int = 0
    sleep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatReply(RaftMessage):
    """Answers a heartbeat; `match` and `beginning` as in AppendReply, so that a lost append is noticed."""

    barrier: int = 0
    match: Index = Index(0)
    beginning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutNow(RaftMessage):
    """Thesis §3.10: the leader asks a caught-up follower to campaign at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallFold(RaftMessage):
    """§7, with the folded state in the place of a snapshot: the follower is behind the leader's log start.

    The fold as of `index`, an entry of `last_term` (bytes beside the message) replaces the follower's log, which
    continues at `index` + 1. Atomic; never regresses a log that already holds `index` at `last_term`.
    `term` stays what it is in every message: the sender's. `commit` and `last_index` are the leader's.

    With a `beginning` (its number, from 1, in the leader's term) the follower ends below the leader's `floor`: it is to
    throw away all that it has, whatever that is, and to begin anew with the fold.

    `membership`: the fold's. It does not travel by itself: the receiver's driver finds it in the fold.
    """

    index: Index
    last_term: Term
    commit: Index
    last_index: Index
    floor: Index = Index(0)
    beginning: int = 0
    membership: Membership | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TailQuery(RaftMessage):
    """A replica with a doubtful tail asks what others hold at `index` (FAST'18, protocol-aware recovery).

    `after`: the last entry that it can read, so that it can be told of a membership that it cannot know. `asking`: how
    often it had begun to ask all of them; an answer repeats it, and one to an earlier asking is late.
    """

    index: Index
    after: Index = Index(0)
    asking: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TailReply(RaftMessage):
    """`state`: 0 absent, 1 doubtful here too, 2 intact with `entry_term` (or thrown away since, to begin anew).

    `membership`: the sender's, if it is newer than what the asking log holds. `newest`: of its entries; (0, 0) if it
    has none, None if its build is older and does not say.
    """

    index: Index
    state: int
    entry_term: Term = Term(0)
    membership: Membership | None = None
    asking: int = 0
    newest: tuple[Index, Term] | None = None


type_names: dict[str, type[RaftMessage]] = {cls.__name__: cls for cls in RaftMessage.__subclasses__()}
