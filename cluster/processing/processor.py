"""One processor of an app, checked: the function, and the stages that the cluster runs for it.

A *stage* is what has tasks of its own: the function's, and before it, where its key is not its source's, one that
re-keys into an internal topic.
"""

import datetime as dt
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from cluster.errors import InvalidApp
from cluster.processing import event as events
from cluster.processing.binding import Binding, Wanted, bind, check_event, check_result, element, is_many
from cluster.processing.context import Ctx
from cluster.processing.draft import OutputForm
from cluster.processing.handles import MapState, State, Table
from cluster.processing.internal_topics import REKEY_PREFIX
from cluster.processing.policies import OnError, describe
from cluster.processing.spec import InputKind, InputSpec, Kind, OutputSpec, ProcessorSpec
from cluster.processing.topics import TableTopic, Topic, check_name
from cluster.processing.transform import Transform
from cluster.processing.windows import Window, WindowForm

REKEY = ".rekey"
"""At the end of a stage's name: it re-keys for the processor before it."""
ALL = "*"
"""As a processor's key: one key for everything."""
NUMBER_MAX = 2**31 - 1
CONCURRENCY_MAX = 10_000
_TAKES = {
    Kind.FUNCTION: "the event",
    Kind.WINDOW: "the Window and a list[Event] (or a pyarrow.RecordBatch)",
    Kind.JOIN: "an event of each side",
}
_BACK = re.compile(r"-\d+(ms|s|m|h|d)")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|[+-]\d\d:\d\d)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What the decorator was given."""

    kind: Kind
    name: str
    sources: tuple[Topic, ...]
    key: str | None
    outputs: tuple[Topic, ...]
    on_error: OnError
    version: int
    start: str
    until: str
    tasks: int
    concurrency: int = 1
    window: WindowForm | None = None
    late_to: tuple[Topic, ...] = ()
    within_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a runner runs: a spec, and the code that belongs to it. `late`, `dead`: numbers of outputs, -1 for none."""

    spec: ProcessorSpec
    binding: Binding | None
    timers: dict[str, Binding]
    events: tuple[Any, ...]
    """The type of each input's events."""
    forms: tuple[OutputForm, ...]
    tables: dict[str, str]
    key_kind: Any
    policy: OnError
    window: WindowForm | None = None
    within_ns: int = 0
    late: int = -1
    dead: int = -1
    outside: Any = None
    """Of sources and sinks: their options (see `cluster.connectors.contract`)."""
    transform: Transform | None = None
    """Of routes: what is made of records, instead of a function."""
    raw: bool = False
    """Values stay bytes."""


