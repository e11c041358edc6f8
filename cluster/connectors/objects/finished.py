"""Which files of a place were read, and how far the one that is being read: the cursor. Pure.

Names are remembered as eight bytes of their hash, of files that are still there; of rising names only the last one. A
name that was gone and is there again is a new file.
"""

import hashlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Self

import msgspec

from cluster.connectors.objects.store import Entry
from cluster.errors import InvalidRoute

FORMAT = 1
HASH_BYTES = 8
FILES_MAX = 10_000


class Current(msgspec.Struct, array_like=True, frozen=True):
    """The file that is being read. `place`: the byte, row or element that comes next."""

    name: str
    version: str
    size: int
    place: int = 0
    skipping: bool = False
    """`place` lies in a line that was too long."""


class Cursor(msgspec.Struct, array_like=True, frozen=True):
    """`last`: of rising names. `hashes`: of the others, one after the other."""

    format: int = FORMAT
    last: str = ""
    hashes: bytes = b""
    current: Current | None = None

    @classmethod
    def decode(cls, written: bytes) -> Self:
        """InvalidRoute: it is not one of ours."""
        try:
            found = msgspec.msgpack.decode(written, type=cls)
        except msgspec.MsgspecError as error:
            raise InvalidRoute(f"the cursor of the files cannot be read: {error}") from error
        if found.format != FORMAT or len(found.hashes) % HASH_BYTES:
            raise InvalidRoute(f"the cursor of the files has format {found.format}; this version reads {FORMAT}")
        return found

    def encode(self) -> bytes:
        """For the commit."""
        return msgspec.msgpack.encode(self)


class Finished:
    """What was read. `rising`: new names lie behind the old ones."""

    def __init__(self, cursor: Cursor, *, rising: bool) -> None:
        self._rising, self._last = rising, cursor.last
        parts = range(0, len(cursor.hashes), HASH_BYTES)
        self._hashes = {cursor.hashes[at : at + HASH_BYTES] for at in parts}

    def __contains__(self, name: str) -> bool:
        return name <= self._last if self._rising else _hash(name) in self._hashes

    def add(self, name: str) -> None:
        """It was read to its end."""
        if self._rising:
            self._last = max(self._last, name)
        else:
            self._hashes.add(_hash(name))

    def keep(self, names: Sequence[str], where: str) -> None:
        """Forget what is not there any more. InvalidRoute: too many are."""
        if self._rising:
            return
        if len(names) > FILES_MAX:
            raise InvalidRoute(
                f"{where} has {len(names)} files, at most {FILES_MAX} can be told apart: take those away that were"
                " read, or set rising = true if new names come behind the old ones"
            )
        self._hashes &= set(map(_hash, names))

    def cursor(self, current: Current | None) -> Cursor:
        """To go on from."""
        return Cursor(FORMAT, self._last, b"".join(sorted(self._hashes)), current)


def chosen(entries: Sequence[Entry], pattern: str) -> list[Entry]:
    """Those that are to be read, by name; a part of a name that begins with `_` or `.` hides it.

    InvalidRoute: a name is no text.
    """
    found = [
        entry
        for entry in entries
        if fnmatchcase(entry.name, pattern) and not any(part[:1] in {"_", "."} for part in entry.name.split("/"))
    ]
    for entry in found:
        if not entry.name.isprintable():
            raise InvalidRoute(f"{entry.name!r} is a name that cannot be kept: give the file another one")
    return found


def _hash(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=HASH_BYTES).digest()
