"""When to compact, which files become one, and which tombstones are old enough. Pure."""

from collections.abc import Sequence

from cluster.broker.retention import Follower
from cluster.log import Segment
from cluster.types import Index

REWRITTEN_TOGETHER_MAX = 8
"""Full segments that become one file at once: if the first is trimmed meanwhile, the work was for nothing."""


def is_due(sealed: Sequence[Segment], clean_upto: Index, *, dirty_share_min: float, before_ns: int) -> bool:
    """Whether so much is dirty, as a share of what is sealed, that a pass is worth its work; or some of it is old."""
    dirty = [segment for segment in sealed if segment.last_index > clean_upto and segment.rows.indexes]
    if not dirty:
        return False
    if dirty[0].rows.append_times[0] < before_ns:
        return True
    return sum(s.size for s in dirty) >= dirty_share_min * sum(s.size for s in sealed)


def is_enough(read_bytes: int, written_bytes: int, segment_bytes_max: int) -> bool:
    """Whether a file in the making ends here: large enough to be left as it is, or made of enough others."""
    return written_bytes >= segment_bytes_max // 2 or read_bytes >= REWRITTEN_TOGETHER_MAX * segment_bytes_max


def old_enough(upto: Index, followers: Sequence[Follower], lagging_bytes_max: int) -> Index:
    """How far tombstones up to `upto` may go: as far as all followers have them that are not too far behind."""
    return min([upto, *(f.match for f in followers if f.bytes_behind <= lagging_bytes_max)])
