"""A replica's side of compaction: what there is to do, and, in its turns, taking the result in.

Nothing of it is on disk: a replica that starts again takes everything for dirty, and sees it all in its first pass.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cluster.broker.compaction.rules import is_due, old_enough
from cluster.broker.requests import Compacted, SegmentsRewritten
from cluster.broker.retention import NS_PER_MS
from cluster.broker.trimming import Trimming
from cluster.config import BrokerOptions
from cluster.log import Log, Segment
from cluster.metadata import TopicConfig
from cluster.raft import Raft
from cluster.types import Index
from cluster.world import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One pass: which segments, what of them was seen before, up to where tombstones may go."""

    sealed: list[Segment]
    clean_upto: Index
    drop_upto: Index
    log_number: int
    """Of the replica's logs: each that begins anew is another one."""


class Compacting:
    """One replica's. `propose` appends a DROP_TOMBSTONES."""

    def __init__(
        self,
        *,
        raft: Raft,
        log: Log,
        trimming: Trimming,
        clock: Clock,
        options: BrokerOptions,
        propose: Callable[[Index], Index | None],
    ) -> None:
        self._raft = raft
        self._log = log
        self._trimming = trimming
        self._clock = clock
        self._options = options
        self._propose = propose
        self._config = TopicConfig()
        self._log_number = 0
        self._clean_upto = Index(0)
        self._oldest_tombstone: tuple[Index, int] | None = None
        """(index, append time) of the first that the last pass left."""
        self._asked_upto = Index(0)
        """The last entry when the segment that takes entries was last ended for its age."""

    def configure(self, config: TopicConfig) -> None:
        """The topic's settings are these now."""
        self._config = config

    def begin_anew(self) -> None:
        """The log is another one."""
        self._log_number += 1
        self._clean_upto, self._oldest_tombstone = Index(0), None

    # --- between turns

    def job(self) -> Job | None:
        """The next pass, if there is something to do, and what the last one wrote is in its place.

        Until then the file has the name that a successor of its own would get.
        """
        life_ms = self._config.tombstone_life_ms
        if life_ms is None or self._log.closed or self._log.pending.replacing:
            return None
        sealed = self._log.sealed(self._raft.commit, self._raft.durable_index)
        drop_upto = self._log.tombstones_upto
        oldest = self._oldest_tombstone
        droppable = oldest is not None and oldest[0] <= drop_upto and not self._raft.catching_up
        due = is_due(
            sealed,
            self._clean_upto,
            dirty_share_min=self._options.compaction_dirty_share_min,
            before_ns=self._clock.wall_ns() - life_ms * NS_PER_MS,
        )
        if not due and not droppable:
            return None
        return Job(
            sealed=sealed,
            clean_upto=self._clean_upto,
            drop_upto=Index(0) if self._raft.catching_up else drop_upto,
            log_number=self._log_number,
        )

    def wants_look(self) -> bool:
        """Whether `look` has something to propose."""
        return self._tombstones() is not None or self._active_is_old()

    # --- in turns

    def look(self) -> None:
        """As the leader: give the word for tombstones that are old enough, and end a segment that is."""
        limit = self._tombstones()
        if limit is not None:
            self._propose(limit)
        elif self._active_is_old():
            self._asked_upto = self._log.last_index
            self._propose(self._log.fold.tombstones_upto)  # says nothing new: it begins a new segment, and so seals one

    def take(self, message: SegmentsRewritten) -> bool:
        """Put the new file in its place; False if it may not be any more.

        The log has moved on, a follower still needs the tombstones, or the topic is not compacted now.
        """
        if self._config.tombstone_life_ms is None or (message.drops_tombstones and self._raft.catching_up):
            return False
        return self._log.replace(message.old, message.new)

    def done(self, message: Compacted) -> None:
        """A pass is through; of what it saw in another log nothing is known of this one."""
        if message.log_number != self._log_number:
            return
        self._clean_upto = message.clean_upto
        self._oldest_tombstone = message.oldest_tombstone

    # --- the leader's rules

    def _tombstones(self) -> Index | None:
        """Up to where they may be dropped now, if that is news and there are some."""
        oldest, life_ms = self._oldest_tombstone, self._config.tombstone_life_ms
        if oldest is None or life_ms is None or not self._raft.is_leader:
            return None
        before_ns = self._trimming.now_ns() - life_ms * NS_PER_MS
        if oldest[1] >= before_ns or self._raft.catching_up:
            return None  # where the floor rises, whoever is on its way to it begins once more
        upto = min(self._log.last_index_before(before_ns), self._raft.commit)
        lagging = self._config.lagging_bytes_max or self._options.lagging_bytes_max
        limit = old_enough(upto, self._trimming.followers(), lagging)
        return limit if limit >= oldest[0] and limit > self._log.fold.tombstones_upto else None

    def _active_is_old(self) -> bool:
        if not self._config.compacted or not self._raft.is_leader or self._log.last_index == self._asked_upto:
            return False
        age_max_ns, active = self._log.segment_age_max_ns, self._log.segments()[-1]
        first_ns = active.first_record_time_ns
        return age_max_ns is not None and first_ns is not None and self._trimming.now_ns() - first_ns >= age_max_ns
