"""One entry as its disk has it now, past the cache: read, checked, and said what is wrong with it if something is.

Looking and reading are two steps, because the file belongs to the writer's thread: `locate` notes where the entry is,
`inspect` reads there, among the writer's own work, and `is_still_there` tells whether the log has moved on meanwhile.
"""

from dataclasses import dataclass

from cluster.log.frame import decode_frame
from cluster.log.log import Log
from cluster.log.segment import Segment
from cluster.records import Entry
from cluster.types import Index, Offset, PartitionId, Term
from cluster.world import File


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where the entry that holds an offset was when it was looked for. `file` None: nothing is written there yet."""

    offset: Offset
    segment: Segment
    file: File | None
    index: Index
    term: Term
    position: int
    frame_bytes: int


def locate(log: Log, offset: Offset) -> Location:
    """The entry that holds the record at `offset`, which must be between the log's start and its end."""
    segment, index = log.find(offset)
    position, frame_bytes = segment.span(index)
    return Location(
        offset=offset,
        segment=segment,
        file=segment.file,
        index=index,
        term=segment.term_at(index),
        position=position,
        frame_bytes=frame_bytes,
    )


def is_still_there(log: Log, location: Location) -> bool:
    """Whether the log has neither cut, nor trimmed, nor replaced, nor closed it."""
    return (
        not log.closed
        and log.start_offset <= location.offset < log.end_offset
        and location == locate(log, location.offset)
    )


def inspect(location: Location, partition: PartitionId) -> Entry | str:
    """The entry, read from its file and whole; otherwise what is wrong with it. Blocks."""
    assert location.file is not None, "nothing is written there yet"
    where = f"entry {location.index} at byte {location.position} of {location.segment.path}"
    try:
        data = location.file.read(location.position, location.frame_bytes)
    except OSError as error:
        return f"{where} cannot be read: {error}"
    entry = decode_frame(data, 0, partition)
    if entry is None:
        return f"{where} does not match its frame's checksum"
    if (entry.index, entry.term) != (location.index, location.term):
        return f"{where} is another one: {entry.index} of term {entry.term}"
    if entry.hole is None and (entry.batch is None or not entry.batch.is_intact()):
        return f"{where} does not match its batch's checksum"
    return entry
