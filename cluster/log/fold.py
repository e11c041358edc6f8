"""What a partition's log adds up to: membership, producers, end offset. Pure.

The fold as of the last entry, committed or not, is kept in memory; the fold as of the entry before a segment stands at
the segment's head, so that a log can be trimmed at segment starts and a replica can begin there. Applying an entry is
deterministic; an entry of an unknown kind is refused, because a fold that skipped it would differ between versions.

A partition may fold COMMAND entries into a state of its own, a `Machine` (the groups of readers are one). It shares
everything that the rest of the fold has: it is decided against by the leader, committed or not; a truncation unfolds
it; the state at a segment's head is the snapshot that lets everything before it go, and what a replica that is behind
begins with. So it must be small enough to travel in one message.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import google_crc32c
import msgspec

from cluster.errors import CorruptStorage
from cluster.holes import tombstone_limit
from cluster.membership import Membership, decode_membership, membership_of, plain_membership
from cluster.records import RECENT_BATCHES_MAX, Entry, EntryKind, RecentBatch
from cluster.types import NO_INDEX, NO_TERM, Index, Offset, ProducerId, Term

FORMAT = 1
NO_OFFSET = Offset(0)


@dataclass(frozen=True, slots=True)
class ProducerState:
    """What the log knows of a producer. Sequences count records and continue across epochs."""

    epoch: int
    next_sequence: int
    recent: tuple[RecentBatch, ...]
    last_append_time_ns: int


class Machine(Protocol):
    """A state that is folded from commands: deterministic and total, for every replica applies the same ones."""

    def apply(self, command: bytes, index: Index, term: Term) -> Any:
        """One command further, in the entry of this index and term; what its proposer is told when that is committed.

        Raises nothing but RefusedToStart, for a command that another version of riverrun wrote.
        """

    def encode(self) -> bytes:
        """The whole state."""


MachineOf = Callable[[bytes], Machine]
"""The state of such bytes; of no bytes: the one before the first command."""


@dataclass(slots=True, kw_only=True)
class Fold:
    """The sum of all entries up to `index`."""

    membership: Membership
    membership_index: Index = NO_INDEX
    """The entry that says so, and its term; 0: the replica was made with it."""
    membership_term: Term = NO_TERM
    index: Index = NO_INDEX
    term: Term = NO_TERM
    end_offset: Offset = NO_OFFSET
    start_offset: Offset = NO_OFFSET
    last_append_time_ns: int = 0
    producers: dict[ProducerId, ProducerState] = field(default_factory=dict)
    machine: Machine | None = None
    tombstones_upto: Index = NO_INDEX
    """Tombstones at or below this index may be gone: whoever has not had them must not go on from there."""
    answer: Any = None
    """What the machine made of the newest command."""
    memberships: list[tuple[Index, Membership]] = field(default_factory=list, compare=False)
    """The entries that changed it since this fold began, oldest first; not encoded."""
    open_end: bool = field(default=False, compare=False)
    """The last entry is a hole, perhaps a piece that does not know where it ends: the next may begin further on."""

    def apply(self, entry: Entry) -> None:
        """One entry further."""
        assert entry.index == self.index + 1, f"entry {entry.index} does not follow {self.index}"
        follows = entry.base_offset == self.end_offset or (self.open_end and entry.base_offset > self.end_offset)
        assert follows, f"offset {entry.base_offset} does not follow {self.end_offset}"
        match entry.kind:
            case EntryKind.NO_OP:
                pass
            case EntryKind.BATCH:
                self._apply_batch(entry)
            case EntryKind.MEMBERSHIP:
                self.membership = decode_membership(entry.control)
                self.membership_index, self.membership_term = entry.index, entry.term
                self.memberships.append((entry.index, self.membership))
            case EntryKind.TRIM_TO:
                self.start_offset = max(self.start_offset, trim_offset(entry))
            case EntryKind.EXPIRE_PRODUCERS:
                for producer in msgspec.msgpack.decode(entry.control, type=list[int]):
                    self.producers.pop(ProducerId(producer), None)
            case EntryKind.COMMAND:
                assert self.machine is not None, "a command for a partition that folds none"
                self.answer = self.machine.apply(entry.control, entry.index, entry.term)
            case EntryKind.HOLE:
                self._apply_hole(entry)
            case EntryKind.DROP_TOMBSTONES:
                self.tombstones_upto = max(self.tombstones_upto, tombstone_limit(entry))
        self.index, self.term = entry.last_index, entry.last_term
        self.end_offset, self.open_end = entry.end_offset, entry.hole is not None
        self.last_append_time_ns = max(self.last_append_time_ns, entry.append_time_ns)

    def _apply_batch(self, entry: Entry) -> None:
        batch = entry.batch
        assert batch is not None
        if not batch.producer_id:
            return
        made = RecentBatch(
            batch.base_sequence, batch.record_count, entry.base_offset, entry.index, batch.producer_epoch
        )
        self._produced(batch.producer_id, (made,), entry.append_time_ns)

    def _apply_hole(self, entry: Entry) -> None:
        hole = entry.hole
        assert hole is not None
        self.tombstones_upto = max(self.tombstones_upto, hole.tombstones_upto)
        for producer in hole.producers:
            self._produced(producer.producer, producer.recent, producer.last_append_time_ns)

    def _produced(self, producer: ProducerId, made: tuple[RecentBatch, ...], append_time_ns: int) -> None:
        known = self.producers.get(producer)
        recent = (*known.recent, *made)[-RECENT_BATCHES_MAX:] if known is not None else made
        last = made[-1]
        self.producers[producer] = ProducerState(
            last.epoch, last.base_sequence + last.record_count, recent, append_time_ns
        )


def encode_expired(producers: Sequence[ProducerId]) -> bytes:
    """The control content of EXPIRE_PRODUCERS."""
    return bytes(msgspec.msgpack.encode(list(producers)))


def encode_trim(offset: Offset) -> bytes:
    """The control content of TRIM_TO: the first offset that stays."""
    return offset.to_bytes(8, "little")


def trim_offset(entry: Entry) -> Offset:
    """The inverse."""
    return Offset(int.from_bytes(entry.control, "little"))


def encode_fold(fold: Fold) -> bytes:
    """Version, CRC32C, content."""
    content = msgspec.msgpack.encode(
        (
            plain_membership(fold.membership),
            fold.index,
            fold.term,
            fold.end_offset,
            fold.start_offset,
            fold.last_append_time_ns,
            {producer: _plain_producer(state) for producer, state in fold.producers.items()},
            *_plain_rest(fold),
        )
    )
    return bytes([FORMAT]) + int(google_crc32c.value(content)).to_bytes(4, "little") + content


def _plain_rest(fold: Fold) -> tuple[object, ...]:
    """What not every partition has, at the end."""
    machine = fold.machine.encode() if fold.machine is not None else b""
    if fold.membership_index:
        return machine, fold.tombstones_upto, fold.membership_index, fold.membership_term
    if fold.tombstones_upto:
        return machine, fold.tombstones_upto
    return (machine,) if fold.machine is not None else ()


def decode_fold(data: bytes, machine_of: MachineOf | None = None) -> Fold:
    """The inverse, with its machine if one is wanted; CorruptStorage if the bytes are not those that were encoded."""
    content = data[5:]
    if len(data) < 5 or data[0] != FORMAT or google_crc32c.value(content) != int.from_bytes(data[1:5], "little"):
        raise CorruptStorage("a fold is damaged or of another version")
    members, index, term, end, start, append_time, producers, *rest = msgspec.msgpack.decode(content, strict=False)
    return Fold(
        membership=membership_of(members),
        membership_index=Index(rest[2] if len(rest) > 3 else 0),
        membership_term=Term(rest[3] if len(rest) > 3 else 0),
        index=Index(index),
        term=Term(term),
        end_offset=Offset(end),
        start_offset=Offset(start),
        last_append_time_ns=append_time,
        producers={ProducerId(int(producer)): _producer(known) for producer, known in producers.items()},
        machine=machine_of(rest[0] if rest else b"") if machine_of is not None else None,
        tombstones_upto=Index(rest[1] if len(rest) > 1 else 0),
        open_end=index > 0,  # what its last entry was is not written down
    )


def _plain_producer(state: ProducerState) -> tuple[object, ...]:
    recent = [(b.base_sequence, b.record_count, b.base_offset, b.index, b.epoch) for b in state.recent]
    return state.epoch, state.next_sequence, recent, state.last_append_time_ns


def _producer(plain: Any) -> ProducerState:
    epoch, next_sequence, recent, last = plain
    batches = tuple(RecentBatch(sequence, count, Offset(o), Index(i), made) for sequence, count, o, i, made in recent)
    return ProducerState(epoch, next_sequence, batches, last)
