"""What of a partition may go by its topic's limits, and when to look again. Pure.

Rules:
1. Only what is committed, from the oldest on, by whole segments.
2. By age: a segment goes when its last record was appended longer ago than `retention_ms`. That includes the segment
   that still takes entries: the entry that trims it begins a new one (`Segment.ends_before`).
3. By size: the oldest segment goes while the others still hold `retention_bytes`. So at least that much stays, and the
   segment that takes entries always does.
4. A segment that a follower still needs stays, as long as that follower is at most `lagging_bytes_max` behind. One
   that is further behind is not waited for: it starts again from the log's new start.
5. Slow topics: a segment takes entries for at most a quarter of `retention_ms`, or of the time that tombstones stay
   (but for at least `segment_age_s_min`), on every replica alike, because it goes by append times. So what is too old
   stays a quarter longer at most, once the leader has looked.

Append times are the leaders' wall clocks, or a majority's where a leader's is behind (`wire/clocks.py`). A clock that
is ahead must not delete anything: now is what the clocks of a majority of nodes say. Where nobody else has a copy it
also moves no faster than the leader's monotonic clock since it began to lead (`steady_now_ns`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.log import SegmentFacts
from cluster.metadata import TopicConfig
from cluster.types import Index, Offset

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
SEGMENTS_PER_RETENTION = 4


@dataclass(frozen=True, slots=True)
class Follower:
    """What it is known to have, and how many bytes of the log follow that."""

    match: Index
    bytes_behind: int


def trim_offset(
    config: TopicConfig,
    segments: Sequence[SegmentFacts],
    followers: Sequence[Follower],
    *,
    now_ns: int,
    start: Offset,
    end: Offset,
    lagging_bytes_max: int,
) -> Offset | None:
    """The first offset that stays; None if nothing may go. `start` and `end` bound the committed records."""
    needed_after = _needed_after(config, followers, lagging_bytes_max)
    left = sum(segment.bytes for segment in segments if segment.end_offset > start)
    offset = start
    for place, segment in enumerate(segments):
        takes_entries = place == len(segments) - 1
        if segment.end_offset <= start and not takes_entries:
            continue  # taken before, and waits to be dropped
        if segment.end_offset > end or (needed_after is not None and needed_after < segment.last_index):
            break
        by_size = (
            not takes_entries and config.retention_bytes is not None and left - segment.bytes >= config.retention_bytes
        )
        if not by_size and not _is_old(config, segment, now_ns):
            break
        offset = segment.end_offset
        left -= segment.bytes
    return offset if offset > start else None


def needed_from(
    config: TopicConfig, segments: Sequence[SegmentFacts], followers: Sequence[Follower], *, lagging_bytes_max: int
) -> Offset | None:
    """Where the oldest segment begins that a follower still needs (rule 4); None: none does."""
    needed_after = _needed_after(config, followers, lagging_bytes_max)
    if needed_after is None:
        return None
    return next((segment.base_offset for segment in segments if segment.last_index > needed_after), None)


def _needed_after(config: TopicConfig, followers: Sequence[Follower], lagging_bytes_max: int) -> Index | None:
    limit = config.lagging_bytes_max or lagging_bytes_max
    return min((f.match for f in followers if f.bytes_behind <= limit), default=None)


def _is_old(config: TopicConfig, segment: SegmentFacts, now_ns: int) -> bool:
    expires_ns = _expires_ns(config, segment)
    return expires_ns is not None and expires_ns < now_ns


def _expires_ns(config: TopicConfig, segment: SegmentFacts) -> int | None:
    """When its last record has been kept long enough; 0: it has none, so at once. None: never."""
    if config.retention_ms is None:
        return None
    if segment.last_record_time_ns is None:
        return 0
    return segment.last_record_time_ns + config.retention_ms * NS_PER_MS


def next_expiry_ns(config: TopicConfig, segments: Sequence[SegmentFacts], start: Offset) -> int | None:
    """When the oldest segment with records in it will be old enough, if nothing is appended; None: never."""
    times = (_expires_ns(config, segment) for segment in segments if segment.end_offset > start)
    return next((time for time in times if time), None)


def segment_age_max_ns(config: TopicConfig, age_s_min: float) -> int | None:
    """How long a segment takes entries; None: until it is full."""
    lives_ms = [life for life in (config.retention_ms, config.tombstone_life_ms) if life is not None]
    if not lives_ms:
        return None
    return max(min(lives_ms) * NS_PER_MS // SEGMENTS_PER_RETENTION, int(age_s_min * NS_PER_S))


def steady_now_ns(*, wall_ns: int, began_wall_ns: int, led_s: float) -> int:
    """Now, as far as a clock may be believed that was set meanwhile."""
    return min(wall_ns, began_wall_ns + int(led_s * NS_PER_S))
