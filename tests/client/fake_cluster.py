"""Nodes that serve the public API from memory: one log a partition, sequences, leaders that move, chosen troubles.

The nodes share their logs, as if replication were perfect and instant: what is under test is the client.
"""

# ruff: noqa: D101  the methods are those of the Protocol or of the API that is played here

import asyncio
import random
from dataclasses import dataclass, field

from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.errors import (
    DuplicateForgotten,
    Fenced,
    InvalidRequest,
    NotLeader,
    OffsetOutOfRange,
    OutOfSequence,
    TopicDeleted,
    TopicExists,
    UnknownPartition,
    UnknownProducer,
    UnknownTopic,
)
from cluster.records import Batch, Receipt, Record
from cluster.types import Durability, Offset, Term
from cluster.wire import api
from cluster.wire.api import cluster_pb2, group_pb2, records_pb2, stream_pb2, topic_pb2
from cluster.wire.records import decode_batch, make_batch
from cluster.world import Route
from tests.client.memory_network import MemoryNetwork

REMEMBERED_BATCHES = 32


class FakeClock:
    """Wall time that a test may set."""

    def __init__(self):
        self.now_ns = 1_000_000_000_000

    def monotonic_s(self):
        return self.now_ns / 1e9

    def wall_ns(self):
        self.now_ns += 1_000
        return self.now_ns


@dataclass
class Producer:
    """What a partition knows of a producer."""

    epoch: int = 0
    next_sequence: int = 0
    recent: list = field(default_factory=list)


@dataclass
class Partition:
    """One log. `leader` indexes the nodes; None: nobody leads."""

    number: int
    leader: int | None
    term: int = 1
    first: int = 0
    batches: list = field(default_factory=list)
    """(base offset, batch, append time)"""
    producers: dict = field(default_factory=dict)

    @property
    def end(self):
        return self.batches[-1][0] + self.batches[-1][1].record_count if self.batches else self.first

    def append(self, batch):
        base = self.end
        self.batches.append((base, batch, 5_000 + base))
        return base

    def records(self):
        return [record for base, batch, _ in self.batches for record in decode_batch(batch, Offset(base))]

    def publish(self, batch: Batch) -> Receipt:
        """Decide by the sequence, as a leader does."""
        if not batch.is_intact():
            raise InvalidRequest("damaged")
        known = self.producers.get(batch.producer_id)
        if known is None:
            if batch.base_sequence != 0:
                raise UnknownProducer
            known = self.producers[batch.producer_id] = Producer()
        if batch.producer_epoch < known.epoch:
            raise Fenced
        if batch.base_sequence == known.next_sequence:
            base, duplicate = self.append(batch), False
            known.epoch = batch.producer_epoch
            known.next_sequence += batch.record_count
            known.recent = [*known.recent, (batch.base_sequence, batch.record_count, base)][-REMEMBERED_BATCHES:]
        elif batch.base_sequence > known.next_sequence:
            raise OutOfSequence(expected=str(known.next_sequence))
        else:
            found = [
                base for seq, count, base in known.recent if (seq, count) == (batch.base_sequence, batch.record_count)
            ]
            if not found:
                raise DuplicateForgotten
            (base,), duplicate = found, True
        return Receipt(
            offset=Offset(base),
            record_count=batch.record_count,
            term=Term(self.term),
            durability=Durability.MAJORITY_SYNCED,
            replicas_synced=2,
            replicas=3,
            duplicate=duplicate,
        )


@dataclass
class Topic:
    name: str
    id: bytes
    partitions: list


