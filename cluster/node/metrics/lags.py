"""How far groups and tasks are behind: found out at an interval, while somebody asks for metrics.

Both need questions: where a partition ends, and how old the record at a position is. Of a partition that is led
here its replica answers, from memory; of others their leaders are asked, one after another, so that a node with many
groups is busy for longer and not all at once. The numbers are those of `riverrun group describe` and `riverrun app
describe`.
"""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from cluster.broker.groups.group import Group
from cluster.broker.groups.home import GROUPS_TOPIC
from cluster.broker.groups.state import Groups
from cluster.errors import RiverrunError
from cluster.node.metrics.table import OTHER
from cluster.types import Offset, PartitionId
from cluster.wire.api import stream_pb2

if TYPE_CHECKING:
    from cluster.node.node import Node

NS_PER_S = 1_000_000_000
ASK_S_MAX = 1.0
FAILURES = ("skipped", "dead_lettered", "corrupt")
Name = tuple[str, str]


class Lag(NamedTuple):
    """In records, and the age of the oldest of them in seconds."""

    records: int = 0
    seconds: float = 0.0

    def with_(self, other: "Lag") -> "Lag":
        """Of both together."""
        return Lag(self.records + other.records, max(self.seconds, other.seconds))


class Found(NamedTuple):
    """What was found out. By (group, topic), and by (app, stage)."""

    groups: dict[Name, Lag]
    tasks: dict[Name, Lag]
    failures: dict[Name, int]
    states: Counter[str]


class Lags:
    """Of the groups that a node keeps, and of the tasks that it leads."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._options = node.config.seeing
        self._asked = asyncio.Event()
        self._found: Found | None = None
        self._found_s = 0.0

    def latest(self) -> Found | None:
        """What was found last, if that is not old; and somebody wants to know."""
        self._asked.set()
        age_s = self._node.world.clock.monotonic_s() - self._found_s
        return self._found if age_s < 4 * self._options.lag_interval_s else None

    async def run(self) -> None:
        """Find out, again and again while somebody asks."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.look()
            await asyncio.sleep(self._options.lag_interval_s)

    async def look(self) -> None:
        """Find out now."""
        failures: dict[Name, int] = {}
        states: Counter[str] = Counter()
        groups, tasks = await self._groups(), await self._tasks(failures, states)
        self._found = Found(groups, tasks, failures, states)
        self._found_s = self._node.world.clock.monotonic_s()

    # --- groups

    async def _groups(self) -> dict[Name, Lag]:
        broker, found = self._node.broker, dict[Name, Lag]()
        bounded = Bounded(self._options.metric_groups_max)
        for name, positions in [
            (name, dict(group.positions)) for name, group in groups_here(self._node) if group.positions
        ]:
            for partition, position in positions.items():
                topic = broker.directory.topics.get(partition.topic)
                lag = await self._lag(partition, position)
                if topic is not None and lag is not None:
                    key = (bounded.name(name), topic.name) if bounded.has_room(name) else (OTHER, OTHER)
                    found[key] = found.get(key, Lag()).with_(lag)
        return found

    async def _lag(self, partition: PartitionId, position: Offset) -> Lag | None:
        """None: nobody says."""
        now_ns, running = self._node.world.clock.wall_ns(), self._node.reading.led_here(partition)
        if running is not None:
            log, end = running.replica.log, running.replica.readers.end
            if end <= position:
                return Lag()
            oldest = max(position, log.start_offset)
            oldest_ns = log.append_time_ns(oldest) if oldest < log.end_offset else now_ns  # all of it was deleted
            return Lag(end - position, max(now_ns - oldest_ns, 0) / NS_PER_S)
        topic = self._node.broker.directory.topics.get(partition.topic)
        if topic is None:
            return None
        try:
            async with asyncio.timeout(ASK_S_MAX):
                offsets = await self._node.reading.offsets_of(
                    topic, partition.number, stream_pb2.Position(offset=position)
                )
        except (RiverrunError, TimeoutError):
            return None
        if offsets.end <= position:
            return Lag()
        oldest_ns = offsets.at_append_time_ns if offsets.HasField("at_append_time_ns") else now_ns
        return Lag(offsets.end - position, max(now_ns - oldest_ns, 0) / NS_PER_S)

    # --- tasks

    async def _tasks(self, failures: dict[Name, int], states: Counter[str]) -> dict[Name, Lag]:
        tasks, found = self._node.tasks, dict[Name, Lag]()
        bounded = Bounded(self._options.metric_groups_max)
        for partition in tasks.led() if tasks is not None else ():
            assert tasks is not None
            of = self._node.broker.directory.stage_of(partition.topic)
            try:
                status = await tasks.status(partition)
            except RiverrunError:
                continue  # it is led elsewhere by now
            states[status.state.value] += 1
            if of is None:
                continue
            name = f"{of[0].name}/{of[1].name}"
            key = (of[0].name, of[1].name) if bounded.has_room(name) else (OTHER, OTHER)
            failures[key] = failures.get(key, 0) + sum(status.counts.get(count, 0) for count in FAILURES)
            if status.lag_records >= 0:
                found[key] = found.get(key, Lag()).with_(Lag(status.lag_records, status.lag_s))
        return found


class Bounded:
    """The first so many names stay themselves.

    >>> bounded = Bounded(1)
    >>> [bounded.name(one) for one in ("a", "b", "a")]
    ['a', 'other', 'a']
    """

    def __init__(self, names_max: int) -> None:
        self._max = names_max
        self._names: set[str] = set()

    def has_room(self, name: str) -> bool:
        """Whether it is, or becomes, one of those."""
        if name not in self._names and len(self._names) < self._max:
            self._names.add(name)
        return name in self._names

    def name(self, name: str) -> str:
        """The name, or "other"."""
        return name if self.has_room(name) else OTHER


def groups_here(node: "Node") -> list[tuple[str, Group]]:
    """The groups whose coordinator is here, by name."""
    topic = node.broker.directory.by_name.get(GROUPS_TOPIC)
    found: list[tuple[str, Group]] = []
    for placement in topic.partitions if topic is not None else ():
        running = node.broker.running.get(PartitionId(topic.id, placement.number)) if topic is not None else None
        if running is not None and running.replica.raft.is_leader:
            machine = running.replica.log.fold.machine
            if isinstance(machine, Groups):
                found += machine.by_name.items()
    return found
