"""Every failure that can happen, typed: whose fault it is, whether a retry can help, which gRPC code it travels as.

Broken invariants are not here: those are assertions and end the process.
On the wire an error is a `google.rpc.Status` with `ErrorInfo{reason, domain "riverrun", metadata}` and, where a
retry can help, `RetryInfo`. `REASONS` maps the reason back to the class, so a client raises what the node raised.
"""

from enum import Enum
from typing import ClassVar

DOMAIN = "riverrun"


class Fault(Enum):
    """Whose doing the failure is."""

    CALLER = "caller"
    CLUSTER = "cluster"


class Outcome(Enum):
    """What a failed request left behind."""

    NOTHING = "nothing"
    """Definitely not done."""
    UNKNOWN = "unknown"
    """Done or not: only asking again (with the same sequence) can tell."""


class RiverrunError(Exception):
    """An expected failure.

    `metadata` holds short strings for programs (the leader's address, the first offset, …).
    """

    reason: ClassVar[str] = "INTERNAL"
    code: ClassVar[str] = "INTERNAL"
    """The name of the gRPC status code."""
    fault: ClassVar[Fault] = Fault.CLUSTER
    retry: ClassVar[bool] = False
    """Whether the same request may succeed later, possibly elsewhere."""
    outcome: ClassVar[Outcome] = Outcome.NOTHING

    def __init__(self, message: str = "", **metadata: str) -> None:
        super().__init__(message or self.reason.replace("_", " ").lower())
        self.message = str(self)
        self.metadata = metadata


class NotLeader(RiverrunError):
    """The node asked does not lead the partition; `metadata["leader"]` may name the address that does."""

    reason, code, retry = "NOT_LEADER", "UNAVAILABLE", True


class Unavailable(RiverrunError):
    """No leader, no majority, a node that is starting or stopping; nothing was done."""

    reason, code, retry = "UNAVAILABLE", "UNAVAILABLE", True


class Untrusted(RiverrunError):
    """TLS fails between the two sides, or one does without it: nothing was sent; the message says what to mend."""

    reason, code, fault, retry = "UNTRUSTED", "UNAVAILABLE", Fault.CALLER, True


class OutcomeUnknown(RiverrunError):
    """The answer was lost or leadership changed on the way: ask again with the same sequence."""

    reason, code, retry, outcome = "OUTCOME_UNKNOWN", "UNAVAILABLE", True, Outcome.UNKNOWN


class DeadlineExceeded(RiverrunError):
    """The caller's deadline passed first."""

    reason, code, retry, outcome = "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", True, Outcome.UNKNOWN


class Overloaded(RiverrunError):
    """A bounded queue is full; nothing was done."""

    reason, code, retry = "OVERLOADED", "RESOURCE_EXHAUSTED", True


class LimitReached(RiverrunError):
    """What is asked for is more than the cluster keeps of its kind; the message says what makes room."""

    reason, code, fault = "LIMIT_REACHED", "RESOURCE_EXHAUSTED", Fault.CALLER


class DiskFull(RiverrunError):
    """The node's disk has no room for records; votes and trimming go on."""

    reason, code, retry = "DISK_FULL", "RESOURCE_EXHAUSTED", True


class UnknownTopic(RiverrunError):
    """No topic of that name or id."""

    reason, code, fault = "UNKNOWN_TOPIC", "NOT_FOUND", Fault.CALLER


class UnknownPartition(RiverrunError):
    """The topic has no partition of that number."""

    reason, code, fault = "UNKNOWN_PARTITION", "NOT_FOUND", Fault.CALLER


class TopicDeleted(RiverrunError):
    """The topic id names a topic that was deleted: a typed stop, never a wait."""

    reason, code, fault = "TOPIC_DELETED", "NOT_FOUND", Fault.CALLER


class TopicExists(RiverrunError):
    """A topic of that name is there already."""

    reason, code, fault = "TOPIC_EXISTS", "ALREADY_EXISTS", Fault.CALLER


class UnknownNode(RiverrunError):
    """The cluster has no node with this id."""

    reason, code, fault = "UNKNOWN_NODE", "NOT_FOUND", Fault.CALLER


class NodeRemoved(RiverrunError):
    """The node was removed from the cluster, and its id never returns."""

    reason, code, fault = "NODE_REMOVED", "FAILED_PRECONDITION", Fault.CALLER


class NodeInUse(RiverrunError):
    """The node holds something that has to go elsewhere first."""

    reason, code, fault = "NODE_IN_USE", "FAILED_PRECONDITION", Fault.CALLER


