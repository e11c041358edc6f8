"""What a deployment comes to: which topics are made, and which stages begin or get other code. Pure.

Rules:
1. All inputs of a stage have the same number of partitions, its dead letters among them. Topics that some stage reads
   together are *alike*, and so are those that are alike to one of them.
2. A topic that is not there is made if the app writes it; else only if whoever deploys says so (`create_inputs`). It
   gets the partitions of those that it is alike to; failing that, those of what its writer reads; failing that, the
   default. What nobody of the app reads gets those of what its writer reads.
3. A stage that is there under the same name and version must read, write and key the same as before, from and until
   the same: its tasks' positions, state, event time and sequences go on. Anything else wants a new version; but what
   becomes of errors may change.
4. A stage has as many tasks as partitions, or fewer. Each has its log in a partition of the stage's own topic.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.errors import InvalidApp, InvalidRequest, UnknownTopic
from cluster.metadata import App, Stage, Topic, TopicConfig
from cluster.processing.internal_topics import TOPIC_NAME_MAX, tasks_topic
from cluster.processing.spec import InputKind, Kind, ProcessorSpec
from cluster.processing.stages import specs_of

OUTSIDE = ""
"""Stands for what a source reads: topics that it writes have as many partitions as is the default."""
COMPACTED = TopicConfig(compacted=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What whoever deploys wants made, and how, where nothing else says it."""

    create_inputs: bool = False
    partitions_default: int = 1


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic to be made."""

    name: str
    partitions: int
    config: TopicConfig = TopicConfig()


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage with its tasks; `before`: the one whose place it takes."""

    spec: ProcessorSpec
    tasks: int
    before: Stage | None

    @property
    def topic(self) -> str:
        """The name of its tasks' topic."""
        return tasks_topic(self.spec.app, self.spec.name, self.spec.version)


@dataclass(frozen=True, slots=True)
class Plan:
    """`replicas`: of topics that are made; 0: the cluster's default."""

    topics: list[NewTopic] = field(default_factory=list)
    stages: list[PlannedStage] = field(default_factory=list)
    replicas: int = 0


def plan(specs: Sequence[ProcessorSpec], *, topics: Mapping[str, Topic], apps: Mapping[str, App], wish: Wish) -> Plan:
    """What is to be done. InvalidApp, InvalidRequest, UnknownTopic say in a sentence why it cannot be."""
    app = apps.get(specs[0].app)
    before = {(stage.name, stage.version): (stage, spec) for stage, spec in specs_of(app)} if app is not None else {}
    _check_writers(specs, apps)
    left_behind = _left_behind(specs, apps)
    there = {name: topic for name, topic in topics.items() if name not in left_behind}
    counts = _Counts(specs, there, wish).settled()
    stages = []
    for spec in specs:
        count = spec.tasks if spec.kind is Kind.SOURCE else counts[spec.inputs[0].topic]
        known, was = before.get((spec.name, spec.version), (None, None))
        tasks = spec.tasks or count
        if tasks > count:
            raise InvalidRequest(
                f"{_what(spec)} wants {tasks} tasks for {count} partitions: each task needs one to read, at least"
            )
        if known is not None and was is not None:
            _check_same(known, was, spec, tasks)
        stages.append(PlannedStage(spec, tasks, known))
    made = list(_made(stages, there, counts))
    for topic in made:
        if len(topic.name) > TOPIC_NAME_MAX:
            raise InvalidRequest(
                f"the topic {topic.name!r} would have a name of {len(topic.name)} characters, of {TOPIC_NAME_MAX} "
                "at most: give the app or its processor a shorter one"
            )
    inputs = {item.topic for spec in specs for item in spec.inputs}
    replicas = max((topic.replicas for name, topic in there.items() if name in inputs), default=0)
    return Plan(made, stages, replicas)


def _made(stages: Sequence[PlannedStage], there: Mapping[str, Topic], counts: Mapping[str, int]) -> Iterator[NewTopic]:
    """In the order of the data; the tasks' logs last, so that nothing of an app runs before its topics are there."""
    tables = {item.topic for stage in stages for item in stage.spec.inputs if item.kind is InputKind.TABLE}
    missing: dict[str, int] = {}
    for stage in stages:
        spec = stage.spec
        for name in (*(item.topic for item in spec.inputs), *(item.topic for item in spec.outputs)):
            if name not in there:
                missing.setdefault(name, counts.get(name) or counts[spec.inputs[0].topic if spec.inputs else OUTSIDE])
    for name, count in missing.items():
        yield NewTopic(name, count, COMPACTED if name in tables else TopicConfig())
    for stage in stages:
        if stage.before is None:
            yield NewTopic(stage.topic, stage.tasks)


def _left_behind(specs: Sequence[ProcessorSpec], apps: Mapping[str, App]) -> set[str]:
    """Topics between stages that no stage writes now: of a deployment that came to nothing."""
    written = {out.topic for app in apps.values() for _, spec in specs_of(app) for out in spec.outputs}
    return {out.topic for spec in specs for out in spec.outputs if out.internal} - written


def _check_writers(specs: Sequence[ProcessorSpec], apps: Mapping[str, App]) -> None:
    """Names with dots in them can meet: nothing between stages, and no tasks' log, is of two stages."""
    new = {(spec.app, spec.name, spec.version) for spec in specs}
    others = [
        spec for app in apps.values() for _, spec in specs_of(app) if (spec.app, spec.name, spec.version) not in new
    ]
    taken: dict[str, ProcessorSpec] = {}
    for spec in (*others, *specs):
        for name in (tasks_topic(spec.app, spec.name, spec.version), *(o.topic for o in spec.outputs if o.internal)):
            other = taken.setdefault(name, spec)
            if other is not spec:
                raise InvalidRequest(
                    f"{_what(spec)} and {_what(other)} would both need the topic {name!r}: give one another name"
                )


