"""Sources and sinks of an app, checked: what `App.source` and `App.sink` make."""

from collections.abc import Sequence
from typing import Any

from cluster.connectors.contract import Guarantee, SinkOptions, SourceOptions
from cluster.errors import InvalidApp, InvalidRoute
from cluster.processing.draft import OutputForm
from cluster.processing.policies import OnError, describe
from cluster.processing.processor import Stage, check_start_until
from cluster.processing.spec import InputKind, InputSpec, Kind, OutputSpec, ProcessorSpec
from cluster.processing.topics import TableTopic, Topic
from cluster.processing.transform import Transform


class SourceStage:
    """What is captured, and the topics that it goes to."""

    def __init__(
        self,
        app: str,
        name: str,
        options: SourceOptions,
        *,
        outputs: tuple[Topic, ...],
        on_error: OnError,
        version: int,
        transform: Transform | None = None,
    ) -> None:
        self.name = name
        self.options = options
        what = f"{app}.{name}"
        _check(options, what)
        if not outputs:
            raise InvalidApp(f"{what}: a source needs a topic to put what it captures: give it `to=`")
        letters = _letters(app, name, on_error)
        self._stage = Stage(
            spec=ProcessorSpec(
                app=app,
                name=name,
                version=_checked_version(version, what),
                kind=Kind.SOURCE,
                inputs=(),
                outputs=(*(topic.as_output() for topic in outputs), *letters),
                on_error=describe(on_error),
                tasks=len(options.shares()),
                outside=options.summary,
                guarantee=str(options.guarantee),
            ),
            binding=None,
            timers={},
            events=(),
            forms=tuple(OutputForm(topic.name, None, None) for topic in outputs),
            tables={},
            key_kind=bytes,
            policy=on_error,
            dead=len(outputs) if letters else -1,
            outside=options,
            transform=transform,
            raw=transform is None,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """See Processor."""
        return (self._stage,)


class RouteStage:
    """What a route makes of a topic, and the topics that it goes to."""

    def __init__(
        self,
        app: str,
        name: str,
        source: Topic,
        *,
        tables: Sequence[TableTopic],
        outputs: tuple[Topic, ...],
        on_error: OnError,
        version: int,
        start: str,
        until: str,
        transform: Transform,
    ) -> None:
        self.name = name
        letters = _letters(app, name, on_error)
        parked = tuple(InputSpec(topic=letter.topic, kind=InputKind.PARKED) for letter in letters)
        self._stage = Stage(
            spec=ProcessorSpec(
                app=app,
                name=name,
                version=version,
                kind=Kind.FUNCTION,
                inputs=(source.as_input(start, until), *(table.as_input() for table in tables), *parked),
                outputs=(*(topic.as_output() for topic in outputs), *letters),
                on_error=describe(on_error),
            ),
            binding=None,
            timers={},
            events=(Any, *(table.event for table in tables)),
            forms=tuple(OutputForm(topic.name, None, None) for topic in outputs),
            tables={table.parameter: table.name for table in tables},
            key_kind=bytes,
            policy=on_error,
            dead=len(outputs) if letters else -1,
            transform=transform,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """See Processor."""
        return (self._stage,)


class SinkStage:
    """What is delivered, and where."""

    def __init__(
        self,
        app: str,
        name: str,
        source: Topic,
        options: SinkOptions,
        *,
        on_error: OnError,
        version: int,
        start: str,
        until: str,
        tasks: int,
        transform: Transform | None = None,
    ) -> None:
        self.name = name
        self.options = options
        what = f"{app}.{name}"
        _check(options, what)
        check_start_until(start, until, what)
        letters = _letters(app, name, on_error)
        parked = tuple(InputSpec(topic=letter.topic, kind=InputKind.PARKED) for letter in letters)
        self._stage = Stage(
            spec=ProcessorSpec(
                app=app,
                name=name,
                version=_checked_version(version, what),
                kind=Kind.SINK,
                inputs=(source.as_input(start, until), *parked),
                outputs=letters,
                on_error=describe(on_error),
                tasks=tasks,
                outside=options.summary,
                guarantee=str(options.guarantee),
                batch_records_max=0 if options.hold_s else options.batch_records_max,
            ),
            binding=None,
            timers={},
            events=(_event_of(source),),
            forms=(),
            tables={},
            key_kind=bytes,
            policy=on_error,
            dead=0 if letters else -1,
            outside=options,
            transform=transform,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """See Processor."""
        return (self._stage,)


def _event_of(source: Topic) -> Any:
    """Whatever JSON says, where the topic's events are of no type of ours; bytes, where they are bytes."""
    return Any if source.event is None else source.event


def _check(options: SourceOptions | SinkOptions, what: str) -> None:
    try:
        options.check()
    except InvalidRoute as error:
        raise InvalidApp(f"{what}: {error.message}") from error
    assert options.guarantee in Guarantee, "a connector declares what it promises"


def _letters(app: str, name: str, on_error: OnError) -> tuple[OutputSpec, ...]:
    if on_error.how != "dead_letter":
        return ()
    return (OutputSpec(topic=on_error.topic or f"{app}.{name}.dead"),)


def _checked_version(version: int, what: str) -> int:
    if version < 1:
        raise InvalidApp(f"{what}: version from 1")
    return version
