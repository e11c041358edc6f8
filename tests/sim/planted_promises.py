"""Bugs that break a promise of the whole cluster: planted in its nodes, its clients, or in how a log is read."""

from typing import Any

from cluster.broker.publishing import Publishing
from cluster.broker.readers import Readers
from cluster.client.decoding import ReadBatch
from cluster.client.part import Part
from cluster.client.subscription import Subscription
from cluster.log.fold import ProducerState
from cluster.log.frame import HEADER_BYTES, decode_header, with_content
from cluster.messages import RaftMessage, RequestVote
from cluster.raft import Raft
from cluster.records import Batch, Entry
from cluster.types import Offset, PartitionId, ProducerId


class VotesTwice(Raft):
    """Whoever asks is voted for, whomever it voted for in that term before."""

    def step(self, message: RaftMessage) -> None:
        """As if nobody had asked yet."""
        if isinstance(message, RequestVote) and not message.pre and message.term == self.term and not self.is_leader:
            self.voted_for = None
        super().step(message)


class ServesPastCommit(Readers):
    """Readers get what is in the log, committed or not."""

    def advance(self, end: Offset) -> None:
        """It does not fall, though what was served may be gone."""
        super().advance(max(end, self.end))


class DedupeLost(Publishing):
    """Whoever comes to lead knows no producer: each one's next batch is taken for its first."""

    _known: set[ProducerId] | None = None

    def leadership_changed(self) -> None:
        """The table is empty."""
        super().leadership_changed()
        self._known = set()

    def producer(self, batch: Batch) -> ProducerState | None:
        """From the log, but for those who have not sent anything to this leader."""
        if self._known is None or batch.producer_id in self._known or self._raft.term == 1:
            return super().producer(batch)
        self._known.add(batch.producer_id)
        return ProducerState(batch.producer_epoch, batch.base_sequence, (), 0)


class CommitsBeforeDelivery(Subscription):
    """What has arrived counts as processed, though the application has not been given it."""

    async def _next_batch(self) -> tuple[Part, ReadBatch]:
        part, batch = await super()._next_batch()
        part.processed = max(part.processed, batch.position)
        return part, batch


def unchecked(data: bytes, position: int, partition: PartitionId) -> Entry | None:
    """A frame's entry, if its header is intact; its content as it stands there."""
    header = decode_header(data, position, partition)
    if header is None:
        return None
    content = bytes(data[position + HEADER_BYTES : position + header.frame_bytes])
    return with_content(header.entry, content) if len(content) == header.content_bytes else None


UNCHECKED: tuple[tuple[str, Any], ...] = (
    ("cluster.log.log.decode_frame", unchecked),
    ("cluster.log.recovery.decode_frame", unchecked),
)
"""What reads a log believes what it reads; what verifies a receipt does not."""
