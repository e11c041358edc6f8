"""Records, batches and entries as values, and the one checksum that follows a batch from producer to reader.

A *record* is what an application sees. A *batch* is records encoded once by the producer: its payload is opaque to
every broker. An *entry* is one Raft slot: it holds one batch (or a control item) and what the leader stamped on it.

Batch checksum: CRC32C (Castagnoli) over `BATCH_FIELDS` packed little-endian, then the payload bytes as they travel
(compressed if they are). What the leader stamps (index, term, base offset, append time) stays outside of it, so a
batch is stored, replicated and fetched with the bytes and the checksum that its producer made.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import google_crc32c

from cluster.types import NO_PRODUCER, Codec, Durability, Index, Offset, ProducerId, Term

BATCH_FIELDS = struct.Struct("<BIQqqQIQ")
"""codec u8, record_count u32, uncompressed_size u64, min_timestamp i64, max_timestamp i64, producer id u64,
producer epoch u32, base sequence u64: 49 bytes."""

UNREAD = Offset(-1)
"""The offset of a record that no log has given one yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One header of a record: a name and bytes; names may repeat."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What an application publishes and reads.

    `timestamp_ns` is the event's time in nanoseconds since 1970 (the producer's clock); 0 lets the client fill it in.
    `key` None means no key: the record goes to any partition. `offset` is -1 until the record was read from a log.
    """

    value: bytes
    key: bytes | None = None
    headers: Sequence[Header] = ()
    timestamp_ns: int = 0
    offset: Offset = UNREAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records encoded once. `payload` is an encoded (and perhaps compressed) `Records` message.

    `compacted`: records were removed since; those that are left say where they stood, and `record_count` is still how
    many offsets the batch takes. `checksum` is then a node's. `producer_id` 0: not idempotent. `base_sequence` counts
    records per (producer, partition), dense, from 0, and continues across epochs. `uncompressed_size` is in bytes.
    """

    payload: bytes
    record_count: int
    codec: Codec = Codec.NONE
    uncompressed_size: int
    min_timestamp_ns: int
    max_timestamp_ns: int
    producer_id: ProducerId = NO_PRODUCER
    producer_epoch: int = 0
    base_sequence: int = 0
    checksum: int = 0
    compacted: bool = False

    def computed_checksum(self) -> int:
        """The CRC32C that `checksum` must equal."""
        fields = BATCH_FIELDS.pack(
            self.codec,
            self.record_count,
            self.uncompressed_size,
            self.min_timestamp_ns,
            self.max_timestamp_ns,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
        )
        return int(google_crc32c.extend(google_crc32c.value(fields), self.payload))

    def is_intact(self) -> bool:
        """Whether the bytes are those that the checksum was computed over."""
        return self.checksum == self.computed_checksum()


RECENT_BATCHES_MAX = 32
"""Batches remembered for each producer, no fewer than it may have in flight: a duplicate gets its first receipt."""


@dataclass(frozen=True, slots=True)
class RecentBatch:
    """One of a producer's last batches: enough to answer it again."""

    base_sequence: int
    record_count: int
    base_offset: Offset
    index: Index
    epoch: int


@dataclass(frozen=True, slots=True)
class HoleProducer:
    """The last batches that one producer has in a hole, at most RECENT_BATCHES_MAX, in order."""

    producer: ProducerId
    last_append_time_ns: int
    recent: tuple[RecentBatch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """What is kept of a run of entries that compaction has emptied: see `cluster.holes`.

    `record_count`: offsets that the run took. `term_starts`: (first index, term) runs; the first is the entry's own.
    """

    last_index: Index
    record_count: int
    term_starts: tuple[tuple[Index, Term], ...]
    producers: tuple[HoleProducer, ...]
    tombstones_upto: Index


class EntryKind(IntEnum):
    """What an entry holds. The numbers are on the wire and on disk; an unknown kind stops the replica."""

    NO_OP = 0
    """The first entry of a leader's term (Raft §8); no records."""
    BATCH = 1
    MEMBERSHIP = 2
    """Who belongs to the group (`cluster.membership`); the log's word wins over the controller's wish."""
    TRIM_TO = 3
    """The leader's proposal to drop everything below an offset."""
    EXPIRE_PRODUCERS = 4
    """Ephemeral producers that every replica forgets alike."""
    COMMAND = 5
    """For the state that the partition's log folds into beside its records (see `cluster.log.fold.Machine`)."""
    HOLE = 6
    """Stands for entries that compaction has emptied: those from `index` to `last_index` (see `cluster.holes`)."""
    DROP_TOMBSTONES = 7
    """The leader's word that tombstones at or below an index are old enough: compaction may remove them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One Raft slot with its content.

    The leader stamps `index`, `term`, `base_offset` and `append_time_ns`; a follower checks that `base_offset`
    equals its own end, so offsets have no gaps. Exactly one of `batch` (kind BATCH) and `control` (other kinds,
    encoded by the log) carries content; a NO_OP has neither.
    """

    index: Index
    term: Term
    kind: EntryKind
    base_offset: Offset
    append_time_ns: int
    batch: Batch | None = None
    control: bytes = b""
    hole: Hole | None = None
    """What `control` says, of kind HOLE."""

    @property
    def last_index(self) -> Index:
        """The last slot that it stands for: its own, but for a hole."""
        return self.hole.last_index if self.hole is not None else self.index

    @property
    def last_term(self) -> Term:
        """The term of that slot."""
        return self.hole.term_starts[-1][1] if self.hole is not None else self.term

    @property
    def record_count(self) -> int:
        """How many offsets the entry takes: 0 for control entries."""
        if self.batch is not None:
            return self.batch.record_count
        return self.hole.record_count if self.hole is not None else 0

    @property
    def end_offset(self) -> Offset:
        """The offset after the entry's last record."""
        return Offset(self.base_offset + self.record_count)

    @property
    def size_bytes(self) -> int:
        """The content's size; what flow control counts."""
        return len(self.batch.payload) if self.batch else len(self.control)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an acknowledgement says was reached.

    `offset` is the first record's; `replicas_synced` of `replicas` had it on disk when it was sent.
    `duplicate`: the batch had been appended before, and this is that append's receipt.
    `partition` is filled in by clients; where the partition is known beside the receipt it is -1.
    """

    offset: Offset
    record_count: int
    term: Term
    durability: Durability
    replicas_synced: int
    replicas: int
    duplicate: bool = False
    checksum_by_node: bool = False
    append_time_ns: int = field(default=0)
    partition: int = -1
