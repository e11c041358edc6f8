"""TopicService and ClusterService: requests of people and tools, answered from metadata, decided by the controller.

The controller is handed in as `Decisions`: broker and controller are strangers that meet in messages and in this
small protocol.
"""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from cluster.broker.broker import Broker
from cluster.broker.directory import INTERNAL
from cluster.broker.operations_service import Operations, node_to_pb
from cluster.config import BrokerOptions
from cluster.errors import InvalidRequest, Unavailable
from cluster.metadata import NO_COPY_LEFT, Deciding, Node, NodeState, Placement, Recovery, Topic, TopicConfig
from cluster.types import ClusterId, NodeId, PartitionId, ProducerId
from cluster.wire import api
from cluster.wire.api import cluster_pb2, stream_pb2, topic_pb2
from cluster.wire.policies import config_from_pb, config_to_pb, unset_from_pb
from cluster.world import Call

NAME = re.compile(r"(?!__)[A-Za-z0-9._-]{1,249}")
PRODUCER_NAME_MAX = 249
"""Characters."""
PAGE_TOPICS_MAX = 1_000
UNDER_REPLICATED_TOLD_MAX = 100
MADE_ANEW = "has lost its files; another one is being made"


class Decisions(Protocol):
    """What the controller decides for this node's callers. Errors are cluster.errors'."""

    async def create_topic(
        self, name: str, *, partitions: int, replicas: int, if_absent: bool, config: TopicConfig
    ) -> Topic:
        """A new topic, placed; or the one that is there, if that is allowed."""

    async def alter_topic(self, name: str, *, config: TopicConfig, unset: Sequence[str]) -> Topic:
        """The topic with other limits: those of `config` that are set, and none where `unset` says so."""

    async def delete_topic(self, name: str) -> None:
        """The topic's id is dead from now on."""

    async def open_producer(self, name: str) -> tuple[ProducerId, int]:
        """The named producer's id and its new epoch."""

    async def allocate_producer_ids(self) -> range:
        """Ids that nobody else will get."""

    @property
    def operations(self) -> Operations:
        """What is decided about nodes and placements."""

    def deciding(self) -> Deciding:
        """Whether anything can be decided now."""


