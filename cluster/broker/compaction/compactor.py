"""A node's passes of compaction: one replica after another, in pieces so small that nobody waits for them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import structlog

from cluster.broker.compaction.compacting import Job
from cluster.broker.compaction.rules import is_enough
from cluster.broker.compaction.survivors import Newest, Survivors
from cluster.broker.requests import Compacted, LookAtTombstones, SegmentsRewritten
from cluster.broker.running import Running
from cluster.config import BrokerOptions, LogOptions
from cluster.errors import Closed, DiskFailed
from cluster.log import Segment
from cluster.log.rewriting import Rewriting, read_sealed
from cluster.log.write import FULL
from cluster.records import Entry
from cluster.types import Index, PartitionId
from cluster.world import Disk

log_event = structlog.get_logger()
T = TypeVar("T")


class _MovedOn(Exception):
    """The log is not what the pass began with any more."""


class Compactor:
    """Looks at all replicas of compacted topics again and again. Nothing that it does is promised to anybody."""

    def __init__(
        self, *, running: Mapping[PartitionId, Running], disk: Disk, options: BrokerOptions, log: LogOptions
    ) -> None:
        self._running = running
        self._disk = disk
        self._options = options
        self._log_options = log

    async def run(self) -> None:
        """Until it is cancelled; DiskFailed, CorruptStorage: as everywhere, they end the node."""
        while True:
            await asyncio.sleep(self._options.compaction_check_s)
            for running in list(self._running.values()):
                if not running.config.compacted or running.replica.log.closed:
                    continue
                if running.replica.compacting.wants_look() and not running.ref.waiting:
                    running.ref.tell_nowait(LookAtTombstones())
                job = running.replica.compacting.job()
                if job is not None:
                    await self._compact(running, job)

    async def _compact(self, running: Running, job: Job) -> None:
        partition = str(running.replica.partition)
        before = sum(segment.size for segment in job.sealed)
        try:
            survivors, clean_upto, after = await Pass(running, job, self._disk, self._options, self._log_options).run()
            await running.ref.tell(Compacted(clean_upto, survivors.oldest_tombstone, job.log_number))
        except (_MovedOn, Closed):
            log_event.info("compaction_cut_short", partition=partition)
            return
        except OSError as error:
            if error.errno not in FULL:
                raise DiskFailed(f"the disk failed: {error}") from error
            log_event.warning("compaction_waits", partition=partition, reason="the disk is full")
            return
        log_event.info(
            "compacted", partition=partition, records=survivors.removed, bytes_before=before, bytes_after=after
        )


class Pass:
    """One pass over one replica's sealed segments."""

    def __init__(self, running: Running, job: Job, disk: Disk, options: BrokerOptions, log_options: LogOptions) -> None:
        self._running = running
        self._log = running.replica.log
        self._job = job
        self._disk = disk
        self._options = options
        self._bytes_max = log_options.segment_bytes_max
        self._ends = {id(segment): segment.last_index for segment in job.sealed}

    async def run(self) -> tuple[Survivors, Index, int]:
        """What was learned, up to where every key was seen, and how many bytes are left."""
        newest = Newest(self._options.compaction_keys_max, self._job.clean_upto)
        for segment in self._job.sealed:
            if segment.last_index > self._job.clean_upto and not newest.is_full:
                await self._through([segment], newest.add)
        survivors = Survivors(newest, self._job.drop_upto)
        seen = [segment for segment in self._job.sealed if segment.base_index <= newest.upto]
        after = sum(segment.size for segment in self._job.sealed if segment.base_index > newest.upto)
        while seen:
            size, count = await self._rewrite(seen, survivors)
            after += size
            del seen[:count]
        return survivors, newest.upto, after

    async def _rewrite(self, segments: Sequence[Segment], survivors: Survivors) -> tuple[int, int]:
        """One file in the place of the first ones; its size, and how many they were."""
        removed, old, read = survivors.removed, list[Segment](), 0
        rewriting = await self._piece(segments[:1], partial(Rewriting, self._disk, segments[0], self._log.identity))
        swapped = False
        try:
            for segment in segments:
                old.append(segment)
                read += segment.size
                await self._through([segment], lambda found: rewriting.add([survivors.thinned(e) for e in found]))
                if is_enough(read, rewriting.segment.size, self._bytes_max):
                    break
            if len(old) == 1 and survivors.removed == removed:
                return old[0].size, 1
            new = await self._piece(old, partial(rewriting.finish, old[-1]))
            reply: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            await self._running.ref.tell(SegmentsRewritten(tuple(old), new, survivors.dropped, reply))
            swapped = await reply
            if not swapped:
                raise _MovedOn
            return new.size, len(old)
        finally:
            if not swapped:
                await self._disk.run(rewriting.drop)

    async def _through(self, segments: Sequence[Segment], take: Callable[[list[Entry]], None]) -> None:
        """Hand all entries to `take`, which runs where the disk's work does."""
        size, loop = self._options.compaction_chunk_bytes, asyncio.get_running_loop()

        def some(segment: Segment, place: int) -> int:
            entries, after = read_sealed(segment, place, self._log.identity.partition, bytes_max=size)
            take(entries)
            return after

        for segment in segments:
            place = 0
            while place < len(segment.rows.positions):
                begun_s, position = loop.time(), segment.rows.positions[place]
                place = await self._piece([segment], partial(some, segment, place))
                end = segment.rows.positions[place] if place < len(segment.rows.positions) else segment.size
                rest_s = (end - position) / self._options.compaction_bytes_per_s_max
                await asyncio.sleep(max(rest_s, loop.time() - begun_s))  # as long as others waited

    async def _piece(self, needed: Sequence[Segment], work: Callable[[], T]) -> T:
        """Do it among the writer's work. _MovedOn if the segments are not there any more, or not as they were."""
        if not self._is_there(needed):
            raise _MovedOn
        try:
            return await self._disk.run(work)
        except Exception as error:
            if (isinstance(error, OSError) and error.errno in FULL) or self._is_there(needed):
                raise
            raise _MovedOn from error

    def _is_there(self, needed: Sequence[Segment]) -> bool:
        """One that takes entries again, since what came behind it was cut, may hold some that are not committed."""
        return self._log.holds(needed) and all(s.last_index == self._ends[id(s)] for s in needed)
