"""What a replica's mailbox can hold."""

import asyncio
from dataclasses import dataclass
from typing import Any

from cluster.errors import RiverrunError
from cluster.log import Segment
from cluster.membership import Member
from cluster.metadata import TopicConfig
from cluster.records import Batch, Receipt
from cluster.types import Durability, Index, NodeId, Offset, ReplicaId, Ticket
from cluster.wire.peer import ReplicaEnvelope


@dataclass(frozen=True, slots=True)
class Publish:
    """Append this batch, whose checksum and limits were checked at entry; `reply` gets the receipt or the error."""

    batch: Batch
    durability: Durability
    reply: "asyncio.Future[Receipt]"
    expected_end: Offset | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """Append this command; `reply` gets the machine's answer when it is committed, or the error."""

    content: bytes
    reply: "asyncio.Future[Any]"


@dataclass(frozen=True, slots=True)
class FromPeer:
    """A Raft message from another replica, with its content, and the node that it came from."""

    envelope: ReplicaEnvelope
    node: NodeId


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes."""


@dataclass(frozen=True, slots=True)
class Persisted:
    """The write named `ticket`, and all before it, is on disk; or `error` says why it waits."""

    ticket: Ticket
    error: RiverrunError | None = None


@dataclass(frozen=True, slots=True)
class ReadBarrier:
    """`reply` gets the committed end, known to be no older than this request; or NotLeader."""

    reply: "asyncio.Future[Offset]"


@dataclass(frozen=True, slots=True)
class DeleteRecords:
    """Delete the records below `before`; `reply` gets the first offset that is left, or the error."""

    before: Offset
    reply: "asyncio.Future[Offset]"


@dataclass(frozen=True, slots=True)
class Configure:
    """The topic's limits are these now."""

    config: TopicConfig


@dataclass(frozen=True, slots=True)
class LookAtTombstones:
    """Compaction has something to propose."""


@dataclass(frozen=True, slots=True)
class SegmentsRewritten:
    """Put `new` in the place of `old`; `reply`: whether that was done."""

    old: tuple[Segment, ...]
    new: Segment
    drops_tombstones: bool
    reply: "asyncio.Future[bool]"


@dataclass(frozen=True, slots=True)
class Compacted:
    """A pass is through: up to where it has seen every key, and the first tombstone that it left, with its time."""

    clean_upto: Index
    oldest_tombstone: tuple[Index, int] | None
    log_number: int
    """Of the pass's `Job`."""


@dataclass(frozen=True, slots=True)
class AllowVote:
    """The controller has recorded this replica as initialised; `soon`: it would have it lead."""

    soon: bool = False


@dataclass(frozen=True, slots=True)
class TransferLeadership:
    """The controller would rather see `node` lead."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Reassign:
    """The controller would have exactly these belong to the partition; None: whoever does. Told to each replica of it.

    `initialised`: those whose logs are recorded to exist, so that they may vote. `version`: of the metadata with which
    that was decided; the memberships that are made for it carry it, and one that is older than those does nothing.
    """

    target: tuple[Member, ...] | None
    initialised: frozenset[ReplicaId]
    version: int = 0


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Somebody found that the log cannot be read: the replica ends as if it had found that itself, and so its node."""

    error: RiverrunError


Request = (
    Publish
    | Command
    | FromPeer
    | Tick
    | Persisted
    | ReadBarrier
    | DeleteRecords
    | Configure
    | LookAtTombstones
    | SegmentsRewritten
    | Compacted
    | AllowVote
    | TransferLeadership
    | Reassign
    | Unreadable
)
