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
    """Says where the partition ends; by the time that its answer is here it is later."""

    clock: Clock
    answered_at_ns: int
    asked: list[int] = field(default_factory=list)

    async def offsets_of(self, _topic: Topic, partition: int) -> Any:
        """See `ReadService`."""
        self.asked.append(partition)
        self.clock.now_ns = self.answered_at_ns
        return SimpleNamespace(end=END)


def feed_at(now_ns: int, answered_at_ns: int) -> Feed:
    """Which has read everything that it knows of."""
    clock = Clock(now_ns)
    topic = Topic(id=TopicId(b"t" * 16), name="t", partitions=(), replicas=3)
    source = Source(0, InputSpec(topic="t"), topic, PartitionId(topic.id, 3), UNTIL_NS)
    leader: Any = Leader(clock, answered_at_ns)
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
