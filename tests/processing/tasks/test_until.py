"""When a partition that is read up to a moment is at its end."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from cluster.metadata import Topic
from cluster.processing.spec import InputSpec
from cluster.processing.tasks.feed import Feed, Source
from cluster.types import PartitionId, TopicId

UNTIL_NS = 1_000
END = 5


@dataclass
class Clock:
    """Told what it is."""

    now_ns: int

    def wall_ns(self) -> int:
        """See World."""
        return self.now_ns

    def monotonic_s(self) -> float:
        """See World."""
        return self.now_ns / 1e9


@dataclass
class Leader:
    """Says where the partition ends, and how far that is all; by the time that its answer is here it is later."""

    clock: Clock
    answered_at_ns: int
    ahead_ns: int = 0
    """Of the clock of the task's node."""
    whole: bool = True
    asked: list[int] = field(default_factory=list)

    async def offsets_of(self, _topic: Topic, partition: int) -> Any:
        """See `ReadService`."""
        self.asked.append(partition)
        now_ns = self.clock.now_ns + self.ahead_ns
        self.clock.now_ns = self.answered_at_ns
        return SimpleNamespace(end=END, whole_before_ns=now_ns if self.whole else 0)


def feed_at(now_ns: int, answered_at_ns: int, *, ahead_ns: int = 0, whole: bool = True) -> Feed:
    """Which has read everything that it knows of."""
    clock = Clock(now_ns)
    topic = Topic(id=TopicId(b"t" * 16), name="t", partitions=(), replicas=3)
    source = Source(0, InputSpec(topic="t"), topic, PartitionId(topic.id, 3), UNTIL_NS)
    leader: Any = Leader(clock, answered_at_ns, ahead_ns, whole)
    feed = Feed(source, END, reading=leader, clock=clock, on_change=lambda: None)
    feed.end = END
    return feed


async def test_an_answer_from_before_the_end_does_not_end_it() -> None:
    """Between the leader's answer and the end of the time something may have been appended."""
    feed = feed_at(UNTIL_NS - 1, answered_at_ns=UNTIL_NS + 1)
    await feed.confirm()
    assert (False, True) == (feed.done, feed.may_end)

    await feed.confirm()
    assert (True, False) == (feed.done, feed.may_end)


async def test_the_clock_that_stamps_says_when_the_end_has_come() -> None:
    """The leader's: the task's node may be ahead of it, or behind."""
    feed = feed_at(UNTIL_NS + 3, answered_at_ns=UNTIL_NS + 5, ahead_ns=-5)
    await feed.confirm()
    assert (False, True) == (feed.done, feed.may_end)
    await feed.confirm()
    assert (True, False) == (feed.done, feed.may_end)

    feed = feed_at(UNTIL_NS - 3, answered_at_ns=UNTIL_NS, ahead_ns=3)
    await feed.confirm()
    assert feed.done


async def test_what_is_on_its_way_into_the_log_is_waited_for() -> None:
    """The leader has stamped it before the end, and cannot say yet what becomes of it."""
    feed = feed_at(UNTIL_NS, answered_at_ns=UNTIL_NS + 9, whole=False)
    await feed.confirm()
    assert (False, True) == (feed.done, feed.may_end)
