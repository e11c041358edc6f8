"""The mark of a recovering replica: from before entries go that it may have acknowledged until they are here again.

So a second restart knows of them, too. It may say what the log ended with (`cluster.raft.beginning`, rule 6), and
behind that, where older versions do not look, how far it has to reach to be whole. An empty one, or one that cannot be
read, says that this is not known; then its replica votes for nobody. So it is there twice, as a vote is: one damaged
copy of the newest log's mark, and a torn write elsewhere, would leave a group without a leader.
"""

import struct
from contextlib import closing
from typing import NamedTuple

import google_crc32c

from cluster.types import UNCOUNTED, UNCOUNTED_ANEW, Index, Term
from cluster.world import Disk, File

Owes = tuple[Index, Term] | None
"""The newest entry that can have been acknowledged; None: that is not known."""
MARK_FILE = "recovering"
NEW_MARK_FILE = "recovering.new"
"""Until it is on disk."""
MAGIC = b"RRMARK01"
SLOT_BYTES = 4096
COPIES = (0, SLOT_BYTES)
"""Where they stand. Until 2026-11-29 there was the first one alone."""
_MARK, _WHOLE_AT = struct.Struct("<8sQQ"), struct.Struct("<Q")
_CRC = struct.Struct("<I")
_COPY_BYTES = _MARK.size + _WHOLE_AT.size + 2 * _CRC.size


class Mark(NamedTuple):
    """What a replica knows of what it lacks. `whole_at`: see `cluster.raft.tail`; None: it is not known."""

    owes: Owes = None
    whole_at: Index | None = None


UNKNOWN = Mark()


def lost(mark: Mark | None, term: Term) -> Mark:
    """What it has to say when any number of entries more are gone, none of a later term."""
    if mark is None:
        return Mark((UNCOUNTED, term))
    if mark.owes is None:
        return mark
    index = UNCOUNTED if mark.owes[0] == UNCOUNTED else UNCOUNTED_ANEW
    return Mark((index, max(term, mark.owes[1])), mark.whole_at)


def set_mark(disk: Disk, directory: str, identity: bytes, mark: Mark = UNKNOWN) -> None:
    """Make or replace it; on disk when this returns. Without room, or power, until then, all is as it was. Blocks."""
    with closing(disk.open(f"{directory}/{NEW_MARK_FILE}", create=True)) as file:
        file.truncate(0)
        if data := _encoded(mark, identity):
            for position in COPIES:
                file.write(position, [data])
        file.sync()
    disk.rename(f"{directory}/{NEW_MARK_FILE}", f"{directory}/{MARK_FILE}")
    disk.sync_directory(directory)


def mark_lost(disk: Disk, directory: str, identity: bytes, term: Term) -> None:
    """Entries are about to go that were on disk, any number, and none of a later term. Blocks."""
    set_mark(disk, directory, identity, lost(read_mark(disk, directory, identity), term))


def read_mark(disk: Disk, directory: str, identity: bytes) -> Mark | None:
    """What it says, if there is one."""
    if MARK_FILE not in disk.list(directory):
        return None
    with closing(disk.open(f"{directory}/{MARK_FILE}")) as file:
        return _load(file, identity)


def mend_mark(disk: Disk, directory: str, identity: bytes) -> None:
    """Of two copies the damaged one is made like the other, which takes no room."""
    if MARK_FILE not in disk.list(directory):
        return
    with closing(disk.open(f"{directory}/{MARK_FILE}")) as file:
        data = _encoded(_load(file, identity), identity)
        for position in COPIES:
            if position < file.size() and file.read(position, len(data)) != data:
                file.write(position, [data])
                disk.sync_files([file])


def _load(file: File, identity: bytes) -> Mark:
    copies = [_decoded(file.read(position, _COPY_BYTES), identity) for position in COPIES]
    return max(copies, key=lambda mark: (mark.owes is not None, mark.whole_at is not None))


def _decoded(data: bytes, identity: bytes) -> Mark:
    body, rest = _checked(data, _MARK.size, identity), data[_MARK.size + _CRC.size :]
    if not body.startswith(MAGIC):
        return UNKNOWN
    _, index, term = _MARK.unpack(body)
    whole_at = _checked(rest, _WHOLE_AT.size, identity + body)
    return Mark((Index(index), Term(term)), Index(*_WHOLE_AT.unpack(whole_at)) if whole_at else None)


def _encoded(mark: Mark, identity: bytes) -> bytes:
    if mark.owes is None:
        return b""
    body = _MARK.pack(MAGIC, *mark.owes)
    data = body + _CRC.pack(_checksum(body, identity))
    if mark.whole_at is None:
        return data
    rest = _WHOLE_AT.pack(mark.whole_at)
    return data + rest + _CRC.pack(_checksum(rest, identity + body))


def _checked(data: bytes, size: int, identity: bytes) -> bytes:
    """The first so many bytes, if the checksum behind them is theirs."""
    body, crc = data[:size], data[size : size + _CRC.size]
    return body if len(crc) == _CRC.size and _CRC.unpack(crc)[0] == _checksum(body, identity) else b""


def clear_mark(disk: Disk, directory: str) -> None:
    """It goes, if it is there; on disk when this returns. Blocks."""
    if MARK_FILE in disk.list(directory):
        disk.remove(f"{directory}/{MARK_FILE}")
        disk.sync_directory(directory)


def _checksum(body: bytes, identity: bytes) -> int:
    return int(google_crc32c.extend(google_crc32c.value(identity), body))
