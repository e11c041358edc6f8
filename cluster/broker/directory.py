"""What this node knows of the cluster's metadata: topics by name and id, nodes, apps, and what was deleted. Pure."""

from bisect import bisect_right
from operator import itemgetter

from cluster.errors import InvalidRequest, TopicDeleted, Unavailable, UnknownPartition, UnknownTopic
from cluster.metadata import App, Delta, Node, Stage, Topic
from cluster.types import NodeId, PartitionId, ProducerId, TopicId

INTERNAL = "__"
"""What the names of the cluster's own topics begin with."""


class Directory:
    """A fold of the controller's deltas."""

    def __init__(self) -> None:
        self.version = 0
        self.topics: dict[TopicId, Topic] = {}
        self.by_name: dict[str, Topic] = {}
        self.nodes: dict[NodeId, Node] = {}
        self.deleted: set[TopicId] = set()
        self.apps: dict[str, App] = {}
        self._stages: dict[TopicId, tuple[App, Stage]] = {}
        self._producers: list[tuple[int, int]] = []

    def apply(self, delta: Delta) -> None:
        """One version further; a resync replaces everything but what is known to be deleted."""
        if delta.resync:
            self.topics.clear()
            self.by_name.clear()
            self.nodes.clear()
            self.apps.clear()
        for topic_id in delta.deleted:
            self.deleted.add(topic_id)
            gone = self.topics.pop(topic_id, None)
            if gone is not None and self.by_name.get(gone.name) is gone:
                del self.by_name[gone.name]
        for topic in delta.topics:
            self.topics[topic.id] = topic
            self.by_name[topic.name] = topic
        for node in delta.nodes:
            self.nodes[node.node] = node
        for gone_node in delta.gone:
            self.nodes.pop(gone_node, None)
        if delta.resync or delta.apps or delta.removed:
            self._apply_apps(delta)
        self.version = delta.version

    def _apply_apps(self, delta: Delta) -> None:
        for name in delta.removed:
            self.apps.pop(name, None)
        for app in delta.apps:
            self.apps[app.name] = app
        self._stages = {stage.topic: (app, stage) for app in self.apps.values() for stage in app.stages}
        self._producers = sorted((stage.producer, stage.producer + stage.tasks) for _, stage in self._stages.values())

    def stage_of(self, topic_id: TopicId) -> tuple[App, Stage] | None:
        """The stage whose tasks' logs are in this topic."""
        return self._stages.get(topic_id)

    def is_task_producer(self, producer: ProducerId) -> bool:
        """Whether a task that is there writes under this id."""
        place = bisect_right(self._producers, producer, key=itemgetter(0)) - 1
        return place >= 0 and producer < self._producers[place][1]

    def check_informed(self) -> None:
        """Unavailable on a node that starts: that it knows of nothing does not mean that there is nothing."""
        if not self.version:
            raise Unavailable("this node has not heard from the controller yet; try again")

    def topic(self, name: str, topic_id: bytes = b"") -> Topic:
        """The topic of that name, which must have that id if one is given."""
        topic = self.by_name.get(name)
        if topic is not None and (not topic_id or topic.id == topic_id):
            return topic
        if topic_id and TopicId(topic_id) in self.deleted:
            raise TopicDeleted(f"the topic {name!r} that this request means was deleted")
        self.check_informed()
        raise UnknownTopic(f"there is no topic {name!r}", topic=name)

    def topic_to_write(self, name: str, topic_id: bytes = b"") -> Topic:
        """The same, for whoever would publish to it: what the cluster keeps for itself is not written by others."""
        if name.startswith(INTERNAL):
            raise InvalidRequest(f"{name!r} belongs to the cluster itself; it can be read, not written")
        return self.topic(name, topic_id)

    def partition(self, topic: Topic, number: int) -> PartitionId:
        """The topic's partition of that number."""
        if number >= len(topic.partitions):
            raise UnknownPartition(
                f"topic {topic.name!r} has {len(topic.partitions)} partitions, numbered from 0; there is no {number}"
            )
        return PartitionId(topic.id, number)

    def client_address(self, node: NodeId) -> str:
        """Where clients reach a node; empty if it is not known."""
        known = self.nodes.get(node)
        return known.client_address if known else ""
