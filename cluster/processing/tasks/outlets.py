"""The way of outputs to whoever leads their partition: a mailbox here, or one stream to each other node.

All tasks of a node share the streams. Batches for one partition keep their order as long as its leader stays; when a
stream breaks, what was on it is not known to have arrived (`Shipping` sends it again).
"""

import asyncio
import contextlib
from collections.abc import Callable
from itertools import count

from cluster.broker.broker import Broker
from cluster.broker.publish_service import PublishService
from cluster.errors import NotLeader, OutcomeUnknown, RiverrunError, TopicDeleted, Unavailable, UnknownTopic
from cluster.records import Batch, Receipt
from cluster.types import NodeId, PartitionId
from cluster.wire.links import Links
from cluster.wire.tasks import SHIP, answer_of, ship_introduction, ship_request
from cluster.world import Channel, Stream

Reply = asyncio.Future[Receipt]


class Outlets:
    """All ways out of one node. `channel`: to another node's peer listener."""

    def __init__(
        self, *, broker: Broker, publishing: PublishService, links: Links, channel: Callable[[NodeId], Channel]
    ) -> None:
        self._broker = broker
        self._publishing = publishing
        self._links = links
        self._channel = channel
        self._streams: dict[NodeId, OutputStream] = {}

    async def send(self, partition: PartitionId, batch: Batch) -> Reply:
        """The future has the receipt or the error. TopicDeleted, UnknownTopic, NotLeader: nothing was sent."""
        directory = self._broker.directory
        topic = directory.topics.get(partition.topic)
        if topic is None:
            if partition.topic in directory.deleted:
                raise TopicDeleted(f"the topic of {partition} was deleted")
            raise UnknownTopic(f"this node has not heard of the topic of {partition}")
        running = self._broker.running.get(partition)
        if running is not None and running.replica.raft.is_leader:
            return await self._publishing.enter(partition, batch)
        node = self._broker.leader_elsewhere(partition)
        if node is None:
            raise NotLeader(f"partition {partition} has no leader that this node knows of")
        return self._stream(node).send(topic.name, partition, batch)

    async def close(self) -> None:
        """Drop all streams."""
        streams = list(self._streams.values())
        self._streams.clear()
        for stream in streams:
            await stream.close()

    def _stream(self, node: NodeId) -> "OutputStream":
        found = self._streams.get(node)
        if found is None or found.broken:
            introduction = ship_introduction(self._links.hello_on_control(node), self._links.incarnation)
            found = self._streams[node] = OutputStream(self._channel(node), introduction)
        return found


class OutputStream:
    """One stream to one node; it is not opened again: a broken one is replaced."""

    def __init__(self, channel: Channel, introduction: bytes) -> None:
        self.broken = False
        self._numbers = count(1)
        self._open: dict[int, Reply] = {}
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._outbox.put_nowait(introduction)
        self._running = asyncio.create_task(self._run(channel.stream(SHIP)))

    def send(self, topic: str, partition: PartitionId, batch: Batch) -> Reply:
        """Put one batch behind those before it: what waits is bounded by what its tasks have under way."""
        number = next(self._numbers)
        reply = self._open[number] = asyncio.get_running_loop().create_future()
        self._outbox.put_nowait(ship_request(number, topic, partition, batch))
        return reply

    async def close(self) -> None:
        """End it."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self, stream: Stream) -> None:
        sending = asyncio.create_task(self._send_all(stream))
        error: RiverrunError = OutcomeUnknown("the stream to the partition's leader ended")
        try:
            while (data := await stream.receive()) is not None:
                number, answer = answer_of(data)
                reply = self._open.pop(number, None)
                if reply is None or reply.done():
                    continue
                if isinstance(answer, RiverrunError):
                    reply.set_exception(answer)
                    reply.exception()  # whoever asked may have left
                else:
                    reply.set_result(answer)
        except RiverrunError as broken:
            error = broken if broken.retry else OutcomeUnknown(broken.message)
        finally:
            self.broken = True
            stream.cancel()
            sending.cancel()
            for reply in self._open.values():
                if not reply.done():
                    reply.set_exception(error if not isinstance(error, NotLeader) else Unavailable(error.message))
                    reply.exception()
            self._open.clear()

    async def _send_all(self, stream: Stream) -> None:
        with contextlib.suppress(RiverrunError):  # whoever receives learns why
            while True:
                await stream.send(await self._outbox.get())
