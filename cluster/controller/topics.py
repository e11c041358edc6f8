"""Topics in the controller's state: made, with other limits, with more or fewer replicas. Pure.

What cannot be done is a `Refusal`.
"""

from collections.abc import Mapping
from dataclasses import replace

from cluster.controller.commands import AlterTopic, CreateTopic, Refusal, SetReplicas
from cluster.controller.nodes import what_ails
from cluster.metadata import CONFIG_NAMES, Node, Placement, Replica, Topic, TopicConfig
from cluster.types import NodeId, ReplicaId, TopicId

Topics = Mapping[TopicId, Topic]


def created(
    existing: Topic | None, command: CreateTopic, topics: Topics, nodes: Mapping[NodeId, Node], next_replica: int
) -> Topic | Refusal:
    """The topic; the existing one if that will do. New replicas get ids from `next_replica` on, in order."""
    if existing is not None:
        same = (len(existing.partitions), existing.replicas) == (len(command.placements), command.replicas)
        same_kept = command.config in {TopicConfig(), existing.config}
        if command.if_absent and same and same_kept:
            return existing
        return Refusal(
            "TOPIC_EXISTS",
            f"a topic {command.name!r} exists already, with {len(existing.partitions)} partitions and "
            f"{existing.replicas} replicas" + ("" if same_kept or not same else ", but keeps records differently"),
        )
    if not all(command.placements):  # whoever asked believed that it is there
        return Refusal("UNAVAILABLE", f"the topic {command.name!r} was deleted just now; try again")
    if TopicId(command.id) in topics:
        return Refusal("UNAVAILABLE", "another topic has that id")
    if objection := command.config.objection():
        return Refusal("INVALID_REQUEST", objection)
    unknown = {node for chosen in command.placements for node in chosen} - set(nodes)
    if unknown:
        return Refusal("UNAVAILABLE", f"nodes {sorted(unknown)} are not known")
    chosen_nodes = (nodes[NodeId(node)] for chosen in command.placements for node in chosen)
    away = next((node for node in chosen_nodes if not node.usable), None)
    if away is not None and command.rules:  # whoever asked had not heard of it, and places it anew
        return Refusal("UNAVAILABLE", f"node {away.node}, on which it was to be, {what_ails(away)}; try again")
    placements = []
    for number, chosen in enumerate(command.placements):
        replicas = tuple(
            Replica(replica=ReplicaId(next_replica + place), node=NodeId(node)) for place, node in enumerate(chosen)
        )
        next_replica += len(chosen)
        placements.append(Placement(number=number, replicas=replicas, preferred_leader=NodeId(chosen[0])))
    return Topic(
        name=command.name,
        id=TopicId(command.id),
        partitions=tuple(placements),
        replicas=command.replicas,
        config=command.config,
    )


def altered(topic: Topic | None, command: AlterTopic) -> Topic | Refusal:
    """The topic with other limits."""
    if topic is None:
        return no_topic(command.name)
    unknown = sorted(set(command.unset) - set(CONFIG_NAMES))
    if unknown:
        return Refusal("INVALID_REQUEST", f"a topic has no setting {unknown[0]!r} that could be unset")
    both = [name for name in command.unset if getattr(command.config, name) is not None]
    if both:
        return Refusal("INVALID_REQUEST", f"{both[0]} is to be set and unset at once")
    config = topic.config.altered(command.config, command.unset)
    if objection := config.objection():
        return Refusal("INVALID_REQUEST", objection)
    return topic if config == topic.config else replace(topic, config=config)


def resized(topic: Topic | None, command: SetReplicas, nodes: Mapping[NodeId, Node]) -> Topic | Refusal:
    """The topic as one that is to have so many copies of each partition."""
    if topic is None:
        return no_topic(command.name)
    if command.replicas < 1:
        return Refusal("INVALID_REQUEST", f"a partition has at least 1 replica, not {command.replicas}")
    usable = sum(node.usable for node in nodes.values())
    if command.replicas > max(usable, topic.replicas):
        return Refusal(
            "NOT_ENOUGH_NODES",
            f"{command.replicas} replicas need {command.replicas} nodes; {usable} are alive and not draining",
        )
    return topic if command.replicas == topic.replicas else replace(topic, replicas=command.replicas)


def no_topic(name: str) -> Refusal:
    """There is none of that name."""
    return Refusal("UNKNOWN_TOPIC", f"there is no topic {name!r}")
