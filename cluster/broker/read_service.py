"""StreamService's reading half: a partition from a position on, up to the committed end, following it if asked to.

A read of several partitions is one loop a partition feeding one bounded queue. A loop whose partition is led elsewhere
relays that leader's answers; when leadership moves it continues there, at the position it had reached. So a thin
client's stream outlives the nodes behind it, and only the node that it talks to can break it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from cluster.broker.broker import Broker
from cluster.broker.delivery import Delivery
from cluster.broker.forwarding import Forwarding, OwnCall, is_forwarded
from cluster.broker.positions import begin_offset, offset_at, stop_offset
from cluster.broker.running import Running
from cluster.config import BrokerOptions
from cluster.errors import DeadlineExceeded, NotLeader, RiverrunError
from cluster.metadata import Topic
from cluster.meters import Meters
from cluster.types import Offset, PartitionId, ProducerId
from cluster.wire import api
from cluster.wire.api import stream_pb2
from cluster.world import Call, Clock

READ = "/riverrun.v1.StreamService/Read"
GET_OFFSETS = "/riverrun.v1.StreamService/GetOffsets"


class ReadService:
    """Handlers of Read and GetOffsets."""

    def __init__(
        self,
        *,
        broker: Broker,
        forwarding: Forwarding,
        options: BrokerOptions,
        clock: Clock,
        come_ns: Callable[[], int],
        meters: Meters,
    ) -> None:
        self.clock = clock
        self._come_ns = come_ns
        self.meters = meters
        self.open = 0
        """Read calls that are under way."""
        self._broker = broker
        self._forwarding = forwarding
        self._options = options

    async def read(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        """See the proto."""
        self.open += 1
        try:
            request = api.parse(stream_pb2.ReadRequest, await anext(requests, b""))
            topic = self._broker.directory.topic(request.topic, request.topic_id)
            partitions = [self._broker.directory.partition(topic, number) for number in _numbers(request, topic)]
            forwarded = is_forwarded(call)
            loops = [PartitionRead(self, topic, partition, request, forwarded=forwarded) for partition in partitions]
            streams = [loop.messages() for loop in loops]
            async for message in streams[0] if len(streams) == 1 else merged(streams):
                yield message
        except RiverrunError as error:
            self.meters.failed(error.reason)
            raise
        finally:
            self.open -= 1

    async def get_offsets(self, data: bytes, call: Call) -> bytes:
        """See the proto. Every partition is asked at its leader."""
        request = api.parse(stream_pb2.GetOffsetsRequest, data)
        topic = self._broker.directory.topic(request.topic)
        answers = await asyncio.gather(
            *(
                self._offsets_of(self._broker.directory.partition(topic, number), request, call)
                for number in _numbers(request, topic)
            )
        )
        return stream_pb2.GetOffsetsResponse(partitions=answers).SerializeToString()

    async def offsets_of(
        self, topic: Topic, number: int, at: stream_pb2.Position | None = None
    ) -> stream_pb2.PartitionOffsets:
        """One partition's offsets, for a service of this node."""
        partition = self._broker.directory.partition(topic, number)
        request = stream_pb2.GetOffsetsRequest(topic=topic.name, at=at)
        return await self._offsets_of(partition, request, OwnCall(self._options.publish_wait_s_max))

    async def _offsets_of(
        self, partition: PartitionId, request: stream_pb2.GetOffsetsRequest, call: Call
    ) -> stream_pb2.PartitionOffsets:
        running = self.led_here(partition)
        if running is None:
            if is_forwarded(call):
                raise self.not_here(partition)
            part = stream_pb2.GetOffsetsRequest()
            part.CopyFrom(request)
            del part.partitions[:]
            part.partitions.append(partition.number)
            address = self._forwarding.leader_address(partition)
            answer = await self._forwarding.call(address, GET_OFFSETS, part.SerializeToString(), call)
            return stream_pb2.GetOffsetsResponse.FromString(answer).partitions[0]
        log = running.replica.log
        stamped = log.end_offset
        stamp_ns = max(min(self.clock.wall_ns(), self._come_ns()), log.fold.last_append_time_ns)  # of any leader
        end = await self.confirmed_end(running)
        result = stream_pb2.PartitionOffsets(partition=partition.number, first=log.start_offset, end=end)
        if end >= stamped:  # what is stamped from now on is not before
            result.whole_before_ns = stamp_ns
        if request.HasField("at"):
            result.at = at = offset_at(running.replica, request.at, end)
            if log.start_offset <= at < end:
                result.at_append_time_ns = log.append_time_ns(at)
        producer = log.fold.producers.get(ProducerId(request.producer_id)) if request.producer_id else None
        if producer is not None:
            result.next_sequence = producer.next_sequence
        return result

    # --- for the loops

    def led_here(self, partition: PartitionId) -> Running | None:
        """The partition's replica here, if it leads."""
        running = self._broker.running.get(partition)
        return running if running is not None and running.replica.raft.is_leader else None

    def not_here(self, partition: PartitionId) -> NotLeader:
        """The refusal for a request that has had its hop."""
        running = self._broker.running.get(partition)
        if running is not None:
            return running.replica.not_leader()
        return NotLeader(f"node {self._broker.me} has no replica of partition {partition}")

    async def confirmed_end(self, running: Running) -> Offset:
        """The committed end behind a read barrier."""
        try:
            async with asyncio.timeout(self._options.barrier_wait_s_max):
                return await running.ask_end()
        except TimeoutError:
            raise DeadlineExceeded("a majority did not confirm the leader in time") from None

    @property
    def options(self) -> BrokerOptions:
        """The limits."""
        return self._options

    def check_topic(self, request: stream_pb2.ReadRequest) -> None:
        """TopicDeleted if the topic that this read began on is no more."""
        self._broker.directory.topic(request.topic, request.topic_id)

    def relay(self, partition: PartitionId, request: stream_pb2.ReadRequest) -> AsyncIterator[bytes]:
        """The leader's own answers."""
        address = self._forwarding.leader_address(partition)
        return self._forwarding.stream(address, READ, request.SerializeToString())


