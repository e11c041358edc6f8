"""One member as its node has it: what it was told, what it was given, and what it said.

The coordinator sends what the member holds, always as a whole; the difference to what the member was told becomes
assign, revoke and lose. A partition is delivered from its position on once that is committed (rule 5 of the package).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cluster.broker.directory import Directory
from cluster.broker.groups.attachment import Attachment
from cluster.broker.groups.delivering import Delivering
from cluster.broker.read_service import PartitionRead, ReadService
from cluster.config import BrokerOptions
from cluster.errors import (
    InvalidRequest,
    OffsetOutOfRange,
    RiverrunError,
    StaleGeneration,
    TopicDeleted,
    UnknownMember,
    UnknownTopic,
)
from cluster.metadata import Topic
from cluster.types import Offset, PartitionId, TopicId
from cluster.wire import api
from cluster.wire.api import group_pb2, stream_pb2
from cluster.wire.attach import coordinator_pb2, held_from_pb
from cluster.wire.encoding import varint

DELIVERED_TAG = b"\x1a"
"""`SubscribeResponse.delivered`, field 3, length-delimited."""
READ_TAG = b"\x12"
"""`Delivered.read`, field 2, length-delimited: an answer of a read goes in as it is."""


@dataclass(slots=True)
class Told:
    """A partition that the member holds, as far as it was told."""

    generation: int
    assigned: bool = False
    asked_back: bool = False
    released: bool = False
    delivered: Offset = Offset(0)
    committed: Offset = Offset(0)
    end: Offset = Offset(0)


@dataclass(slots=True)
class Wishes:
    """What the member asked for when it joined."""

    start: stream_pb2.Position | None
    delivery: "group_pb2.Delivery.ValueType"
    codecs: list[Any] = field(default_factory=list)
    window_bytes: int = 0
    uncommitted_records_max: int = 0


class Subscription:
    """From the member's join to its end."""

    def __init__(
        self,
        *,
        topics: Sequence[Topic],
        wishes: Wishes,
        session: bytes,
        resumed: bool,
        reading: ReadService,
        directory: Directory,
        options: BrokerOptions,
        attach: Callable[[Callable[[coordinator_pb2.Holdings], None]], Attachment],
    ) -> None:
        self._topics = {topic.id: topic for topic in topics}
        self._names = {topic.name: topic.id for topic in topics}
        self._wishes = wishes
        self._session = session
        self._resumed = resumed
        self._reading = reading
        self._directory = directory
        self._options = options
        self._attachment = attach(self._holdings)
        self._member = 0
        self._told: dict[PartitionId, Told] = {}
        self._control: deque[group_pb2.SubscribeResponse] = deque()
        self._filled = asyncio.Event()
        self._delivering = Delivering(
            messages_max=options.member_messages_max,
            uncommitted_records_max=wishes.uncommitted_records_max,
            on_filled=self._filled.set,
            on_skipped=self._skipped,
        )
        self._commits_room = asyncio.Semaphore(options.member_commits_max)
        self._commits = 0
        self._draining = False
        self._drained = False
        self._failure: RiverrunError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False

    # --- to the member

    async def messages(self) -> AsyncIterator[bytes]:
        """Everything for the member until it has drained; raises what ends it otherwise."""
        self._start(self._attachment.run())
        try:
            while True:
                self._filled.clear()
                while self._control:
                    response = self._control.popleft()
                    yield response.SerializeToString()
                    if response.HasField("committed"):
                        self._commits_room.release()  # not before: who never reads would pile up answers
                if self._drained:
                    return
                if (failure := self._failure or self._delivering.failure) is not None:
                    raise failure
                item = self._delivering.take()
                if item is not None:
                    yield self._delivered(*item)
                elif not self._control:
                    await self._filled.wait()
        finally:
            self._ending = True
            for task in self._tasks:
                task.cancel()
            await self._delivering.close()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _delivered(self, partition: PartitionId, position: Offset, end: Offset, message: bytes) -> bytes:
        told = self._told[partition]
        told.delivered, told.end = position, max(told.end, end)
        held = group_pb2.Delivered(held=self._held(partition, told.generation)).SerializeToString()
        head = b"".join((held, READ_TAG, varint(len(message))))
        return b"".join((DELIVERED_TAG, varint(len(head) + len(message)), head, message))

    def _say(self, response: group_pb2.SubscribeResponse) -> None:
        self._control.append(response)
        self._filled.set()

    def _held(self, partition: PartitionId, generation: int) -> group_pb2.Held:
        topic = self._topics[partition.topic]
        return group_pb2.Held(topic=topic.name, partition=partition.number, generation=generation)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._ending:  # nobody would wait for it
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            assert isinstance(error, RiverrunError), error
            self.fail(error)

    # --- what it holds

    def _holdings(self, holdings: coordinator_pb2.Holdings) -> None:
        first = self._resumed and not self._member
        if self._member != holdings.member:
            self._member = holdings.member
            grace_ms = int(self._options.session_grace_s * 1000)
            joined = group_pb2.Joined(member=self._member, session=self._session, grace_ms=grace_ms)
            if first:
                joined.held.extend(self._held(*held_from_pb(held)) for held in holdings.held)
            self._say(group_pb2.SubscribeResponse(joined=joined))
        now = {held_from_pb(held)[0]: held for held in holdings.held}
        lost = [p for p, told in self._told.items() if p not in now or now[p].generation != told.generation]
        self._lose(lost)
        asked_back = []
        for partition, held in now.items():
            told = self._told.get(partition)
            if told is None:
                # What is there at the first look it had before its stream broke, and may be working on.
                told = self._told[partition] = Told(held.generation, assigned=first)
                if not held.asked_back:
                    position = Offset(held.position) if held.HasField("position") else None
                    self._start(self._begin(partition, told, position))
            if held.asked_back and not told.asked_back:
                told.asked_back = True
                asked_back.append(partition)
        self._revoke(asked_back)
        self._look_if_drained()

    def _lose(self, lost: Sequence[PartitionId]) -> None:
        gone = []
        for partition in lost:
            told = self._told.pop(partition)
            self._delivering.stop(partition)
            if told.assigned and not told.released:
                gone.append(self._held(partition, told.generation))
        if gone:
            self._say(group_pb2.SubscribeResponse(lose=group_pb2.Lose(partitions=gone)))

    def _revoke(self, asked_back: Sequence[PartitionId]) -> None:
        told_of = []
        for partition in asked_back:
            told = self._told[partition]
            self._delivering.stop(partition)
            if told.assigned:
                told_of.append(self._held(partition, told.generation))
            else:  # the member never heard of it
                self._release([partition])
        if told_of:
            self._say(group_pb2.SubscribeResponse(revoke=group_pb2.Revoke(partitions=told_of)))

    async def _begin(self, partition: PartitionId, told: Told, position: Offset | None) -> None:
        """Fix the position, tell the member, deliver."""
        topic = self._topics[partition.topic]
        try:
            if position is None:
                position = await self._first_position(topic, partition)
                await self._attachment.commit([(partition, told.generation, position)])
        except (StaleGeneration, UnknownMember):
            return  # what is held now will be told
        if self._told.get(partition) is not told or told.asked_back or self._draining:
            return
        told.assigned = True
        told.delivered = told.committed = position
        assigned = group_pb2.AssignedPartition(
            held=self._held(partition, told.generation), position=position, topic_id=topic.id
        )
        self._say(group_pb2.SubscribeResponse(assign=group_pb2.Assign(partitions=[assigned])))
        if self._wishes.delivery != group_pb2.DELIVERY_NONE:
            self._delivering.start(partition, position, partial(self._read, topic, partition))

    def _skipped(self, partition: PartitionId, first: Offset, following: Offset) -> None:
        told = self._told[partition]
        told.delivered = max(told.delivered, following)
        skipped = group_pb2.Skipped(held=self._held(partition, told.generation), first=first, next=following)
        self._say(group_pb2.SubscribeResponse(skipped=skipped))

    async def _first_position(self, topic: Topic, partition: PartitionId) -> Offset:
        while True:
            try:
                at = self._wishes.start or stream_pb2.Position(earliest=True)
                return Offset((await self._reading.offsets_of(topic, partition.number, at)).at)
            except RiverrunError as error:
                if isinstance(error, UnknownTopic) and topic.id in self._directory.deleted:
                    raise TopicDeleted(f"the topic {topic.name!r} was deleted") from error
                if not error.retry:
                    raise
            await asyncio.sleep(self._options.stream_retry_s)

    def _read(self, topic: Topic, partition: PartitionId, position: Offset) -> PartitionRead:
        batches = self._wishes.delivery == group_pb2.DELIVERY_BATCHES
        request = stream_pb2.ReadRequest(
            topic=topic.name,
            start=stream_pb2.Position(offset=position),
            format=stream_pb2.READ_FORMAT_BATCHES if batches else stream_pb2.READ_FORMAT_RECORDS,
            codecs=self._wishes.codecs,
            window_bytes=self._wishes.window_bytes // max(len(self._told), 1),
            records_max=(self._wishes.uncommitted_records_max + 1) // 2,  # one is worked on while the next one comes
        )
        return PartitionRead(self._reading, topic, partition, request)

    # --- from the member

    async def take(self, request: group_pb2.SubscribeRequest) -> None:
        """One request after the join; waits while the member has taken the answers of too few of its commits."""
        match request.WhichOneof("request"):
            case "commit":
                await self._commits_room.acquire()
                self._commits += 1
                self._start(self._told_commit(request.commit, await self._commit(request.commit)))
            case "release":
                partitions = [self._partition(held) for held in request.release.partitions]
                self._release([p for p, generation in partitions if self._is_told(p, generation)])
            case "drain":
                self.drain()
            case _:
                raise InvalidRequest("after its join a member says commit, release or drain")

    def finish(self) -> None:
        """The member will say nothing more: it can commit nothing more, so it leaves."""
        self._release(list(self._told))
        self.drain()

    def fail(self, error: RiverrunError) -> None:
        """What the member said makes no sense: its stream ends."""
        self._failure = error
        self._filled.set()

    def drain(self) -> None:
        """Deliver nothing more; leave when everything is committed or released."""
        self._draining = True
        for partition in self._told:
            self._delivering.stop(partition)
        self._look_if_drained()

    async def _commit(self, commit: group_pb2.Commit) -> "asyncio.Future[None]":
        """On its way, before anything that the member says next; a future of what becomes of it."""
        positions = []
        try:
            for item in commit.positions:
                partition, generation = self._partition(item.held)
                await self._check_end(partition, Offset(item.position))
                positions.append((partition, generation, Offset(item.position)))
        except RiverrunError as error:
            refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            refused.exception()  # the stream may have ended meanwhile, and then nobody is told
            return refused
        answer = self._attachment.commit(positions)
        answer.add_done_callback(lambda answer: self._note_committed(answer, positions))
        return answer

    def _note_committed(
        self, answer: "asyncio.Future[None]", positions: Sequence[tuple[PartitionId, int, Offset]]
    ) -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        for partition, generation, position in positions:
            if self._is_told(partition, generation):
                told = self._told[partition]
                told.committed = max(told.committed, position)
                self._delivering.committed(partition, position)

    async def _told_commit(self, commit: group_pb2.Commit, answer: "asyncio.Future[None]") -> None:
        committed = group_pb2.Committed(correlation=commit.correlation, positions=commit.positions)
        try:
            await answer
        except RiverrunError as error:
            committed.error.CopyFrom(api.error_to_pb(error))
        self._commits -= 1
        self._say(group_pb2.SubscribeResponse(committed=committed))
        self._look_if_drained()

    async def _check_end(self, partition: PartitionId, position: Offset) -> None:
        told = self._told.get(partition)
        if position < 0:
            raise InvalidRequest("a position is an offset from 0")
        if told is not None and position > told.end:
            offsets = await self._reading.offsets_of(self._topics[partition.topic], partition.number)
            told.end = max(told.end, Offset(offsets.end))
            if position > told.end:
                raise OffsetOutOfRange(
                    f"position {position} is beyond the end of partition {partition.number}, {told.end}",
                    first=str(offsets.first),
                    end=str(offsets.end),
                )

    def _partition(self, held: group_pb2.Held) -> tuple[PartitionId, int]:
        topic = self._names.get(held.topic)
        if topic is None:
            raise InvalidRequest(f"the member has not joined for the topic {held.topic!r}")
        return PartitionId(TopicId(topic), held.partition), held.generation

    def _is_told(self, partition: PartitionId, generation: int) -> bool:
        told = self._told.get(partition)
        return told is not None and told.generation == generation

    def _release(self, partitions: Sequence[PartitionId]) -> None:
        for partition in partitions:
            self._told[partition].released = True
            self._delivering.stop(partition)
        if partitions:
            self._attachment.release([(p, self._told[p].generation) for p in partitions])
            self._look_if_drained()

    def _look_if_drained(self) -> None:
        if not self._draining or self._commits or not self._member:
            return
        reads_itself = self._wishes.delivery == group_pb2.DELIVERY_NONE
        if all(told.released or reads_itself or told.committed >= told.delivered for told in self._told.values()):
            self._draining = False
            self._start(self._leave())

    async def _leave(self) -> None:
        await self._attachment.leave()
        self._say(group_pb2.SubscribeResponse(drained=group_pb2.Drained()))
        self._drained = True