def _check_same(stage: Stage, was: ProcessorSpec, spec: ProcessorSpec, tasks: int) -> None:
    """Rule 3."""
    for word, before, now in (
        ("is", str(was.kind), str(spec.kind)),
        ("reads", _reads(was), _reads(spec)),
        ("writes", _writes(was), _writes(spec)),
        ("re-keys by", was.rekeys, spec.rekeys),
        ("is connected to", was.outside, spec.outside),
        ("has tasks:", str(stage.tasks), str(tasks)),
    ):
        if before != now:
            raise InvalidRequest(
                f"{_what(spec)} is deployed, and {word} {before or 'nothing'} in it, not {now or 'nothing'}: "
                "give it a new version, which begins anew beside the old one"
            )


def _letters(spec: ProcessorSpec) -> set[str]:
    """Topics of its dead letters: `on_error` may become another, for that is how what has stopped goes on."""
    return {item.topic for item in spec.inputs if item.kind is InputKind.PARKED}


def _reads(spec: ProcessorSpec) -> str:
    words = []
    for item in spec.inputs:
        if item.kind is InputKind.PARKED:
            continue
        details = [
            *([] if item.kind is InputKind.STREAM else [str(item.kind)]),
            *([f"key {item.key}"] if item.key else []),
            *([f"time {item.time}"] if item.time else []),
            *([f"from {item.start}"] if item.kind is InputKind.STREAM and item.start != "earliest" else []),
            *([f"until {item.until}"] if item.until else []),
        ]
        words.append(item.topic + (f" ({', '.join(details)})" if details else ""))
    return ", ".join(words)


def _writes(spec: ProcessorSpec) -> str:
    letters = _letters(spec)
    outputs = [item for item in spec.outputs if item.topic not in letters]
    return ", ".join(item.topic + (f" (key {item.key})" if item.key else "") for item in outputs)


def _what(spec: ProcessorSpec) -> str:
    return f"{spec.app}.{spec.name}@{spec.version}"


class _Counts:
    """How many partitions each topic has, or gets."""

    def __init__(self, specs: Sequence[ProcessorSpec], there: Mapping[str, Topic], wish: Wish) -> None:
        self._specs = specs
        self._there = there
        self._wish = wish
        self._alike: dict[str, set[str]] = {}
        self._counts: dict[str, int] = {}
        self._writers = {out.topic: spec for spec in specs for out in spec.outputs}

    def settled(self) -> dict[str, int]:
        """Of every topic that a stage reads."""
        self._counts[OUTSIDE] = self._wish.partitions_default
        for spec in self._specs:
            if not spec.inputs and spec.kind is not Kind.SOURCE:
                raise InvalidApp(f"{_what(spec)} reads nothing")
            self._join(spec)
        for spec in self._specs:
            for item in spec.inputs:
                if item.topic in self._there:
                    self._give(item.topic, len(self._there[item.topic].partitions), spec)
        for spec in self._specs:
            for item in spec.inputs:
                self._check_known(spec, item.topic, table=item.kind is InputKind.TABLE)
        self._guess()
        return self._counts

    def _join(self, spec: ProcessorSpec) -> None:
        together = set()
        for item in spec.inputs:
            together |= self._alike.get(item.topic, {item.topic})
        for name in together:
            self._alike[name] = together

    def _give(self, name: str, count: int, spec: ProcessorSpec) -> None:
        known = self._counts.get(name)
        if known is not None and known != count:
            other = next(item for item in sorted(self._alike[name]) if item in self._there and self._has(item) == known)
            raise InvalidRequest(
                f"{_what(spec)}: {name} has {count} partitions and {other} {known}; all that a processor reads must "
                "have as many, its tables and dead letters, too"
            )
        for item in self._alike[name]:
            self._counts[item] = count

    def _has(self, name: str) -> int:
        return len(self._there[name].partitions)

    def _check_known(self, spec: ProcessorSpec, name: str, *, table: bool) -> None:
        if name in self._there or name in self._writers:
            return
        if not self._wish.create_inputs:
            what, option = ("table", " --compacted") if table else ("topic", "")
            raise UnknownTopic(
                f"{_what(spec)} reads the {what} {name!r}, which is not there: riverrun topic create {name}{option} "
                "--partitions N, or deploy with --create-topics",
                topic=name,
            )
        if name not in self._counts:
            self._give(name, self._wish.partitions_default, spec)

    def _guess(self) -> None:
        """What the app writes itself gets as many as what its writer reads, from the first stages on."""
        while True:
            open_ = [spec for spec in self._specs if spec.inputs and spec.inputs[0].topic not in self._counts]
            if not open_:
                return
            for spec in open_:
                writers = [self._writers[item.topic] for item in spec.inputs if item.topic in self._writers]
                counts = [self._counts.get(writer.inputs[0].topic if writer.inputs else OUTSIDE) for writer in writers]
                count = next((count for count in counts if count is not None), None)
                if count is not None:
                    self._give(spec.inputs[0].topic, count, spec)
                    break
            else:
                self._give(open_[0].inputs[0].topic, self._wish.partitions_default, open_[0])
