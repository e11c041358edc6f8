"""Who should lead what: preferred leaders where replicas stay, and leaderships that are handed over. Pure.

Two things, for leadership is cheap to move and placements are not:
- The *preferred* leader of a partition is one of its replicas that stay; they are balanced over the nodes, and change
  only when two nodes differ by two, or when one has to hold nothing.
- A *transfer* hands leadership to the preferred leader. Where that one is away, real leaders are counted, and the
  fuller node hands over to the emptier one. A node that drains hands over whatever it can; what is still to be decided
  of where it goes waits for the next look.
"""

from collections import Counter
from collections.abc import Collection

from cluster.controller.planning import Situation, members_of
from cluster.types import NodeId, PartitionId

Key = tuple[bytes, int]


def preferred(now: Situation, changes_max: int) -> list[tuple[bytes, int, int]]:
    """Better preferred leaders, as (topic, number, node), so many at most; none: they are balanced."""
    led: dict[NodeId, list[Key]] = {node: [] for node in now.nodes}
    able: dict[Key, list[NodeId]] = {}
    homeless = []
    for topic in now.topics.values():
        for placement in topic.partitions:
            key: Key = (topic.id, placement.number)
            able[key] = [item.node for item in members_of(placement) if not now.leaves(item)]
            if placement.preferred_leader in able[key]:
                led[placement.preferred_leader].append(key)
                able[key] = [] if placement.pinned else able[key]
            elif able[key]:
                homeless.append(key)
    changed: dict[Key, NodeId] = {}
    for key in homeless[:changes_max]:
        changed[key] = min(able[key], key=lambda node: (len(led[node]), node))
        led[changed[key]].append(key)
    barren: set[tuple[NodeId, NodeId]] = set()
    while len(changed) < changes_max and (found := _evening(led, able, barren)) is not None:
        key, source, to = found
        led[source].remove(key)
        led[to].append(key)
        changed[key] = to
        barren = {pair for pair in barren if pair[0] != to}
    return [(topic, number, int(node)) for (topic, number), node in changed.items()]


def _evening(
    led: dict[NodeId, list[Key]], able: dict[Key, list[NodeId]], barren: set[tuple[NodeId, NodeId]]
) -> tuple[Key, NodeId, NodeId] | None:
    """A partition that the fuller of two nodes may leave to the emptier one, which has two less.

    `barren`: pairs of which it was found out before that there is none; more are added.
    """
    order = sorted(led, key=lambda node: (len(led[node]), node))
    for source in reversed(order):
        for to in order:
            if len(led[source]) - len(led[to]) < 2:
                break
            if (source, to) in barren:
                continue
            found = next((key for key in led[source] if to in able[key]), None)
            if found is not None:
                return found, source, to
            barren.add((source, to))
    return None


def transfers(
    now: Situation, *, me: NodeId, up: Collection[NodeId], transfers_max: int, at_once: bool = False
) -> list[tuple[PartitionId, NodeId]]:
    """Partitions that this node leads and another one, which is `up`, should lead; so many at most.

    `at_once`: this is no look at an interval, so what this node is still meant to lead stays for now.
    """
    counts = Counter(now.leading.values())
    mine = now.nodes.get(me)
    draining = mine is not None and mine.draining
    found: list[tuple[PartitionId, NodeId]] = []
    for partition in sorted(partition for partition, leader in now.leading.items() if leader == me):
        topic = now.topics.get(partition.topic)
        if topic is None or len(found) >= transfers_max:
            continue
        placement = topic.partitions[partition.number]
        able = [
            item.node
            for item in placement.replicas
            if item.initialised and item.node in up and item.node in now.nodes and now.nodes[item.node].usable
        ]
        others = [node for node in able if node != me]
        if not others or (placement.preferred_leader == me and (at_once or not draining)):
            continue
        to = min(others, key=lambda node: (node != placement.preferred_leader, counts[node], node))
        if to == placement.preferred_leader or draining or counts[me] - counts[to] > 1:
            found.append((partition, to))
            counts[me] -= 1
            counts[to] += 1
    return found
