"""A node that is about to stop lets others lead what it leads, so that nobody has to notice that it is gone.

First it tells all that it leaves (`Report.leaving`), so that nobody asks it to lead anything more. What was asked
before they heard of that it refuses: whoever leads then goes on.
"""

import asyncio
import contextlib
from itertools import count
from typing import TYPE_CHECKING

import structlog

from cluster.types import NodeId, PartitionId

if TYPE_CHECKING:
    from cluster.node.node import Node

log_event = structlog.get_logger()
AGAIN_S = 0.25
"""Who has not taken over may have been made only now, and not vote yet: after so long the next one is asked."""


async def hand_over(node: "Node") -> None:
    """Ask each partition's most current follower to lead; return when all that can do, or after `hand_over_s_max`.

    What is led here at the beginning is meant. Where all nodes stop together there is soon nobody to hand over to.
    """
    led = [partition for partition in node.broker.running if _heirs(node, partition)]
    left = led
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(node.config.seeing.hand_over_s_max):
            for attempt in count():
                for partition in left:
                    heirs = _heirs(node, partition)
                    if heirs:
                        node.broker.transfer(partition, heirs[attempt % len(heirs)])
                left = await _wait_handed_over(node, left)
                if not left:
                    break
    kept = sum(_is_led(node, partition) for partition in led)
    log_event.info("leaders_handed_over", partitions=len(led) - kept, left=kept)


async def _wait_handed_over(node: "Node", partitions: list[PartitionId]) -> list[PartitionId]:
    """Return when others lead all of them, or after a while; those that nobody leads yet."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(AGAIN_S):
            while any(_is_wanting(node, partition) for partition in partitions):
                await node.broker.wait_leader_change()
    return [partition for partition in partitions if _is_wanting(node, partition)]


def _is_wanting(node: "Node", partition: PartitionId) -> bool:
    """Whether another leader is still to come: until it is known, publishers cannot be told who it is."""
    running = node.broker.running.get(partition)
    return running is not None and (running.replica.raft.leader is None or bool(_heirs(node, partition)))


def _is_led(node: "Node", partition: PartitionId) -> bool:
    running = node.broker.running.get(partition)
    return running is not None and running.replica.raft.is_leader


def _heirs(node: "Node", partition: PartitionId) -> list[NodeId]:
    """Where its followers are that are there and stay: who may vote first, and of those the most current one.

    None if it is led elsewhere.
    """
    topic = node.broker.directory.topics.get(partition.topic)
    if topic is None or not _is_led(node, partition):
        return []
    raft, leaving = node.broker.running[partition].replica.raft, node.broker.leaders.leaving
    others = [
        (other.initialised, raft.match(other.replica), other.node)
        for other in topic.partitions[partition.number].replicas
        if other.node != node.me and node.links.is_up(other.node) and other.node not in leaving
    ]
    return [home for *_, home in sorted(others, reverse=True)]
