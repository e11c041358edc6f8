"""The controller's state machine: topics, placements, nodes, producers, apps. Pure, deterministic, total.

`apply` never raises: what cannot be done is an answer with a reason. The same commands in the same order give the same
state and answers on every node. A proposal that was applied before is answered as it was then.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from cluster.controller import apps, moves, nodes, topics
from cluster.controller.commands import (
    AddNode,
    AllocateProducers,
    AlterTopic,
    Answer,
    Barrier,
    CancelReassign,
    Command,
    CreateTopic,
    DeleteTopic,
    DeployApp,
    DrainNode,
    Dropped,
    FinishReassign,
    MarkInitialised,
    Move,
    MoveReplicas,
    OpenProducer,
    PreferLeaders,
    Proposal,
    Reassign,
    Refusal,
    RegisterNode,
    RemoveApp,
    RemoveNode,
    ReplaceNode,
    Seal,
    SetNodeState,
    SetPaused,
    SetReplicas,
)
from cluster.controller.snapshot import Plain, decode_state, encode_state
from cluster.controller.table import TopicTable
from cluster.metadata import App, Delta, Node, NodeState, Placement, QuorumConfiguration, Recovery, Topic
from cluster.types import NodeId, PartitionId, ReplicaId, TopicId

ANSWERS_KEPT_MAX = 4096
"""Answers remembered for proposals that come again; a proposer gives up long before so many others came."""


class MetadataState:
    """The fold of all commands."""

    def __init__(self) -> None:
        self.version = 0
        self.applied = 0
        """How many proposals this is the fold of, from the first one of the cluster on."""
        self.quorum = QuorumConfiguration(number=1)
        self.nodes: dict[NodeId, Node] = {}
        self.gone_nodes: list[NodeId] = []
        self._table = TopicTable()
        self.producers: dict[str, tuple[int, int]] = {}
        self.apps: dict[str, App] = {}
        self.next_replica = 1
        self.next_producer = 1
        self.next_node = 1
        self.recoveries: list[Recovery] = []
        self._answers: OrderedDict[tuple[bytes, int], Answer] = OrderedDict()

    @property
    def topics(self) -> dict[TopicId, Topic]:
        """By id."""
        return self._table.topics

    @property
    def by_name(self) -> dict[str, TopicId]:
        """The topic that has a name now."""
        return self._table.by_name

    @property
    def deleted(self) -> Collection[TopicId]:
        """The topics that are gone for good."""
        return self._table.deleted

    @property
    def moving(self) -> Collection[PartitionId]:
        """The partitions that have a target."""
        return self._table.moving.keys()

    @property
    def removing(self) -> Mapping[TopicId, frozenset[ReplicaId]]:
        """What is to be dropped, of each topic that has any."""
        return self._table.removing

    def apply(self, proposal: Proposal) -> tuple[Answer, Delta | None]:
        """One command further; the delta if metadata changed."""
        self.applied += 1
        key = (proposal.client, proposal.number)
        known = self._answers.get(key)
        if known is not None:
            return known, None
        answer, delta = self._apply(proposal.command)
        self._answers[key] = answer
        while len(self._answers) > ANSWERS_KEPT_MAX:
            self._answers.popitem(last=False)
        return answer, delta

    def everything(self) -> Delta:
        """A resync: all there is."""
        return Delta(
            version=self.version,
            topics=tuple(self.topics.values()),
            deleted=tuple(self.deleted),
            nodes=tuple(self.nodes.values()),
            apps=tuple(self.apps.values()),
            gone=tuple(self.gone_nodes),
            quorum=self.quorum,
            resync=True,
        )

    def _apply(self, command: Command) -> tuple[Answer, Delta | None]:
        return self._handlers[type(command)](self, command)

    def _done(self, numbers: list[int], topic: bytes = b"") -> Answer:
        return Answer(version=self.version, numbers=numbers, topic=topic)

    def _refused(self, reason: str, message: str) -> tuple[Answer, None]:
        return Answer(version=self.version, reason=reason, message=message), None

    def _changed(self, *, numbers: list[int] | None = None, about: bytes = b"", **said: Any) -> tuple[Answer, Delta]:
        """`said`: the delta's fields."""
        self.version += 1
        return self._done(numbers or [], about), Delta(version=self.version, **said)

    # --- nodes

    def _put_node(
        self, node: Node | Refusal, numbers: list[int] | None = None, more: tuple[Topic, ...] = ()
    ) -> tuple[Answer, Delta | None]:
        if isinstance(node, Refusal):
            return self._refused(*node)
        if self.nodes.get(node.node) == node and not more:
            return self._done(numbers or []), None
        self.nodes[node.node] = node
        self.next_node = max(self.next_node, node.node + 1)
        return self._changed(nodes=(node,), topics=more, numbers=numbers)

    def _register(self, command: RegisterNode) -> tuple[Answer, Delta | None]:
        return self._put_node(nodes.registered(self.nodes, self.gone_nodes, command))

    def _set_state(self, command: SetNodeState) -> tuple[Answer, Delta | None]:
        known, state = self.nodes.get(NodeId(command.node)), NodeState.ALIVE if command.alive else NodeState.DEAD
        if known is None or known.state is NodeState.ADDED:
            return self._done([]), None
        return self._put_node(replace(known, state=state))

    def _add(self, command: AddNode) -> tuple[Answer, Delta | None]:
        node = nodes.added(self.nodes, max(self.next_node, command.above + 1), command)
        return self._put_node(node, [] if isinstance(node, Refusal) else [node.node])

    def _drain(self, command: DrainNode) -> tuple[Answer, Delta | None]:
        node = nodes.drained(self.nodes, self.topics, command)
        back: tuple[Topic, ...] = ()
        if command.undo and not isinstance(node, Refusal) and self.nodes[node.node].draining:
            back = self._table.change_all(partial(self._back_to, node.node))
        return self._put_node(node, more=back)

    def _back_to(self, node: NodeId, placement: Placement) -> Placement:
        leaving = {item.node for item in placement.replicas} - {item.node for item in placement.target}
        return moves.cancelled(placement, version=self.version + 1) if node in leaving else placement

    def _replace(self, command: ReplaceNode) -> tuple[Answer, Delta | None]:
        return self._put_node(nodes.replaced(self.nodes, self.topics, command))

    def _remove_node(self, command: RemoveNode) -> tuple[Answer, Delta | None]:
        node = nodes.removable(self.nodes, self.topics, self.quorum.members, command)
        if isinstance(node, Refusal):
            return self._refused(*node)
        del self.nodes[node.node]
        self.gone_nodes.append(node.node)
        cleared = self._table.change_all(lambda placement: moves.without_removed(placement, (), self.nodes))
        return self._changed(topics=cleared, gone=(node.node,))

    def _seal(self, command: Seal) -> tuple[Answer, Delta | None]:
        after = nodes.sealed(self.nodes, self.quorum, command)
        if isinstance(after, Refusal):
            return self._refused(*after)
        self.quorum = after
        return self._changed(quorum=after)

    # --- topics

    def _put_topic(self, topic: Topic | Refusal) -> tuple[Answer, Delta | None]:
        if isinstance(topic, Refusal):
            return self._refused(*topic)
        if self.topics.get(topic.id) == topic:
            return self._done([], topic.id), None
        self._table.put(topic)
        return self._changed(topics=(topic,), about=topic.id)

    def _create(self, command: CreateTopic) -> tuple[Answer, Delta | None]:
        existing = self._table.named(command.name)
        topic = topics.created(existing, command, self.topics, self.nodes, self.next_replica)
        if existing is None and not isinstance(topic, Refusal):
            self.next_replica += sum(len(placement.replicas) for placement in topic.partitions)
        return self._put_topic(topic)

    def _alter(self, command: AlterTopic) -> tuple[Answer, Delta | None]:
        return self._put_topic(topics.altered(self._table.named(command.name), command))

    def _set_replicas(self, command: SetReplicas) -> tuple[Answer, Delta | None]:
        return self._put_topic(topics.resized(self._table.named(command.name), command, self.nodes))

    def _delete(self, command: DeleteTopic) -> tuple[Answer, Delta | None]:
        topic = self._table.named(command.name)
        if topic is None:
            return self._refused(*topics.no_topic(command.name))
        self._table.pop(topic.id)
        return self._changed(deleted=(topic.id,))

    # --- placements

    def _placed(self, changed: tuple[Topic, ...]) -> tuple[Answer, Delta | None]:
        return self._changed(topics=changed) if changed else (self._done([]), None)

    def _initialised(self, command: MarkInitialised) -> tuple[Answer, Delta | None]:
        replicas = {ReplicaId(replica) for replica in command.replicas}
        return self._placed(self._table.change_all(lambda placement: moves.marked(placement, replicas)))

    def _dropped(self, command: Dropped) -> tuple[Answer, Delta | None]:
        change = partial(moves.without_removed, gone=set(map(ReplicaId, command.replicas)), nodes=self.nodes)
        return self._placed(self._table.change_all(change))

    def _reassign(self, command: Reassign) -> tuple[Answer, Delta | None]:
        topic = self._table.named(command.topic)
        if topic is None:
            return self._refused(*topics.no_topic(command.topic))
        wished = moves.wished(topic, command, self.nodes, version=self.version + 1, next_replica=self.next_replica)
        if isinstance(wished, Refusal):
            return self._refused(*wished)
        topic, self.next_replica = wished
        return self._put_topic(topic)

    def _cancel(self, command: CancelReassign) -> tuple[Answer, Delta | None]:
        topic = self._table.named(command.topic)
        if topic is None:
            return self._refused(*topics.no_topic(command.topic))
        back = moves.taken_back(topic, command, self.nodes, version=self.version + 1)
        return self._put_topic(back)

    def _move(self, command: MoveReplicas) -> tuple[Answer, Delta | None]:
        def aim(move: Move, placement: Placement) -> Placement:
            if move.since != placement.since or not moves.aimable(placement, move, self.nodes):
                return placement
            after = moves.targeted(
                placement, move.nodes, version=self.version + 1, next_replica=self.next_replica, fresh=move.fresh
            )
            self.next_replica += moves.minted(placement, after)
            return after

        return self._placed(
            self._table.change_some((move.topic, move.number, partial(aim, move)) for move in command.moves)
        )

    def _prefer(self, command: PreferLeaders) -> tuple[Answer, Delta | None]:
        changes = (
            (topic, number, partial(moves.preferring, node=NodeId(node))) for topic, number, node in command.leaders
        )
        return self._placed(self._table.change_some(changes))

    def _finish(self, command: FinishReassign) -> tuple[Answer, Delta | None]:
        change = partial(moves.finished, command=command, nodes=self.nodes)
        return self._placed(self._table.change_some([(command.topic, command.number, change)]))

    # --- producers

    def _allocate(self, command: AllocateProducers) -> tuple[Answer, None]:
        first = self.next_producer
        self.next_producer += max(command.count, 1)
        return self._done([first, self.next_producer]), None

    def _barrier(self, _: Barrier) -> tuple[Answer, None]:
        return self._done([]), None

    def _open_producer(self, command: OpenProducer) -> tuple[Answer, None]:
        known = self.producers.get(command.name)
        if known is None:
            known = (self.next_producer, -1)
            self.next_producer += 1
        producer, epoch = known[0], known[1] + 1
        self.producers[command.name] = (producer, epoch)
        return self._done([producer, epoch]), None

    # --- apps

    def _deploy(self, command: DeployApp) -> tuple[Answer, Delta | None]:
        known = self.apps.get(command.name)
        app = apps.deployed(self.apps, command, self.topics, self.next_producer)
        if isinstance(app, Refusal):
            return self._refused(*app)
        self.next_producer = max([self.next_producer, *(stage.producer + stage.tasks for stage in app.stages)])
        if app == known:
            return self._done([]), None
        self.apps[app.name] = app
        return self._changed(apps=(app,))

    def _set_paused(self, command: SetPaused) -> tuple[Answer, Delta | None]:
        known = self.apps.get(command.app)
        app = apps.paused(known, command)
        if isinstance(app, Refusal):
            return self._refused(*app)
        if app == known:
            return self._done([]), None
        self.apps[app.name] = app
        return self._changed(apps=(app,))

    def _remove(self, command: RemoveApp) -> tuple[Answer, Delta | None]:
        app = apps.without(self.apps.get(command.app), command)
        if isinstance(app, Refusal):
            return self._refused(*app)
        before = {stage.topic for stage in self.apps[command.app].stages}
        gone = before - {stage.topic for stage in app.stages} | {TopicId(topic) for topic in command.topics}
        deleted = tuple(sorted(gone & set(self.topics)))
        for topic_id in deleted:
            self._table.pop(topic_id)
        if app.stages:
            self.apps[app.name] = app
            return self._changed(deleted=deleted, apps=(app,))
        del self.apps[app.name]
        return self._changed(deleted=deleted, removed=(app.name,))

    # --- snapshots

    def encode(self) -> bytes:
        """The whole state."""
        return encode_state(
            Plain(
                version=self.version,
                applied=self.applied,
                quorum=self.quorum,
                nodes=list(self.nodes.values()),
                topics=list(self.topics.values()),
                deleted=list(self.deleted),
                producers=self.producers,
                apps=list(self.apps.values()),
                next_replica=self.next_replica,
                next_producer=self.next_producer,
                next_node=self.next_node,
                gone_nodes=list(self.gone_nodes),
                recoveries=list(self.recoveries),
                answers=[(client, number, answer) for (client, number), answer in self._answers.items()],
            )
        )

    def restore(self, data: bytes) -> None:
        """Become what was encoded."""
        plain = decode_state(data)
        self.version, self.applied, self.quorum = plain.version, plain.applied, plain.quorum
        self.nodes = {node.node: node for node in plain.nodes}
        self._table = TopicTable(plain.topics, map(TopicId, plain.deleted))
        self.producers = dict(plain.producers)
        self.apps = {app.name: app for app in plain.apps}
        self.next_replica, self.next_producer = plain.next_replica, plain.next_producer
        self.next_node = max([plain.next_node, *(node + 1 for node in self.nodes)])
        self.gone_nodes = [NodeId(node) for node in plain.gone_nodes]
        self.recoveries = list(plain.recoveries)
        self._answers = OrderedDict(((client, number), answer) for client, number, answer in plain.answers)

    _handlers: ClassVar[dict[type, Callable[["MetadataState", Any], tuple[Answer, Delta | None]]]] = {
        RegisterNode: _register,
        SetNodeState: _set_state,
        AddNode: _add,
        DrainNode: _drain,
        ReplaceNode: _replace,
        RemoveNode: _remove_node,
        Seal: _seal,
        CreateTopic: _create,
        AlterTopic: _alter,
        SetReplicas: _set_replicas,
        DeleteTopic: _delete,
        MarkInitialised: _initialised,
        Dropped: _dropped,
        Reassign: _reassign,
        CancelReassign: _cancel,
        MoveReplicas: _move,
        PreferLeaders: _prefer,
        FinishReassign: _finish,
        AllocateProducers: _allocate,
        OpenProducer: _open_producer,
        DeployApp: _deploy,
        SetPaused: _set_paused,
        RemoveApp: _remove,
        Barrier: _barrier,
    }