class PartitionRead:
    """One partition of one read, wherever it is led.

    `part` is what was yielded last; `position` is behind it, `end` the end as known.
    """

    def __init__(
        self,
        service: ReadService,
        topic: Topic,
        partition: PartitionId,
        request: stream_pb2.ReadRequest,
        *,
        forwarded: bool = False,
    ) -> None:
        self.position = self.end = Offset(0)
        self.part = stream_pb2.ReadResponse()
        self._service = service
        self._partition = partition
        self._forwarded = forwarded
        self._request = stream_pb2.ReadRequest()
        self._request.CopyFrom(request)
        del self._request.partitions[:]
        self._request.partitions.append(partition.number)
        self._request.topic_id = topic.id

    async def messages(self) -> AsyncIterator[bytes]:
        """Answers until `until`, through changes of leaders."""
        while True:
            try:
                async for data in self._source():
                    part = self.part = stream_pb2.ReadResponse.FromString(data)
                    self._request.start.offset = part.position
                    self.position, self.end = Offset(part.position), Offset(part.end)
                    yield data
                    if part.finished:
                        return
            except RiverrunError as error:
                if self._forwarded or not error.retry:
                    raise
            await asyncio.sleep(self._service.options.stream_retry_s)

    def _source(self) -> AsyncIterator[bytes]:
        self._service.check_topic(self._request)  # again each time: a topic that was deleted has no next leader
        running = self._service.led_here(self._partition)
        if running is not None:
            return self._from_here(running)
        if self._forwarded:
            raise self._service.not_here(self._partition)
        return self._service.relay(self._partition, self._request)

    async def _from_here(self, running: Running) -> AsyncIterator[bytes]:
        replica = running.replica
        end = await self._service.confirmed_end(running)
        begin = begin_offset(replica, self._request.start if self._request.HasField("start") else None, end)
        stop = stop_offset(replica, self._request.until if self._request.HasField("until") else None, end)
        if stop is not None:
            self._request.until.offset = stop  # "latest" means the end as it was when the request arrived
        delivery = Delivery(self._partition.number, self._request, stop, options=self._service.options)
        position = begin
        if stop is not None and position >= stop:
            yield delivery.finished(position, end)
            return
        if position == end:
            yield delivery.standing(position, end)  # the reader learns where it stands before anything comes
        bytes_max = self._service.options.read_chunk_bytes_max
        bytes_max = min(self._request.window_bytes or bytes_max, bytes_max)
        clock, meters, traffic = self._service.clock, self._service.meters, None
        while True:
            if replica.raft.is_leader:  # it may have been lost since the barrier, or the last answer
                await replica.readers.wait_beyond(position)
            if not replica.raft.is_leader:
                raise replica.not_leader()
            began_s = clock.monotonic_s()
            traffic = traffic or meters.traffic(self._partition.topic)
            entries = await running.read_log(position, bytes_max=bytes_max)
            for answer in delivery.answers(entries, position, replica.readers.end):
                if began_s:
                    meters.fetch.observe(clock.monotonic_s() - began_s)
                    began_s = 0.0  # from here on the time is the reader's
                traffic.fetched(len(answer.message), answer.position - position)
                position = answer.position
                yield answer.message
                if answer.done:
                    return


async def merged(streams: Sequence[AsyncIterator[bytes]]) -> AsyncIterator[bytes]:
    """What comes on any of the streams, each in its own order; one message of each is held. The first error ends it."""
    queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(maxsize=len(streams))

    async def pump(stream: AsyncIterator[bytes]) -> None:
        try:
            async for message in stream:
                await queue.put(message)
        except Exception as error:  # noqa: BLE001  raised where the reader is answered
            await queue.put(error)
        else:
            await queue.put(None)

    # No TaskGroup: it would wrap the error, and the end of a reader who leaves, in a group.
    tasks = [asyncio.create_task(pump(stream)) for stream in streams]
    left = len(tasks)
    try:
        while left:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                left -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _numbers(request: stream_pb2.ReadRequest | stream_pb2.GetOffsetsRequest, topic: Topic) -> list[int]:
    """The partitions that were asked for, each once; all of them where none was named."""
    return list(dict.fromkeys(request.partitions)) or list(range(len(topic.partitions)))
