"""What the controller does next so that replicas are where they should be: repairs, then balance. Pure.

Rules of the plan:
- A replica is asked to leave if its node is draining, was dead for too long, or is none of the cluster; or if it is
  lost, and then its node gets another one. Everything else stays where it is, unless balance asks for it.
- Never fewer than asked for: a replica that is to leave stays until there is a node for another one. A node that is
  alive keeps its replica before one that is dead does.
- A move is its leader's work: a partition that can have none, for most of its replicas are lost, begins no move. One
  that cannot end, therefore or because who is to be there is lost, is not counted; it says what it waits for.
- Racks: one replica in each rack before a second in any, as far as racks with usable nodes go.
- Least movement: nodes are balanced when no two of them differ by more than one; each move of balance goes from the
  fullest node that it can to the emptiest, and none makes racks worse. So there are no more of them than needed, but
  where a partition's replicas are in each other's way.
  What somebody has put where it is stays there.
- What was on a node that is none of the cluster (it was given up in a recovery) is not counted on: its partition goes
  on with one less until there is a node for another. A partition that was lost altogether is left alone, and says so
  where it keeps a node from being drained.
- Limited: so many moves at once in all, and to each node; those that somebody asked for are not counted. Repairs come
  first, of the dead before the draining. Balance waits until nothing moves.
- What a draining node leads moves last: by then its leaders should have gone (`leading`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cluster.controller.commands import Move
from cluster.controller.moves import may_move
from cluster.metadata import LED_BY_DRAINING, NO_COPY_LEFT, WAITS_FOR_TURN, Node, NodeState, Placement, Replica, Topic
from cluster.types import NodeId, PartitionId, ReplicaId, TopicId

MISSING, LEAVING, LED_HERE, CROWDED = range(4)
"""What is wrong with a placement, the worst first: copies are missing; some have to go, perhaps the leader's; racks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the plan is made from. `gone`: nodes dead for too long. `leading`: who is believed to lead what."""

    nodes: Mapping[NodeId, Node]
    topics: Mapping[TopicId, Topic]
    lost: frozenset[ReplicaId] = frozenset()
    gone: frozenset[NodeId] = frozenset()
    leading: Mapping[PartitionId, NodeId] = field(default_factory=dict)
    moves_max: int = 16
    moves_per_node_max: int = 4
    balance: bool = True

    def leaves(self, replica: Replica) -> bool:
        """Whether it has to go from its node."""
        node = self.nodes.get(replica.node)
        return node is None or node.draining or node.node in self.gone


def members_of(placement: Placement) -> tuple[Replica, ...]:
    """Who is to be there, by what was decided so far."""
    return placement.target or placement.replicas


