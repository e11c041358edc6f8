"""`App`: what a user writes. Everything is checked when it is defined; what is wrong is an `InvalidApp` that names it.

app = App("retail")
purchases = app.topic("purchases", Purchase, key="customer_id", time="date")

@app.processor(purchases, to="alerts", on_error=dead_letter(retries=3, park_key=True))
def fraud(p: Purchase, spend: State[Spend], ctx: Ctx) -> Alert | None: ...
"""

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from cluster.errors import InvalidApp
from cluster.processing.durations import positive_ns
from cluster.processing.event import field_type
from cluster.processing.outside.definitions import RouteStage, SinkStage, SourceStage
from cluster.processing.policies import OnError, stop
from cluster.processing.processor import REKEY, Definition, Processor
from cluster.processing.spec import Kind, ProcessorSpec
from cluster.processing.topics import TableTopic, Topic, check_name, make_topic
from cluster.processing.windows import window_form

if TYPE_CHECKING:
    from cluster.connectors.contract import SinkOptions, SourceOptions
    from cluster.processing.testing import Rehearsal

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound=SourceStage | SinkStage | RouteStage)
To = str | Topic | TableTopic | Sequence[str | Topic | TableTopic] | None


class App:
    """A named set of processors. Topics belong to nobody; an app only says what it takes them to hold."""

    def __init__(self, name: str) -> None:
        self.name = check_name(name, "app")
        self.topics: dict[str, Topic] = {}
        self.tables: dict[str, TableTopic] = {}
        self.processors: dict[str, Processor | SourceStage | SinkStage | RouteStage] = {}

    def topic(
        self, name: str, event: Any = None, *, key: str = "", time: str = "", disorder: str = "0s", idle: str = "30s"
    ) -> Topic:
        """A topic of events of type `event`.

        `key`: the field that keys are made of; `time`: the field that is the event time (else the record's timestamp).
        `disorder`: how far records may come out of order without being late. `idle`: a partition with nothing new for
        so long holds nobody up.
        """
        topic = make_topic(name, event, key, time, disorder, idle)
        if self.topics.setdefault(name, topic) != topic or name in self.tables:
            raise InvalidApp(f"{self.name}: topic {name!r} is there already, and is different")
        return topic

    def table(self, name: str, event: Any, *, key: str = "") -> TableTopic:
        """A compacted topic as a table: functions get it by a parameter of its name, annotated `Table[...]`."""
        check_name(name, f"{self.name}: table")
        if key:
            field_type(event, key, f"{self.name}: table {name!r}, key")
        table = TableTopic(name, event, key)
        if name in self.topics or self.tables.setdefault(name, table) != table:
            raise InvalidApp(f"{self.name}: {name!r} is there already, and is different")
        return table

    def processor(
        self,
        source: Topic,
        *,
        key: str | None = None,
        to: To = None,
        on_error: OnError | None = None,
        version: int = 1,
        start: str = "earliest",
        until: str = "",
        concurrency: int = 1,
        tasks: int = 0,
        name: str = "",
    ) -> Callable[[F], Processor]:
        """Call a function for the records of `source`: for each, or for many at once.

        Its first parameter says which: an event, `list[...]` of them, `bytes`, or a `pyarrow.RecordBatch` with the
        event's fields as columns (riverrun[arrow]; a window may take that instead of a list, too).

        `key`: a field that is the key, where it is not the source's: then records go through a topic of their own
        first; ALL: one key for all. `to`: where what it returns goes; with several topics the first, and the others by
        `Ctx.emit`. `start`: earliest, latest, a time (ISO 8601), or -24h; `until`: a time at which it is done
        (another one wants another version: event time has ended in this one).
        `concurrency`: calls of an async function at once, of one key one after another. `tasks` 0: one a partition.
        """

        def define(function: F) -> Processor:
            return self._define(
                Definition(
                    kind=Kind.FUNCTION,
                    name=name or getattr(function, "__name__", ""),
                    sources=(source,),
                    key=key,
                    outputs=self._outputs(to),
                    on_error=on_error or stop(),
                    version=version,
                    start=start,
                    until=until,
                    concurrency=concurrency,
                    tasks=tasks,
                ),
                function,
            )

        return define

    def window(
        self,
        source: Topic,
        *,
        tumbling: str = "",
        hopping: tuple[str, str] | None = None,
        session: str = "",
        late: str = "drop",
        lateness: str = "0s",
        late_to: str | Topic | None = None,
        key: str | None = None,
        to: To = None,
        on_error: OnError | None = None,
        version: int = 1,
        start: str = "earliest",
        until: str = "",
        tasks: int = 0,
        name: str = "",
    ) -> Callable[[F], Processor]:
        """Call a function with each window of event time and what is in it, for each key, when the watermark closes it.

        One of `tumbling="1d"`, `hopping=("1h", "5m")` (size, step), `session="30m"` (gap). Late records (their window
        has closed): `late="drop"` counts them; `late="update"` calls again with them, for `lateness` after the end, and
        then drops them; `late_to`: what is dropped goes there, as it was.
        """
        form = window_form(f"{self.name}: window", tumbling, hopping, session, late, lateness)
        extra = () if late_to is None else (self._target(late_to),)

        def define(function: F) -> Processor:
            return self._define(
                Definition(
                    kind=Kind.WINDOW,
                    name=name or getattr(function, "__name__", ""),
                    sources=(source,),
                    key=key,
                    outputs=self._outputs(to),
                    on_error=on_error or stop(),
                    version=version,
                    start=start,
                    until=until,
                    tasks=tasks,
                    window=form,
                    late_to=extra,
                ),
                function,
            )

        return define

    def join(
        self,
        left: Topic,
        right: Topic,
        *,
        within: str,
        to: To = None,
        on_error: OnError | None = None,
        version: int = 1,
        start: str = "earliest",
        until: str = "",
        tasks: int = 0,
        name: str = "",
    ) -> Callable[[F], Processor]:
        """Call a function with each pair of events of one key whose times are at most `within` apart.

        Both topics have keys of one kind, and as many partitions. A record that comes late (below the watermark) is
        counted and dropped.
        """

        def define(function: F) -> Processor:
            return self._define(
                Definition(
                    kind=Kind.JOIN,
                    name=name or getattr(function, "__name__", ""),
                    sources=(left, right),
                    key=None,
                    outputs=self._outputs(to),
                    on_error=on_error or stop(),
                    version=version,
                    start=start,
                    until=until,
                    tasks=tasks,
                    within_ns=positive_ns(within, f"{self.name}: join: within"),
                ),
                function,
            )

        return define

    def source(
        self,
        name: str,
        options: "SourceOptions",
        *,
        to: To,
        on_error: OnError | None = None,
        version: int = 1,
    ) -> SourceStage:
        """Capture from outside: every record of the source, as it is, goes to a topic (or to several).

        `options`: which source, such as `PostgresTables(url=..., tables=[...])`; see `cluster.connectors`.
        """
        check_name(name, f"{self.name}: source")
        stage = SourceStage(
            self.name, name, options, outputs=self._outputs(to), on_error=on_error or stop(), version=version
        )
        return self.add(stage)

    def sink(
        self,
        source: Topic,
        options: "SinkOptions",
        *,
        name: str,
        on_error: OnError | None = None,
        version: int = 1,
        start: str = "earliest",
        until: str = "",
        tasks: int = 0,
    ) -> SinkStage:
        """Deliver to the world outside: every record of `source`, in its order, goes to the destination.

        `options`: which one, such as `Webhook(url=...)`; see `cluster.connectors`.
        """
        check_name(name, f"{self.name}: sink")
        stage = SinkStage(
            self.name,
            name,
            source,
            options,
            on_error=on_error or stop(),
            version=version,
            start=start,
            until=until,
            tasks=tasks,
        )
        return self.add(stage)

    def specs(self) -> list[ProcessorSpec]:
        """All of it as plain values, those that re-key included."""
        return [part.spec for processor in self.processors.values() for part in processor.stages]

    def test(
        self,
        *,
        partitions: int = 3,
        tasks: int = 0,
        records_per_work: int = 1000,
        now: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    ) -> "AbstractContextManager[Rehearsal]":
        """The app at work in memory, in virtual time: see `cluster.processing.testing`. `tasks` 0: one a partition."""
        from cluster.processing.testing import rehearse  # noqa: PLC0415  only tests need it

        return rehearse(self, partitions, tasks, records_per_work, now)

    def _define(self, definition: Definition, function: Callable[..., Any]) -> Processor:
        what = f"{self.name}.{definition.name}"
        check_name(definition.name, f"{self.name}: processor")
        if definition.name.endswith(REKEY):
            rest = definition.name.removesuffix(REKEY)
            raise InvalidApp(f"{self.name}: processor {definition.name!r}: that is what re-keys for {rest!r}")
        if definition.name in self.processors:
            raise InvalidApp(f"{what} is there already: a name is for one processor")
        for source in definition.sources:
            if not isinstance(source, Topic):
                raise InvalidApp(f"{what}: its source is {source!r}; give what `app.topic(...)` returned")
        processor = Processor(self.name, definition, function, self.tables)
        self.processors[definition.name] = processor
        return processor

    def add(self, stage: S) -> S:
        """One more part. InvalidApp: there is one of that name."""
        if stage.name in self.processors:
            raise InvalidApp(f"{self.name}.{stage.name} is there already: a name is for one processor")
        self.processors[stage.name] = stage
        return stage

    def _outputs(self, to: To) -> tuple[Topic, ...]:
        if to is None:
            return ()
        return tuple(map(self._target, to if isinstance(to, list | tuple) else (to,)))

    def _target(self, to: object) -> Topic:
        found = to if not isinstance(to, str) else self.topics.get(to) or self.tables.get(to)
        if isinstance(found, TableTopic):
            return Topic(found.name, found.event, found.key)
        if isinstance(found, Topic):
            return found
        if not isinstance(to, str):
            raise InvalidApp(f"{self.name}: to={to!r}; a name, or what `app.topic` returned, or a list of them")
        return Topic(check_name(to, f"{self.name}: to="))
