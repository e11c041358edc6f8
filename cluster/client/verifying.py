"""A receipt, checked: what every replica has on its disk at an offset, and what that comes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from cluster.client.calls import Calls
from cluster.errors import InvalidRequest, UnknownTopic
from cluster.types import NodeId, Offset, ReplicaId, Term
from cluster.wire import api
from cluster.wire.api import stream_pb2

VERIFY = "/riverrun.v1.StreamService/Verify"


class CopyState(Enum):
    """What a replica says about an offset."""

    UNKNOWN = "unknown"
    HELD = "held"
    """On its disk (fsync), and intact."""
    NOT_SYNCED = "not synced"
    TRIMMED = "trimmed"
    """Deleted by retention."""
    ABSENT = "absent"
    DAMAGED = "damaged"
    UNREACHABLE = "unreachable"
    COMPACTED = "compacted"
    """A newer record has its key, or it was a tombstone that had been kept for its time."""


_STATES = {
    stream_pb2.COPY_STATE_HELD: CopyState.HELD,
    stream_pb2.COPY_STATE_NOT_SYNCED: CopyState.NOT_SYNCED,
    stream_pb2.COPY_STATE_TRIMMED: CopyState.TRIMMED,
    stream_pb2.COPY_STATE_ABSENT: CopyState.ABSENT,
    stream_pb2.COPY_STATE_DAMAGED: CopyState.DAMAGED,
    stream_pb2.COPY_STATE_UNREACHABLE: CopyState.UNREACHABLE,
    stream_pb2.COPY_STATE_COMPACTED: CopyState.COMPACTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCopy:
    """One replica's copy of the batch that holds the offset; `checksum` is CRC32C, computed from its disk's bytes.

    Where compaction has removed other records of the batch (`compacted`), only `record_checksum` can be compared.

    The numbers say something where the state is HELD or NOT_SYNCED, `detail` where it is another.
    """

    node: NodeId
    replica: ReplicaId
    state: CopyState
    base_offset: Offset
    record_count: int
    term: Term
    checksum: int
    detail: str
    compacted: bool = False
    record_checksum: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """All replicas, by node."""

    offset: Offset
    copies: Sequence[ReplicaCopy]

    @property
    def majority(self) -> int:
        """How many must hold it."""
        return len(self.copies) // 2 + 1

    @property
    def is_safe(self) -> bool:
        """A majority holds it on disk, all copies there are are equal, and none is damaged.

        Who has removed it by compaction has held it, and holds what made it superfluous.
        """
        return len(self._kept()) >= self.majority and self._are_equal() and not self._in(CopyState.DAMAGED)

    def verdict(self) -> str:
        """The same in a sentence."""
        held, damaged, of = self._in(CopyState.HELD), self._in(CopyState.DAMAGED), len(self.copies)
        if damaged:
            return f"offset {self.offset} is damaged on {_nodes(damaged)}; {len(held)} of {of} replicas hold it intact"
        if not self._are_equal():
            return f"offset {self.offset} is not the same on {_nodes(self._copies())}: compare terms and checksums"
        if self.is_safe and len(held) < len(self._kept()):
            gone = _nodes(self._in(CopyState.COMPACTED))
            return f"offset {self.offset} was removed by compaction on {gone}; {len(held)} of {of} replicas hold it"
        if self.is_safe and any(copy.compacted for copy in held):
            same = "the record is the same on each, and compaction has thinned out what was beside it"
            return f"offset {self.offset} is on the disks of {len(held)} of {of} replicas; {same}"
        if self.is_safe:
            return f"offset {self.offset} is on the disks of {len(held)} of {of} replicas, with one checksum"
        if len(self._in(CopyState.ABSENT)) == of:
            return f"no replica has offset {self.offset}: the partition ends before it"
        if len(self._in(CopyState.TRIMMED)) == of:
            return f"offset {self.offset} was deleted from all replicas by retention"
        return (
            f"offset {self.offset} is known to be on the disks of {len(held)} of {of} replicas only; "
            f"{self.majority} are a majority"
        )

    def _in(self, state: CopyState) -> list[ReplicaCopy]:
        return [copy for copy in self.copies if copy.state is state]

    def _copies(self) -> list[ReplicaCopy]:
        return [copy for copy in self.copies if copy.state in {CopyState.HELD, CopyState.NOT_SYNCED}]

    def _kept(self) -> list[ReplicaCopy]:
        return [copy for copy in self.copies if copy.state in {CopyState.HELD, CopyState.COMPACTED}]

    def _are_equal(self) -> bool:
        copies = self._copies()
        whole = {(c.base_offset, c.record_count, c.checksum) for c in copies if not c.compacted}
        return len(whole) <= 1 and len({(copy.term, copy.record_checksum) for copy in copies}) <= 1


async def verify(
    calls: Calls, topic: str, partition: int, offset: int, *, timeout_s: float | None = None
) -> Verification:
    """Ask every replica of the partition, through any node. UnknownTopic, UnknownPartition, InvalidRequest."""
    try:
        request = stream_pb2.VerifyRequest(topic=topic, partition=partition, offset=offset).SerializeToString()
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"partition and offset are numbers from 0: {error}") from error
    answer = await calls.call(VERIFY, request, timeout_s=timeout_s, repeatable=True, doubt=UnknownTopic)
    return Verification(
        offset=Offset(offset),
        copies=tuple(_copy(item) for item in api.parse(stream_pb2.VerifyResponse, answer).copies),
    )


def _copy(item: stream_pb2.ReplicaCopy) -> ReplicaCopy:
    return ReplicaCopy(
        node=NodeId(item.node),
        replica=ReplicaId(item.replica),
        state=_STATES.get(item.state, CopyState.UNKNOWN),
        base_offset=Offset(item.base_offset),
        record_count=item.record_count,
        term=Term(item.term),
        checksum=item.checksum,
        compacted=item.compacted,
        record_checksum=item.record_checksum,
        detail=item.detail,
    )


def _nodes(copies: Sequence[ReplicaCopy]) -> str:
    numbers = [str(copy.node) for copy in copies]
    return f"node {numbers[0]}" if len(numbers) == 1 else f"nodes {', '.join(numbers[:-1])} and {numbers[-1]}"