class Plan:
    """One pass over all placements. `moves` are the next ones; `waiting` are partitions that lack nodes, and why."""

    def __init__(self, situation: Situation) -> None:
        self._now = situation
        self._usable = sorted((node for node in situation.nodes.values() if node.usable), key=lambda node: node.node)
        self._held: Counter[NodeId] = Counter()
        self._arriving: Counter[NodeId] = Counter()
        self._moving = self._asked = 0
        """By the plan, and because somebody wants it."""
        self.moves: list[Move] = []
        self.waiting: dict[PartitionId, str] = {}
        for topic, placement in self._all():
            self._count(topic, placement)
        self._repair()
        if situation.balance and not self.moves and not self._moving and not self._asked:
            self._balance()

    def _all(self) -> Iterator[tuple[Topic, Placement]]:
        for topic in self._now.topics.values():
            for placement in topic.partitions:
                yield topic, placement

    def _count(self, topic: Topic, placement: Placement) -> None:
        self._held.update(item.node for item in members_of(placement))
        if not placement.target or self._is_stuck(topic, placement) or any(map(self._is_lost, placement.target)):
            return
        if placement.pinned:
            self._asked += 1
        else:
            self._moving += 1
            there = {item.replica for item in placement.replicas}
            self._arriving.update(item.node for item in placement.target if item.replica not in there)

    def _is_lost(self, item: Replica) -> bool:
        now = self._now
        return item.replica in now.lost or item.node in now.gone or item.node not in now.nodes

    def _is_stuck(self, topic: Topic, placement: Placement) -> bool:
        """Whether nobody leads it, and nobody can; a leader knows better: its log may be ahead of what was told."""
        lost = sum(map(self._is_lost, placement.replicas))
        return 2 * lost >= len(placement.replicas) and PartitionId(topic.id, placement.number) not in self._now.leading

    # --- repairs

    def _repair(self) -> None:
        wanted = [
            (self._urgency(topic, placement), topic.name, placement.number, topic, placement)
            for topic, placement in self._all()
            if self._is_wrong(topic, placement)
        ]
        for topic, placement in self._all():
            if why := self._why_it_stays(topic, placement):
                self.waiting[PartitionId(topic.id, placement.number)] = why
        for urgency, *_, topic, placement in sorted(wanted, key=lambda item: item[:3]):
            if self._is_stuck(topic, placement):
                self.waiting[PartitionId(topic.id, placement.number)] = self._why_stuck(placement)
            elif urgency == LED_HERE and (self.moves or self._moving):
                self.waiting[PartitionId(topic.id, placement.number)] = LED_BY_DRAINING
            elif urgency == CROWDED:
                self._spread_out(topic, placement)
            else:
                self._mend(topic, placement)

    def _is_wrong(self, topic: Topic, placement: Placement) -> bool:
        members = members_of(placement)
        if placement.lost:
            return False
        if len(members) != topic.replicas or any(
            self._now.leaves(item) or item.replica in self._now.lost for item in members
        ):
            return True
        return not (placement.target or placement.pinned) and self._crowded(members) is not None

    def _urgency(self, topic: Topic, placement: Placement) -> int:
        members = members_of(placement)
        if len(members) < topic.replicas or any(
            item.replica in self._now.lost or item.node in self._now.gone for item in members
        ):
            return MISSING
        leader = self._now.nodes.get(self._now.leading.get(PartitionId(topic.id, placement.number), NodeId(0)))
        if leader is not None and leader.draining and len(placement.replicas) > 1:
            return LED_HERE
        return LEAVING if any(map(self._now.leaves, members)) or len(members) > topic.replicas else CROWDED

    def _mend(self, topic: Topic, placement: Placement) -> None:
        now, members = self._now, members_of(placement)
        stay = [item.node for item in members if not now.leaves(item)]
        fresh = [item.node for item in members if item.replica in now.lost and self._is_usable(item.node)]
        there = {item.node for item in placement.replicas}
        leave = sorted(  # who was to go by a target that cannot be reached is there yet; who was to come is not
            (
                item
                for item in (*placement.replicas, *members)
                if now.leaves(item) and item.node not in stay and (item.node in there or not self._is_lost(item))
            ),
            key=lambda item: (self._is_lost(item), item.node not in there, -item.node),
        )
        nodes = stay[:]
        while len(nodes) > topic.replicas:
            nodes.remove(self._least_useful(nodes, placement))
        heirs = {now.nodes[item.node].replaced_by for item in leave if item.node in now.nodes} - {NodeId(0)}
        while len(nodes) < topic.replicas:
            chosen = self._best(nodes, heirs)
            if chosen is None:
                break
            nodes.append(chosen)
        lacking = topic.replicas - len(nodes)
        left = (item.node for item in leave if item.node in now.nodes and item.node not in nodes)
        nodes += list(dict.fromkeys(left))[:lacking]
        if lacking > 0:
            self.waiting[PartitionId(topic.id, placement.number)] = self._why(topic, members)
        self._aim(topic, placement, nodes, [node for node in fresh if node in nodes])

    def _spread_out(self, topic: Topic, placement: Placement) -> None:
        """From a rack that has two of it to one that has none."""
        members = members_of(placement)
        crowded = self._crowded(members)
        nodes = [item.node for item in members if item.node != crowded]
        chosen = self._best(nodes, set()) if crowded is not None else None
        if chosen is not None and self._spread([*nodes, chosen]) > self._spread([item.node for item in members]):
            self._aim(topic, placement, [*nodes, chosen], [])

    def _why(self, topic: Topic, members: tuple[Replica, ...]) -> str:
        full = sum(self._arriving[node.node] >= self._now.moves_per_node_max for node in self._usable)
        if len(self._usable) >= topic.replicas and full:
            return WAITS_FOR_TURN
        leaving = sorted({item.node for item in members if self._now.leaves(item)})
        what = f"{topic.replicas} replicas are asked for, and {len(self._usable)} nodes are alive and not draining"
        return what + (f"; what is on node {', '.join(map(str, leaving))} cannot be put elsewhere" if leaving else "")

    def _why_it_stays(self, topic: Topic, placement: Placement) -> str:
        """What keeps a move that was begun, or a node from being rid of what is lost for good; empty: nothing."""
        if placement.lost:
            nodes = [self._now.nodes.get(item.node) for item in placement.replicas]
            return NO_COPY_LEFT if any(node is not None and node.draining for node in nodes) else ""
        return self._why_stuck(placement) if placement.target and self._is_stuck(topic, placement) else ""

    def _why_stuck(self, placement: Placement) -> str:
        lost = sorted({item.node for item in placement.replicas if self._is_lost(item)})
        where = f"node{'s' * (len(lost) != 1)} {', '.join(map(str, lost))}"
        return (
            f"most of its replicas are lost, on {where}: nobody can lead it, or move it, before one of them is back, "
            "with its data; if that is gone for good, delete the topic (riverrun topic delete), or go on with what is "
            "left (riverrun cluster recover --help)"
        )

    def _least_useful(self, nodes: list[NodeId], placement: Placement) -> NodeId:
        racks = self._racks(nodes)
        there = {item.node for item in placement.replicas}
        lost = {item.node for item in members_of(placement) if item.replica in self._now.lost}
        return max(
            nodes,
            key=lambda node: (
                node in lost or self._now.nodes[node].state is not NodeState.ALIVE,
                node not in there,
                racks[self._rack(node)] if self._rack(node) else 0,
                node != placement.preferred_leader,
                self._held[node],
                node,
            ),
        )

    def _best(self, taken: list[NodeId], heirs: set[NodeId]) -> NodeId | None:
        """The node for one more replica: who takes another one's place, else the emptiest of the emptiest rack."""
        racks = self._racks(taken)
        free = [node for node in self._usable if node.node not in taken]
        free = [node for node in free if node.node in heirs] or free
        free = [node for node in free if self._arriving[node.node] < self._now.moves_per_node_max]
        if not free:
            return None
        return min(free, key=lambda node: (racks[node.rack] if node.rack else 0, self._held[node.node])).node

    def _is_usable(self, node: NodeId) -> bool:
        known = self._now.nodes.get(node)
        return known is not None and known.usable

    # --- balance

    def _balance(self) -> None:
        while len(self.moves) < self._now.moves_max and self._even_out():
            pass

    def _even_out(self) -> bool:
        """One move from a fuller node to one that has at least two less; False: there is none.

        While an emptier node gets as much as it can at once, another one gets no more than each is to have.
        """
        least = sum(self._held[node.node] for node in self._usable) // len(self._usable) if self._usable else 0
        order = sorted(self._usable, key=lambda node: (self._held[node.node], node.node))
        moved = {(move.topic, move.number) for move in self.moves}
        for source in reversed(order):
            emptier_waits = False
            for drain in order:
                if self._held[source.node] - self._held[drain.node] < 2:
                    break
                if emptier_waits and self._held[drain.node] >= least:
                    break
                if self._arriving[drain.node] >= self._now.moves_per_node_max:
                    emptier_waits = True
                    continue
                found = self._movable(source.node, drain.node, moved)
                if found is not None:
                    topic, placement = found
                    nodes = [item.node if item.node != source.node else drain.node for item in placement.replicas]
                    self._aim(topic, placement, nodes, [])
                    return True
        return False

    def _movable(self, source: NodeId, to: NodeId, moved: set[tuple[bytes, int]]) -> tuple[Topic, Placement] | None:
        """A partition that may go: of the topic of which the one has most more than the other, better not led there."""
        best, best_key = None, (0, False)
        for topic in self._now.topics.values():
            here = [item for item in topic.partitions if any(one.node == source for one in item.replicas)]
            there = sum(any(one.node == to for one in item.replicas) for item in topic.partitions)
            for placement in here:
                nodes = [item.node for item in placement.replicas]
                if (
                    to in nodes
                    or placement.target
                    or placement.pinned
                    or placement.lost
                    or (topic.id, placement.number) in moved
                    or not may_move(placement)
                    or self._spread([to if node == source else node for node in nodes]) < self._spread(nodes)
                ):
                    continue
                key = (len(here) - there, placement.preferred_leader != source)
                if best is None or key > best_key:
                    best, best_key = (topic, placement), key
        return best

    # --- both

    def _aim(self, topic: Topic, placement: Placement, nodes: list[NodeId], fresh: list[NodeId]) -> None:
        """A move, if there is room for it: the preferred leader stays the first, if it stays."""
        members = members_of(placement)
        same = {item.node for item in members} == set(nodes) and not fresh
        if same or not nodes or not may_move(placement):
            return
        if not placement.target and self._moving + len(self.moves) >= self._now.moves_max:
            self.waiting.setdefault(PartitionId(topic.id, placement.number), WAITS_FOR_TURN)
            return
        arriving = [node for node in nodes if node in fresh or node not in {item.node for item in members}]
        if any(self._arriving[node] >= self._now.moves_per_node_max for node in arriving):
            self.waiting.setdefault(PartitionId(topic.id, placement.number), WAITS_FOR_TURN)
            return
        self._held.subtract(item.node for item in members)
        self._held.update(nodes)
        self._arriving.update(arriving)
        order = sorted(nodes, key=lambda node: node != placement.preferred_leader)
        self.moves.append(
            Move(
                topic=topic.id,
                number=placement.number,
                nodes=[int(node) for node in order],
                since=placement.since,
                fresh=[int(node) for node in fresh],
            )
        )

    def _rack(self, node: NodeId) -> str:
        known = self._now.nodes.get(node)
        return known.rack if known is not None else ""

    def _racks(self, nodes: list[NodeId]) -> Counter[str]:
        return Counter(map(self._rack, nodes))

    def _spread(self, nodes: list[NodeId]) -> int:
        """How many racks have one, a node without a rack counting as one of its own."""
        return len({self._rack(node) or node for node in nodes})

    def _crowded(self, members: tuple[Replica, ...]) -> NodeId | None:
        """One of two nodes in a rack, if another rack with a usable node has none."""
        racks = self._racks([item.node for item in members])
        free = {node.rack for node in self._usable} - set(racks) - {""}
        twice = [item.node for item in members if racks[self._rack(item.node)] > 1 and self._rack(item.node)]
        return max(twice, key=lambda node: (self._held[node], node)) if twice and free else None
