"""The mark of a recovering replica: from before entries go that it may have acknowledged until they are here again.

So a second restart knows of them, too. It may say what the log ended with (`cluster.raft.beginning`, rule 6). An
empty one, or one that cannot be read, says that this is not known.
"""

import struct
from contextlib import closing

import google_crc32c

from cluster.types import Index, Term
from cluster.world import Disk

Owes = tuple[Index, Term] | None
"""The newest entry that can have been acknowledged; None: that is not known."""
MARK_FILE = "recovering"
NEW_MARK_FILE = "recovering.new"
"""Until it is on disk."""
MAGIC = b"RRMARK01"
_MARK = struct.Struct("<8sQQ")
_CRC = struct.Struct("<I")


def set_mark(disk: Disk, directory: str, identity: bytes, owes: Owes = None) -> None:
    """Make or replace it; on disk when this returns. Without room, or power, until then, all is as it was. Blocks."""
    with closing(disk.open(f"{directory}/{NEW_MARK_FILE}", create=True)) as file:
        file.truncate(0)
        if owes is not None:
            body = _MARK.pack(MAGIC, *owes)
            file.write(0, [body, _CRC.pack(_checksum(body, identity))])
        file.sync()
    disk.rename(f"{directory}/{NEW_MARK_FILE}", f"{directory}/{MARK_FILE}")
    disk.sync_directory(directory)


def read_mark(disk: Disk, directory: str, identity: bytes) -> tuple[bool, Owes]:
    """Whether there is one, and what the log ended with, if the mark says so."""
    if MARK_FILE not in disk.list(directory):
        return False, None
    with closing(disk.open(f"{directory}/{MARK_FILE}")) as file:
        data = file.read(0, _MARK.size + _CRC.size)
    body, crc = data[: _MARK.size], data[_MARK.size :]
    if len(crc) < _CRC.size or _CRC.unpack(crc)[0] != _checksum(body, identity):
        return True, None
    magic, index, term = _MARK.unpack(body)
    return True, (Index(index), Term(term)) if magic == MAGIC else None


def clear_mark(disk: Disk, directory: str) -> None:
    """It goes, if it is there; on disk when this returns. Blocks."""
    if MARK_FILE in disk.list(directory):
        disk.remove(f"{directory}/{MARK_FILE}")
        disk.sync_directory(directory)


def _checksum(body: bytes, identity: bytes) -> int:
    return int(google_crc32c.extend(google_crc32c.value(identity), body))
