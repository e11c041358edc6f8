"""A batch on its way out: it takes records, is encoded once, and is settled once, for all of its records. Pure.

There is no future for each record. A record's handle (`Delivery`) names its batch and its place in it; what becomes
of the batch becomes of the record.
"""

from collections.abc import Callable, Mapping

from cluster.errors import InvalidRequest, RiverrunError
from cluster.records import Batch, Receipt
from cluster.types import Codec
from cluster.wire.encoding import Headers, RecordsEncoder
from cluster.wire.records import seal_batch

RECORD_OVERHEAD_BYTES = 24
"""What a record takes beside key and value, about: tags, lengths, its timestamp."""


def size_of(value: bytes, key: bytes | None, headers: Headers) -> int:
    """About how many bytes the record takes in its batch and in the buffer."""
    size = len(value) + RECORD_OVERHEAD_BYTES
    if key is not None:
        size += len(key)
    if headers:
        pairs = headers.items() if isinstance(headers, Mapping) else ((h.name, h.value) for h in headers)
        size += sum(len(name) + len(content) + 8 for name, content in pairs)
    return size


class OutgoingBatch:
    """Records for one partition, from the first `add` until the outcome.

    Times in seconds are the event loop's; `outcome` is None until the batch is settled, and then never changes.
    """

    __slots__ = (
        "_encoder",
        "_settled_callbacks",
        "_unseen",
        "awaited",
        "batch",
        "count",
        "deadline_s",
        "max_timestamp_ns",
        "min_timestamp_ns",
        "on_awaited",
        "opened_s",
        "outcome",
        "partition",
        "size_bytes",
        "topic",
    )

    def __init__(self, topic: str, partition: int, *, opened_s: float, deadline_s: float) -> None:
        self.topic = topic
        self.partition = partition
        self.opened_s = opened_s
        self.deadline_s = deadline_s
        self.count = 0
        self.size_bytes = 0
        self.min_timestamp_ns = 0
        self.max_timestamp_ns = 0
        self.batch: Batch | None = None
        self.outcome: Receipt | RiverrunError | None = None
        self.awaited = False
        self.on_awaited: Callable[[], None] | None = None
        self._unseen = 0
        self._settled_callbacks: list[Callable[[], None]] = []
        self._encoder = RecordsEncoder()

    def add(self, value: bytes, key: bytes | None, headers: Headers, timestamp_ns: int, size_bytes: int) -> None:
        """Append one record. This runs once per record: nothing is copied here."""
        try:
            self._encoder.add(value, key, headers, timestamp_ns)
        except (TypeError, ValueError, AttributeError) as error:
            raise InvalidRequest(
                f"value and key are bytes, header names text and header values bytes: {error}"
            ) from error
        if self.count == 0:
            self.min_timestamp_ns = self.max_timestamp_ns = timestamp_ns
        elif timestamp_ns > self.max_timestamp_ns:
            self.max_timestamp_ns = timestamp_ns
        elif timestamp_ns < self.min_timestamp_ns:
            self.min_timestamp_ns = timestamp_ns
        self.count += 1
        self.size_bytes += size_bytes

    def close(self, codec: Codec) -> None:
        """Encode and compress, once: no record can be added any more. Producer and sequence are given later."""
        assert self.batch is None
        assert self.count > 0, "a batch holds at least one record"
        self.batch = seal_batch(
            self._encoder.encode(),
            record_count=self.count,
            min_timestamp_ns=self.min_timestamp_ns,
            max_timestamp_ns=self.max_timestamp_ns,
            codec=codec,
        )
        del self._encoder

    # --- the outcome

    def settle(self, outcome: Receipt | RiverrunError) -> None:
        """The cluster's answer, or why there is none. Once only."""
        assert self.outcome is None, "a batch is settled once"
        self.outcome = outcome
        self.batch = None
        self._unseen = self.count if isinstance(outcome, RiverrunError) else 0
        callbacks, self._settled_callbacks = self._settled_callbacks, []
        for callback in callbacks:
            callback()

    def when_settled(self, callback: Callable[[], None]) -> None:
        """Call it when the outcome is known."""
        assert self.outcome is None
        self._settled_callbacks.append(callback)

    def wait_begins(self) -> None:
        """Somebody waits for the outcome now: the batch need not linger for company."""
        if not self.awaited:
            self.awaited = True
            if self.on_awaited is not None:
                self.on_awaited()

    def failure_seen(self) -> None:
        """One record's failure was raised to the one who produced it."""
        self._unseen -= 1

    @property
    def unseen_failures(self) -> int:
        """How many records failed without anybody having been told."""
        return max(self._unseen, 0)
