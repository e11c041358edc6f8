"""What becomes of a partition's placement as its replicas move. Pure; what cannot be done is a `Refusal`.

A move is a `target`. Who is to be there is decided here; who is there is what the partition's log says, and a leader
tells. So nothing goes before a leader's committed membership is without it: a target that is given up, or followed by
another one, leaves what it had made among `abandoned`, which may be in that membership by then. A replica's id is used
once: a node keeps the one that it has of a partition, unless that one is lost.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from cluster.controller.commands import CancelReassign, FinishReassign, Move, Reassign, Refusal
from cluster.controller.nodes import unknown, what_ails
from cluster.metadata import NO_COPY_LEFT, Node, Placement, Replica, Topic
from cluster.types import NodeId, ReplicaId


def targeted(
    placement: Placement, nodes: Sequence[int], *, version: int, next_replica: int, fresh: Collection[int] = ()
) -> Placement:
    """On its way to these nodes, the preferred leader first; new replicas get ids from `next_replica` on."""
    newest: dict[int, Replica] = {}
    for item in sorted(placement.running, key=lambda item: item.replica):
        newest[item.node] = item
    target = []
    for node in nodes:
        if node in fresh or node not in newest:
            target.append(Replica(replica=ReplicaId(next_replica), node=NodeId(node)))
            next_replica += 1
        else:
            target.append(newest[node])
    preferred = NodeId(nodes[0]) if nodes[0] in {item.node for item in placement.replicas} else None
    if not placement.target and ids_of(target) == ids_of(placement.replicas):
        return replace(placement, replicas=tuple(target), preferred_leader=NodeId(nodes[0]), pinned=False)
    return replace(
        placement,
        target=tuple(target),
        abandoned=_without((*placement.abandoned, *placement.target), (*target, *placement.replicas)),
        preferred_leader=preferred or placement.preferred_leader,
        since=version,
        pinned=False,
    )


def minted(before: Placement, after: Placement) -> int:
    """How many new replica ids a target took."""
    return len(ids_of(after.target) - ids_of(before.running))


def wished(
    topic: Topic, command: Reassign, nodes: Mapping[NodeId, Node], *, version: int, next_replica: int
) -> tuple[Topic, int] | Refusal:
    """The topic with somebody's moves begun, and the next replica id."""
    numbers = command.nodes
    if not numbers:
        return Refusal("INVALID_REQUEST", "say which partition is to go to which nodes")
    partitions = list(topic.partitions)
    for number, wanted in sorted(numbers.items()):
        if not 0 <= number < len(partitions):
            return Refusal("UNKNOWN_PARTITION", f"topic {topic.name!r} has no partition {number}")
        placement = partitions[number]
        where = f"partition {number} of {topic.name!r}"
        if placement.lost and command.rules:
            return Refusal("INVALID_REQUEST", f"{where} cannot move: {NO_COPY_LEFT}")
        if placement.target:
            on = ", ".join(str(item.node) for item in placement.target)
            return Refusal(
                "REASSIGNMENT_IN_PROGRESS",
                f"{where} is on its way to nodes {on}: wait for it, or cancel it (riverrun cluster reassignments)",
            )
        if objection := _objection(topic, where, wanted, nodes):
            return objection
        if not _established(placement):
            return Refusal("UNAVAILABLE", f"{where} is being made; try again in a moment")
        moved = targeted(placement, wanted, version=version, next_replica=next_replica)
        next_replica += minted(placement, moved)
        partitions[number] = replace(moved, pinned=True)
    return replace(topic, partitions=tuple(partitions)), next_replica


def _objection(topic: Topic, where: str, wanted: Sequence[int], nodes: Mapping[NodeId, Node]) -> Refusal | None:
    twice = next((node for node in wanted if list(wanted).count(node) > 1), None)
    if twice is not None:
        return Refusal("INVALID_REQUEST", f"{where} would have two replicas on node {twice}")
    if len(wanted) != topic.replicas:
        return Refusal(
            "INVALID_REQUEST",
            f"{where} has {topic.replicas} replicas, and {len(wanted)} nodes were named; "
            "riverrun topic alter --replicas changes how many there are",
        )
    for number in wanted:
        node = nodes.get(NodeId(number))
        if node is None:
            return unknown(nodes, number)
        if not node.usable:
            return Refusal("INVALID_REQUEST", f"{where} cannot go to node {number}: it {what_ails(node)}")
    return None


