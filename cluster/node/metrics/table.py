"""The metrics of a node: what it exports is this list, and this list is what it exports; a test holds both together.

Units are Prometheus' (seconds, bytes). Names of topics, groups and stages are bounded (`config/seeing.py`): what goes
beyond is in the sample that is named "other". Counters begin at 0 with the process, but for those of tasks, which are
in their logs and go with them to the next leader. The scraper says which node it is.
"""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """As Prometheus has them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    """One name, and what it means."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


OTHER = "other"
_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

METRICS: tuple[Metric, ...] = (
    # The node
    Metric("riverrun_build_info", _G, "1; the version that runs is its label.", ("version",)),
    Metric("riverrun_ready", _G, "1 if this node takes requests, as /readyz says."),
    Metric("riverrun_loop_late_seconds", _H, "How late the event loop was with a timer, twice a second."),
    Metric("riverrun_mailbox_messages", _G, "Messages that wait in the actors' mailboxes now, by kind.", ("actor",)),
    Metric("riverrun_log_events_total", _C, "Warnings, errors and worse that were logged.", ("level", "event")),
    # The cluster, as this node knows it
    Metric("riverrun_nodes", _G, "Nodes of the cluster by what the controller makes of them.", ("state",)),
    Metric("riverrun_topics", _G, "Topics of the cluster, its internal ones among them."),
    Metric("riverrun_partitions", _G, "Partitions of the cluster."),
    Metric("riverrun_partitions_without_leader", _G, "Those of which this node knows no leader."),
    Metric("riverrun_reassignments", _G, "Partitions whose replicas are being moved."),
    Metric("riverrun_controller_leader", _G, "1 at the node that decides about topics and nodes now."),
    Metric("riverrun_controller_known", _G, "1 if this node knows one that does: without it nothing can be changed."),
    Metric("riverrun_peer_up", _G, "1 if the link to that node works both ways.", ("peer",)),
    # Replicas
    Metric("riverrun_replicas", _G, "Replicas that run here."),
    Metric("riverrun_partitions_led", _G, "Partitions that are led here."),
    Metric("riverrun_under_replicated_partitions", _G, "Led here, with a replica too few, away, lost or behind."),
    Metric("riverrun_elections_total", _C, "Elections that replicas of this node stood for."),
    Metric("riverrun_leader_changes_total", _C, "Elections that they won: of all nodes together, changes of leaders."),
    Metric("riverrun_catch_up_bytes_total", _C, "Sent to replicas elsewhere that lacked what was committed."),
    # Records
    Metric("riverrun_publish_latency_seconds", _H, "From a batch's arrival at its leader here to its receipt."),
    Metric("riverrun_fetch_latency_seconds", _H, "Reading and encoding a piece of a partition for a reader."),
    Metric("riverrun_published_bytes_total", _C, "Payload, as compressed, acknowledged by leaders here.", ("topic",)),
    Metric("riverrun_published_records_total", _C, "Records acknowledged by leaders here.", ("topic",)),
    Metric("riverrun_fetched_bytes_total", _C, "Messages to readers, from leaders here.", ("topic",)),
    Metric("riverrun_fetched_records_total", _C, "Offsets that readers were taken past, here.", ("topic",)),
    Metric("riverrun_reads", _G, "Calls of Read that are under way."),
    Metric("riverrun_request_seconds", _H, "Calls of one request and one answer, failed ones too.", ("method",)),
    Metric("riverrun_errors_total", _C, "Requests that were answered with an error, by its reason.", ("reason",)),
    # Disk
    Metric("riverrun_fsync_seconds", _H, "Write and sync of a group of writes, as those see it who wait for it."),
    Metric("riverrun_log_written_bytes_total", _C, "Written to the partitions' logs."),
    Metric("riverrun_log_bytes", _G, "Size of the logs of replicas here.", ("topic",)),
    Metric("riverrun_disk_free_bytes", _G, "Room left on the file system of the data directory."),
    Metric("riverrun_disk_total_bytes", _G, "Size of that file system."),
    Metric("riverrun_disk_full", _G, "1 while something that was to be written did not fit."),
    # Groups that are kept here
    Metric("riverrun_group_members", _G, "Members of a group that is kept here.", ("group",)),
    Metric("riverrun_group_lag_records", _G, "Records behind the group's positions.", ("group", "topic")),
    Metric(
        "riverrun_group_lag_seconds", _G, "Age of the oldest of them; of all partitions the most.", ("group", "topic")
    ),
    # Tasks that are led here
    Metric("riverrun_tasks", _G, "Tasks that are led here, by what they do.", ("state",)),
    Metric("riverrun_task_lag_records", _G, "Records of its inputs that a stage has not handled.", ("app", "stage")),
    Metric("riverrun_task_lag_seconds", _G, "Age of the oldest of them; of all tasks the most.", ("app", "stage")),
    Metric(
        "riverrun_task_failures_total",
        _C,
        "Records passed over or put aside, ever, of the tasks led here.",
        ("app", "stage"),
    ),
)
