"""The group commit of a node: whatever all its partitions have to write is written together and synced once.

One group is under way at a time; everyone who arrives meanwhile is in the next one. A write that finds the disk full
stays queued in its log and is tried again; any other failure of the disk ends the node, because what a file holds after
a failed sync is not known (a later sync may report success over lost pages).
"""

import asyncio
from collections.abc import Callable

from cluster.errors import DiskFailed, DiskFull, RiverrunError
from cluster.log.log import Log
from cluster.log.timing import Timing
from cluster.log.write import Write, perform
from cluster.meters import Meters
from cluster.world import Clock, Disk

RETRY_FULL_S = 1.0
Done = Callable[[RiverrunError | None], None]


class Writer:
    """Takes logs with work queued; calls back when it is on disk."""

    def __init__(self, disk: Disk, clock: Clock, meters: Meters) -> None:
        self._disk = disk
        self._clock = clock
        self._meters = meters
        self._submitted: list[tuple[Log, Done]] = []
        self._arrived = asyncio.Event()
        self.groups = 0
        """Groups written so far: each cost one sync."""
        self.timing = Timing()

    @property
    def waiting(self) -> int:
        """Logs that wait for the next group."""
        return len(self._submitted)

    def submit(self, log: Log, done: Done) -> None:
        """Write what `log` has queued with the next group; then `done(None)`, or `done(DiskFull)` and it waits."""
        self._submitted.append((log, done))
        self._arrived.set()

    async def run(self) -> None:
        """Write groups until cancelled; DiskFailed when the disk cannot be trusted any more."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            group, self._submitted = self._submitted, []
            if not group:
                continue
            await self._write(group)

    async def _write(self, group: list[tuple[Log, Done]]) -> None:
        writes: dict[int, tuple[Log, Write]] = {}
        for log, _ in group:
            if id(log) not in writes and not log.closed:
                write = log.take_write()
                if write is not None:
                    writes[id(log)] = (log, write)
        full: set[int] = set()
        try:
            if writes:
                began_s = self._clock.monotonic_s()
                self.timing.begins(began_s)
                full = await self._disk.run(
                    lambda: perform(self._disk, {key: write for key, (_, write) in writes.items()})
                )
                ended_s = self._clock.monotonic_s()
                self.timing.ends(ended_s, wrote=writes, full=full)
                self.groups += 1
                self._meters.fsync.observe(ended_s - began_s)
                self._meters.written_bytes += sum(write.written_bytes for _, write in writes.values())
        except OSError as error:
            raise DiskFailed(f"the disk failed: {error}") from error
        for key, (log, write) in writes.items():
            log.written(write, full=key in full)
        for log, done in group:
            done(DiskFull("the disk is full") if id(log) in full or log.full else None)
        if full:
            asyncio.get_running_loop().call_later(RETRY_FULL_S, self._retry, [e for e in group if id(e[0]) in full])

    def _retry(self, group: list[tuple[Log, Done]]) -> None:
        self._submitted = group + self._submitted
        self._arrived.set()
