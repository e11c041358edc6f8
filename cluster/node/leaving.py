"""A node that is about to stop lets others lead what it leads, so that nobody has to notice that it is gone."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from cluster.types import NodeId, PartitionId

if TYPE_CHECKING:
    from cluster.node.node import Node

log_event = structlog.get_logger()


async def hand_over(node: "Node") -> None:
    """Ask each partition's most current follower to lead; return when all do, or after `hand_over_s_max`.

    Each is asked once: where all nodes stop together, nobody hands back what it was given.
    """
    asked = {partition: to for partition in node.broker.running if (to := _successor(node, partition)) is not None}
    for partition, to in asked.items():
        node.broker.transfer(partition, to)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(node.config.seeing.hand_over_s_max):
            while left := [partition for partition in asked if _is_led(node, partition)]:
                await node.broker.wait_leader_change()
    left = [partition for partition in asked if _is_led(node, partition)]
    log_event.info("leaders_handed_over", partitions=len(asked) - len(left), left=len(left))


def _is_led(node: "Node", partition: PartitionId) -> bool:
    running = node.broker.running.get(partition)
    return running is not None and running.replica.raft.is_leader


def _successor(node: "Node", partition: PartitionId) -> NodeId | None:
    """Where the follower is that has most of the log, among those that can be reached; None: nobody is to take over."""
    topic = node.broker.directory.topics.get(partition.topic)
    if topic is None or not _is_led(node, partition):
        return None
    raft = node.broker.running[partition].replica.raft
    others = [
        (raft.match(other.replica), other.node)
        for other in topic.partitions[partition.number].replicas
        if other.node != node.me and node.links.is_up(other.node)
    ]
    return max(others)[1] if others else None