class AdminService:
    """Handlers of TopicService, ClusterService and OpenProducer."""

    def __init__(self, *, broker: Broker, decisions: Decisions, cluster: ClusterId, options: BrokerOptions) -> None:
        self._broker = broker
        self._decisions = decisions
        self._cluster = cluster
        self._options = options
        self._producer_ids = range(0)
        self._allocating = asyncio.Lock()

    # --- topics

    async def create_topic(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        request = api.parse(topic_pb2.CreateTopicRequest, data)
        if not NAME.fullmatch(request.name):
            raise InvalidRequest(
                f"{request.name!r} is no topic name: 1 to 249 of a-z A-Z 0-9 . _ -, not beginning with two underscores"
            )
        topic = await self._decisions.create_topic(
            request.name,
            partitions=request.partitions,
            replicas=request.replicas,
            if_absent=request.if_absent,
            config=config_from_pb(request.config),
        )
        left = call.time_left_s()
        wait_s = (
            self._options.topic_ready_wait_s_max if left is None else min(left, self._options.topic_ready_wait_s_max)
        )
        try:
            async with asyncio.timeout(max(wait_s - 0.1, 0)):
                await self._ready(topic)
        except TimeoutError:
            pass  # it is created; a partition without a leader is told as such
        return topic_pb2.CreateTopicResponse(topic=self._describe(topic)).SerializeToString()

    async def alter_topic(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        request = api.parse(topic_pb2.AlterTopicRequest, data)
        config, unset = config_from_pb(request.config), unset_from_pb(request.unset)
        kept = config != TopicConfig() or bool(unset) or not request.replicas
        if kept and request.name.startswith(INTERNAL):
            raise InvalidRequest(f"{request.name!r} belongs to the cluster itself: only its replicas can be altered")
        if request.replicas:
            topic = await self._decisions.operations.set_replicas(request.name, request.replicas)
        if kept:
            topic = await self._decisions.alter_topic(request.name, config=config, unset=unset)
        return topic_pb2.AlterTopicResponse(topic=self._describe(topic)).SerializeToString()

    async def get_topic(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        request = api.parse(topic_pb2.GetTopicRequest, data)
        topic = self._broker.directory.topic(request.name)
        directory = self._broker.directory
        return topic_pb2.GetTopicResponse(
            topic=self._describe(topic),
            nodes=[node.client_address for _, node in sorted(directory.nodes.items())],
            metadata_version=directory.version,
        ).SerializeToString()

    async def list_topics(self, data: bytes, call: Call) -> bytes:
        """See the proto. The page token is the last name of the page before."""
        del call
        request = api.parse(topic_pb2.ListTopicsRequest, data)
        self._broker.directory.check_informed()
        size = min(request.page_size or PAGE_TOPICS_MAX, PAGE_TOPICS_MAX)
        names = sorted(
            name
            for name in self._broker.directory.by_name
            if name > request.page_token and not name.startswith(INTERNAL)
        )
        page = names[:size]
        return topic_pb2.ListTopicsResponse(
            topics=[self._describe(self._broker.directory.by_name[name]) for name in page],
            next_page_token=page[-1] if len(names) > size else "",
        ).SerializeToString()

    async def delete_topic(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        request = api.parse(topic_pb2.DeleteTopicRequest, data)
        topic = self._broker.directory.by_name.get(request.name)
        lost = topic is not None and any(placement.lost for placement in topic.partitions)
        if request.name.startswith(INTERNAL) and not lost:  # one of which a part is lost for good is made anew
            raise InvalidRequest(f"{request.name!r} belongs to the cluster itself and cannot be deleted")
        await self._decisions.delete_topic(request.name)
        return topic_pb2.DeleteTopicResponse().SerializeToString()

    async def _ready(self, topic: Topic) -> None:
        """Wait until this node has heard of the topic and of a leader for each of its partitions."""
        partitions = [PartitionId(topic.id, placement.number) for placement in topic.partitions]
        while topic.id not in self._broker.directory.topics or not all(
            self._broker.leaders.get(partition) for partition in partitions
        ):
            await self._broker.wait_leader_change()

    def _describe(self, topic: Topic) -> topic_pb2.Topic:
        return topic_pb2.Topic(
            name=topic.name,
            id=topic.id,
            partitions=[self._describe_partition(topic, placement) for placement in topic.partitions],
            replicas=topic.replicas,
            partitioner_version=topic.partitioner_version,
            config=config_to_pb(topic.config),
        )

    def _describe_partition(self, topic: Topic, placement: Placement) -> topic_pb2.Partition:
        leader = self._broker.leaders.get(PartitionId(topic.id, placement.number))
        return topic_pb2.Partition(
            number=placement.number,
            leader=leader.node if leader else 0,
            term=leader.term if leader else 0,
            leader_address=self._broker.directory.client_address(leader.node) if leader else "",
            replicas=[
                topic_pb2.Replica(id=replica.replica, node=replica.node, initialised=replica.initialised)
                for replica in placement.replicas
            ],
        )

    # --- producers

    async def open_producer(self, data: bytes, call: Call) -> bytes:
        """See the proto. Ids without a name come from a range that the controller gave to this node."""
        del call
        request = api.parse(stream_pb2.OpenProducerRequest, data)
        if len(request.name) > PRODUCER_NAME_MAX:
            raise InvalidRequest(f"a producer's name has at most {PRODUCER_NAME_MAX} characters")
        if request.name:
            producer_id, epoch = await self._decisions.open_producer(request.name)
        else:
            producer_id, epoch = await self._next_producer_id(), 0
        return stream_pb2.OpenProducerResponse(producer_id=producer_id, producer_epoch=epoch).SerializeToString()

    async def _next_producer_id(self) -> ProducerId:
        async with self._allocating:
            if not self._producer_ids:
                self._producer_ids = await self._decisions.allocate_producer_ids()
            first, self._producer_ids = self._producer_ids[0], self._producer_ids[1:]
        return ProducerId(first)

    # --- the cluster

    async def get_cluster(self, data: bytes, call: Call) -> bytes:
        """See the proto."""
        del call
        api.parse(cluster_pb2.GetClusterRequest, data)
        directory, leaders = self._broker.directory, self._broker.leaders
        deciding = self._decisions.deciding()
        if deciding.trouble and not directory.version:
            raise Unavailable(f"node {self._broker.me} has started, and heard nothing yet: {deciding.trouble}")
        directory.check_informed()
        under_replicated = self._under_replicated(deciding)
        partitions = [
            (PartitionId(topic.id, placement.number), placement)
            for topic in directory.topics.values()
            for placement in topic.partitions
        ]
        leading = leaders.count_by_node(partition for partition, _ in partitions)
        replicas: dict[NodeId, int] = {}
        for _, placement in partitions:
            for replica in placement.running:
                replicas[replica.node] = replicas.get(replica.node, 0) + 1
        return cluster_pb2.GetClusterResponse(
            cluster_id=self._cluster,
            nodes=self._nodes(leading, replicas, deciding),
            controller=deciding.leader or 0,
            metadata_version=directory.version,
            topics=len(directory.topics),
            partitions=len(partitions),
            partitions_without_leader=sum(1 for partition, _ in partitions if leaders.get(partition) is None),
            answered_by=self._broker.me,
            partitions_under_replicated=len(under_replicated),
            under_replicated=under_replicated[:UNDER_REPLICATED_TOLD_MAX],
            quorum=deciding.members,
            quorum_silent=deciding.silent,
            trouble=deciding.trouble,
            recoveries=map(_recovery_to_pb, deciding.recoveries),
        ).SerializeToString()

    def _nodes(
        self, leading: Mapping[NodeId, int], replicas: Mapping[NodeId, int], deciding: Deciding
    ) -> list[cluster_pb2.Node]:
        found = [
            node_to_pb(node, leaders=leading.get(node.node, 0), replicas=replicas.get(node.node, 0))
            for _, node in sorted(self._broker.directory.nodes.items())
        ]
        for node in found:
            node.silent = node.id not in deciding.heard
        return found

    def _under_replicated(self, deciding: Deciding) -> list[cluster_pb2.UnderReplicated]:
        """While nothing can be decided, nobody is taken for dead: then who is not heard is away."""
        nodes = self._broker.directory.nodes
        heard = deciding.heard if deciding.trouble else frozenset(nodes)
        found = []
        for topic in sorted(self._broker.directory.topics.values(), key=lambda topic: topic.name):
            for placement in topic.partitions:
                away = {
                    item.node: _away(nodes.get(item.node), heard) or MADE_ANEW * (item.replica in deciding.lost)
                    for item in placement.replicas
                }
                working = [item for item in placement.replicas if item.initialised and not away[item.node]]
                if len(working) < topic.replicas:
                    whys = [f"node {node} {why}" for node, why in away.items() if why]
                    new = [item.node for item in placement.replicas if not item.initialised and not away[item.node]]
                    made = [f"the replica on node {node} is being made" for node in new]
                    fewer = topic.replicas - len(placement.replicas)
                    more = [f"{fewer} more {'is' if fewer == 1 else 'are'} to be made"] if fewer > 0 else []
                    found.append(
                        cluster_pb2.UnderReplicated(
                            topic=topic.name,
                            partition=placement.number,
                            asked=topic.replicas,
                            working=len(working),
                            why="; ".join(whys + made + more) if not placement.lost else NO_COPY_LEFT,
                        )
                    )
        return found


def _away(node: Node | None, heard: Collection[NodeId]) -> str:
    if node is None:
        return "is none of the cluster any more"
    if node.state is NodeState.DEAD:
        return "is dead"
    return "" if node.node in heard else "is not heard"


def _recovery_to_pb(one: Recovery) -> cluster_pb2.Recovery:
    return cluster_pb2.Recovery(
        at_ns=one.at_ns,
        configuration=one.configuration,
        nodes=one.nodes,
        partitions_forced=one.forced,
        partitions_lost=one.lost,
        decisions_lost=one.decisions,
    )
