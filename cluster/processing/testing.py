"""`with app.test() as t:` an app without a cluster: topics and tasks in memory, virtual time, crashes as you want them.

    with app.test() as t:
        t.send(purchases, Purchase("c1", 3, 99.0))
        t.crash(fraud, before="commit")
        assert [alert.total for alert in t.read("alerts")] == [297.0]
        t.advance("10m")
        assert t.state(fraud, "c1") is None

Nothing runs until something is asked for (`read`, `state`, `advance`, …). What is asked for is what the app would have
come to in a cluster, with its commits, re-keyed topics, watermarks and timers; only that everything is at hand at once,
so that retries (`on_error`) wait for nothing either.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from cluster.client.routing import partition_of_key
from cluster.connectors.contract import Arrival, Delivery
from cluster.errors import InvalidRequest, UnknownTopic
from cluster.processing.async_calls import Loop
from cluster.processing.durations import duration_ns
from cluster.processing.event import datetime_ns, encode_key, encode_value, ns_datetime, time_reader
from cluster.processing.handles import State
from cluster.processing.outside.definitions import RouteStage, SinkStage, SourceStage
from cluster.processing.processor import ALL, Processor
from cluster.processing.rehearsal import CRASHES, RehearsedTask, RehearsedTopic
from cluster.processing.spec import InputKind, Kind
from cluster.processing.topics import TableTopic, Topic
from cluster.records import Header, Record

if TYPE_CHECKING:
    from cluster.processing.app import App

STEPS_MAX = 1_000_000
Part = Processor | SourceStage | SinkStage | RouteStage


@contextmanager
def rehearse(app: "App", partitions: int, tasks: int, records_per_work: int, now: dt.datetime) -> Iterator["Rehearsal"]:
    """What `App.test` gives; at the end everything that was sent is handled, so a failure shows."""
    rehearsal = Rehearsal(app, partitions, tasks or partitions, records_per_work, datetime_ns(now))
    try:
        yield rehearsal
        rehearsal.settle()
    finally:
        rehearsal.close()


class Rehearsal:
    """An app at work in memory."""

    def __init__(self, app: "App", partitions: int, tasks: int, records_per_work: int, now_ns: int) -> None:
        self._app = app
        self._partitions = partitions
        self._records_per_work = records_per_work
        self._now_ns = now_ns
        self._topics: dict[str, RehearsedTopic] = {}
        self._tasks: dict[str, list[RehearsedTask]] = {}
        self._turn = 0
        self._loop = Loop()
        for processor in app.processors.values():
            for stage in processor.stages:
                self._tasks[stage.spec.name] = [
                    RehearsedTask(
                        stage,
                        number,
                        count,
                        [self._topic(spec.topic) for spec in stage.spec.inputs],
                        [self._topic(spec.topic) for spec in stage.spec.outputs],
                        self._loop,
                    )
                    for count in [stage.spec.tasks if stage.spec.kind is Kind.SOURCE else tasks]
                    for number in range(count)
                ]

    @property
    def now(self) -> dt.datetime:
        """The virtual time, in UTC."""
        return ns_datetime(self._now_ns)

    def send(
        self,
        topic: Topic | TableTopic | str,
        *values: Any,
        key: object = None,
        time: dt.datetime | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> None:
        """Publish events (or bytes, as they are), all with the same headers.

        The key is the topic's field, unless `key` is given; the time is the topic's field, else `time`, else now.
        """
        known = self._known(topic)
        for value in values:
            encoded_key = None if key is None else encode_key(key)
            time_ns = self._now_ns if time is None else datetime_ns(time)
            if known is not None and not isinstance(value, bytes):
                if known.key and key is None:
                    encoded_key = encode_key(attrgetter(known.key)(value))
                if isinstance(known, Topic) and known.time:
                    time_ns = time_reader(known.event, known.time, known.name)(getattr(value, known.time))
            record = Record(
                value=encode_value(value),
                key=encoded_key,
                headers=tuple(Header(name=name, value=content) for name, content in (headers or {}).items()),
                timestamp_ns=time_ns,
            )
            self._topic(_name(topic)).append(record, self._now_ns)

    def arrive(
        self,
        source: SourceStage | str,
        *values: Any,
        key: object = None,
        time: dt.datetime | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Let a source capture values (plain data, or bytes as they are), on its first share."""
        stage = self._stage_of(source, Kind.SOURCE)
        for value in values:
            arrival = Arrival(
                value=value,
                key=None if key is None else encode_key(key),
                timestamp_ns=self._now_ns if time is None else datetime_ns(time),
                headers=tuple(headers),
            )
            self._tasks[stage][0].source.records.append(arrival)

    def delivered(self, sink: SinkStage | str) -> list[Delivery]:
        """All that a sink was given, in its order within each task."""
        self.settle()
        stage = self._stage_of(sink, Kind.SINK)
        return [each for task in self._tasks[stage] if task.sink is not None for each in task.sink.delivered]

    def delete(self, topic: Topic | TableTopic | str, key: object) -> None:
        """Publish a tombstone: a table, or a destination, has no such key any more."""
        self._topic(_name(topic)).append(
            Record(value=b"", key=encode_key(key), timestamp_ns=self._now_ns), self._now_ns
        )

    def read(self, topic: Topic | TableTopic | str, kind: Any = None) -> list[Any]:
        """All that is in a topic, in the order in which it came, as the topic's events, or as `kind`.

        A tombstone is None, or empty bytes.
        """
        known = self._known(topic)
        wanted = kind if kind is not None or known is None else known.event
        decode = bytes if wanted is bytes else msgspec.json.Decoder(Any if wanted is None else wanted).decode
        deletes = None if decode is not bytes else b""
        return [decode(record.value) if record.value else deletes for record in self.records(topic)]

    def records(self, topic: Topic | TableTopic | str) -> list[Record]:
        """The same as records, with keys, headers and times."""
        self.settle()
        name = _name(topic)
        if name not in self._topics:
            raise UnknownTopic(f"nothing was ever written to {name!r}, and nobody reads it")
        found = self._topics[name]
        return [found.partitions[partition][offset] for partition, offset in found.order]

    def state(self, processor: Processor, key: object, store: str = "") -> Any:
        """What a processor's `State` holds for a key; None if it holds nothing. `store`: where it has several."""
        self.settle()
        stage = processor.stages[-1]
        assert stage.binding is not None, "the last stage is the function's"
        states = {wanted.name: wanted.value for wanted in stage.binding.injected if wanted.kind is State}
        name = store or next(iter(states), "")
        if name not in states or (not store and len(states) > 1):
            raise InvalidRequest(f"{processor.name} has State {', '.join(states) or 'nowhere'}; say which")
        encoded_key = b"" if key == processor.definition.key == ALL else encode_key(key)
        tasks = self._tasks[processor.name]
        task = tasks[partition_of_key(encoded_key, self._partitions) % len(tasks)]
        encoded = task.store.get((name, encoded_key))
        return None if encoded is None else msgspec.msgpack.decode(encoded, type=states[name] | None)

    def counts(self, processor: Part) -> dict[str, int]:
        """What was counted of a processor: late, skipped, dead_lettered, parked and so on."""
        self.settle()
        summed: dict[str, int] = {}
        for task in self._tasks_of(processor):
            for name, count in task.counts.items():
                summed[name] = summed.get(name, 0) + count
        return summed

    def crash(self, processor: Part, *, before: str = "commit") -> None:
        """The next work of each task of the processor crashes, and is done by another.

        `before`: "commit" (nothing of it was kept), "ship" (it is committed, its outputs are not sent), or "receipt"
        (they are, and are sent again).
        """
        if before not in CRASHES:
            raise InvalidRequest(f"crash before {before!r}; before one of {', '.join(CRASHES)}")
        for task in self._tasks_of(processor):
            task.crash_before = before

    def advance(self, duration: str) -> None:
        """Let time pass: inputs become idle, timers fire in their order."""
        self.settle()
        end_ns = self._now_ns + duration_ns(duration, "advance")
        while self._now_ns < end_ns:
            nexts = [at_ns for task in self._all() for at_ns in task.next_ns(self._now_ns)]
            self._now_ns = min([end_ns, *nexts])
            self.settle()

    def finish(self) -> None:
        """All inputs are at their end for good, as with `until`: every window closes."""
        self.settle()
        left = dict(self._tasks)
        while left:
            name = next(filter(lambda name: self._all_in(name, left), left), next(iter(left)))
            for task in left.pop(name):
                task.end(self._now_ns)
            self.settle()

    def redrive(self, processor: Part) -> None:
        """Handle the processor's dead letters again, in their order: after a fix."""
        self.settle()
        for task in self._tasks_of(processor):
            task.redrive(self._now_ns, self._records_per_work)
        self.settle()

    def step(self) -> bool:
        """One work of one task, whose turn it is; False if nobody has any."""
        tasks = self._all()
        for _ in tasks:
            self._turn += 1
            if tasks[self._turn % len(tasks)].step(self._now_ns, self._records_per_work):
                return True
        return False

    def settle(self) -> None:
        """Until nobody has work."""
        for _ in range(STEPS_MAX):
            if not self.step():
                return
        raise InvalidRequest(f"the app is not done after {STEPS_MAX} works: does it feed itself?")

    def close(self) -> None:
        """End what async functions ran on."""
        for task in self._all():
            task.close()
        self._loop.close()

    def _stage_of(self, part: SourceStage | SinkStage | str, kind: Kind) -> str:
        name = part if isinstance(part, str) else part.name
        tasks = self._tasks.get(name)
        if not tasks or tasks[0].stage.spec.kind is not kind:
            known = [each for each, some in self._tasks.items() if some and some[0].stage.spec.kind is kind]
            raise InvalidRequest(f"the app has no {kind} {name!r}; it has {', '.join(known) or 'none'}")
        return name

    def _all(self) -> Sequence[RehearsedTask]:
        return [task for tasks in self._tasks.values() for task in tasks]

    def _all_in(self, name: str, others: dict[str, list[RehearsedTask]]) -> bool:
        """Nobody who writes what this one reads is among the others: where none is so, they write to each other."""
        reads = {spec.topic for spec in self._tasks[name][0].stage.spec.inputs if spec.kind is not InputKind.PARKED}
        writers = (tasks[0].stage.spec.outputs for other, tasks in others.items() if other != name)
        return reads.isdisjoint(spec.topic for outputs in writers for spec in outputs)

    def _tasks_of(self, processor: Part) -> list[RehearsedTask]:
        return [task for stage in processor.stages for task in self._tasks[stage.spec.name]]

    def _known(self, topic: Topic | TableTopic | str) -> Topic | TableTopic | None:
        if not isinstance(topic, str):
            return topic
        return self._app.topics.get(topic) or self._app.tables.get(topic)

    def _topic(self, name: str) -> RehearsedTopic:
        if name not in self._topics:
            self._topics[name] = RehearsedTopic(name, self._partitions, self._now_ns)
        return self._topics[name]


def _name(topic: Topic | TableTopic | str) -> str:
    return topic if isinstance(topic, str) else topic.name