class FakeCluster:
    """The nodes and what they share.

    `trouble`, if set, is called with (node, partition, batch) before a batch is taken, and may raise; `after` with
    (node, partition, batch, receipt) when it was, and may raise instead of the answer.
    """

    def __init__(self, *, nodes=3, seed=0, window=8):
        self.random = random.Random(seed)
        self.network = MemoryNetwork(seed, window=window)
        self.clock = FakeClock()
        self.addresses = [f"node{number}:7171" for number in range(nodes)]
        self.removed: set[str] = set()
        """Addresses of nodes that are none any more; they refuse connections."""
        self.dead: set[str] = set()
        """Those of nodes that the others take for dead."""
        self.troubled: set[int] = set()
        """Nodes that know of no majority."""
        self.version = 1
        self.lagging: dict[int, tuple[int, list[str]]] = {}
        """Nodes that have not heard of the last decisions: what they take for the version and the nodes."""
        self.topics: dict[str, Topic] = {}
        self.deleted: set[bytes] = set()
        self.blind: set[tuple[int, str]] = set()
        """(node, topic name): that node has not heard of the topic yet."""
        self.outdated: dict[int, int | None] = {}
        """Nodes that are cut off from the others, and whom they take to lead everything; None: they know of nobody."""
        self.trouble = None
        self.after = None
        self.names: dict[str, tuple[int, int]] = {}
        self.published: list[tuple[int, int, int]] = []
        """(node, partition, base sequence) of every batch that arrived."""
        self.read_messages = 0
        self.joins: list[tuple[int, list[str]]] = []
        """(node, topics) of every member's try to join."""
        self._ids = 0
        self._clients = []
        for node, address in enumerate(self.addresses):
            self.network.routes[address] = _routes(FakeNode(self, node))

    def remove(self, node):
        """For good."""
        self.removed.add(self.addresses[node])
        self.network.down.add(self.addresses[node])
        self.version += 1

    def view(self, node):
        """The version, and the addresses of the nodes that are there, as a node knows them."""
        there = [address for address in self.addresses if address not in self.removed]
        return self.lagging.get(node, (self.version, there))

    def client(self, *, servers=None, **options):
        client = Client(
            servers or self.addresses,
            network=self.network,
            clock=self.clock,
            random=self.random,
            options=ClientOptions(**options),
        )
        self._clients.append(client)
        return client

    async def close(self):
        for client in self._clients:
            await client.abandon()
        await self.network.close()

    def next_id(self):
        self._ids += 1
        return self._ids

    def make_topic(self, name, partitions):
        topic_id = self.next_id().to_bytes(16, "big")
        nodes = len(self.addresses)
        self.topics[name] = Topic(name, topic_id, [Partition(n, n % nodes) for n in range(partitions)])
        return self.topics[name]

    def delete_topic(self, name):
        self.deleted.add(self.topics.pop(name).id)

    def move(self, topic, partition, node):
        """Another node leads from now on; None: nobody."""
        moved = self.topics[topic].partitions[partition]
        moved.leader = node
        moved.term += 1

    def fill(self, topic, partition, count, *, records_per_batch=10, codec=None):
        """Append records `<partition>:<n>` with event time n+1."""
        target = self.topics[topic].partitions[partition]
        for first in range(0, count, records_per_batch):
            records = [
                Record(value=f"{partition}:{n}".encode(), timestamp_ns=n + 1)
                for n in range(first, min(first + records_per_batch, count))
            ]
            target.append(make_batch(records, **({"codec": codec} if codec is not None else {})))

    def values(self, topic, partition):
        return [record.value for record in self.topics[topic].partitions[partition].records()]


def _routes(node):
    unary = {
        "StreamService": ["OpenProducer", "GetOffsets"],
        "TopicService": ["CreateTopic", "GetTopic", "ListTopics", "DeleteTopic"],
        "ClusterService": ["GetCluster"],
    }
    routes = {
        f"/riverrun.v1.{service}/{method}": Route(unary=getattr(node, method))
        for service, methods in unary.items()
        for method in methods
    }
    for method in ("PublishStream", "Read"):
        routes[f"/riverrun.v1.StreamService/{method}"] = Route(streaming=getattr(node, method))
    routes["/riverrun.v1.GroupService/Subscribe"] = Route(streaming=node.Subscribe)
    return routes


