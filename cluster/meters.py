"""What a node counts while it works: plain numbers, read when somebody asks (`node/metrics`). Pure.

Counting must cost nothing that is felt: a counter is an attribute, a histogram a list of counts with fixed bounds, and
there is one observation for a batch, an answer or a group of writes, never one for a record. What can be read off the
parts of a node when it is asked for is not counted here.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from cluster.types import TopicId

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of every histogram of times."""


class Histogram:
    """How often a value was at most each of the bounds, and the sum of all.

    >>> times = Histogram((0.1, 1.0))
    >>> times.observe(0.1)
    >>> times.observe(3.0)
    >>> times.counts, times.sum
    ([1, 0, 1], 3.1)
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """By bucket, not added up; the last one is of what lies above all bounds."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Traffic:
    """Of one topic, at this node. `published`: appended here by a leader; `fetched`: read here for readers."""

    __slots__ = ("fetched_bytes", "fetched_records", "published_bytes", "published_records")

    def __init__(self) -> None:
        self.published_bytes = self.published_records = 0
        self.fetched_bytes = self.fetched_records = 0

    def published(self, size_bytes: int, records: int) -> None:
        """A batch was appended and acknowledged."""
        self.published_bytes += size_bytes
        self.published_records += records

    def fetched(self, size_bytes: int, records: int) -> None:
        """A message has left for a reader."""
        self.fetched_bytes += size_bytes
        self.fetched_records += records


class Meters:
    """Of one node. At most `topics_max` topics are counted by themselves; the others together, as `other`."""

    def __init__(self, topics_max: int = 200) -> None:
        self.publish = Histogram()
        self.fetch = Histogram()
        self.fsync = Histogram()
        self.loop_late = Histogram()
        self.written_bytes = 0
        self.catch_up_bytes = 0
        self.elections = 0
        self.leader_changes = 0
        self.errors: Counter[str] = Counter()
        self.log_events: Counter[tuple[str, str]] = Counter()
        """By level and event: of what was logged as a warning or worse."""
        self.requests: dict[str, Histogram] = {}
        self.topics: dict[TopicId, Traffic] = {}
        self.other = Traffic()
        self._topics_max = topics_max

    def traffic(self, topic: TopicId) -> Traffic:
        """The topic's counters, or those of all that have none of their own; they only ever grow."""
        found = self.topics.get(topic)
        if found is None:
            if len(self.topics) >= self._topics_max:
                return self.other
            found = self.topics[topic] = Traffic()
        return found

    def forget(self, topic: TopicId) -> None:
        """The topic was deleted: what it counted ends, and another one may be counted by itself."""
        self.topics.pop(topic, None)

    def failed(self, reason: str) -> None:
        """A request was answered with an error."""
        self.errors[reason] += 1
