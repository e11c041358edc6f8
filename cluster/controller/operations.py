"""What people decide about nodes and placements, and what they are told of what is on its way.

See `cluster.broker.operations_service.Operations`, which this is to the broker.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from cluster.config import ControllerOptions
from cluster.controller.commands import (
    RULES,
    AddNode,
    Answer,
    Barrier,
    CancelReassign,
    Command,
    DrainNode,
    Reassign,
    Refusal,
    RemoveNode,
    ReplaceNode,
    SetReplicas,
)
from cluster.controller.leading import transfers
from cluster.controller.moves import ids_of
from cluster.controller.nodes import removable
from cluster.controller.observing import Observations
from cluster.controller.planning import Plan
from cluster.controller.state import MetadataState
from cluster.errors import InvalidRequest, NodeInUse, OutcomeUnknown
from cluster.metadata import Node, Reassignment, Topic, Waiting
from cluster.types import NodeId, PartitionId, TopicId
from cluster.world import Clock


class Operations:
    """One node's. `decide` has a command decided, and returns when this node has heard of what it changed."""

    def __init__(
        self,
        *,
        me: NodeId,
        state: MetadataState,
        observed: Observations,
        decide: Callable[[Command], Awaitable[Answer]],
        deciding: Callable[[], Collection[NodeId]],
        configured: Collection[NodeId],
        clock: Clock,
        options: ControllerOptions,
    ) -> None:
        """`deciding`: the quorum's members; `configured`: whom this node's configuration names."""
        self.leading: Callable[[], dict[PartitionId, NodeId]] = dict
        """Who is believed to lead what: the node says it."""
        self.leaving: Callable[[], Collection[NodeId]] = tuple
        """Who is about to stop, and is to lead nothing more: the node says it, too."""
        self.removed = asyncio.Event()
        """Set when others say that this node is none of the cluster any more: then it ends."""
        self._me = me
        self._state = state
        self._observed = observed
        self._decide = decide
        self._deciding = deciding
        self._configured = configured
        self._clock = clock
        self._options = options

    async def add_node(self, *, client_address: str, peer_address: str, rack: str) -> Node:
        """The node that is expected there, with an id that nobody had. InvalidRequest if there is no room for it."""
        addresses, nodes = (client_address, peer_address), self._state.nodes.values()
        known = any((node.client_address, node.peer_address) == addresses for node in nodes)
        if len(nodes) >= self._options.nodes_max and not known:  # if it is, it is perhaps asked for once more
            raise InvalidRequest(f"the cluster has its {self._options.nodes_max} nodes already")
        above = max((int(node) for node in (*self._deciding(), *self._configured)), default=0)
        answer = await self._decide(
            AddNode(client_address=client_address, peer_address=peer_address, rack=rack, above=above)
        )
        return self._node(NodeId(answer.numbers[0]))

    async def drain_node(self, node: NodeId, *, undo: bool) -> Node:
        """The node is to hold nothing, or may again. UnknownNode, NotEnoughNodes."""
        await self._decide(DrainNode(node=node, undo=undo))
        return self._node(node)

    async def replace_node(self, old: NodeId, new: NodeId) -> Node:
        """What the old node holds goes to the new one, then the old one is removed. UnknownNode, InvalidRequest."""
        await self._decide(ReplaceNode(old=old, new=new))
        return self._node(new)

    async def remove_node(self, node: NodeId) -> None:
        """The node is none of the cluster any more. UnknownNode, NodeInUse."""
        if self._in_use(node):
            await self._decide(Barrier())  # what this node knows may be old
            if message := self._in_use(node):
                raise NodeInUse(message)
        if node == self._me:
            await self._remove_this()
        else:
            await self._decide(RemoveNode(node=node))

    def _in_use(self, node: NodeId) -> str:
        """Why a member of the quorum cannot go, as far as is known here: the state has not the first one's members."""
        deciding = self._deciding()
        refusal = removable(self._state.nodes, self._state.topics, deciding, RemoveNode(node=node))
        if node not in deciding or not isinstance(refusal, Refusal) or refusal.reason != NodeInUse.reason:
            return ""
        return refusal.message

    async def _remove_this(self) -> None:
        """Those who decide it say nothing to this node from then on, but, as soon as it asks, that it was removed."""
        decided = asyncio.ensure_future(self._decide(RemoveNode(node=self._me)))
        told = asyncio.ensure_future(self.removed.wait())
        try:
            await asyncio.wait((decided, told), return_when=asyncio.FIRST_COMPLETED)
            if not told.done():
                decided.result()
        finally:
            decided.cancel()
            told.cancel()
            await asyncio.gather(decided, told, return_exceptions=True)

    async def set_replicas(self, topic: str, replicas: int) -> Topic:
        """So many copies of each partition from now on; the plan makes and drops them."""
        return self._topic(topic, await self._decide(SetReplicas(name=topic, replicas=replicas)))

    async def reassign(self, topic: str, nodes: Mapping[int, Sequence[NodeId]]) -> Topic:
        """These partitions go to these nodes, the preferred leader first."""
        chosen = {number: [int(node) for node in some] for number, some in nodes.items()}
        return self._topic(topic, await self._decide(Reassign(topic=topic, nodes=chosen, rules=RULES)))

    async def cancel(self, topic: str, partitions: Sequence[int]) -> Topic:
        """These moves (none named: all of the topic) go back."""
        command = CancelReassign(topic=topic, partitions=list(partitions), rules=RULES)
        return self._topic(topic, await self._decide(command))

    def _node(self, node: NodeId) -> Node:
        known = self._state.nodes.get(node)
        if known is None:
            raise OutcomeUnknown(f"that was done, and node {node} was removed right after it")
        return known

    def _topic(self, name: str, answer: Answer) -> Topic:
        topic = self._state.topics.get(TopicId(answer.topic))
        if topic is None:
            raise OutcomeUnknown(f"that was done, and the topic {name!r} was deleted right after it")
        return topic

    # --- what is on its way

    def plan(self) -> Plan:
        """What would be done next, as this node sees it."""
        return Plan(self._observed.situation(self._state, self.leading(), self._clock.monotonic_s()))

    def reassignments(self) -> list[Reassignment]:
        """What moves, by topic and number."""
        found = []
        for partition in self._state.moving:
            topic = self._state.topics[partition.topic]
            placement = topic.partitions[partition.number]
            told = self._observed.membership(partition)
            knows = told is not None and told.version >= placement.since
            found.append(
                Reassignment(
                    topic=topic.name,
                    number=partition.number,
                    replicas=tuple(item.node for item in placement.replicas),
                    target=tuple(item.node for item in placement.target),
                    back=ids_of(placement.target) == ids_of(placement.replicas),
                    behind_bytes=told.behind_bytes if told is not None and knows and told.learners else None,
                    joint=told is not None and knows and told.joint,
                )
            )
        return sorted(found, key=lambda item: (item.topic, item.number))

    def waiting(self) -> list[Waiting]:
        """What would move if it could, by topic and number, and why it does not."""
        found = []
        for partition, why in self.plan().waiting.items():
            topic = self._state.topics[partition.topic]
            nodes = tuple(item.node for item in topic.partitions[partition.number].replicas)
            found.append(Waiting(topic=topic.name, number=partition.number, replicas=nodes, why=why))
        return sorted(found, key=lambda item: (item.topic, item.number))

    def transfers(self, *, at_once: bool = False) -> list[tuple[PartitionId, NodeId]]:
        """Partitions that this node leads and another, which is there to stay, would better lead.

        `at_once`: only those for which it is decided already where a draining node's leaders go.
        """
        now = self._observed.situation(self._state, self.leading(), self._clock.monotonic_s())
        stay = self._observed.up() - set(self.leaving())
        return transfers(now, me=self._me, up=stay, at_once=at_once, transfers_max=self._options.transfers_max)

    def is_draining(self) -> bool:
        """Whether this node is to hold nothing."""
        me = self._state.nodes.get(self._me)
        return me is not None and me.draining
