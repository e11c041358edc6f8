"""Nodes in the controller's state: who is there, who is expected, who is to hold nothing. Pure.

A node's id is minted once and never returns: what comes under an old one after its removal is refused for ever. What
cannot be done is a `Refusal` whose sentence says what stands in the way, and what would help.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from cluster.controller.commands import AddNode, DrainNode, Refusal, RegisterNode, RemoveNode, ReplaceNode, Seal
from cluster.metadata import Node, NodeState, QuorumConfiguration, Seat, Topic
from cluster.types import NodeId, TopicId

NAMED_MAX = 3
"""Topics that a sentence names; the others it counts."""
Nodes = Mapping[NodeId, Node]
Topics = Mapping[TopicId, Topic]


def registered(nodes: Nodes, gone: Collection[int], command: RegisterNode) -> Node | Refusal:
    """The node as it makes itself known now; what was decided about it stays."""
    if command.node in gone:
        return Refusal("NODE_REMOVED", removed(command.node))
    known = nodes.get(NodeId(command.node))
    if known is not None and known.directory and command.directory not in {b"", known.directory}:
        return Refusal(
            "REFUSED_TO_START",
            f"node {command.node} registered with another data directory: this one was wiped or exchanged. Start "
            f"it with the data that it had, or replace it: riverrun cluster replace {command.node} --with NEW",
        )
    return Node(
        node=NodeId(command.node),
        client_address=command.client_address,
        peer_address=command.peer_address,
        version=command.version,
        directory=command.directory or (known.directory if known is not None else b""),
        rack=command.rack or (known.rack if known is not None else ""),
        draining=known is not None and known.draining,
        replaced_by=known.replaced_by if known is not None else NodeId(0),
    )


def added(nodes: Nodes, next_node: int, command: AddNode) -> Node | Refusal:
    """The node that is expected there: a new one, or the one that was added for these addresses before."""
    for address in (command.client_address, command.peer_address):
        if not address.rpartition(":")[0] or not address.rpartition(":")[2].isdecimal():
            return Refusal("INVALID_REQUEST", f"{address!r} is no address of a listener: HOST:PORT")
    wanted = (command.client_address, command.peer_address, command.rack)
    for node in nodes.values():
        if node.state is NodeState.ADDED and wanted == (node.client_address, node.peer_address, node.rack):
            return node
        same = {node.client_address, node.peer_address} & {command.client_address, command.peer_address}
        if same and node.state is not NodeState.DEAD:
            return Refusal("INVALID_REQUEST", f"node {node.node} has the address {min(same)} already")
    return Node(
        node=NodeId(next_node),
        client_address=command.client_address,
        peer_address=command.peer_address,
        rack=command.rack,
        state=NodeState.ADDED,
    )


def drained(nodes: Nodes, topics: Topics, command: DrainNode) -> Node | Refusal:
    """The node as one that is to hold nothing, or may again."""
    node = nodes.get(NodeId(command.node))
    if node is None:
        return unknown(nodes, command.node)
    if command.undo:
        return replace(node, draining=False, replaced_by=NodeId(0))
    return _leaving(nodes, topics, node, NodeId(0))


def replaced(nodes: Nodes, topics: Topics, command: ReplaceNode) -> Node | Refusal:
    """The old node as one whose place the new one takes."""
    old, new = nodes.get(NodeId(command.old)), nodes.get(NodeId(command.new))
    if old is None or new is None:
        return unknown(nodes, command.old if old is None else command.new)
    if old is new:
        return Refusal(
            "INVALID_REQUEST",
            f"node {old.node} cannot take its own place; if it lost its disk, it gets new replicas by itself",
        )
    if not new.usable:
        return Refusal(
            "INVALID_REQUEST", f"node {new.node} cannot take the place of node {old.node}: it {what_ails(new)}"
        )
    return _leaving(nodes, topics, old, new.node)


def _leaving(nodes: Nodes, topics: Topics, node: Node, to: NodeId) -> Node | Refusal:
    left = [other.node for other in nodes.values() if other.usable and other.node != node.node]
    asked = [topic for topic in topics.values() if topic.replicas > len(left) and _holds(topic, node.node)]
    if asked:
        most = max(topic.replicas for topic in asked)
        away = [f"node {other.node} {what_ails(other)}" for other in nodes.values() if not other.usable]
        away = [told for told in away if not told.startswith(f"node {node.node} ")]
        return Refusal(
            "NOT_ENOUGH_NODES",
            f"without node {node.node} there are {len(left)} nodes for the {most} replicas of "
            f"{naming(topic.name for topic in asked)}"
            + (f" ({', '.join(away)})" if away else "")
            + ": add a node first (riverrun cluster add), or ask for fewer (riverrun topic alter --replicas)",
        )
    return replace(node, draining=True, replaced_by=to)


def removable(nodes: Nodes, topics: Topics, deciding: Collection[NodeId], command: RemoveNode) -> Node | Refusal:
    """The node that goes for good; refused while anything of a partition may be on it, or it has a say."""
    node = nodes.get(NodeId(command.node))
    if node is None:
        return unknown(nodes, command.node)
    holding = {topic.name: _holds(topic, node.node) for topic in topics.values()}
    count = sum(holding.values())
    if count:
        return Refusal(
            "NODE_IN_USE",
            f"node {node.node} holds {count} replica{'s' * (count != 1)}, of "
            f"{naming(name for name, held in holding.items() if held)}: drain it first "
            f"(riverrun cluster drain {node.node})",
        )
    if node.node in deciding:
        return Refusal("NODE_IN_USE", seated(node.node))
    return node


def seated(node: int) -> str:
    """Why a node that has a say cannot be removed."""
    return (
        f"node {node} has a seat in the controller's quorum, which another node takes by itself when this one drains "
        f"(riverrun cluster drain {node}), if there is one without a seat: else add a node first"
    )


def sealed(nodes: Nodes, quorum: QuorumConfiguration, command: Seal) -> QuorumConfiguration | Refusal:
    """Who decides from now on."""
    if command.number != quorum.number + 1:
        return Refusal("UNAVAILABLE", f"the quorum is in configuration {quorum.number} by now")
    seats = tuple(Seat(node=NodeId(node), directory=directory) for node, directory in command.seats)
    known = {node.node: node.directory for node in nodes.values() if node.directory}
    strange = next((seat.node for seat in seats if known.get(seat.node) != seat.directory), None)
    if strange is not None or not seats or len({seat.node for seat in seats}) < len(seats):
        return Refusal("INVALID_REQUEST", f"no quorum: {strange or 'a seat is doubled or none is there'}")
    return QuorumConfiguration(number=command.number, seats=seats)


def _holds(topic: Topic, node: NodeId) -> int:
    return sum(any(item.node == node for item in placement.running) for placement in topic.partitions)


def removed(node: int) -> str:
    """What a node is told that comes under the id of one that was removed."""
    return (
        f"node {node} was removed from this cluster, and its id does not return: add a new node "
        "(riverrun cluster add) and start it with an empty data directory"
    )


def unknown(nodes: Nodes, node: int) -> Refusal:
    """There is no such node."""
    there = ", ".join(str(known) for known in sorted(nodes)) or "none"
    return Refusal("UNKNOWN_NODE", f"the cluster has no node {node}; it has {there}")


def what_ails(node: Node) -> str:
    """Why nothing can be put on a node, for "node 3 …"."""
    if node.state is NodeState.DEAD:
        return "is dead"
    return "has not been started yet" if node.state is NodeState.ADDED else "is draining"


def naming(names: Iterable[str]) -> str:
    """Topics, in a sentence.

    >>> naming(["b", "a"]), naming(["a", "b", "c", "d", "e"])
    ('topics a, b', 'topics a, b, c and 2 others')
    """
    every = sorted(set(names))
    more = len(every) - NAMED_MAX
    told = ", ".join(every[:NAMED_MAX]) + (f" and {more} other{'s' * (more != 1)}" if more > 0 else "")
    return f"topic{'s' * (len(every) != 1)} {told}"
