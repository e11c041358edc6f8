"""How far each file was read, and by what it is known again: the cursor. Pure.

A file is its device and inode, as long as the bytes that were read are still there: an inode is used again after a file
was deleted, and a file may be truncated and written anew. So a mark holds a fingerprint of the first bytes and of those
before its offset; where that does not fit, the file is another one, and begins at its start.
"""

import hashlib
from typing import Self

import msgspec

from cluster.errors import InvalidRoute

FINGER_BYTES = 256
FORMAT = 1

FileId = tuple[int, int]
"""Device and inode."""


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """One file. `skipping`: `offset` lies in a line that was too long, whose rest is passed over."""

    device: int
    inode: int
    name: str
    offset: int = 0
    finger: bytes = b""
    skipping: bool = False

    @property
    def file(self) -> FileId:
        """Which file it is."""
        return self.device, self.inode

    def moved(self, offset: int, head: bytes, behind: bytes, *, skipping: bool) -> "Mark":
        """Further on. `head`: the file's first bytes, `behind`: what lies before `offset`; both as far as there are."""
        return msgspec.structs.replace(self, offset=offset, finger=_finger(head, behind, offset), skipping=skipping)

    def begun_anew(self) -> "Mark":
        """The same name and inode, with other content."""
        return Mark(self.device, self.inode, self.name)

    def fits(self, head: bytes, behind: bytes) -> bool:
        """Whether what was read is still there."""
        return self.offset == 0 or self.finger == _finger(head, behind, self.offset)


def _finger(head: bytes, behind: bytes, offset: int) -> bytes:
    length = min(offset, FINGER_BYTES)
    return hashlib.blake2b(head[:length] + behind[-length:] if length else b"", digest_size=8).digest()


class Cursor(msgspec.Struct, array_like=True, frozen=True):
    """The marks of all files that are known, in the order in which they were found.

    `machine`: the name of the one that they are on; "": written before that was kept.
    """

    format: int
    marks: tuple[Mark, ...]
    machine: str = ""

    @classmethod
    def decode(cls, written: bytes) -> Self:
        """InvalidRoute: it is not one of ours."""
        try:
            found = msgspec.msgpack.decode(written, type=cls)
        except msgspec.MsgspecError as error:
            raise InvalidRoute(f"the cursor of the files cannot be read: {error}") from error
        if found.format != FORMAT:
            raise InvalidRoute(f"the cursor of the files has format {found.format}; this version reads {FORMAT}")
        return found

    def encode(self) -> bytes:
        """For the commit."""
        return msgspec.msgpack.encode(self)
