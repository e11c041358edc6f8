"""After a crash: what of a segment's frames is whole, and what a damaged place means (FAST'18).

Rules, for the first frame that is not whole:
1. Nothing but zeros from there on, and at least one: the clean end (the rest is reserved space). In the last segment
   nothing at all means that the file was cut, perhaps exactly behind a frame: that is doubtful, as in rule 3.
2. A later segment exists (it is begun only after the earlier one was synced), or a later intact frame says that this
   index was known to be synced: the frame had been whole. That is corruption: the bytes from here on are set aside, the
   log ends before them, and the replica is *recovering*.
3. Otherwise it is *doubtful*: a torn write, or a flipped bit in the last frames. The bytes stay where they are until
   peers have decided; the index, and the highest term that the entry can have had, are reported.
"""

from dataclasses import dataclass

from cluster.log.frame import HEADER_BYTES, MAGIC, FrameHeader, decode_frame, decode_header
from cluster.log.segment import Segment
from cluster.records import Entry
from cluster.types import Index, PartitionId, Term

_MAGIC = MAGIC.to_bytes(4, "little")


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is wrong behind the last whole frame."""

    index: Index
    position: int
    term_bound: Term
    corruption: bool


def scan(
    segment: Segment, data: bytes, partition: PartitionId, *, more_segments: bool, vote_term: Term
) -> tuple[list[Entry], Damage | None]:
    """The segment's whole entries from its beginning, and what stops them. `data` is the whole file."""
    entries: list[Entry] = []
    position = segment.head_bytes
    index = segment.base_index
    offset, open_end = segment.base_offset, True
    while (entry := decode_frame(data, position, partition)) is not None:
        if entry.index != index or entry.base_offset < offset or (entry.base_offset > offset and not open_end):
            break
        entries.append(entry)
        position += HEADER_BYTES + entry.size_bytes
        index, offset, open_end = Index(entry.last_index + 1), entry.end_offset, entry.hole is not None
    if not any(data[position:]) and (more_segments or position < len(data)):
        return entries, None  # of a segment before the last one the next one's base shows whether something is missing
    known = decode_header(data, position, partition)
    term = known.entry.term if known is not None and known.entry.index == index else vote_term
    corruption = more_segments or any(
        header.entry.index > index and header.synced_index >= index for header in _later(data, position + 1, partition)
    )
    return entries, Damage(index=index, position=position, term_bound=term, corruption=corruption)


def _later(data: bytes, position: int, partition: PartitionId) -> list[FrameHeader]:
    """Intact headers anywhere behind `position`."""
    found = []
    while (position := data.find(_MAGIC, position)) >= 0:
        header = decode_header(data, position, partition)
        if header is not None:
            found.append(header)
        position += 1
    return found