class NotEnoughNodes(RiverrunError):
    """There are not as many nodes as there are to be copies."""

    reason, code, fault = "NOT_ENOUGH_NODES", "FAILED_PRECONDITION", Fault.CALLER


class ReassignmentInProgress(RiverrunError):
    """The partition moves already: one thing after the other."""

    reason, code, fault = "REASSIGNMENT_IN_PROGRESS", "FAILED_PRECONDITION", Fault.CALLER


class InvalidRequest(RiverrunError):
    """The request contradicts itself or breaks a rule; the message says which."""

    reason, code, fault = "INVALID_REQUEST", "INVALID_ARGUMENT", Fault.CALLER


class Forbidden(RiverrunError):
    """Not from there, or not from this caller; the message says what would have to be allowed."""

    reason, code, fault = "FORBIDDEN", "PERMISSION_DENIED", Fault.CALLER


class RecordTooLarge(RiverrunError):
    """A record or batch is over the limit; `metadata["limit_bytes"]` names it."""

    reason, code, fault = "RECORD_TOO_LARGE", "INVALID_ARGUMENT", Fault.CALLER


class UnknownCodec(RiverrunError):
    """The batch's compression is not one of ours, or the reader does not accept it."""

    reason, code, fault = "UNKNOWN_CODEC", "INVALID_ARGUMENT", Fault.CALLER


class ChecksumMismatch(RiverrunError):
    """The batch's bytes are not those its CRC32C was computed over; sending it again may help."""

    reason, code, retry = "CHECKSUM_MISMATCH", "DATA_LOSS", True


class CorruptBatch(RiverrunError):
    """The batch's records cannot be decoded, or contradict its header; it is skipped as a whole."""

    reason, code = "CORRUPT_BATCH", "DATA_LOSS"


class OffsetOutOfRange(RiverrunError):
    """Below the log start or above the end; `metadata` has `first` and `end`."""

    reason, code, fault = "OFFSET_OUT_OF_RANGE", "OUT_OF_RANGE", Fault.CALLER


class Fenced(RiverrunError):
    """A newer epoch of this producer exists; this one must stop."""

    reason, code, fault = "FENCED", "FAILED_PRECONDITION", Fault.CALLER


class OutOfSequence(RiverrunError):
    """The batch's base sequence leaves a gap or overlaps in part; `metadata["expected"]` names the next."""

    reason, code, fault = "OUT_OF_SEQUENCE", "FAILED_PRECONDITION", Fault.CALLER


class UnknownProducer(RiverrunError):
    """A producer that this partition does not know sent a sequence other than 0; never an append."""

    reason, code, fault = "UNKNOWN_PRODUCER", "FAILED_PRECONDITION", Fault.CALLER


class DuplicateForgotten(RiverrunError):
    """A duplicate older than the remembered batches: it was appended, its offset is no longer known."""

    reason, code, fault, outcome = "DUPLICATE_FORGOTTEN", "ALREADY_EXISTS", Fault.CALLER, Outcome.UNKNOWN


class OffsetConflict(RiverrunError):
    """The expected end is not the current end; `metadata["end"]` names it."""

    reason, code, fault = "OFFSET_CONFLICT", "ABORTED", Fault.CALLER


class UnknownService(RiverrunError):
    """No service of that name is at the listener whose health was asked for."""

    reason, code, fault = "UNKNOWN_SERVICE", "NOT_FOUND", Fault.CALLER


class UnknownGroup(RiverrunError):
    """No group of that name."""

    reason, code, fault = "UNKNOWN_GROUP", "NOT_FOUND", Fault.CALLER


class UnknownMember(RiverrunError):
    """The member was away for longer than its grace, and is not in the group any more: join again."""

    reason, code, fault = "UNKNOWN_MEMBER", "FAILED_PRECONDITION", Fault.CALLER


class StaleGeneration(RiverrunError):
    """The partition was given to somebody else since: stop working on it; what was committed of it stands."""

    reason, code, fault = "STALE_GENERATION", "FAILED_PRECONDITION", Fault.CALLER


class GroupNotEmpty(RiverrunError):
    """The group has members, and what was asked would pull the ground from under them."""

    reason, code, fault = "GROUP_NOT_EMPTY", "FAILED_PRECONDITION", Fault.CALLER


class Unsupported(RiverrunError):
    """A field or method whose place is kept for later."""

    reason, code, fault = "UNSUPPORTED", "UNIMPLEMENTED", Fault.CALLER


