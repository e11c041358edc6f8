"""Keyed state of a task: what it promises, wherever it is kept.

A store only ever holds committed data: the changes of accepted commits are applied to it, on the leader as on its
followers, after the log has committed them. It remembers in the same transaction how far it is (`applied`), so it is
always the state as of exactly one index.

Applying is not durable, for the task's log is the store's own: after a crash a store is as of some index between the
last `flush` and the last `apply`, whole, and the log's entries behind that are applied again. So the log may be trimmed
up to what was flushed, not further (`Ledger.trim_limit`). A store is slow to flush and fast to apply: its owner flushes
every few seconds or megabytes.

`store_sqlite` and `store_lmdb` keep it in a file, `store_memory` in memory, with the same losses in a crash, for the
simulator.
"""

from collections.abc import Sequence
from typing import Protocol

from cluster.processing.snapshot import Applied, Place
from cluster.processing.work import StateChange
from cluster.types import Index


class Snapshot(Protocol):
    """The state as of `applied`, whatever the store does meanwhile, until it is closed."""

    applied: Applied

    def chunk(self, after: Place, bytes_max: int) -> bytes:
        """What follows `after` (`snapshot.BEFORE_ALL`: from the start), encoded: see `snapshot.Chunk`.

        One row at least, so a chunk may be larger if a row is.
        """

    def close(self) -> None:
        """Let go of it; closing again does nothing."""


class Store(Protocol):
    """State by (store's name, key). One call at a time; calls block, so they run off the event loop.

    Errors: DiskFull (nothing was changed), DiskFailed (the state of the file is unknown: it is opened again), and
    CorruptStorage (the store is damaged: it is thrown away, and installed from another replica's snapshot).
    """

    @property
    def applied(self) -> Applied:
        """How far the state is."""

    @property
    def flushed(self) -> Index:
        """How much of it is durable: a crash leaves the state of this index or a later one."""

    def get_many(self, places: Sequence[Place]) -> list[bytes | None]:
        """The values, in the order of the places; None where there is none."""

    def scan(self, store: str, prefix: bytes, *, after: bytes | None = None, limit: int) -> list[tuple[bytes, bytes]]:
        """Keys that start with `prefix`, behind `after` if one is given, with their values, in the order of bytes."""

    def apply(self, applied: Applied, changes: Sequence[StateChange]) -> None:
        """The changes of one commit, all or none, and how far the state is then, which never goes back."""

    def flush(self) -> None:
        """Make durable what is applied."""

    def snapshot(self) -> Snapshot:
        """The state as it is now, to be read while the store goes on."""

    @property
    def installing(self) -> tuple[Applied, Place] | None:
        """A snapshot of which chunks are here: which, and up to where. None: of none."""

    def install(self, chunk: bytes) -> bool:
        """One chunk of another replica's snapshot; True if it was the last one: then the snapshot is the state.

        A first chunk begins anew, whatever was here of others; a crash may lose chunks, not half of one. The state as
        it was is there until the last chunk. SnapshotRefused: it does not follow what is here, or is not newer than
        the state.
        """

    def close(self) -> None:
        """Let go of files; what is not flushed may be lost."""
