"""Topics made, altered, listed, described and deleted by several clients at once, under few names, so that they clash.

Some clients write to what they find and read it back: by a producer of its own for each topic that was described, which
is bound to that topic's id, so that the history can say to which topic of a name a record was sent. Sizes and limits
differ, limits from each other; they are so large that no record goes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from chaos.arenas.arena import Arena
from chaos.checkers.anomaly import Anomaly
from chaos.checkers.metadata import FINAL, check_metadata
from chaos.checkers.registers import STEPS_MAX
from chaos.history import Event, History, Kind
from chaos.workloads.outcomes import kind_of, reason_of
from cluster.client.client import Client
from cluster.client.decoding import ReadRecord
from cluster.client.views import TopicView
from cluster.config import ClientOptions
from cluster.errors import RiverrunError, UnknownTopic
from cluster.metadata import TopicConfig

T = TypeVar("T")
LIMIT_MS = 30 * 24 * 3600 * 1000
"""The least limit: beyond what any clock is set by."""
ACTIONS = {
    "create": 30,
    "ensure": 8,
    "delete": 22,
    "alter": 8,
    "look": 8,
    "describe": 8,
    "list": 6,
    "status": 5,
    "use": 20,
}
"""What a client does next, and how often."""
LIMITED_SHARE = 0.3
"""Of the topics that are made."""
BUSY_S_MAX = 20.0
"""Writing to one topic, or reading one of its partitions."""
SETTLE_S_MAX = 60.0
"""For each topic to be read at the end, and for all nodes to know what there is."""
AGAIN_S = 0.5


class MetadataWorkload:
    """See `Workload`."""

    name: ClassVar[str] = "metadata"
    options: ClassVar[Mapping[str, Any]] = {
        "names": 4,
        "clients": 4,
        "pause_s": 0.4,
        "replicas": 0,
        "request_timeout_s": 5.0,
        "steps_max": STEPS_MAX,
    }

    def __init__(self, arena: Arena, history: History, options: Mapping[str, Any]) -> None:
        self._arena = arena
        self._history = history
        self._options = {**self.options, **options}
        self._names = [f"metadata-{number}" for number in range(self._options["names"])]
        self._random = arena.random
        self._values = 0
        self._stopping = False

    @property
    def topics(self) -> Sequence[str]:
        """None: which topic a copy is of, of all that had its name, no copy says."""
        return []

    async def prepare(self) -> None:
        """Nothing is there at first: the history begins so."""

    def stop(self) -> None:
        """See Workload."""
        self._stopping = True

    async def run(self) -> None:
        """See Workload."""
        await asyncio.gather(*(self._live(f"metadata-client-{number}") for number in range(self._options["clients"])))

    @classmethod
    def judge(cls, events: Sequence[Event], options: Mapping[str, Any]) -> list[Anomaly]:
        """See Workload."""
        return check_metadata(events, steps_max={**cls.options, **options}["steps_max"])

    # --- clients

    def _client(self, process: str) -> Client:
        timeout_s = self._options["request_timeout_s"]
        options = ClientOptions(
            request_timeout_s=timeout_s, delivery_timeout_s=2 * timeout_s, read_retry_s_max=2 * timeout_s, linger_s=0.0
        )
        return self._arena.client(process, options)

    async def _live(self, process: str) -> None:
        client = self._client(process)
        hand = Hand(self._arena, self._history, client, process)
        try:
            while not self._stopping:
                (action,) = self._random.choices(list(ACTIONS), list(ACTIONS.values()))
                topic = self._random.choice(self._names)
                match action:
                    case "create" | "ensure":
                        limit_ms = self._limit() if self._random.random() < LIMITED_SHARE else None
                        numbers = self._random.randint(1, 2), self._options["replicas"], limit_ms
                        await hand.create(topic, *numbers, if_absent=action == "ensure")
                    case "delete":
                        await hand.delete(topic)
                    case "alter":
                        await hand.alter(topic, self._limit())
                    case "look":
                        await hand.alter(topic, None)
                    case "describe":
                        await hand.describe(topic)
                    case "list":
                        await hand.list(self._names)
                    case "status":
                        await hand.status()
                    case "use":
                        await self._use(hand, topic)
                await asyncio.sleep(self._random.uniform(0.0, 2.0) * self._options["pause_s"])
        finally:
            await client.abandon()

    def _next(self) -> int:
        self._values += 1
        return self._values

    def _limit(self) -> int:
        return LIMIT_MS + self._next()

    async def _use(self, hand: "Hand", topic: str) -> None:
        view = await hand.describe(topic)
        if view is None:
            return
        values = [f"{topic}.{self._next()}" for _ in range(self._random.randint(1, 5))]
        await hand.write(view, [(self._random.randrange(len(view.partitions)), value) for value in values])
        view = await hand.describe(topic)  # what is known of it may be another topic's by now
        if view is not None:
            await hand.read(view, self._random.randrange(len(view.partitions)))

    # --- the end

    async def finish(self) -> None:
        """What there is of each name, its records, and whether all that nodes list is that."""
        client = self._client(FINAL)
        hand = Hand(self._arena, self._history, client, FINAL)
        try:
            async with asyncio.timeout(SETTLE_S_MAX * (1 + len(self._names))):
                there = {name: found for name in self._names if (found := await self._read_whole(hand, name))}
        finally:
            await client.abandon()
        end_s = self._arena.now_s() + SETTLE_S_MAX
        number = 0
        while True:
            number += 1
            asked = self._client(f"{FINAL}-{number}")
            listed = await Hand(self._arena, self._history, asked, FINAL).list(self._names)
            await asked.abandon()
            if listed == there or self._arena.now_s() > end_s:
                return  # the checker says what is wrong with it
            await asyncio.sleep(AGAIN_S)

    async def _read_whole(self, hand: "Hand", topic: str) -> str:
        """The topic's id, when all of it was read while it was there; empty: there is none."""
        while True:
            before = await hand.ask(topic)
            if before is None:
                return ""
            whole = [await hand.read(before, number, whole=True) for number in range(len(before.partitions))]
            after = await hand.ask(topic)
            if all(whole) and after is not None and after.id == before.id:
                return before.id.hex()
            await asyncio.sleep(AGAIN_S)


