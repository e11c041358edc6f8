"""The mark of a recovering replica: from before entries go that it may have acknowledged until they are here again.

So a second restart knows of them, too. It may say what the log ended with (`cluster.raft.beginning`, rule 6), and how
far it has to reach to be whole. An empty one, or one that cannot be read, says that neither is known; so does one that
says how far, to older versions.
"""

import struct
from contextlib import closing
from typing import NamedTuple

import google_crc32c

from cluster.types import Index, Term
from cluster.world import Disk

Owes = tuple[Index, Term] | None
"""The newest entry that can have been acknowledged; None: that is not known."""
MARK_FILE = "recovering"
NEW_MARK_FILE = "recovering.new"
"""Until it is on disk."""
MAGIC, REACHING = b"RRMARK01", b"RRMARK02"
_MARK, _REACH = struct.Struct("<8sQQ"), struct.Struct("<8sQQQ")
_CRC = struct.Struct("<I")
_NONE = (1 << 64) - 1


class Mark(NamedTuple):
    """What a replica knows of what it lacks. `whole_at`: see `cluster.raft.tail`; None: that is not known."""

    owes: Owes = None
    whole_at: Index | None = None


UNKNOWN = Mark()


def set_mark(disk: Disk, directory: str, identity: bytes, mark: Mark = UNKNOWN) -> None:
    """Make or replace it; on disk when this returns. Without room, or power, until then, all is as it was. Blocks."""
    with closing(disk.open(f"{directory}/{NEW_MARK_FILE}", create=True)) as file:
        file.truncate(0)
        if (body := _encoded(mark)) is not None:
            file.write(0, [body, _CRC.pack(_checksum(body, identity))])
        file.sync()
    disk.rename(f"{directory}/{NEW_MARK_FILE}", f"{directory}/{MARK_FILE}")
    disk.sync_directory(directory)


def read_mark(disk: Disk, directory: str, identity: bytes) -> Mark | None:
    """What it says, if there is one."""
    if MARK_FILE not in disk.list(directory):
        return None
    with closing(disk.open(f"{directory}/{MARK_FILE}")) as file:
        data = file.read(0, _REACH.size + _CRC.size)
    body, crc = data[: -_CRC.size], data[-_CRC.size :]
    if len(crc) < _CRC.size or _CRC.unpack(crc)[0] != _checksum(body, identity):
        return UNKNOWN
    return _decoded(body)


def _encoded(mark: Mark) -> bytes | None:
    if mark.whole_at is not None:
        return _REACH.pack(REACHING, *(mark.owes or (_NONE, 0)), mark.whole_at)
    return None if mark.owes is None else _MARK.pack(MAGIC, *mark.owes)


def _decoded(body: bytes) -> Mark:
    if len(body) == _REACH.size and body.startswith(REACHING):
        _, index, term, whole_at = _REACH.unpack(body)
        return Mark(None if index == _NONE else (Index(index), Term(term)), Index(whole_at))
    if len(body) == _MARK.size and body.startswith(MAGIC):
        _, index, term = _MARK.unpack(body)
        return Mark((Index(index), Term(term)))
    return UNKNOWN


def clear_mark(disk: Disk, directory: str) -> None:
    """It goes, if it is there; on disk when this returns. Blocks."""
    if MARK_FILE in disk.list(directory):
        disk.remove(f"{directory}/{MARK_FILE}")
        disk.sync_directory(directory)


def _checksum(body: bytes, identity: bytes) -> int:
    return int(google_crc32c.extend(google_crc32c.value(identity), body))
