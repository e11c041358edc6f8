"""What a node tells about itself, and how it stops so that others notice in time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SeeingOptions:
    """Metrics, health, and the order of a stop."""

    metric_topics_max: int = 200
    """Topics with metrics of their own; those of all others are added up under "other". 0: of none."""
    metric_groups_max: int = 200
    """The same for the groups that this node keeps; and for the apps' stages whose tasks it leads. 0: of none."""
    lag_interval_s: float = 15.0
    """Lag of groups and tasks is found out so often, while somebody asks for metrics."""
    beat_s: float = 0.5
    """The loop is looked at, and whether the node is ready, so often."""
    stuck_s: float = 30.0
    """A loop that did not turn, or a write that did not end, for so long: the node is not alive."""
    behind_s: float = 10.0
    """A follower that has not got within so long what was committed then counts as under-replicated."""
    stop_notice_s: float = 0.0
    """Between saying that it is not ready and stopping: for load balancers that ask at intervals. 0: at once;
    at most 4."""
    hand_over_s_max: float = 2.0
    """A node that stops waits so long until others lead what it led. 0: it does not wait."""
