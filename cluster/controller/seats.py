"""Who should decide: a plan for the controller's quorum. Pure.

Three members; five where five nodes are there and alive; all where there are fewer than three. A node that is draining,
was removed or has been dead for long loses its seat as soon as another one that is alive can take it, one of a rack
that has none before others. One seal at a time, and each changes as little as it can; without a majority of its members
alive none is proposed.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from cluster.controller.commands import Seal
from cluster.metadata import Node, NodeState, QuorumConfiguration
from cluster.types import NodeId

SMALL, LARGE = 3, 5


def plan_seats(
    nodes: Mapping[NodeId, Node],
    quorum: QuorumConfiguration,
    deciding: Collection[NodeId],
    *,
    lost: Collection[NodeId] = (),
) -> Seal | None:
    """The seal that should come next; None: all is well, or cannot be bettered now.

    `deciding`: the members now (those of the first configuration are in no seal); `lost`: nodes dead for
    long, or never there at all.
    """
    if quorum.number == 1 and not all(node in lost or (node in nodes and nodes[node].directory) for node in deciding):
        return None  # the cluster is forming: who has not registered yet is not gone
    alive = {node.node for node in nodes.values() if node.state is NodeState.ALIVE and node.directory}
    fit = {node for node in alive if not nodes[node].draining}
    staying = [node for node in sorted(deciding) if node in nodes and not nodes[node].draining and node not in lost]
    there = sum(bool(node.directory) and not node.draining for node in nodes.values())  # the dead, too: they may return
    size = _size(there, len(deciding), len(fit))
    free = sorted(fit - set(staying))
    chosen = staying[:]
    while len(chosen) > size:  # who is dead goes first, then who shares its rack
        racks = Counter(nodes[node].rack for node in chosen)
        chosen.remove(max(chosen, key=lambda node: (node not in alive, racks[nodes[node].rack] > 1, node)))
    while len(chosen) < size and free:
        racks = Counter(nodes[node].rack for node in chosen)
        best = min(free, key=lambda node: (racks[nodes[node].rack] if nodes[node].rack else 0, node))
        chosen.append(best)
        free.remove(best)
    if len(chosen) < size:  # a seat that nobody can take stays with whoever has it, if it is there at all
        kept = [node for node in sorted(deciding) if node in nodes and node not in chosen]
        chosen += sorted(kept, key=lambda node: node not in alive)[: size - len(chosen)]
    if set(chosen) == set(deciding) or not chosen or not all(nodes[node].directory for node in chosen):
        return None
    if len(alive & set(chosen)) <= len(chosen) // 2:
        return None
    return seal(nodes, quorum, chosen)


def seal(nodes: Mapping[NodeId, Node], quorum: QuorumConfiguration, members: Iterable[NodeId]) -> Seal:
    """The seal that makes these the members."""
    seats = [(int(node), nodes[node].directory) for node in sorted(members)]
    return Seal(number=quorum.number + 1, seats=seats)


def _size(there: int, now: int, fit: int) -> int:
    if there >= LARGE and (fit >= LARGE or now >= LARGE):
        return LARGE
    return min(there, SMALL)
