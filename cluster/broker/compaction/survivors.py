"""Which records a pass leaves: the newest of each key, and tombstones that are still wanted. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from hashlib import blake2b

from cluster.errors import RiverrunError
from cluster.records import Entry
from cluster.types import NO_INDEX, Index, Offset
from cluster.wire.compacting import keyed_offsets, without_records

DIGEST_BYTES = 16
"""Longer keys are remembered by a BLAKE2b digest of this size: two that share one are not to be expected."""


class Newest:
    """The newest offset of each key, behind `clean_upto` and up to `upto`; at most so many keys and one entry's.

    What was clean before takes no room again: a pass of a segment with more keys than that would never come further.
    """

    def __init__(self, keys_max: int, clean_upto: Index = NO_INDEX) -> None:
        self.upto = self._clean_upto = clean_upto
        self._keys_max = keys_max
        self._offsets: dict[bytes, Offset] = {}

    @property
    def is_full(self) -> bool:
        """Nothing more is to be added: another pass has to see the rest."""
        return len(self._offsets) >= self._keys_max

    def add(self, entries: Iterable[Entry]) -> None:
        """The next entries, until it is full."""
        for entry in entries:
            if entry.last_index <= self._clean_upto:
                continue
            if self.is_full:
                return
            if entry.batch is not None:
                try:
                    for offset, key in keyed_offsets(entry.batch, entry.base_offset):
                        self._offsets[_short(key)] = offset
                except RiverrunError:
                    pass  # a poison batch: it says nothing of any key
            self.upto = entry.last_index

    def is_superseded(self, key: bytes, offset: Offset) -> bool:
        """Whether there is a newer record with that key."""
        return self._offsets.get(_short(key), offset) > offset


class Survivors:
    """What of entries is left, and what there was to learn of tombstones.

    `oldest_tombstone`: (index, append time) of the first one that is left. `dropped`: some tombstones are not.
    """

    def __init__(self, newest: Newest, drop_upto: Index) -> None:
        self._newest = newest
        self._drop_upto = min(drop_upto, newest.upto)  # beyond it older records of the key may be left
        self.removed = 0
        self.dropped = False
        self.oldest_tombstone: tuple[Index, int] | None = None

    def thinned(self, entry: Entry) -> Entry:
        """The entry with what survives of it; itself if that is all."""
        batch = entry.batch
        if batch is None or (batch.compacted and not batch.payload):
            return entry

        def survives(offset: Offset, key: bytes | None, tombstone: bool) -> bool:  # noqa: FBT001
            if key is None:
                return True
            if self._newest.is_superseded(key, offset):
                self.removed += 1
                return False
            if not tombstone:
                return True
            if entry.index <= self._drop_upto:
                self.removed += 1
                self.dropped = True
                return False
            if self.oldest_tombstone is None:
                self.oldest_tombstone = entry.index, entry.append_time_ns
            return True

        try:
            return replace(entry, batch=without_records(batch, entry.base_offset, survives))
        except RiverrunError:
            return entry


def _short(key: bytes) -> bytes:
    return key if len(key) < DIGEST_BYTES else blake2b(key, digest_size=DIGEST_BYTES).digest()
