"""StreamService's publishing half: requests become batches, batches go to the leader, receipts come back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import google_crc32c

from cluster.broker.broker import Broker
from cluster.broker.forwarding import Forwarding, is_forwarded
from cluster.broker.gate import check_batch, check_record
from cluster.broker.requests import Publish
from cluster.broker.running import Running
from cluster.config import BrokerOptions
from cluster.errors import DeadlineExceeded, InvalidRequest, NotLeader, RiverrunError
from cluster.metadata import Topic
from cluster.meters import Meters
from cluster.records import Batch, Header, Receipt, Record
from cluster.trace import trace_headers, traced
from cluster.types import Durability, Offset, PartitionId, ProducerId
from cluster.wire import api
from cluster.wire.api import records_pb2, stream_pb2
from cluster.wire.records import make_batch
from cluster.world import Call, Clock

PUBLISH = "/riverrun.v1.StreamService/Publish"


class Entered(NamedTuple):
    """A batch on its way: where it went, how large it is, and since when, by the monotonic clock."""

    reply: "asyncio.Future[Receipt]"
    partition: PartitionId
    size_bytes: int
    began_s: float


class PublishService:
    """Handlers of Publish and PublishStream."""

    def __init__(
        self, *, broker: Broker, forwarding: Forwarding, clock: Clock, options: BrokerOptions, meters: Meters
    ) -> None:
        self._broker = broker
        self._forwarding = forwarding
        self._clock = clock
        self._options = options
        self._meters = meters
        self._next_keyless = 0

    # --- Publish

    async def publish(self, data: bytes, call: Call) -> bytes:
        """Typed records from a thin client; the node encodes them and says so in the receipt.

        A trace that came with the request (`traceparent`, `tracestate`) becomes that of the records that have none.
        """
        request = api.parse(stream_pb2.PublishRequest, data)
        topic = self._broker.directory.topic_to_write(request.topic)
        durability = api.durability_from_pb(request.durability)
        now = self._clock.wall_ns()
        expected_end = _expected_end(request)
        if expected_end is not None and not request.HasField("partition"):
            raise InvalidRequest("a publish with an expected end names its partition")
        trace = () if is_forwarded(call) else trace_headers(call.metadata())
        groups = self._spread(topic, request, now, trace)
        if request.producer_id and len(groups) != 1:
            raise InvalidRequest("a publish with a producer id names its partition")
        answers = await asyncio.gather(
            *(
                self._publish_group(topic, number, records, request, durability, call)
                for number, records in groups.items()
            )
        )
        response = stream_pb2.PublishResponse()
        for answer in answers:
            response.receipts.append(answer)
        return response.SerializeToString()

    def _spread(
        self, topic: Topic, request: stream_pb2.PublishRequest, now: int, trace: tuple[Header, ...]
    ) -> dict[int, list[Record]]:
        """The records by partition: as asked, by key, or all of those without a key to the next one in turn."""
        if not request.records:
            raise InvalidRequest("a publish holds at least one record")
        keyless = self._next_keyless % len(topic.partitions)
        self._next_keyless += 1
        groups: dict[int, list[Record]] = {}
        for item in request.records:
            record = api.record_from_pb(item, Offset(0))
            if trace or not record.timestamp_ns:
                record = Record(
                    value=record.value,
                    key=record.key,
                    headers=traced(record.headers, trace),
                    timestamp_ns=record.timestamp_ns or now,
                )
            check_record(record, self._options)
            if request.HasField("partition"):
                number = request.partition
            elif record.key is None:
                number = keyless
            else:
                number = google_crc32c.value(record.key) % len(topic.partitions)
            groups.setdefault(number, []).append(record)
        return groups

    async def _publish_group(
        self,
        topic: Topic,
        number: int,
        records: list[Record],
        request: stream_pb2.PublishRequest,
        durability: Durability,
        call: Call,
    ) -> records_pb2.Receipt:
        partition = self._broker.directory.partition(topic, number)
        running = self._broker.running.get(partition)
        if (running is None or not running.replica.raft.is_leader) and not is_forwarded(call):
            return await self._forward(partition, topic, number, records, request, call)
        batch = make_batch(
            records,
            producer_id=ProducerId(request.producer_id),
            producer_epoch=request.producer_epoch,
            base_sequence=request.base_sequence,
        )
        check_batch(batch, self._options)
        began_s = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(self._wait_s(call)):
                receipt = await (await self._enter(running, partition, batch, durability, _expected_end(request)))
        except TimeoutError:
            raise DeadlineExceeded("the records were not acknowledged in time; they may still be") from None
        self._acknowledged(receipt, partition, len(batch.payload), began_s)
        answer = api.receipt_to_pb(receipt, number)
        answer.checksum_by_node = True
        return answer

    async def _forward(
        self,
        partition: PartitionId,
        topic: Topic,
        number: int,
        records: list[Record],
        request: stream_pb2.PublishRequest,
        call: Call,
    ) -> records_pb2.Receipt:
        part = stream_pb2.PublishRequest(
            topic=topic.name,
            partition=number,
            records=[api.record_to_pb(record) for record in records],
            durability=request.durability,
            producer_id=request.producer_id,
            producer_epoch=request.producer_epoch,
            base_sequence=request.base_sequence,
            expected_end=_expected_end(request),
        )
        address = self._forwarding.leader_address(partition)
        answer = await self._forwarding.call(address, PUBLISH, part.SerializeToString(), call)
        return stream_pb2.PublishResponse.FromString(answer).receipts[0]

    # --- PublishStream

    def publish_stream(self, requests: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        """Encoded batches, pipelined. Requests are taken in their order; each answer names its request."""
        del call
        return self.answers(requests, self._broker.directory.topic_to_write)

    async def answers(
        self, requests: AsyncIterator[bytes], topic_of: Callable[[str, bytes], Topic]
    ) -> AsyncIterator[bytes]:
        """The same for whoever may write to the topics that `topic_of` gives."""
        answers: asyncio.Queue[bytes | None] = asyncio.Queue()
        window = asyncio.Semaphore(self._options.stream_requests_max)
        taking = asyncio.create_task(self._take_all(requests, topic_of, answers, window))
        taking.add_done_callback(lambda _: answers.put_nowait(None))
        try:
            while (answer := await answers.get()) is not None:
                yield answer
                window.release()  # not before it is taken: who takes no answers is not read from
            await taking
        finally:
            taking.cancel()

    async def _take_all(
        self,
        requests: AsyncIterator[bytes],
        topic_of: Callable[[str, bytes], Topic],
        answers: "asyncio.Queue[bytes | None]",
        window: asyncio.Semaphore,
    ) -> None:
        under_way: set[asyncio.Future[Receipt]] = set()

        def finished(entered: Entered, correlation: int) -> None:
            under_way.discard(entered.reply)
            answers.put_nowait(self._answer(correlation, entered))

        name = ""
        async for data in requests:
            await window.acquire()
            request = api.parse(stream_pb2.PublishStreamRequest, data)
            name = request.topic or name
            try:
                entered = await self._begin(topic_of(name, request.topic_id), request)
            except RiverrunError as error:
                answers.put_nowait(self._failed(request.correlation, error))
                continue
            under_way.add(entered.reply)
            entered.reply.add_done_callback(
                lambda _, entered=entered, correlation=request.correlation: finished(entered, correlation)  # type: ignore[misc]
            )
        if under_way:
            await asyncio.wait(under_way)

    async def _begin(self, topic: Topic, request: stream_pb2.PublishStreamRequest) -> Entered:
        began_s = self._clock.monotonic_s()
        partition = self._broker.directory.partition(topic, request.partition)
        batch = api.batch_from_pb(request.batch)
        check_batch(batch, self._options)
        durability = api.durability_from_pb(request.durability)
        running = self._broker.running.get(partition)
        reply = await self._enter(running, partition, batch, durability, _expected_end(request))
        return Entered(reply, partition, len(batch.payload), began_s)

    def _answer(self, correlation: int, entered: Entered) -> bytes:
        """A request's answer: its reply is done."""
        reply, partition, size_bytes, began_s = entered
        if reply.cancelled():
            return self._failed(correlation, DeadlineExceeded("the request was cancelled"))
        error = reply.exception()
        if error is None:
            self._acknowledged(reply.result(), partition, size_bytes, began_s)
            return stream_pb2.PublishStreamResponse(
                correlation=correlation, receipt=api.receipt_to_pb(reply.result(), partition.number)
            ).SerializeToString()
        assert isinstance(error, RiverrunError), error
        return self._failed(correlation, error)

    def _failed(self, correlation: int, error: RiverrunError) -> bytes:
        self._meters.failed(error.reason)
        return stream_pb2.PublishStreamResponse(
            correlation=correlation, error=api.error_to_pb(error)
        ).SerializeToString()

    def _acknowledged(self, receipt: Receipt, partition: PartitionId, size_bytes: int, began_s: float) -> None:
        self._meters.publish.observe(self._clock.monotonic_s() - began_s)
        if not receipt.duplicate:
            self._meters.traffic(partition.topic).published(size_bytes, receipt.record_count)

    # --- to the replica

    async def enter(
        self, partition: PartitionId, batch: Batch, expected_end: Offset | None = None
    ) -> "asyncio.Future[Receipt]":
        """A batch that this node has sealed; NotLeader if the partition is not led here."""
        running, began_s = self._broker.running.get(partition), self._clock.monotonic_s()
        reply = await self._enter(running, partition, batch, Durability.MAJORITY_SYNCED, expected_end)

        def count(reply: "asyncio.Future[Receipt]") -> None:
            if not reply.cancelled() and reply.exception() is None:
                self._acknowledged(reply.result(), partition, len(batch.payload), began_s)

        reply.add_done_callback(count)
        return reply

    async def _enter(
        self,
        running: Running | None,
        partition: PartitionId,
        batch: Batch,
        durability: Durability,
        expected_end: Offset | None,
    ) -> "asyncio.Future[Receipt]":
        """Put the batch into the replica's mailbox; waits while the replica has too much under way."""
        if running is None:
            leader = self._broker.leaders.get(partition)
            address = self._broker.directory.client_address(leader.node) if leader else ""
            raise NotLeader(
                f"node {self._broker.me} has no replica of partition {partition}",
                **({"leader": address} if address else {}),
            )
        if not running.replica.raft.is_leader:
            raise running.replica.not_leader()
        await running.replica.wait_room()
        reply: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        await running.tell(Publish(batch, durability, reply, expected_end))
        return reply

    def _wait_s(self, call: Call) -> float:
        left = call.time_left_s()
        return self._options.publish_wait_s_max if left is None else min(left, self._options.publish_wait_s_max)


def _expected_end(request: stream_pb2.PublishRequest | stream_pb2.PublishStreamRequest) -> Offset | None:
    """The condition, if there is one."""
    if not request.HasField("expected_end"):
        return None
    if request.expected_end < 0:
        raise InvalidRequest(f"a partition's end is 0 or more; {request.expected_end} cannot be expected")
    return Offset(request.expected_end)
