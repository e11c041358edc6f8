"""Topics captured: a share of their partitions, each from the offset in the cursor. See the package."""

import asyncio
import contextlib
from collections import deque
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cluster.connectors.contract import Arrived, Progress
from cluster.connectors.kafka.calling import IGNORED, Calls, Troubles, configuration, error_of, failure
from cluster.connectors.kafka.options import KafkaSource
from cluster.connectors.kafka.records import arrival, size
from cluster.errors import InvalidRoute, RiverrunError, Unreachable

READ_RECORDS_MAX = 1000
READ_BYTES_MAX = 1 << 20
QUEUED_KIB_MAX = 8 * 1024
"""What the library reads ahead of us."""
POLL_S = 0.1
TRIES = 3
"""Within the time-out."""
Positions = dict[str, dict[int, int]]
"""By topic and partition, the next offset."""


class TopicsSource:
    """See Source. The cursor: `Positions`."""

    def __init__(self, options: KafkaSource, share: int, identity: str) -> None:
        self._options, self._share, self._identity = options, share, identity
        self._where = options.summary
        self._calls = Calls()
        self._consumer: Consumer | None = None
        self._troubles = Troubles(self._where)
        self._positions: Positions = {}
        self._cursor: bytes | None = None
        self._ready: deque[Message] = deque()
        self._look_at = 0.0

    async def read(self, cursor: bytes | None) -> Arrived:
        """See Source. The first read fixes where it begins, and gives nothing else."""
        try:
            if self._consumer is None or cursor != self._cursor:
                await self._calls(self._begin, cursor)
                self._look_at = asyncio.get_running_loop().time() + self._options.look_s
                if cursor is None:
                    return self._arrived([])
            while not self._ready:
                if asyncio.get_running_loop().time() >= self._look_at:
                    self._look_at = asyncio.get_running_loop().time() + self._options.look_s
                    if await self._calls(self._look):
                        return self._arrived([])
                await self._calls(self._poll)
        except RiverrunError:
            await self._calls(self._end)
            raise
        except KafkaException as error:
            told = self._troubles.worse(error_of(error))
            await self._calls(self._end)
            raise told from error
        return self._arrived(self._taken())

    async def committed(self, cursor: bytes) -> None:
        """See Source: nobody there has to know."""

    async def close(self) -> None:
        """See Source."""
        with contextlib.suppress(RuntimeError):  # closed before
            await self._calls(self._end)
        self._calls.end()

    def progress(self) -> Progress | None:
        """See Source: it has no end."""

    def _taken(self) -> list[Message]:
        """About as much as a read gives."""
        taken: list[Message] = []
        bytes_taken = 0
        while self._ready and bytes_taken < READ_BYTES_MAX:
            message = self._ready.popleft()
            bytes_taken += size(message)
            taken.append(message)
        return taken

    def _arrived(self, messages: list[Message]) -> Arrived:
        for message in messages:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            assert topic is not None, "it has been read"
            assert partition is not None, "it has been read"
            assert offset is not None, "it has been read"
            self._positions[topic][partition] = offset + 1
        self._cursor = msgspec.json.encode(self._positions)
        return Arrived(records=[arrival(message, self._options.format) for message in messages], cursor=self._cursor)

    # In the thread:

    def _begin(self, cursor: bytes | None) -> None:
        self._end()
        self._troubles = Troubles(self._where)
        settings = {
            **configuration(self._options),
            "group.id": f"riverrun-{self._identity}",  # the library wants one; nobody joins it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
            "check.crcs": True,
            "queued.max.messages.kbytes": QUEUED_KIB_MAX,
            "error_cb": self._troubles.hear,
        }
        try:
            self._consumer = Consumer(settings)
        except (KafkaException, ValueError, TypeError) as error:
            raise InvalidRoute(f"{self._where}: {_said(error)}") from error
        mine = self._mine()
        found = {} if cursor is None else msgspec.json.decode(cursor, type=Positions)
        places = [
            TopicPartition(topic, number, self._place(topic, number, found.get(topic, {}).get(number), cursor))
            for topic, numbers in mine.items()
            for number in numbers
        ]
        if not places:
            raise InvalidRoute(f"{self._where}: it has too few partitions for {self._options.tasks} tasks")
        for topic, gone in found.items():
            lost = sorted(set(gone) - set(mine.get(topic, ())))
            if lost and topic in mine:
                raise InvalidRoute(
                    f"{self._where}: partition {lost[0]} of {topic} is not there any more, or not for this task; "
                    "deploy a new version, which begins anew"
                )
        self._positions = {topic: {} for topic in mine}
        for place in places:
            self._positions[place.topic][place.partition] = place.offset
        self._consumer.assign(places)
        self._cursor = cursor

    def _place(self, topic: str, number: int, wanted: int | None, cursor: bytes | None) -> int:
        """Where a partition is begun. InvalidRoute: what is wanted is not there any more."""
        assert self._consumer is not None, "it was begun"
        found = self._consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=self._options.timeout_s)
        if found is None:
            raise Unreachable(f"{self._where}: it does not say in time where partition {number} of {topic} begins")
        low, high = found
        if wanted is None:
            return high if cursor is None and self._options.start == "latest" else low
        if wanted < low:
            raise InvalidRoute(
                f"{self._where}: what comes next in partition {number} of {topic} (offset {wanted}) was deleted there "
                f"before it was captured, the log begins at {low}; deploy a new version, which begins anew, or keep "
                "records there for longer"
            )
        return wanted

    def _mine(self) -> dict[str, list[int]]:
        """The partitions of this share. Kafka's own exceptions; InvalidRoute: there is no such topic."""
        assert self._consumer is not None, "it was begun"
        mine: dict[str, list[int]] = {}
        for topic in self._options.topics:
            found = self._listed(topic)
            if found.error is not None:
                raise failure(
                    self._where if len(self._options.topics) == 1 else f"{self._where} ({topic})", found.error
                )
            mine[topic] = [number for number in sorted(found.partitions) if number % self._options.tasks == self._share]
        return mine

    def _listed(self, topic: str) -> Any:
        """What there is. A peer that refuses us says so only beside the answer, which it never gives."""
        assert self._consumer is not None, "it was begun"
        for tried in range(1, TRIES + 1):
            try:
                return self._consumer.list_topics(topic, timeout=self._options.timeout_s / TRIES).topics[topic]
            except KafkaException:
                self._consumer.poll(0)
                if tried == TRIES or self._troubles.are_ours:
                    raise
        raise AssertionError("the last try returns or raises")

    def _look(self) -> bool:
        """Whether partitions were added, which are read from now on."""
        assert self._consumer is not None, "it was begun"
        added = [
            TopicPartition(topic, number, self._place(topic, number, None, self._cursor))
            for topic, numbers in self._mine().items()
            for number in numbers
            if number not in self._positions[topic]
        ]
        for place in added:
            self._positions[place.topic][place.partition] = place.offset
        if added:
            self._consumer.incremental_assign(added)
        return bool(added)

    def _poll(self) -> None:
        """Wait a moment for records."""
        assert self._consumer is not None, "it was begun"
        for message in self._consumer.consume(READ_RECORDS_MAX, POLL_S):
            error = message.error()
            if error is None:
                self._ready.append(message)
            elif error.code() not in IGNORED:
                self._refuse(message, error)
        if not self._ready:
            self._troubles.raise_any()

    def _refuse(self, message: Message, error: KafkaError) -> None:
        if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
            raise InvalidRoute(
                f"{self._where}: offset {message.offset()} of partition {message.partition()} of {message.topic()} is "
                "not there: it was deleted before it was captured, or the topic was set back or made anew; deploy a "
                "new version, which begins anew"
            )
        if not self._ready:
            raise failure(self._where, error)

    def _end(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._ready.clear()
        if consumer is not None:
            consumer.close()


def _said(error: Any) -> str:
    found = error.args[0] if error.args else error
    return found.str() if isinstance(found, KafkaError) else str(found)
