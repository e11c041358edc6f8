"""Where the replicas of a new topic go: balanced over nodes and racks, leaders too. Pure.

Each partition takes the nodes with the fewest replicas so far, one of each rack before a second of any; the first
named, the preferred leader, is the one of them with the fewest leaders so far. Ties go to the lower node id, shifted
by the partition's number, so that equal nodes take turns.
"""

from collections import Counter
from collections.abc import Iterable

from cluster.errors import InvalidRequest
from cluster.metadata import Node, Topic
from cluster.types import NodeId


def place(nodes: Iterable[Node], topics: Iterable[Topic], *, partitions: int, replicas: int) -> list[list[int]]:
    """The nodes of each partition's replicas, preferred leader first."""
    alive = sorted((node for node in nodes if node.usable), key=lambda node: node.node)
    if replicas > len(alive):
        raise InvalidRequest(f"{replicas} replicas need {replicas} nodes; {len(alive)} are alive")
    held: Counter[NodeId] = Counter()
    leading: Counter[NodeId] = Counter()
    for topic in topics:
        for placement in topic.partitions:
            held.update(replica.node for replica in placement.target or placement.replicas)
            leading[placement.preferred_leader] += 1
    placements = []
    for number in range(partitions):
        order = {node.node: (place - number) % len(alive) for place, node in enumerate(alive)}
        chosen: list[Node] = []
        racks: Counter[str] = Counter()
        while len(chosen) < replicas:
            left = [node for node in alive if node not in chosen]
            best = min(left, key=lambda node: (racks[node.rack], held[node.node], order[node.node]))
            chosen.append(best)
            racks[best.rack] += bool(best.rack)
            held[best.node] += 1
        leader = min(chosen, key=lambda node: (leading[node.node], order[node.node]))
        leading[leader.node] += 1
        placements.append([int(leader.node), *(int(node.node) for node in chosen if node is not leader)])
    return placements
