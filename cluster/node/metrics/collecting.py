"""A node's metrics as they are now: read off its parts and its meters, on its own loop, with no question to anybody.

What grows with the partitions is a few attributes each: some 2 µs for a replica.
"""

from collections import Counter
from typing import TYPE_CHECKING

from cluster.metadata import NodeState
from cluster.meters import Histogram, Traffic
from cluster.node.identity import VERSION
from cluster.node.metrics.lags import Bounded, Lags, groups_here
from cluster.node.metrics.table import METRICS, OTHER
from cluster.types import NO_INDEX, Index, PartitionId, ReplicaId

if TYPE_CHECKING:
    from cluster.broker.running import Running
    from cluster.node.node import Node

Samples = dict[str, dict[tuple[str, ...], float | Histogram]]
"""By metric and by the values of its labels. All metrics are there, some perhaps without a sample."""


class Collecting:
    """Of one node."""

    def __init__(self, node: "Node", lags: Lags) -> None:
        self._node = node
        self._lags = lags
        self._baseline: dict[PartitionId, Index] = {}
        """What was committed a while ago, of the partitions led here: who is behind that now is behind."""
        self._baseline_s = 0.0
        self._samples: Samples = {}

    def collect(self) -> Samples:
        """All of it."""
        self._samples = {metric.name: {} for metric in METRICS}
        self._of_node()
        self._of_cluster()
        self._of_replicas()
        self._of_records()
        self._of_groups()
        self._of_tasks()
        return self._samples

    def _put(self, name: str, value: float | Histogram, *labels: str) -> None:
        self._samples[name][labels] = value

    def _add(self, name: str, value: float, *labels: str) -> None:
        known = self._samples[name].get(labels, 0)
        assert not isinstance(known, Histogram)
        self._samples[name][labels] = known + value

    # --- by theme, as in the table

    def _of_node(self) -> None:
        node, meters = self._node, self._node.meters
        self._put("riverrun_build_info", 1, VERSION)
        self._put("riverrun_ready", not node.seeing.waiting_for())
        self._put("riverrun_loop_late_seconds", meters.loop_late)
        for actor, count in {**node.supervisor.waiting(), "writer": node.writer.waiting}.items():
            self._put("riverrun_mailbox_messages", count, actor)
        for (level, event), count in list(meters.log_events.items()):
            self._put("riverrun_log_events_total", count, level, event)
        disk = node.world.disk
        self._put("riverrun_disk_free_bytes", disk.free_bytes())
        self._put("riverrun_disk_total_bytes", disk.total_bytes())

    def _of_cluster(self) -> None:
        node, directory = self._node, self._node.broker.directory
        states = Counter(dict.fromkeys((state.value for state in NodeState), 0))
        states.update("draining" if known.draining else known.state.value for known in directory.nodes.values())
        for state, count in states.items():
            self._put("riverrun_nodes", count, state)
        partitions = [
            PartitionId(topic.id, one.number) for topic in directory.topics.values() for one in topic.partitions
        ]
        self._put("riverrun_topics", len(directory.topics))
        self._put("riverrun_partitions", len(partitions))
        led = sum(node.broker.leaders.get(partition) is not None for partition in partitions)
        self._put("riverrun_partitions_without_leader", len(partitions) - led)
        moving = sum(bool(p.target) for topic in directory.topics.values() for p in topic.partitions)
        self._put("riverrun_reassignments", moving)
        self._put("riverrun_controller_leader", node.controller.controller_node() == node.me)
        self._put("riverrun_controller_known", node.seeing.knows_controller())
        for peer in node.neighbours.others():
            self._put("riverrun_peer_up", node.links.is_up(peer), str(peer))

    def _of_replicas(self) -> None:
        node, meters = self._node, self._node.meters
        led: dict[PartitionId, Index] = {}
        lost = node.controller.observed.lost()
        behind = 0
        full = False
        for partition, running in node.broker.running.items():
            replica = running.replica
            full = full or replica.log.full
            self._add("riverrun_log_bytes", replica.log.bytes_after(NO_INDEX), self._topic(partition))
            if replica.raft.is_leader:
                led[partition] = replica.raft.commit
                behind += self._is_behind(partition, running, lost)
        self._put("riverrun_replicas", len(node.broker.running))
        self._put("riverrun_partitions_led", len(led))
        self._put("riverrun_under_replicated_partitions", behind)
        self._put("riverrun_disk_full", full)
        self._put("riverrun_elections_total", meters.elections)
        self._put("riverrun_leader_changes_total", meters.leader_changes)
        self._put("riverrun_catch_up_bytes_total", meters.catch_up_bytes)
        now_s = node.world.clock.monotonic_s()
        if now_s - self._baseline_s >= node.config.seeing.behind_s:
            self._baseline, self._baseline_s = led, now_s

    def _is_behind(self, partition: PartitionId, running: "Running", lost: frozenset[ReplicaId]) -> bool:
        """Whether a replica that was asked for is not there, away, lost, or lacks what was committed a while ago."""
        topic = self._node.broker.directory.topics.get(partition.topic)
        if topic is None:
            return False
        raft, upto = running.replica.raft, self._baseline.get(partition, NO_INDEX)
        placed = topic.partitions[partition.number].replicas
        return len(placed) < topic.replicas or any(
            not self._node.links.is_up(other.node)
            or other.replica in lost
            or raft.match(other.replica) < upto
            or (other.replica in raft.progress and raft.progress[other.replica].silent)
            for other in placed
            if other.node != self._node.me
        )

    def _of_records(self) -> None:
        node, meters = self._node, self._node.meters
        self._put("riverrun_publish_latency_seconds", meters.publish)
        self._put("riverrun_fetch_latency_seconds", meters.fetch)
        for topic, traffic in list(meters.topics.items()):
            known = node.broker.directory.topics.get(topic)
            if known is not None:
                self._of_topic(known.name, traffic)
            else:
                meters.forget(topic)  # its last receipt came after it was deleted
        self._of_topic(OTHER, meters.other)
        self._put("riverrun_reads", node.reading.open)
        for method, times in meters.requests.items():
            self._put("riverrun_request_seconds", times, method)
        for reason, count in meters.errors.items():
            self._put("riverrun_errors_total", count, reason)
        self._put("riverrun_fsync_seconds", meters.fsync)
        self._put("riverrun_log_written_bytes_total", meters.written_bytes)

    def _of_topic(self, name: str, traffic: Traffic) -> None:
        self._add("riverrun_published_bytes_total", traffic.published_bytes, name)
        self._add("riverrun_published_records_total", traffic.published_records, name)
        self._add("riverrun_fetched_bytes_total", traffic.fetched_bytes, name)
        self._add("riverrun_fetched_records_total", traffic.fetched_records, name)

    def _topic(self, partition: PartitionId) -> str:
        """Its name, if it is among those that are counted by themselves."""
        meters = self._node.meters
        known = self._node.broker.directory.topics.get(partition.topic)
        return OTHER if known is None or meters.traffic(partition.topic) is meters.other else known.name

    def _of_groups(self) -> None:
        bounded = Bounded(self._node.config.seeing.metric_groups_max)
        for name, group in groups_here(self._node):
            self._add("riverrun_group_members", len(group.members), bounded.name(name))
        found = self._lags.latest()
        for names, lag in found.groups.items() if found is not None else ():
            self._put("riverrun_group_lag_records", lag.records, *names)
            self._put("riverrun_group_lag_seconds", lag.seconds, *names)

    def _of_tasks(self) -> None:
        found = self._lags.latest()
        if found is None:
            return
        for state, count in found.states.items():
            self._put("riverrun_tasks", count, state)
        for names, failures in found.failures.items():
            self._put("riverrun_task_failures_total", failures, *names)
        for names, lag in found.tasks.items():
            self._put("riverrun_task_lag_records", lag.records, *names)
            self._put("riverrun_task_lag_seconds", lag.seconds, *names)
