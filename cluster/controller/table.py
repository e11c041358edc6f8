"""The topics in the controller's state, and what follows from them: names, what moves, what is to be dropped. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from cluster.controller.moves import ids_of
from cluster.metadata import Placement, Topic
from cluster.types import PartitionId, ReplicaId, TopicId

Change = Callable[[Placement], Placement]


class TopicTable:
    """Topics by id. Whatever changes one puts it here."""

    def __init__(self, topics: Iterable[Topic] = (), deleted: Iterable[TopicId] = ()) -> None:
        self.topics: dict[TopicId, Topic] = {}
        self.by_name: dict[str, TopicId] = {}
        self.deleted = dict.fromkeys(deleted)
        """Topics that are gone for good, in order."""
        self.moving: dict[PartitionId, None] = {}
        """What has a target."""
        self.removing: dict[TopicId, frozenset[ReplicaId]] = {}
        """What is to be dropped, of each topic that has any."""
        for topic in topics:
            self.put(topic)

    def put(self, topic: Topic) -> None:
        """A topic, new or as it is now."""
        self.topics[topic.id] = topic
        self.by_name[topic.name] = topic.id
        self._index(topic.id, topic.partitions)

    def pop(self, topic_id: TopicId) -> None:
        """The topic is gone for good."""
        del self.by_name[self.topics.pop(topic_id).name]
        self.deleted[topic_id] = None
        self._index(topic_id, ())

    def named(self, name: str) -> Topic | None:
        """The topic that has this name now."""
        topic_id = self.by_name.get(name)
        return self.topics[topic_id] if topic_id is not None else None

    def change_all(self, change: Change) -> tuple[Topic, ...]:
        """All placements as `change` makes them; the topics that are others now."""
        changed = []
        for topic in list(self.topics.values()):
            partitions = tuple(map(change, topic.partitions))
            if partitions != topic.partitions:
                changed.append(replace(topic, partitions=partitions))
                self.put(changed[-1])
        return tuple(changed)

    def change_some(self, changes: Iterable[tuple[bytes, int, Change]]) -> tuple[Topic, ...]:
        """Placements, by topic and number, as their changes make them; the topics that are others now."""
        changed: dict[TopicId, Topic] = {}
        for topic_id, number, change in changes:
            topic = self.topics.get(TopicId(topic_id))
            if topic is None or not 0 <= number < len(topic.partitions):
                continue
            placement = change(topic.partitions[number])
            if placement != topic.partitions[number]:
                partitions = (*topic.partitions[:number], placement, *topic.partitions[number + 1 :])
                changed[topic.id] = replace(topic, partitions=partitions)
                self.put(changed[topic.id])
        return tuple(changed.values())

    def _index(self, topic_id: TopicId, placements: Iterable[Placement]) -> None:
        for partition in [partition for partition in self.moving if partition.topic == topic_id]:
            del self.moving[partition]
        removing: set[ReplicaId] = set()
        for placement in placements:
            removing |= ids_of(placement.removed)
            if placement.target:
                self.moving[PartitionId(topic_id, placement.number)] = None
        self.removing.pop(topic_id, None)
        if removing:
            self.removing[topic_id] = frozenset(removing)
