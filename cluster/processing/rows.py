"""Rows of keyed state as files hold them: each with a CRC32C over where it belongs and what it is. Pure."""

import google_crc32c

from cluster.errors import CorruptStorage


def crc_of(store: str, key: bytes, value: bytes) -> int:
    """Of a whole row, so that one which stands in another's place is noticed, too."""
    head = b"%d %d " % (len(store), len(key))
    return int(google_crc32c.extend(google_crc32c.value(head + store.encode() + key), value))


def checked(store: str, key: bytes, value: bytes, crc: int) -> bytes:
    """The value; CorruptStorage if it is not what was written."""
    if crc != crc_of(store, key, value):
        raise CorruptStorage(f"the value of {key!r} in {store!r} is damaged")
    return value


def end_of(prefix: bytes) -> bytes | None:
    """The first key behind all that start with `prefix`; None: there is no end."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None
