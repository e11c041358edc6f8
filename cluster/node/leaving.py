"""A node that is about to stop lets others lead what it leads, so that nobody has to notice that it is gone."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from cluster.types import NodeId, PartitionId

if TYPE_CHECKING:
    from cluster.node.node import Node

log_event = structlog.get_logger()


AGAIN_S = 0.25
"""Who has not taken over may have been made only now, and not vote yet: it, or another one, is asked again."""


async def hand_over(node: "Node") -> None:
    """Ask each partition's most current follower to lead; return when all do, or after `hand_over_s_max`.

    What is led here at the beginning is meant: where all nodes stop together, nobody hands back what it was given.
    """
    left = [partition for partition in node.broker.running if _successor(node, partition) is not None]
    count = len(left)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(node.config.seeing.hand_over_s_max):
            while left:
                for partition in left:
                    to = _successor(node, partition)
                    if to is not None:
                        node.broker.transfer(partition, to)
                left = await _wait_handed_over(node, left)
    log_event.info("leaders_handed_over", partitions=count - len(left), left=len(left))


async def _wait_handed_over(node: "Node", partitions: list[PartitionId]) -> list[PartitionId]:
    """Those that are led here still when all are not, or after a while."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(AGAIN_S):
            while any(_is_led(node, partition) for partition in partitions):
                await node.broker.wait_leader_change()
    return [partition for partition in partitions if _is_led(node, partition)]


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
