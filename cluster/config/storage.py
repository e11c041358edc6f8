"""A Raft group, and one partition's log on disk."""

from dataclasses import dataclass

from cluster.config.sizes import KIB, MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftOptions:
    """One Raft group. Times are in ticks of `BrokerOptions.tick_s`."""

    election_ticks_min: int = 10
    election_ticks_max: int = 20
    heartbeat_ticks: int = 2
    pre_vote: bool = True
    check_quorum: bool = True
    entries_per_append_max: int = 64
    bytes_per_append_max: int = 2 * MIB
    inflight_bytes_max: int = 16 * MIB
    """Sent and not yet acknowledged, per follower."""
    inflight_appends_max: int = 64
    idle_ticks_before_sleep: int = 10
    """A leader whose group was idle so long, with all followers matched, lets it sleep. 0: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """One partition's log on disk."""

    segment_bytes_max: int = 64 * MIB
    folded_segment_bytes_max: int = 4 * MIB
    """Of a partition that folds into a state: each segment begins with all of that state, and those before it go.
    Where the state is large, a segment takes at least as many bytes of entries, whatever this says.
    """
    allocate_bytes_min: int = 64 * KIB
    allocate_bytes_max: int = 8 * MIB
    """Space is reserved ahead in steps that double between these."""
    cache_bytes_max: int = 16 * MIB
    """The newest entries kept in memory, per partition."""