def taken_back(topic: Topic, command: CancelReassign, nodes: Mapping[NodeId, Node], *, version: int) -> Topic | Refusal:
    """The topic with these moves (none named: all of them) on their way back, to stay there: somebody wants it so."""
    numbers, there = command.partitions, range(len(topic.partitions))
    strange = next((number for number in numbers if number not in there), None)
    if strange is not None:
        return Refusal("UNKNOWN_PARTITION", f"topic {topic.name!r} has no partition {strange}")
    chosen = set(numbers or there)
    begun_again = {
        item.node
        for placement in topic.partitions
        if placement.number in chosen and placement.target
        for item in placement.replicas
        if item.node in nodes and nodes[item.node].draining
    }
    if begun_again:
        node = min(begun_again)
        return Refusal(
            "INVALID_REQUEST",
            f"node {node} is draining, so that this would begin again: riverrun cluster drain {node} --undo",
        )
    return replace(
        topic,
        partitions=tuple(
            cancelled(placement, version=version, pinned=command.rules > 0) if placement.number in chosen else placement
            for placement in topic.partitions
        ),
    )


def may_move(placement: Placement) -> bool:
    """Whether the plan may set a target: the partition works, so that a leader can take it there."""
    return bool(placement.target) or _established(placement)


def aimable(placement: Placement, move: Move, nodes: Collection[NodeId]) -> bool:
    """Whether that is a target: some nodes, each once, all of them there."""
    apart = len(set(move.nodes)) == len(move.nodes) > 0
    return apart and may_move(placement) and all(node in nodes for node in move.nodes)


def _established(placement: Placement) -> bool:
    """A majority began with the membership that it was made with: whoever is made from now on learns it from them."""
    return 2 * sum(item.initialised for item in placement.replicas) > len(placement.replicas)


def cancelled(placement: Placement, *, version: int, pinned: bool = False) -> Placement:
    """On its way back; as it was if it does not move. `pinned`: balance leaves it there."""
    if not placement.target or ids_of(placement.target) == ids_of(placement.replicas):
        return placement
    return replace(
        placement,
        target=tuple(sorted(placement.replicas, key=lambda item: item.node != placement.preferred_leader)),
        abandoned=_without((*placement.abandoned, *placement.target), placement.replicas),
        since=version,
        pinned=pinned,
    )


def finished(placement: Placement, command: FinishReassign, nodes: Collection[NodeId]) -> Placement:
    """With the target as what is there; as it was if that membership is not it, or older than it."""
    voters = {ReplicaId(voter) for voter in command.voters}
    if not placement.target or command.version < placement.since or voters != ids_of(placement.target):
        return placement
    left = _without(placement.running, placement.target)
    return replace(
        placement,
        replicas=placement.target,
        preferred_leader=placement.target[0].node,
        target=(),
        abandoned=(),
        removed=(*placement.removed, *(item for item in left if item.node in nodes)),
    )


def preferring(placement: Placement, node: NodeId) -> Placement:
    """Better led from there; as it was if there is none of it that stays."""
    members = placement.target or placement.replicas
    if placement.preferred_leader == node or node not in {item.node for item in members}:
        return placement
    first = tuple(sorted(placement.target, key=lambda item: item.node != node))
    return replace(placement, preferred_leader=node, target=first)


def without_removed(placement: Placement, gone: Collection[ReplicaId], nodes: Collection[NodeId]) -> Placement:
    """Without what has been dropped, or is on nodes that are none of the cluster any more."""
    left = tuple(item for item in placement.removed if item.replica not in gone and item.node in nodes)
    return placement if left == placement.removed else replace(placement, removed=left)


def marked(placement: Placement, initialised: Collection[ReplicaId]) -> Placement:
    """With these recorded as having a log."""
    if all(item.initialised or item.replica not in initialised for item in placement.running):
        return placement

    def mark(items: Iterable[Replica]) -> tuple[Replica, ...]:
        return tuple(replace(item, initialised=item.initialised or item.replica in initialised) for item in items)

    return replace(
        placement,
        replicas=mark(placement.replicas),
        target=mark(placement.target),
        abandoned=mark(placement.abandoned),
    )


def ids_of(items: Iterable[Replica]) -> set[ReplicaId]:
    """Of whom."""
    return {item.replica for item in items}


def _without(items: Iterable[Replica], others: Iterable[Replica]) -> tuple[Replica, ...]:
    gone = ids_of(others)
    return tuple({item.replica: item for item in items if item.replica not in gone}.values())
