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
   Where bytes follow that no header explains, or the file ends too early (zeros always follow what was written), or the
   last header is a hole's, nobody can say how many entries there were: any number, for a hole takes no room for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.log.frame import HEADER_BYTES, MAGIC, FrameHeader, decode_frame, decode_header
from cluster.log.segment import Segment
from cluster.records import Entry, EntryKind
from cluster.types import UNCOUNTED, Index, PartitionId, Term

_MAGIC = MAGIC.to_bytes(4, "little")


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is wrong behind the last whole frame.

    `doubts`: entries that were there, perhaps, oldest first; of all but the first one the term is exact. `doubts_to`:
    there may have been more, up to that index (UNCOUNTED: any) and of no higher term than that.
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
    later = [
        (end, header)
        for end, header in _headers(data, position + 1, partition)
        if header.entry.index > index
        and (known is None or header.entry.term >= known.entry.term)  # or left from before
    ]
    explained = [*later] if known is None else [(position + known.frame_bytes, known), *later]
    doubts = _doubts(index, known.entry.term if known is not None else vote_term, [header for _, header in later])
    return entries, Damage(
        position=position,
        doubts=doubts,
        doubts_to=_doubts_to(doubts[-1][0], vote_term, data, explained or [(position, None)]),
        corruption=more_segments or any(header.synced_index >= index for _, header in later),
    )


def _doubts(index: Index, term: Term, later: list[FrameHeader]) -> tuple[tuple[Index, Term], ...]:
    """The entry at `index`, of that term at most, and those that are known to have followed, as far as all are."""
    terms = {header.entry.index: header.entry.term for header in later}
    doubts = [(index, min([term, *terms.values()]))]
    while (following := Index(doubts[-1][0] + 1)) in terms:
        doubts.append((following, terms[following]))
    return tuple(doubts)


def _doubts_to(
    counted: Index, vote_term: Term, data: bytes, explained: Sequence[tuple[int, FrameHeader | None]]
) -> tuple[Index, Term] | None:
    """What there may have been behind what is `counted`, by the intact headers and where their frames end."""
    rest = data[max(end for end, _ in explained) :]
    newest = max((header.entry for _, header in explained if header is not None), key=_index, default=None)
    if any(rest) or not rest or newest is None or newest.kind is EntryKind.HOLE:
        return UNCOUNTED, vote_term
    return (newest.index, newest.term) if newest.index > counted else None


def _index(entry: Entry) -> Index:
    return entry.index


def _headers(data: bytes, position: int, partition: PartitionId) -> list[tuple[int, FrameHeader]]:
    """Intact headers anywhere behind `position`, each with where its frame ends."""
    found = []
    while (position := data.find(_MAGIC, position)) >= 0:
        header = decode_header(data, position, partition)
        if header is not None:
            found.append((position + header.frame_bytes, header))
        position += 1
    return found