class Hand:
    """One client's operations, each written down as it begins and ends."""

    def __init__(self, arena: Arena, history: History, client: Client, process: str) -> None:
        self._arena = arena
        self._history = history
        self._client = client
        self._process = process

    async def create(
        self, topic: str, partitions: int, replicas: int, limit_ms: int | None, *, if_absent: bool
    ) -> TopicView | None:
        """Make it."""
        config = TopicConfig(retention_ms=limit_ms)
        return await self._do(
            "create",
            lambda: self._client.create_topic(
                topic, partitions=partitions, replicas=replicas, if_absent=if_absent, config=config
            ),
            _identity,
            topic=topic,
            partitions=partitions,
            if_absent=if_absent,
            retention_ms=limit_ms,
        )

    async def alter(self, topic: str, limit_ms: int | None) -> TopicView | None:
        """Another limit, or, by changing nothing, what the controller has."""
        config = TopicConfig(retention_ms=limit_ms)
        call = lambda: self._client.alter_topic(topic, config)  # noqa: E731  it is a call, not yet made
        return await self._do("alter", call, _whole_view, topic=topic, retention_ms=limit_ms)

    async def ask(self, topic: str) -> TopicView | None:
        """What the controller has, as soon as it answers; None: no such topic."""
        while True:
            seen: list[BaseException] = []
            found = await self._do(
                "alter",
                lambda: self._client.alter_topic(topic, TopicConfig()),
                _whole_view,
                seen.append,
                topic=topic,
                retention_ms=None,
            )
            if found is not None or isinstance(seen[0], UnknownTopic):
                return found
            await asyncio.sleep(AGAIN_S)

    async def delete(self, topic: str) -> None:
        """Remove it."""
        await self._do("delete", lambda: self._client.delete_topic(topic), lambda _: {}, topic=topic)

    async def describe(self, topic: str) -> TopicView | None:
        """What a node knows of it; from now on the client sends and reads there."""
        return await self._do("describe", lambda: self._client.describe_topic(topic), _identity, topic=topic)

    async def list(self, names: Sequence[str]) -> dict[str, str] | None:
        """What a node knows of these."""

        async def ask() -> dict[str, str]:
            return {view.name: view.id.hex() for view in await self._client.list_topics() if view.name in names}

        return await self._do("list", ask, lambda found: {"topics": found})

    async def status(self) -> None:
        """How much a node has heard of the controller."""
        await self._do(
            "status",
            self._client.cluster_status,
            lambda view: {"node": int(view.answered_by), "version": view.metadata_version},
        )

    async def write(self, view: TopicView, records: Sequence[tuple[int, str]]) -> None:
        """One after the other, until one is not taken: from then on another topic may be meant."""
        try:
            producer = await self._client.producer()
        except RiverrunError:
            return
        for partition, value in records:
            receipt = await self._do(
                "send",
                lambda p=partition, v=value: producer.publish(view.name, v.encode(), partition=p),  # type: ignore[misc]
                lambda receipt: {"offset": receipt.offset},
                topic=view.name,
                id=view.id.hex(),
                partition=partition,
                key=None,
                value=value,
            )
            if receipt is None:
                break
        await producer.abandon()

    async def read(self, view: TopicView, partition: int, *, whole: bool = False) -> bool:
        """A partition from its beginning; whether all of it was read. `whole`: told where it begins, too."""

        async def fetch() -> tuple[list[ReadRecord], dict[str, int]]:
            begins = {}
            if whole:
                begins = {"first": int((await self._client.offsets(view.name, [partition]))[partition].first)}
            reader = self._client.read(view.name, partitions=[partition], start=begins.get("first", 0), until="latest")
            return [record async for record in reader], begins

        done = await self._do(
            "read",
            fetch,
            lambda found: {"partition": partition, "records": [_plain(record) for record in found[0]], **found[1]},
            topic=view.name,
            id=view.id.hex(),
            partition=partition,
            start=0,
        )
        return done is not None

    async def _do(
        self,
        name: str,
        call: Callable[[], Awaitable[T]],
        tell: Callable[[T], dict[str, Any]],
        hear: Callable[[BaseException], object] = lambda _: None,
        **said: Any,
    ) -> T | None:
        """One operation; None if it failed, or nobody knows."""
        number = self._history.invoke(self._process, name, self._arena.now_s(), **said)
        try:
            async with asyncio.timeout(BUSY_S_MAX):
                found = await call()
        except (RiverrunError, TimeoutError) as error:
            hear(error)
            end = {"topic": said.get("topic", ""), "error": reason_of(error)}
            self._history.end(number, self._process, kind_of(error), name, self._arena.now_s(), **end)
            return None
        self._history.end(number, self._process, Kind.OK, name, self._arena.now_s(), **tell(found))
        return found


def _identity(view: TopicView) -> dict[str, Any]:
    return {"topic": view.name, "id": view.id.hex()}


def _whole_view(view: TopicView) -> dict[str, Any]:
    return {**_identity(view), "partitions": len(view.partitions), "retention_ms": view.config.retention_ms}


def _plain(record: ReadRecord) -> list[Any]:
    key = None if record.key is None else record.key.decode(errors="replace")
    return [record.offset, key, record.value.decode(errors="replace")]