class RefusedToStart(RiverrunError):
    """A node cannot run as configured; the message is one sentence with the next step."""

    reason, code, fault = "REFUSED_TO_START", "FAILED_PRECONDITION", Fault.CALLER


class CorruptStorage(RiverrunError):
    """Bytes on disk fail their checksum; they are quarantined, never served, never dropped silently."""

    reason, code = "CORRUPT_STORAGE", "DATA_LOSS"


class SnapshotRefused(RiverrunError):
    """A piece of a task's state does not follow what is here, or is older: the transfer begins anew, or ends."""

    reason, code = "SNAPSHOT_REFUSED", "FAILED_PRECONDITION"


class DiskFailed(RiverrunError):
    """A write or sync failed in a way that leaves the file's state unknown: the process ends, nothing is retried."""

    reason, code = "DISK_FAILED", "INTERNAL"


class InvalidApp(RiverrunError):
    """A definition of a user's app contradicts itself; the message names the function and what is wrong."""

    reason, code, fault = "INVALID_APP", "INVALID_ARGUMENT", Fault.CALLER


class ProcessorFailed(RiverrunError):
    """User code raised, and its errors are not to be passed over: nothing of the work was done.

    `metadata` has `processor`, `version`, `traceback`, and the record's `topic`, `partition` and `offset` (or `timer`).
    """

    reason, code, fault = "PROCESSOR_FAILED", "FAILED_PRECONDITION", Fault.CALLER


class TriesLeft(ProcessorFailed):
    """User code raised, and is to be tried again at that record, or timer, alone: nothing of the work was done.

    `metadata`, beside that of ProcessorFailed: `failures`, so far; `wait_ns`, at most, until the next attempt; and
    where in the work it was: the number of the `fired` timer, or `input`, `partition` and `offset` as they are read.
    """

    reason = "PROCESSOR_TRIES_LEFT"


class UnknownApp(RiverrunError):
    """No app, or no processor of an app, of that name is deployed."""

    reason, code, fault = "UNKNOWN_APP", "NOT_FOUND", Fault.CALLER


class HostFailed(RiverrunError):
    """The process that runs user code ended, hung, or took too much memory: nothing of the work was done.

    `metadata["cause"]`: "exit", "hang" or "memory", as far as it can be told. `metadata["at_work"]`: "yes" where it was
    the asker's own work that the process had in hand, "no" where it was another's, or none.
    """

    reason, code, fault, retry = "HOST_FAILED", "UNAVAILABLE", Fault.CALLER, True


class StateUnreadable(RiverrunError):
    """A value of keyed state cannot be decoded as the type that the code wants now; nothing of the work was done."""

    reason, code, fault = "STATE_UNREADABLE", "FAILED_PRECONDITION", Fault.CALLER


class InvalidRoute(RiverrunError):
    """A route, or what it is connected to, is not as it has to be: only a person can mend it; says what and where."""

    reason, code, fault = "INVALID_ROUTE", "INVALID_ARGUMENT", Fault.CALLER


class Unreachable(RiverrunError):
    """What a route is connected to is away, refuses for now, or is too slow: it is tried again, and nothing is lost."""

    reason, code, retry, outcome = "UNREACHABLE", "UNAVAILABLE", True, Outcome.UNKNOWN


class RecordRefused(RiverrunError):
    """A destination will never take one record; `place`: which of the batch."""

    reason, code, fault = "RECORD_REFUSED", "INVALID_ARGUMENT", Fault.CALLER

    def __init__(self, message: str = "", *, place: int = 0, **metadata: str) -> None:
        super().__init__(message, **metadata)
        self.place = place


class ExpressionFailed(RiverrunError):
    """An expression of a route has no value for one record, as a field is missing; `place`: which of the batch."""

    reason, code, fault = "EXPRESSION_FAILED", "INVALID_ARGUMENT", Fault.CALLER

    def __init__(self, message: str = "", *, place: int = 0, **metadata: str) -> None:
        super().__init__(message, **metadata)
        self.place = place


class Closed(RiverrunError):
    """The client, actor or stream was closed by its owner."""

    reason, code, fault = "CLOSED", "CANCELLED", Fault.CALLER


def _family(cls: type[RiverrunError]) -> dict[str, type[RiverrunError]]:
    found = {cls.reason: cls}
    for child in cls.__subclasses__():
        found |= _family(child)
    return found


REASONS: dict[str, type[RiverrunError]] = _family(RiverrunError)