class FakeNode:
    """The handlers of one node."""

    def __init__(self, cluster: FakeCluster, node: int):
        self._cluster = cluster
        self._node = node

    # ruff: noqa: N802  methods are named as in the proto

    def _topic(self, name, topic_id=b""):
        topic = self._cluster.topics.get(name) if (self._node, name) not in self._cluster.blind else None
        if topic_id and topic_id in self._cluster.deleted:
            raise TopicDeleted
        if topic is None:
            raise UnknownTopic(f"there is no topic {name!r}")
        return topic

    def _leader(self, partition):
        return self._cluster.outdated.get(self._node, partition.leader)

    def _describe(self, topic):
        outdated = self._node in self._cluster.outdated
        return topic_pb2.Topic(
            name=topic.name,
            id=topic.id,
            replicas=3,
            partitioner_version=1,
            partitions=[
                topic_pb2.Partition(
                    number=p.number,
                    leader=0 if leader is None else leader + 1,
                    term=1 if outdated else p.term,
                    leader_address="" if leader is None else self._cluster.addresses[leader],
                )
                for p in topic.partitions
                for leader in [self._leader(p)]
            ],
        )

    async def CreateTopic(self, data, call):
        del call
        request = topic_pb2.CreateTopicRequest.FromString(data)
        known = self._cluster.topics.get(request.name)
        if known is not None and not request.if_absent:
            raise TopicExists
        topic = known or self._cluster.make_topic(request.name, request.partitions or 1)
        return topic_pb2.CreateTopicResponse(topic=self._describe(topic)).SerializeToString()

    async def GetTopic(self, data, call):
        del call
        topic = self._topic(topic_pb2.GetTopicRequest.FromString(data).name)
        version, nodes = self._cluster.view(self._node)
        return topic_pb2.GetTopicResponse(
            topic=self._describe(topic), nodes=nodes, metadata_version=version
        ).SerializeToString()

    async def ListTopics(self, data, call):
        del call
        token = topic_pb2.ListTopicsRequest.FromString(data).page_token
        names = sorted(name for name in self._cluster.topics if name > token)
        return topic_pb2.ListTopicsResponse(
            topics=[self._describe(self._cluster.topics[name]) for name in names[:2]],
            next_page_token=names[1] if len(names) > 2 else "",
        ).SerializeToString()

    async def DeleteTopic(self, data, call):
        del call
        name = topic_pb2.DeleteTopicRequest.FromString(data).name
        self._topic(name)
        self._cluster.delete_topic(name)
        return topic_pb2.DeleteTopicResponse().SerializeToString()

    async def GetCluster(self, data, call):
        del data, call
        version, nodes = self._cluster.view(self._node)
        alive, dead = cluster_pb2.NODE_STATE_ALIVE, cluster_pb2.NODE_STATE_DEAD
        return cluster_pb2.GetClusterResponse(
            cluster_id=b"c" * 16,
            nodes=[
                cluster_pb2.Node(
                    id=self._cluster.addresses.index(address) + 1,
                    client_address=address,
                    state=dead if address in self._cluster.dead else alive,
                )
                for address in nodes
            ],
            metadata_version=version,
            trouble="nothing can be decided" if self._node in self._cluster.troubled else "",
            controller=1,
            answered_by=self._node + 1,
        ).SerializeToString()

    async def OpenProducer(self, data, call):
        del call
        name = stream_pb2.OpenProducerRequest.FromString(data).name
        names = self._cluster.names
        if name in names:
            producer_id, epoch = names[name][0], names[name][1] + 1
        else:
            producer_id, epoch = self._cluster.next_id(), 0
        if name:
            names[name] = (producer_id, epoch)
        return stream_pb2.OpenProducerResponse(producer_id=producer_id, producer_epoch=epoch).SerializeToString()

    async def GetOffsets(self, data, call):
        del call
        request = stream_pb2.GetOffsetsRequest.FromString(data)
        topic = self._topic(request.topic)
        answer = stream_pb2.GetOffsetsResponse()
        for number in request.partitions or range(len(topic.partitions)):
            partition = topic.partitions[number]
            item = answer.partitions.add(partition=number, first=partition.first, end=partition.end)
            if request.at.WhichOneof("at") == "timestamp_ns":
                reached = [b for b, batch, _ in partition.batches if batch.max_timestamp_ns >= request.at.timestamp_ns]
                item.at = reached[0] if reached else partition.end
            known = partition.producers.get(request.producer_id)
            if known is not None:
                item.next_sequence = known.next_sequence
        return answer.SerializeToString()

    async def Subscribe(self, requests, call):
        """The only member: everything is its own, from the start."""
        del call
        join = group_pb2.SubscribeRequest.FromString(await anext(requests)).join
        self._cluster.joins.append((self._node, list(join.topics)))
        topics = [self._topic(name) for name in join.topics]
        yield group_pb2.SubscribeResponse(joined=group_pb2.Joined(session=b"s")).SerializeToString()
        assign = group_pb2.Assign(
            partitions=[
                group_pb2.AssignedPartition(
                    held=group_pb2.Held(topic=topic.name, partition=partition.number, generation=1), topic_id=topic.id
                )
                for topic in topics
                for partition in topic.partitions
            ]
        )
        yield group_pb2.SubscribeResponse(assign=assign).SerializeToString()
        async for _ in requests:
            pass

    async def PublishStream(self, requests, call):
        del call
        async for data in requests:
            request = stream_pb2.PublishStreamRequest.FromString(data)
            answer = stream_pb2.PublishStreamResponse(correlation=request.correlation)
            try:
                receipt = self._publish(request)
                answer.receipt.CopyFrom(api.receipt_to_pb(receipt, request.partition))
            except Exception as error:  # noqa: BLE001  what a handler raises is the answer
                answer.error.CopyFrom(api.error_to_pb(error))
            yield answer.SerializeToString()

    def _publish(self, request):
        cluster = self._cluster
        batch = api.batch_from_pb(request.batch)
        cluster.published.append((self._node, request.partition, batch.base_sequence))
        topic = self._topic(request.topic, request.topic_id)
        if request.partition >= len(topic.partitions):
            raise UnknownPartition
        partition = topic.partitions[request.partition]
        if partition.leader != self._node:
            leader = self._leader(partition)
            raise NotLeader(**({"leader": cluster.addresses[leader]} if leader is not None else {}))
        if cluster.trouble is not None:
            cluster.trouble(self._node, request.partition, batch)
        receipt = partition.publish(batch)
        if cluster.after is not None:
            cluster.after(self._node, request.partition, batch, receipt)
        return receipt

    async def Read(self, requests, call):
        del call
        request = stream_pb2.ReadRequest.FromString(await anext(requests))
        topic = self._topic(request.topic, request.topic_id)
        (number,) = request.partitions
        partition = topic.partitions[number]
        if partition.leader != self._node:
            leader = self._leader(partition)
            raise NotLeader(leader=self._cluster.addresses[leader]) if leader is not None else NotLeader
        position = request.start.offset
        if not partition.first <= position <= partition.end:
            raise OffsetOutOfRange(first=str(partition.first), end=str(partition.end))
        stop = request.until.offset if request.HasField("until") else None
        if position == partition.end:
            yield self._answer(partition, [], position, stop)
        while stop is None or position < stop:
            batches = [item for item in partition.batches if item[0] + item[1].record_count > position][:3]
            if not batches:
                await asyncio.sleep(0.01)
                if partition.leader != self._node:
                    raise NotLeader
                continue
            position = batches[-1][0] + batches[-1][1].record_count
            self._cluster.read_messages += 1
            yield self._answer(partition, batches, position, stop)

    @staticmethod
    def _answer(partition, batches, position, stop):
        answer = stream_pb2.ReadResponse(partition=partition.number, end=partition.end)
        for base, batch, append_time_ns in batches:
            stored: records_pb2.StoredBatch = answer.batches.add(
                base_offset=base, append_time_ns=append_time_ns, term=partition.term
            )
            api.batch_to_pb(batch, stored.batch)
        answer.finished = stop is not None and position >= stop
        answer.position = min(position, stop) if stop is not None else position
        return answer.SerializeToString()
