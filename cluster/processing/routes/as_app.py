"""A route file as an app: which stages each route becomes.

1. From a topic to topics: one stage, whose outputs are the topics.
2. From a topic to a sink: a stage for each sink, which does the route's expressions itself. So a destination that is
   slow or away has its own position, and holds up no other. With look-ups the expressions are done once, in a stage
   like those of 1, into a topic `<file>.<route>` (and the sink's name, where only some records are for it), from which
   the sinks deliver.
3. From a source: its stage does the expressions, and puts what it makes into the topics, and for sinks into such a
   topic. With look-ups it puts what it captures, as it is, into `<file>.<route>.in`, and 1 and 2 go on from there.
4. Look-ups by another field than the key of the topic go through a topic `<file>.<route>.by`, keyed by that field.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cluster.processing.app import App
from cluster.processing.outside.definitions import RouteStage, SinkStage, SourceStage
from cluster.processing.routes.expressions import parsed
from cluster.processing.routes.program import Plan
from cluster.processing.routes.route_file import FromSource, FromTopic, Route, RouteFile, ToSink, ToTopic
from cluster.processing.routes.transforming import RouteTransform
from cluster.processing.topics import TableTopic, Topic

PASSES = Plan()
"""Nothing is left out, and nothing changed."""


def app_of(file: RouteFile) -> App:
    """With all of its routes. InvalidApp: options contradict themselves."""
    app = App(file.name)
    for route in file.routes:
        for stage in _Route(app, route).stages():
            app.add(stage)
    return app


@dataclass
class _Route:
    app: App
    route: Route
    start: str = "earliest"
    until: str = ""
    _names: set[str] = field(default_factory=set)

    def stages(self) -> Iterator[RouteStage | SinkStage | SourceStage]:
        """In the order of the data."""
        route = self.route
        if isinstance(route.source, FromSource):
            if not route.lookups:
                targets = self._targets()
                yield self._capture(route.source.options, self._plan(targets), [name for name, _ in targets])
                yield from self._delivered()
                return
            between = f"{self.app.name}.{route.name}.in"
            yield self._capture(route.source.options, None, [between])
            source = Topic(between)
        else:
            source = Topic(route.source.topic, key=route.source.key)
            self.start, self.until = route.source.start, route.source.until
        if route.rekeys:
            by = f"{self.app.name}.{route.name}.by"
            key = msgspec.structs.replace(PASSES, key=parsed(".".join(route.lookup_by)))
            yield self._stage(f"{route.name}.by", source, key, [by])
            source, self.start, self.until = Topic(by), "earliest", ""
        targets = self._targets() if route.lookups else self._topics()
        if targets:
            yield self._stage(route.name, source, self._plan(targets), [name for name, _ in targets])
        if route.lookups:
            yield from self._delivered()
        else:
            yield from self._direct(source)

    # --- which topic gets what

    def _topics(self) -> list[tuple[str, Any]]:
        """Destinations that are topics, each with its condition."""
        both = zip(self.route.destinations, self.route.plan.destinations, strict=True)
        return [(one.topic, condition) for one, condition in both if isinstance(one, ToTopic)]

    def _targets(self) -> list[tuple[str, Any]]:
        """Those, and the topics that sinks deliver from."""
        targets = self._topics()
        for name, condition in self._between():
            if name not in {known for known, _ in targets}:
                targets.append((name, condition))
        return targets

    def _between(self) -> list[tuple[str, Any]]:
        """For each sink, in their order."""
        found = []
        for one, condition in zip(self.route.destinations, self.route.plan.destinations, strict=True):
            if isinstance(one, ToSink):
                shared = f"{self.app.name}.{self.route.name}"
                found.append((shared if condition is None else f"{shared}.{one.name}", condition))
        return found

    def _sinks(self) -> list[tuple[ToSink, Any]]:
        both = zip(self.route.destinations, self.route.plan.destinations, strict=True)
        return [(one, condition) for one, condition in both if isinstance(one, ToSink)]

    def _plan(self, targets: Sequence[tuple[str, Any]]) -> Plan:
        return msgspec.structs.replace(self.route.plan, destinations=tuple(condition for _, condition in targets))

    # --- the stages

    def _capture(self, options: Any, plan: Plan | None, to: Sequence[str]) -> SourceStage:
        route = self.route
        return SourceStage(
            self.app.name,
            f"{route.name}.source" if route.lookups else route.name,
            options,
            outputs=tuple(map(Topic, to)),
            on_error=route.on_error,
            version=route.version,
            transform=None if plan is None or _passes(plan) else RouteTransform(plan),
        )

    def _stage(self, name: str, source: Topic, plan: Plan, to: Sequence[str]) -> RouteStage:
        route = self.route
        looks = plan.lookups != ()
        return RouteStage(
            self.app.name,
            name,
            source,
            tables=[TableTopic(lookup.topic, Any) for lookup in route.lookups] if looks else [],
            outputs=tuple(map(Topic, to)),
            on_error=route.on_error,
            version=route.version,
            start=self.start,
            until=self.until,
            transform=RouteTransform(plan, {lookup.name: lookup.topic for lookup in route.lookups} if looks else {}),
        )

    def _direct(self, source: Topic) -> Iterator[SinkStage]:
        """Sinks that do the route's expressions themselves."""
        for one, condition in self._sinks():
            plan = msgspec.structs.replace(self.route.plan, destinations=(condition,))
            yield self._sink(one, source, None if _passes(plan) else RouteTransform(plan))

    def _delivered(self) -> Iterator[SinkStage]:
        """Sinks that deliver what was made before."""
        self.start, self.until = "earliest", ""
        for (one, _), (between, _) in zip(self._sinks(), self._between(), strict=True):
            yield self._sink(one, Topic(between), None)

    def _sink(self, one: ToSink, source: Topic, transform: RouteTransform | None) -> SinkStage:
        route = self.route
        alone = len(route.destinations) == 1 and isinstance(route.source, FromTopic) and not route.lookups
        return SinkStage(
            self.app.name,
            route.name if alone else f"{route.name}.{one.name}",
            source,
            one.options,
            on_error=route.on_error,
            version=route.version,
            start=self.start,
            until=self.until,
            tasks=0,
            transform=transform,
        )


def _passes(plan: Plan) -> bool:
    """Whether every record goes everywhere as it is."""
    return plan == Plan(destinations=tuple(None for _ in plan.destinations))
