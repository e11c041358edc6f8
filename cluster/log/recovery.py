"""After a crash: what of a segment's frames is whole, and what a damaged place means (FAST'18).

Rules, for the first frame that is not whole:
1. Nothing but zeros from there on, and at least one: the clean end (the rest is reserved space). In the last segment
   nothing at all means that the file was cut, perhaps exactly behind a frame: that is doubtful, as in rule 4.
2. The next segment begins with this very index: no entry is missing. What is left of a torn write was decided about
   before the log went on behind it; it stays where it is. (Not so in a compacted segment: it was whole before it got
   its name, and may stand in the place of the next one.)
3. A later segment exists (it is begun only after the earlier one was synced), or a later intact frame says that this
   index was known to be synced: the frame had been whole. That is corruption: the bytes from here on are set aside, the
   log ends before them, and the replica is *recovering*.
4. Otherwise it is *doubtful*: a torn write, or a flipped bit in the last frames. The bytes stay where they are until
   peers have decided; the index, and the highest term that the entry can have had, are reported. So are those of all
   entries of the same write whose intact headers stand behind it: they cannot stand alone, but may have been promised.
   Where bytes follow that no header explains, or the file ends too early, nobody can say how many entries there were:
   a bound is reported, too.
"""

from dataclasses import dataclass

from cluster.log.frame import HEADER_BYTES, MAGIC, FrameHeader, decode_frame, decode_header
from cluster.log.segment import Segment
from cluster.records import Entry
from cluster.types import Index, PartitionId, Term

_MAGIC = MAGIC.to_bytes(4, "little")
CUT_ENTRIES_MAX = 1 << 20
"""A file that ends too early held no more than so many others: those with nothing in them would fill 100 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is wrong behind the last whole frame.

    `doubts`: entries that were there, perhaps, oldest first; of all but the first one the term is exact. `doubts_to`:
    there may have been more, up to that index and of no higher term than that.
    """

    position: int
    doubts: tuple[tuple[Index, Term], ...] = ()
    doubts_to: tuple[Index, Term] | None = None
    corruption: bool


def scan(
    segment: Segment, data: bytes, partition: PartitionId, *, next_base: Index | None, vote_term: Term
) -> tuple[list[Entry], Damage | None]:
    """The segment's whole entries from its beginning, and what stops them. `data` is the whole file.

    `next_base`: the index with which the next segment begins, if there is one.
    """
    more_segments = next_base is not None
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
    if next_base == index and not segment.compacted:
        return entries, None
    known = decode_header(data, position, partition)
    if known is not None and known.entry.index != index:
        known = None
    later = {
        end: header
        for end, header in _later(data, position + 1, partition).items()
        if header.entry.index > index
        and (known is None or header.entry.term >= known.entry.term)  # or left from before
    }
    corruption = more_segments or any(header.synced_index >= index for header in later.values())
    terms = {header.entry.index: header.entry.term for header in later.values()}
    doubts = _doubts(index, min([known.entry.term if known is not None else vote_term, *terms.values()]), terms)
    explained = max([position + known.frame_bytes if known is not None else position, *later])
    more = _entries_max(data, explained)
    last = max([index, *terms]) + (more if known is not None or later else max(more - 1, 0))
    doubts_to = (Index(last), vote_term if more else terms.get(Index(last), vote_term))
    return entries, Damage(
        position=position,
        doubts=doubts,
        doubts_to=doubts_to if last > doubts[-1][0] else None,
        corruption=corruption,
    )


def _doubts(index: Index, term: Term, later: dict[Index, Term]) -> tuple[tuple[Index, Term], ...]:
    """The entry at `index`, of that term at most, and those that are known to have followed, as far as all are."""
    doubts = [(index, term)]
    while (following := Index(doubts[-1][0] + 1)) in later:
        doubts.append((following, later[following]))
    return tuple(doubts)


def _entries_max(data: bytes, position: int) -> int:
    """How many entries may have begun there, or behind: zeros say that nothing has, but some always follow a frame."""
    rest = data[position:]
    written = len(rest.rstrip(b"\0"))
    if written == len(rest):
        return CUT_ENTRIES_MAX
    return -(-written // HEADER_BYTES)


def _later(data: bytes, position: int, partition: PartitionId) -> dict[int, FrameHeader]:
    """Intact headers anywhere behind `position`, by where their frames end."""
    found = {}
    while (position := data.find(_MAGIC, position)) >= 0:
        header = decode_header(data, position, partition)
        if header is not None:
            found[position + header.frame_bytes] = header
        position += 1
    return found
