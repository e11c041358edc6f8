"""Appending to the cluster's own topics, to which nobody else may write, wherever their partitions are led.

Between nodes this goes over the peer listener, where whoever speaks proves that it is a node of this cluster: the mark
of a forwarded request could be set by anybody.
"""

import asyncio
from collections.abc import Mapping

from cluster.broker.broker import Broker
from cluster.broker.forwarding import Forwarding, OwnCall
from cluster.broker.gate import check_batch
from cluster.broker.requests import Publish
from cluster.broker.running import Running
from cluster.config import BrokerOptions
from cluster.errors import DeadlineExceeded, NotLeader, Unavailable
from cluster.records import Batch, Receipt
from cluster.types import Durability, NodeId, PartitionId, TopicId
from cluster.wire import api
from cluster.wire.inner_publish import PUBLISH, introduction, publish_pb2, publish_request
from cluster.wire.links import Links
from cluster.world import Call


class InnerPublishing:
    """`peers`: the nodes' addresses for each other, as this node has them."""

    def __init__(
        self,
        *,
        broker: Broker,
        forwarding: Forwarding,
        links: Links,
        peers: Mapping[NodeId, str],
        options: BrokerOptions,
    ) -> None:
        self._broker = broker
        self._forwarding = forwarding
        self._links = links
        self._peers = peers
        self._options = options

    async def publish(self, partition: PartitionId, batch: Batch) -> Receipt:
        """Append; the receipt when it is on a majority's disks.

        Errors: NotLeader (retry: nobody is known to lead it, or it has moved), OutcomeUnknown and DeadlineExceeded (it
        may have been appended), and what a leader refuses a batch for.
        """
        running = self._broker.running.get(partition)
        if running is not None and running.replica.raft.is_leader:
            return await self._append(running, batch)
        node = self._forwarding.leader_node(partition)
        address = self._peers.get(node)
        if address is None:
            raise Unavailable(f"node {node} is none that this node knows how to reach")
        request = publish_request(self._links.hello_on_control(node), self._links.incarnation, partition, batch)
        answer = await self._forwarding.call(address, PUBLISH, request, OwnCall(self._options.publish_wait_s_max))
        return api.receipt_from_pb(publish_pb2.PublishResponse.FromString(answer).receipt)

    async def take(self, data: bytes, call: Call) -> bytes:
        """Another node's batch, for a partition that is led here. Served on the peer listener."""
        del call
        request = api.parse(publish_pb2.PublishRequest, data)
        self._links.check(*introduction(request))
        partition = PartitionId(TopicId(request.topic_id), request.partition)
        batch = api.batch_from_pb(request.batch)
        check_batch(batch, self._options)
        running = self._broker.running.get(partition)
        if running is None:
            raise NotLeader(f"node {self._broker.me} has no replica of partition {partition}")
        receipt = await self._append(running, batch)
        return publish_pb2.PublishResponse(receipt=api.receipt_to_pb(receipt, partition.number)).SerializeToString()

    async def _append(self, running: Running, batch: Batch) -> Receipt:
        """Put the batch into the replica's mailbox; NotLeader if it does not lead."""
        reply: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._options.publish_wait_s_max):
                await running.replica.wait_room()
                await running.ref.tell(Publish(batch, Durability.MAJORITY_SYNCED, reply))
                return await reply
        except TimeoutError:
            raise DeadlineExceeded("the batch was not acknowledged in time; it may still be") from None