class Processor:
    """A user's function in an app. It can still be called as what it is."""

    def __init__(
        self, app: str, definition: Definition, function: Callable[..., Any], tables: dict[str, TableTopic]
    ) -> None:
        self.app = app
        self.name = definition.name
        self.definition = definition
        self.function = function
        self.__name__ = definition.name
        self.__doc__ = function.__doc__
        self._what = f"{app}.{definition.name}"
        self._tables = {table.parameter: table for table in tables.values()}
        self._timers: dict[str, Binding] = {}
        self._binding = self._checked()

    def __call__(self, *arguments: Any) -> Any:
        """The function itself."""
        return self.function(*arguments)

    def timer(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Call the decorated function when the timer that `Ctx.timer(name, ...)` set is due, for its key.

        Its parameters are handed over by their types; what it returns goes where the processor's results go.
        """
        what = f"{self._what}, timer {name!r}"
        if self.definition.kind is not Kind.FUNCTION or self._binding.is_async:
            raise InvalidApp(f"{what}: timers are for plain functions of `app.processor`")
        if name in self._timers:
            raise InvalidApp(f"{what}: it is there already")

        def define(function: Callable[..., Any]) -> Callable[..., Any]:
            binding = bind(function, 0, what)
            known = {wanted.name: wanted for wanted in self._binding.injected}
            for wanted in binding.injected:
                if wanted.kind in {State, MapState} and known.get(wanted.name) != wanted:
                    there = ", ".join(known) or "none"
                    raise InvalidApp(f"{what}: {self.name} has no state {wanted.name!r} of that type; it has {there}")
            self._check_injected(binding, what)
            check_result(binding, self.definition.outputs[0] if self.definition.outputs else None, what)
            self._timers[name] = binding
            return function

        return define

    @property
    def rekeys(self) -> bool:
        """Whether its records go through a topic of their own first."""
        return self.definition.key not in {None, self.definition.sources[0].key}

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What runs for it, in the order of the data."""
        return (self._rekey_stage(), self._stage()) if self.rekeys else (self._stage(),)

    def _checked(self) -> Binding:
        definition, what = self.definition, self._what
        self._check_options()
        takes = _TAKES[definition.kind]
        binding = bind(self.function, 1 if definition.kind is Kind.FUNCTION else 2, what, takes)
        if inspect.isasyncgenfunction(self.function):
            raise InvalidApp(f"{what}: an async function returns what it has, one value or a list; it does not yield")
        source = definition.sources[0]
        if definition.kind is Kind.WINDOW:
            if binding.leading[0] is not Window or not is_many(binding.leading[1]):
                raise InvalidApp(f"{what}: it takes {takes} first")
            check_event(binding.leading[1], source.event or element(binding.leading[1]), source.name, what)
        else:
            for annotated, topic in zip(binding.leading, definition.sources, strict=True):
                check_event(annotated, topic.event or element(annotated), topic.name, what)
        if definition.kind is Kind.JOIN and any(map(is_many, binding.leading)):
            raise InvalidApp(f"{what}: a join's function takes one event of each side")
        self._check_key(binding)
        self._check_injected(binding, what)
        check_result(binding, definition.outputs[0] if definition.outputs else None, what)
        if binding.is_async and definition.kind is not Kind.FUNCTION:
            raise InvalidApp(f"{what}: only functions of `app.processor` may be async")
        if definition.concurrency > 1 and not binding.is_async:
            raise InvalidApp(f"{what}: concurrency is for async functions")
        return binding

    def _check_options(self) -> None:
        definition, what = self.definition, self._what
        for name, value, least, greatest in (
            ("version", definition.version, 1, NUMBER_MAX),
            ("tasks", definition.tasks, 0, NUMBER_MAX),
            ("concurrency", definition.concurrency, 1, CONCURRENCY_MAX),
        ):
            if not isinstance(value, int) or not least <= value <= greatest:
                raise InvalidApp(f"{what}: {name} {value!r}; a whole number from {least} to {greatest}")
        check_start_until(definition.start, definition.until, what)
        key = definition.key
        if key is not None and not isinstance(key, str):
            raise InvalidApp(f"{what}: key {key!r}; a field's name, or ALL")
        self._check_asides()

    def _check_asides(self) -> None:
        """Where dead letters and late records go: not to what is read, or they would come again and again."""
        what, policy, late_to = self._what, self.definition.on_error, self.definition.late_to
        if not isinstance(policy, OnError):
            raise InvalidApp(f"{what}: on_error {policy!r}; one of stop(), skip(), dead_letter()")
        if policy.topic:
            check_name(policy.topic, f"{what}: dead_letter")
        read = {source.name for source in self.definition.sources}
        for who, name in (("dead letters", policy.topic), *(("late records", topic.name) for topic in late_to)):
            if name in read:
                raise InvalidApp(f"{what}: {who} to {name!r}, which it reads")

    def _check_key(self, binding: Binding) -> None:
        definition, what = self.definition, self._what
        source = definition.sources[0]
        if definition.key not in {None, ALL, ""}:
            events.field_type(source.event, str(definition.key), f"{what}, key")
        if definition.key == "":
            raise InvalidApp(f"{what}: key is empty; a field, or ALL for one key for everything")
        keyless = [topic.name for topic in definition.sources if not topic.key] if definition.key is None else []
        wants = [wanted.name for wanted in binding.injected if wanted.kind in {State, MapState, Table}]
        if keyless and (wants or definition.kind is not Kind.FUNCTION):
            who = f"parameter {wants[0]!r}" if wants else f"a {definition.kind}"
            raise InvalidApp(f"{what}: {who} needs a key, and topic {keyless[0]!r} has none: give one with `key=`")
        if wants and is_many(binding.leading[0]):
            raise InvalidApp(f"{what}: {wants[0]!r} is of one key, and a list has many: take one event at a time")
        if definition.kind is Kind.JOIN:
            kinds = [self._key_kind(topic, topic.key) for topic in definition.sources]
            if kinds[0] != kinds[1]:
                raise InvalidApp(
                    f"{what}: the keys of its topics are {kinds[0]!r} and {kinds[1]!r}; they must be alike"
                )

    def _check_injected(self, binding: Binding, what: str) -> None:
        for wanted in binding.injected:
            if wanted.kind is Table:
                table = self._tables.get(wanted.name)
                if table is None:
                    known = ", ".join(self._tables) or "none"
                    raise InvalidApp(f"{what}: unknown table {wanted.name!r}; the app has {known}")
                if table.event != wanted.value:
                    raise InvalidApp(f"{what}: table {table.name!r} holds {table.event!r}, not {wanted.value!r}")
            elif wanted.kind is not Ctx and wanted.name.startswith("~"):
                raise InvalidApp(f"{what}: {wanted.name!r} is no name")

    @staticmethod
    def _key_kind(source: Topic, key: str) -> Any:
        if key in {"", ALL} or source.event is None:
            return bytes
        return events.field_type(source.event, key, "key")

    @property
    def _internal(self) -> str:
        version = self.definition.version
        return f"{REKEY_PREFIX}{self.app}.{self.name}" + (f".{version}" if version > 1 else "")

    def _decodable(self, topic: Topic | TableTopic, event: Any) -> Any:
        """The type itself. It is looked at only now, for what it refers to may be written behind the topic."""
        try:
            msgspec.json.Decoder(event)
            foreign = events.foreign_in(event)
        except (NameError, TypeError) as error:
            raise InvalidApp(f"{self._what}: events of topic {topic.name!r} cannot be decoded: {error}") from error
        if foreign is not None:
            raise InvalidApp(
                f"{self._what}: events of topic {topic.name!r} cannot be decoded: {foreign.__name__} is no Event, no "
                "dataclass and no plain type"
            )
        return event

    def _dead(self) -> tuple[tuple[OutputSpec, ...], tuple[InputSpec, ...]]:
        policy = self.definition.on_error
        if policy.how != "dead_letter":
            return (), ()
        topic = policy.topic or f"{self.app}.{self.name}.dead"
        return (OutputSpec(topic=topic),), (InputSpec(topic=topic, kind=InputKind.PARKED),)

    def _rekey_stage(self) -> Stage:
        definition = self.definition
        source = definition.sources[0]
        letters, parked = self._dead()
        key = "" if definition.key == ALL else str(definition.key)
        event = source.event if key or source.time else _read_as(source, self._binding.leading[-1])
        return Stage(
            spec=ProcessorSpec(
                app=self.app,
                name=f"{self.name}{REKEY}",
                version=definition.version,
                kind=Kind.REKEY,
                inputs=(source.as_input(definition.start, definition.until), *parked),
                outputs=(OutputSpec(topic=self._internal, key=key, internal=True), *letters),
                on_error=describe(definition.on_error),
                tasks=definition.tasks,
                watermarks=definition.kind is Kind.WINDOW or bool(self._timers or definition.until),
                rekeys=key,
                rekeys_for=self.name,
            ),
            binding=None,
            timers={},
            events=(self._decodable(source, event),),
            forms=(OutputForm(self._internal, None, None),),
            tables={},
            key_kind=self._key_kind(source, source.key),
            policy=definition.on_error,
            dead=1 if letters else -1,
        )

    def _inputs(self) -> tuple[InputSpec, ...]:
        definition = self.definition
        if not self.rekeys:
            return tuple(source.as_input(definition.start, definition.until) for source in definition.sources)
        source = definition.sources[0].as_input("earliest", definition.until)
        key = "" if definition.key == ALL else str(definition.key)
        return (_renamed(source, self._internal, key),)

    def _wanted_tables(self) -> list[TableTopic]:
        bindings = (self._binding, *self._timers.values())
        names: list[Wanted] = [wanted for binding in bindings for wanted in binding.injected if wanted.kind is Table]
        return [self._tables[name] for name in dict.fromkeys(wanted.name for wanted in names)]

    def _stage(self) -> Stage:
        definition, binding = self.definition, self._binding
        tables = self._wanted_tables()
        letters, parked = self._dead()
        late = tuple(topic.as_output() for topic in definition.late_to)
        views = binding.leading[-len(definition.sources) :]
        sources = [_read_as(source, view) for source, view in zip(definition.sources, views, strict=True)]
        stores = [wanted.name for wanted in binding.injected if wanted.kind in {State, MapState}]
        key = definition.sources[0].key if definition.key is None else definition.key
        return Stage(
            spec=ProcessorSpec(
                app=self.app,
                name=self.name,
                version=definition.version,
                kind=definition.kind,
                inputs=(*self._inputs(), *(table.as_input() for table in tables), *parked),
                outputs=(*(topic.as_output() for topic in definition.outputs), *late, *letters),
                stores=tuple(stores),
                on_error=describe(definition.on_error),
                tasks=definition.tasks,
                concurrency=definition.concurrency,
                timers=bool(self._timers) or definition.kind is not Kind.FUNCTION,
            ),
            binding=binding,
            timers=dict(self._timers),
            events=(*map(self._decodable, definition.sources, sources), *(self._decodable(t, t.event) for t in tables)),
            forms=tuple(map(_form, definition.outputs)),
            tables={table.parameter: table.name for table in tables},
            key_kind=self._key_kind(definition.sources[0], key),
            policy=definition.on_error,
            window=definition.window,
            within_ns=definition.within_ns,
            late=len(definition.outputs) if late else -1,
            dead=len(definition.outputs) + len(late) if letters else -1,
        )


def check_start_until(start: object, until: object, what: str) -> None:
    """InvalidApp: one of them is none."""
    if start not in ("earliest", "latest") and not _is_moment(start) and not _is_back(start):
        raise InvalidApp(f'{what}: start {start!r}; "earliest", "latest", a time (ISO 8601), or "-24h"')
    if until != "" and not _is_moment(until):
        raise InvalidApp(f"{what}: until {until!r}; a time (ISO 8601)")


def _is_back(written: object) -> bool:
    return isinstance(written, str) and _BACK.fullmatch(written) is not None


def _is_moment(written: object) -> bool:
    if not isinstance(written, str) or _MOMENT.fullmatch(written) is None:
        return False
    try:
        dt.datetime.fromisoformat(written)
    except ValueError:
        return False
    return True


def _read_as(source: Topic, view: Any) -> Any:
    """What records are decoded as: bytes are not, where nothing else wants a field of the event."""
    raw = element(view) is bytes and not source.time
    return bytes if raw else source.event or element(view)


def _renamed(source: InputSpec, topic: str, key: str) -> InputSpec:
    return InputSpec(topic=topic, key=key, time="", start=source.start, until="", idle_ns=source.idle_ns, internal=True)


def _form(topic: Topic) -> OutputForm:
    kind = topic.event if isinstance(topic.event, type) else None
    return OutputForm(topic.name, kind, attrgetter(topic.key) if topic.key else None)
