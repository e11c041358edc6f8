"""A store on its way to another replica: chunks that are checked, in order, and all of one index. Pure.

Whoever is behind the start of a task's log gets the state as of an index instead. A chunk says of which one, and which
part of the order of (store, key) it is: it follows `after` and reaches to `upto`. So a transfer that broke goes on
behind the last chunk that arrived, at the same sender as long as that keeps the snapshot, or begins anew; chunks of two
snapshots are never mixed.
"""

from collections.abc import Iterable

import google_crc32c
import msgspec

from cluster.errors import CorruptStorage, RefusedToStart, SnapshotRefused
from cluster.types import Index

FORMAT = 1

Place = tuple[str, bytes]
"""A store's name, which is not empty, and a key: all state is in this order."""
Row = tuple[str, bytes, bytes]
"""Store, key, value."""
BEFORE_ALL: Place = ("", b"")


class Applied(msgspec.Struct, frozen=True, array_like=True):
    """How far a store is: the index of the last entry that it has taken in, and the number of the last commit."""

    index: Index
    n: int


NOTHING = Applied(Index(0), 0)


class Chunk(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Rows behind `after`, up to and with `upto`, of the state as of `applied`; `last`: there are no more."""

    applied: Applied
    after: Place
    upto: Place
    last: bool
    rows: list[Row]


_decoder = msgspec.msgpack.Decoder(Chunk)


def chunk_of(applied: Applied, after: Place, rows: Iterable[Row], bytes_max: int) -> Chunk:
    """As many of the rows, which follow `after`, as are not more than `bytes_max`; at least one, if there is one."""
    taken: list[Row] = []
    size, last = 0, True
    for row in rows:
        size += len(row[0]) + len(row[1]) + len(row[2])
        if taken and size > bytes_max:
            last = False
            break
        taken.append(row)
    upto = (taken[-1][0], taken[-1][1]) if taken else after
    return Chunk(applied=applied, after=after, upto=upto, last=last, rows=taken)


def encode_chunk(chunk: Chunk) -> bytes:
    """Version, CRC32C, content."""
    content = msgspec.msgpack.encode(chunk)
    return bytes([FORMAT]) + int(google_crc32c.value(content)).to_bytes(4, "little") + content


def decode_chunk(data: bytes) -> Chunk:
    """The inverse. CorruptStorage: not the bytes that were encoded; RefusedToStart: another version's."""
    content = data[5:]
    if len(data) < 5 or google_crc32c.value(content) != int.from_bytes(data[1:5], "little"):
        raise CorruptStorage("a piece of a task's state is damaged")
    if data[0] != FORMAT:
        raise RefusedToStart(f"a task's state comes from another version of riverrun (format {data[0]}, not {FORMAT})")
    return _decoder.decode(content)


def refuse_stranger(chunk: Chunk, applied: Applied, installing: tuple[Applied, Place] | None) -> None:
    """SnapshotRefused unless the chunk is a first one, or follows what is here, and is newer than the state."""
    if chunk.applied.index <= applied.index:
        raise SnapshotRefused(f"a snapshot as of index {chunk.applied.index}; the state is that of {applied.index}")
    if chunk.after != BEFORE_ALL and (chunk.applied, chunk.after) != installing:
        raise SnapshotRefused(
            f"a piece that follows {chunk.after} of the state as of {chunk.applied.index} fits nowhere"
        )
