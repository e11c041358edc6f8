"""The controller's state after a recovery: what was known, without the nodes that were given up. Pure.

Decisions may be missing that only lost members knew of. So whatever counts jumps ahead by an era, which no cluster
decides its way through: no id that a lost decision gave is given twice, no version and no number of a configuration
means two things, and every epoch of a named producer fences whoever got one that is forgotten.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import msgspec

from cluster.controller.moves import without_removed
from cluster.controller.snapshot import decode_state, encode_state
from cluster.metadata import Node, Placement, QuorumConfiguration, Recovery, Topic
from cluster.types import NodeId, PartitionId

ERA = 1_000_000
NODES_AHEAD = 100
"""Ids of nodes that lost decisions may have given: people type these."""


def next_era(number: int) -> int:
    """The next multiple of an era, which says how often it was recovered.

    >>> next_era(7), next_era(1_000_000)
    (1000000, 2000000)
    """
    return (number // ERA + 1) * ERA


def known_nodes(state: bytes) -> dict[NodeId, Node]:
    """The nodes in a state."""
    return {node.node: node for node in decode_state(state).nodes}


def gone_nodes(state: bytes) -> set[NodeId]:
    """Those that were removed before."""
    return {NodeId(node) for node in decode_state(state).gone_nodes}


def known_topics(state: bytes) -> list[Topic]:
    """The topics in a state."""
    return decode_state(state).topics


def version_after(state: bytes) -> int:
    """The version of the metadata that `recovered` makes of it."""
    return decode_state(state).version + ERA


def recovered(
    state: bytes,
    *,
    configuration: QuorumConfiguration,
    placements: Mapping[PartitionId, Placement],
    gone: Collection[NodeId],
    replica_max: int,
    recovery: Recovery,
) -> bytes:
    """The state that the recovered quorum begins with. `placements`: of partitions that are otherwise than they were.

    `replica_max`: the highest id of a replica that was found on any disk.
    """
    plain = decode_state(state)
    nodes = {
        node.node: replace(node, replaced_by=NodeId(0)) if node.replaced_by in gone else node
        for node in plain.nodes
        if node.node not in gone
    }

    def placed(topic: Topic, placement: Placement) -> Placement:
        after = placements.get(PartitionId(topic.id, placement.number), placement)
        return without_removed(after, (), nodes)

    topics = [
        replace(topic, partitions=tuple(placed(topic, placement) for placement in topic.partitions))
        for topic in plain.topics
    ]
    return encode_state(
        msgspec.structs.replace(
            plain,
            version=plain.version + ERA,
            applied=plain.applied + ERA,
            nodes=list(nodes.values()),
            topics=topics,
            producers={name: (producer, epoch + ERA) for name, (producer, epoch) in plain.producers.items()},
            next_replica=max(plain.next_replica, replica_max + 1) + ERA,
            next_producer=plain.next_producer + ERA,
            next_node=plain.next_node + (NODES_AHEAD if recovery.decisions else 0),
            gone_nodes=sorted({*plain.gone_nodes, *gone}),
            quorum=configuration,
            recoveries=[*plain.recoveries, recovery],
        )
    )
