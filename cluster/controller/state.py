"""The controller's state machine: topics, placements, nodes, producers, apps. Pure, deterministic, total.

`apply` never raises: what cannot be done is an answer with a reason. The same commands in the same order give the same
state and answers on every node. A proposal that was applied before is answered as it was then.
"""

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import msgspec

from cluster.controller import apps
from cluster.controller.commands import (
    AllocateProducers,
    AlterTopic,
    Answer,
    Barrier,
    Command,
    CreateTopic,
    DeleteTopic,
    DeployApp,
    MarkInitialised,
    OpenProducer,
    Proposal,
    RegisterNode,
    RemoveApp,
    Seal,
    SetNodeState,
    SetPaused,
)
from cluster.metadata import (
    CONFIG_NAMES,
    App,
    Delta,
    Node,
    NodeState,
    Placement,
    QuorumConfiguration,
    Replica,
    Seat,
    Topic,
    TopicConfig,
)
from cluster.types import NodeId, ReplicaId, TopicId

FORMAT = 1
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
        self.topics: dict[TopicId, Topic] = {}
        self.by_name: dict[str, TopicId] = {}
        self.deleted: list[TopicId] = []
        self.producers: dict[str, tuple[int, int]] = {}
        self.apps: dict[str, App] = {}
        self.next_replica = 1
        self.next_producer = 1
        self._answers: OrderedDict[tuple[bytes, int], Answer] = OrderedDict()

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
            quorum=self.quorum,
            resync=True,
        )

    def _apply(self, command: Command) -> tuple[Answer, Delta | None]:
        match command:
            case RegisterNode():
                return self._register(command)
            case SetNodeState(node=node, alive=alive):
                return self._set_state(NodeId(node), NodeState.ALIVE if alive else NodeState.DEAD)
            case CreateTopic():
                return self._create(command)
            case AlterTopic():
                return self._alter(command)
            case DeleteTopic(name=name):
                return self._delete(name)
            case MarkInitialised(replicas=replicas):
                return self._initialised({ReplicaId(replica) for replica in replicas})
            case AllocateProducers(count=count):
                first = self.next_producer
                self.next_producer += max(count, 1)
                return self._done([first, self.next_producer]), None
            case OpenProducer(name=name):
                return self._open_producer(name), None
            case DeployApp():
                return self._deploy(command)
            case SetPaused():
                return self._set_paused(command)
            case RemoveApp():
                return self._remove(command)
            case Seal():
                return self._seal(command)
            case Barrier():
                return self._done([]), None

    def _done(self, numbers: list[int], topic: bytes = b"") -> Answer:
        return Answer(version=self.version, numbers=numbers, topic=topic)

    def _refused(self, reason: str, message: str) -> tuple[Answer, None]:
        return Answer(version=self.version, reason=reason, message=message), None

    def _changed(
        self,
        *,
        topics: tuple[Topic, ...] = (),
        deleted: tuple[TopicId, ...] = (),
        nodes: tuple[Node, ...] = (),
        changed: tuple[App, ...] = (),
        removed: tuple[str, ...] = (),
        quorum: QuorumConfiguration | None = None,
        about: bytes = b"",
    ) -> tuple[Answer, Delta]:
        self.version += 1
        return self._done([], about), Delta(
            version=self.version,
            topics=topics,
            deleted=deleted,
            nodes=nodes,
            apps=changed,
            removed=removed,
            quorum=quorum,
        )

    def _register(self, command: RegisterNode) -> tuple[Answer, Delta | None]:
        known = self.nodes.get(NodeId(command.node))
        if known is not None and known.directory and command.directory not in {b"", known.directory}:
            return self._refused(
                "REFUSED_TO_START",
                f"node {command.node} registered with another data directory: this one was wiped or exchanged. Start "
                f"it with the data that it had, or replace it: riverrun cluster replace {command.node} --with NEW",
            )
        node = Node(
            node=NodeId(command.node),
            client_address=command.client_address,
            peer_address=command.peer_address,
            version=command.version,
            rack=command.rack,
            draining=known is not None and known.draining,
            directory=command.directory or (known.directory if known is not None else b""),
        )
        if self.nodes.get(node.node) == node:
            return self._done([]), None
        self.nodes[node.node] = node
        return self._changed(nodes=(node,))

    def _set_state(self, node: NodeId, state: NodeState) -> tuple[Answer, Delta | None]:
        known = self.nodes.get(node)
        if known is None or known.state is state:
            return self._done([]), None
        changed = self.nodes[node] = _with_state(known, state)
        return self._changed(nodes=(changed,))

    def _create(self, command: CreateTopic) -> tuple[Answer, Delta | None]:
        existing = self.by_name.get(command.name)
        if existing is not None:
            topic = self.topics[existing]
            same = (len(topic.partitions), topic.replicas) == (len(command.placements), command.replicas)
            same_kept = command.config in {TopicConfig(), topic.config}
            if command.if_absent and same and same_kept:
                return self._done([], existing), None
            return self._refused(
                "TOPIC_EXISTS",
                f"a topic {command.name!r} exists already, with {len(topic.partitions)} partitions and "
                f"{topic.replicas} replicas" + ("" if same_kept or not same else ", but keeps records differently"),
            )
        if not all(command.placements):  # whoever asked believed that it is there
            return self._refused("UNAVAILABLE", f"the topic {command.name!r} was deleted just now; try again")
        if TopicId(command.id) in self.topics:
            return self._refused("UNAVAILABLE", "another topic has that id")
        if objection := command.config.objection():
            return self._refused("INVALID_REQUEST", objection)
        unknown = {node for nodes in command.placements for node in nodes} - set(self.nodes)
        if unknown:
            return self._refused("UNAVAILABLE", f"nodes {sorted(unknown)} are not known")
        placements = []
        for number, nodes in enumerate(command.placements):
            replicas = tuple(
                Replica(replica=ReplicaId(self.next_replica + place), node=NodeId(node))
                for place, node in enumerate(nodes)
            )
            self.next_replica += len(nodes)
            placements.append(Placement(number=number, replicas=replicas, preferred_leader=NodeId(nodes[0])))
        topic = Topic(
            name=command.name,
            id=TopicId(command.id),
            partitions=tuple(placements),
            replicas=command.replicas,
            config=command.config,
        )
        self.topics[topic.id] = topic
        self.by_name[topic.name] = topic.id
        return self._changed(topics=(topic,), about=topic.id)

    def _alter(self, command: AlterTopic) -> tuple[Answer, Delta | None]:
        topic_id = self.by_name.get(command.name)
        if topic_id is None:
            return self._refused("UNKNOWN_TOPIC", f"there is no topic {command.name!r}")
        unknown = sorted(set(command.unset) - set(CONFIG_NAMES))
        if unknown:
            return self._refused("INVALID_REQUEST", f"a topic has no setting {unknown[0]!r} that could be unset")
        both = [name for name in command.unset if getattr(command.config, name) is not None]
        if both:
            return self._refused("INVALID_REQUEST", f"{both[0]} is to be set and unset at once")
        topic = self.topics[topic_id]
        config = topic.config.altered(command.config, command.unset)
        if objection := config.objection():
            return self._refused("INVALID_REQUEST", objection)
        if config == topic.config:
            return self._done([], topic_id), None
        changed = self.topics[topic_id] = replace(topic, config=config)
        return self._changed(topics=(changed,), about=topic_id)

    def _delete(self, name: str) -> tuple[Answer, Delta | None]:
        topic_id = self.by_name.pop(name, None)
        if topic_id is None:
            return self._refused("UNKNOWN_TOPIC", f"there is no topic {name!r}")
        del self.topics[topic_id]
        self.deleted.append(topic_id)
        return self._changed(deleted=(topic_id,))

    def _initialised(self, replicas: set[ReplicaId]) -> tuple[Answer, Delta | None]:
        changed = []
        for topic in list(self.topics.values()):
            partitions = tuple(_mark(placement, replicas) for placement in topic.partitions)
            if partitions != topic.partitions:
                self.topics[topic.id] = replace(topic, partitions=partitions)
                changed.append(self.topics[topic.id])
        return self._changed(topics=tuple(changed)) if changed else (self._done([]), None)

    def _open_producer(self, name: str) -> Answer:
        known = self.producers.get(name)
        if known is None:
            known = (self.next_producer, -1)
            self.next_producer += 1
        producer, epoch = known[0], known[1] + 1
        self.producers[name] = (producer, epoch)
        return self._done([producer, epoch])

    def _seal(self, command: Seal) -> tuple[Answer, Delta | None]:
        if command.number != self.quorum.number + 1:
            return self._refused("UNAVAILABLE", f"the quorum is in configuration {self.quorum.number} by now")
        seats = tuple(Seat(node=NodeId(node), directory=directory) for node, directory in command.seats)
        known = {node.node: node.directory for node in self.nodes.values() if node.directory}
        strange = next((seat.node for seat in seats if known.get(seat.node) != seat.directory), None)
        if strange is not None or not seats or len({seat.node for seat in seats}) < len(seats):
            return self._refused("INVALID_REQUEST", f"no quorum: {strange or 'a seat is doubled or none is there'}")
        self.quorum = QuorumConfiguration(number=command.number, seats=seats)
        return self._changed(quorum=self.quorum)

    # --- apps

    def _deploy(self, command: DeployApp) -> tuple[Answer, Delta | None]:
        known = self.apps.get(command.name)
        app = apps.deployed(self.apps, command, self.topics, self.next_producer)
        if isinstance(app, apps.Refusal):
            return self._refused(app.reason, app.message)
        self.next_producer = max([self.next_producer, *(stage.producer + stage.tasks for stage in app.stages)])
        if app == known:
            return self._done([]), None
        self.apps[app.name] = app
        return self._changed(changed=(app,))

    def _set_paused(self, command: SetPaused) -> tuple[Answer, Delta | None]:
        known = self.apps.get(command.app)
        app = apps.paused(known, command)
        if isinstance(app, apps.Refusal):
            return self._refused(app.reason, app.message)
        if app == known:
            return self._done([]), None
        self.apps[app.name] = app
        return self._changed(changed=(app,))

    def _remove(self, command: RemoveApp) -> tuple[Answer, Delta | None]:
        app = apps.without(self.apps.get(command.app), command)
        if isinstance(app, apps.Refusal):
            return self._refused(app.reason, app.message)
        before = {stage.topic for stage in self.apps[command.app].stages}
        gone = before - {stage.topic for stage in app.stages} | {TopicId(topic) for topic in command.topics}
        deleted = tuple(sorted(gone & set(self.topics)))
        for topic_id in deleted:
            del self.by_name[self.topics.pop(topic_id).name]
            self.deleted.append(topic_id)
        if app.stages:
            self.apps[app.name] = app
            return self._changed(deleted=deleted, changed=(app,))
        del self.apps[app.name]
        return self._changed(deleted=deleted, removed=(app.name,))

    # --- snapshots

    def encode(self) -> bytes:
        """The whole state."""
        return bytes(msgspec.msgpack.encode((FORMAT, self._plain())))

    def _plain(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "applied": self.applied,
            "quorum": self.quorum,
            "nodes": list(self.nodes.values()),
            "topics": list(self.topics.values()),
            "deleted": self.deleted,
            "producers": self.producers,
            "apps": list(self.apps.values()),
            "next_replica": self.next_replica,
            "next_producer": self.next_producer,
            "answers": [(client, number, answer) for (client, number), answer in self._answers.items()],
        }

    def restore(self, data: bytes) -> None:
        """Become what was encoded."""
        version, plain = msgspec.msgpack.decode(data, type=tuple[int, _Plain])
        assert version == FORMAT, f"a state of format {version}"
        self.version, self.applied, self.quorum = plain.version, plain.applied, plain.quorum
        self.nodes = {node.node: node for node in plain.nodes}
        self.topics = {topic.id: topic for topic in plain.topics}
        self.by_name = {topic.name: topic.id for topic in plain.topics}
        self.deleted = [TopicId(topic) for topic in plain.deleted]
        self.producers = dict(plain.producers)
        self.apps = {app.name: app for app in plain.apps}
        self.next_replica, self.next_producer = plain.next_replica, plain.next_producer
        self._answers = OrderedDict(((client, number), answer) for client, number, answer in plain.answers)


class _Plain(msgspec.Struct):
    version: int
    nodes: list[Node]
    topics: list[Topic]
    deleted: list[bytes]
    producers: dict[str, tuple[int, int]]
    next_replica: int
    next_producer: int
    answers: list[tuple[bytes, int, Answer]]
    apps: list[App] = []
    applied: int = 0
    quorum: QuorumConfiguration = QuorumConfiguration(number=1)


def _with_state(node: Node, state: NodeState) -> Node:
    return replace(node, state=state)


def _mark(placement: Placement, initialised: set[ReplicaId]) -> Placement:
    if all(replica.initialised or replica.replica not in initialised for replica in placement.replicas):
        return placement
    return Placement(
        number=placement.number,
        replicas=tuple(
            Replica(
                replica=replica.replica,
                node=replica.node,
                initialised=replica.initialised or replica.replica in initialised,
            )
            for replica in placement.replicas
        ),
        preferred_leader=placement.preferred_leader,
    )
