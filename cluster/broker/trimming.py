"""What one replica deletes: it looks at its topic's limits while it leads, and trims where it was told to.

Everything goes the same way: the leader proposes TRIM_TO, and when that is committed every replica deletes alike. First
for readers, at once; then whole segments of its log. Looking is seldom, and costs an idle partition nothing between:
it is looked at again when something was appended, or when its oldest records have become old.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from functools import partial

import structlog

from cluster.broker.barriers import Barriers
from cluster.broker.readers import Readers
from cluster.broker.requests import DeleteRecords
from cluster.broker.retention import (
    Follower,
    needed_from,
    next_expiry_ns,
    segment_age_max_ns,
    steady_now_ns,
    trim_offset,
)
from cluster.config import BrokerOptions
from cluster.errors import OffsetOutOfRange, OutcomeUnknown, RiverrunError, Unavailable
from cluster.log import Log
from cluster.metadata import TopicConfig
from cluster.raft import Raft
from cluster.types import Index, Offset, PartitionId
from cluster.world import Clock

log_event = structlog.get_logger()
NS_PER_S = 1_000_000_000


class Trimming:
    """One replica's. `propose` appends a TRIM_TO and gives its index; None if that cannot be done now."""

    def __init__(
        self,
        *,
        partition: PartitionId,
        raft: Raft,
        log: Log,
        readers: Readers,
        barriers: Barriers,
        clock: Clock,
        come_ns: Callable[[], int],
        options: BrokerOptions,
        propose: Callable[[Offset], Index | None],
        not_leader: Callable[[], RiverrunError],
    ) -> None:
        self._partition = partition
        self._raft = raft
        self._log = log
        self._readers = readers
        self._barriers = barriers
        self._clock = clock
        self._come_ns = come_ns
        self._options = options
        self._propose = propose
        self._not_leader = not_leader
        self._config = TopicConfig()
        self._period = max(int(options.retention_check_s / options.tick_s), 1)
        self._waiting: deque[tuple[Index, asyncio.Future[Offset]]] = deque()
        self._began: tuple[int, float] = (0, 0.0)
        """Wall and monotonic clock when this replica began to lead."""
        self._looked_at = 0
        """The tick of the last look."""
        self._looked_upto: Index | None = None
        """The last entry at that time; None: there was no look since something changed."""
        self._next_look: float = math.inf

    # --- by the topic's limits

    def configure(self, config: TopicConfig) -> None:
        """The limits are these now."""
        self._config = config
        self._log.segment_age_max_ns = segment_age_max_ns(config, self._options.segment_age_s_min)
        self._looked_at, self._looked_upto = self._looked_at - self._period, None  # look at the next turn

    def due(self) -> float:
        """The tick at which to look, if nothing is appended before; infinite: never."""
        config = self._config
        if not self._raft.is_leader or (config.retention_ms is None and config.retention_bytes is None):
            return math.inf
        if self._log.last_index != self._looked_upto:
            return self._looked_at + self._period
        return self._next_look

    def look(self, now: int) -> None:
        """Propose to delete what may go, if it is time to look. Time is in the broker's ticks."""
        if now < self.due():
            return
        log, config = self._log, self._config
        now_ns = self.now_ns()
        segments = log.segments()
        offset = trim_offset(
            config,
            segments,
            self.followers(),
            now_ns=now_ns,
            start=log.start_offset,
            end=self._readers.end,
            lagging_bytes_max=self._options.lagging_bytes_max,
        )
        if offset is not None and offset > log.fold.start_offset:
            self._propose(offset)
        self._looked_at, self._looked_upto = now, log.last_index
        expiry_ns = next_expiry_ns(config, segments, log.start_offset)
        self._next_look = math.inf
        if expiry_ns is not None:
            wait = math.ceil((expiry_ns - now_ns) / NS_PER_S / self._options.tick_s) + 1 if now_ns else 0
            self._next_look = now + max(wait, self._period)
        if config.retention_bytes is not None and any(f.match < log.last_index for f in self.followers()):
            self._next_look = now + self._period  # what waits for a follower goes when that has come

    def now_ns(self) -> int:
        """By a majority's clocks; where nobody else has a copy, this one's, no faster than time has gone on."""
        come_ns = self._come_ns()
        return come_ns if self._raft.others else min(self._steady_now_ns(), come_ns)

    def _steady_now_ns(self) -> int:
        began_ns, began_s = self._began
        return steady_now_ns(
            wall_ns=self._clock.wall_ns(), began_wall_ns=began_ns, led_s=self._clock.monotonic_s() - began_s
        )

    def followers(self) -> list[Follower]:
        """What each is known to have."""
        raft, log = self._raft, self._log
        matches = [raft.match(replica) for replica in raft.others]
        return [Follower(match, log.bytes_after(match)) for match in matches]

    def spared(self, before: Offset) -> Offset:
        """`before`, or less where a follower that is not too far behind still needs what is there."""
        needed = needed_from(
            self._config,
            self._log.segments(),
            self.followers(),
            lagging_bytes_max=self._options.lagging_bytes_max,
        )
        return before if needed is None else min(before, needed)

    # --- as told

    def delete(self, request: DeleteRecords) -> None:
        """Below an offset, for good; answered when that is committed, and so on a majority's disks."""
        self._barriers.ask(partial(self._delete, request), self._not_leader())

    def _delete(self, request: DeleteRecords, error: RiverrunError | None) -> None:
        if request.reply.done():
            return
        first, end = self._log.start_offset, self._readers.end
        if error is None and request.before > end:
            error = OffsetOutOfRange(
                f"offset {request.before} is beyond the end, {end}: nothing was deleted", first=str(first), end=str(end)
            )
        if error is not None:
            request.reply.set_exception(error)
        elif request.before <= first:
            request.reply.set_result(first)
        else:
            index = self._propose(request.before)
            if index is None:
                request.reply.set_exception(Unavailable("this partition's leader is handing over; try again"))
            else:
                self._waiting.append((index, request.reply))

    # --- what comes of it

    def drop(self) -> bool:
        """Delete what is committed to be; whether files are to be removed."""
        place = self._log.trim(self._raft.commit, self._raft.durable_index)
        if place is not None:
            self._raft.log_trimmed(*place)
            log_event.info("log_trimmed", partition=str(self._partition), first=self._log.start_offset, upto=place[0])
        while self._waiting and self._waiting[0][0] <= self._raft.commit:
            reply = self._waiting.popleft()[1]
            if not reply.done():
                reply.set_result(self._log.start_offset)
        return place is not None

    def leadership_changed(self, now: int) -> None:
        """Begin to look, or stop; whoever waits for what another leader may cut is told that it is unknown."""
        self._began = (self._clock.wall_ns(), self._clock.monotonic_s())
        self._looked_at, self._looked_upto = now, None
        if not self._raft.is_leader:
            self.fail_all(OutcomeUnknown("leadership changed before the deletion was committed; ask again"))

    def fail_all(self, error: RiverrunError) -> None:
        """Nobody here can tell any more what comes of it."""
        for _, reply in self._waiting:
            if not reply.done():
                reply.set_exception(error)
                reply.exception()  # whoever asked may have left
        self._waiting.clear()
