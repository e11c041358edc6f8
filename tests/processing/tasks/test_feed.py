"""When a partition counts as idle: its leader says that there is nothing more, and has said so for a while."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from cluster.broker.read_service import ReadService
from cluster.errors import NotLeader
from cluster.processing.spec import InputKind, InputSpec
from cluster.processing.tasks.feed import Feed, Source
from cluster.processing.tasks.feeding import Feeding
from cluster.types import Offset, PartitionId, TopicId

IDLE_S = 30


class World:
    """A clock, and a leader that answers if it is there."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.leads = True
        self.end = 7

    def monotonic_s(self) -> float:
        """See Clock."""
        return self.now_s

    def wall_ns(self) -> int:
        """See Clock."""
        return int(self.now_s * 1e9)

    async def offsets_of(self, *_: object) -> Any:
        """See ReadService."""
        if not self.leads:
            raise NotLeader("it is gone")
        return SimpleNamespace(end=self.end)


def feed_of(world: World, idle_s: int = IDLE_S) -> Feed:
    """A partition that was read up to its end."""
    spec = InputSpec(topic="sales", kind=InputKind.STREAM, idle_ns=idle_s * 10**9)
    source = Source(0, spec, cast("Any", None), PartitionId(TopicId(b"s" * 16), 0), None)
    feed = Feed(source, 7, reading=cast("ReadService", world), clock=world, on_change=lambda: None)
    feed.end = 7
    return feed


def idle_after(world: World, feed: Feed, seconds: int) -> list[int]:
    """The seconds at which it is idle; its leader is asked each second, if that is wanted."""

    async def run() -> list[int]:
        found = []
        for second in range(seconds):
            if feed.wants_word:
                await feed.confirm()
            if feed.is_idle:
                found.append(second)
            world.now_s += 1
        return found

    return asyncio.run(run())


def test_a_partition_is_idle_when_its_topics_time_is_over() -> None:
    """And as long as its leader says so."""
    world = World()
    feed = feed_of(world)
    assert list(range(IDLE_S, 60)) == idle_after(world, feed, 60)
    world.leads = False
    assert [0, 1] == idle_after(world, feed, 60)


def test_a_leader_that_comes_back_is_listened_to_for_a_while() -> None:
    """What was to be published while there was none comes now: it must not be late."""
    world = World()
    feed = feed_of(world)
    world.leads = False
    assert [] == idle_after(world, feed, 60)
    world.leads = True
    assert [4, 5, 6, 7] == idle_after(world, feed, 8)


def test_what_is_there_and_not_read_yet_is_not_idle() -> None:
    """The leader's word counts, not the reader's."""
    world = World()
    feed = feed_of(world)
    world.end = 8
    assert [] == idle_after(world, feed, 60)


def test_short_times_stay_short() -> None:
    """Whoever wants one second waits for about that."""
    world = World()
    assert [1, 2] == idle_after(world, feed_of(world, 1), 3)


def test_a_bug_in_a_read_is_not_silence() -> None:
    """Nobody waits for the reads: without a word a task would hang, with nothing to be seen but its lag."""

    async def failure_of(reading: Any) -> Exception | None:
        spec = InputSpec(topic="sales", kind=InputKind.STREAM, idle_ns=0)
        partition = PartitionId(TopicId(b"s" * 16), 0)
        topic = cast("Any", SimpleNamespace(name="sales", id=partition.topic))
        feeding = Feeding(
            [Source(0, spec, topic, partition, None)],
            {partition: Offset(7)},
            reading=reading,
            clock=World(),
            on_change=lambda: None,
            held={},
        )
        feeding.feeds[0].end = 7
        feeding.confirm(1.0)
        for _ in range(5):
            await asyncio.sleep(0)
        feeding.close()
        return feeding.failure

    def bug(*_: object) -> None:
        raise ValueError("nobody has thought of it")

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    for check_topic, offsets_of in ((bug, never), (None, bug)):
        waits = NotLeader("it is gone")

        def gone(*_: object, error: NotLeader = waits) -> None:
            raise error

        reading = SimpleNamespace(
            check_topic=check_topic or gone, offsets_of=offsets_of, options=SimpleNamespace(stream_retry_s=60)
        )
        assert isinstance(asyncio.run(failure_of(reading)), ValueError)
