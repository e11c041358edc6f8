"""Apps in the controller's state: what is deployed, paused, removed. Pure; what cannot be done is a `Refusal`.

A stage is known by its name and version, for as long as it is there: its tasks' log, their number and their producer
ids stay when it gets other code. Whether other code may take its place, who deploys has checked, against the spec that
it names in `replaces`: if that is not the one that is there now, somebody else was quicker.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from cluster.controller.commands import DeployApp, DraftedStage, Refusal, RemoveApp, SetPaused
from cluster.metadata import App, Stage, Topic
from cluster.types import ProducerId, TopicId


def deployed(
    apps: Mapping[str, App], command: DeployApp, topics: Mapping[TopicId, Topic], next_producer: int
) -> App | Refusal:
    """The app with these stages in it; new ones get their tasks' producer ids from `next_producer` on."""
    app = apps.get(command.name)
    taken = {stage.topic: other.name for other in apps.values() if other is not app for stage in other.stages}
    known = {(stage.name, stage.version): stage for stage in app.stages} if app is not None else {}
    if not command.stages or len({(draft.name, draft.version) for draft in command.stages}) < len(command.stages):
        return Refusal("INVALID_REQUEST", f"an app has stages, each of them once; {command.name!r} does not")
    for draft in command.stages:
        before = known.get((draft.name, draft.version))
        if (before.spec if before is not None else b"") != draft.replaces:
            return Refusal("UNAVAILABLE", f"{command.name!r} was deployed by somebody else meanwhile; try again")
        topic = topics.get(TopicId(draft.topic))
        if topic is None or (before is not None and before.topic != draft.topic):
            return Refusal("UNAVAILABLE", f"the tasks' log of {draft.name!r} was deleted meanwhile; try again")
        if topic.id in taken:
            return Refusal(
                "INVALID_REQUEST", f"the tasks of {draft.name!r} would write to app {taken[topic.id]!r}'s log"
            )
        other = next(
            (key for key, stage in known.items() if stage.topic == topic.id and key != (draft.name, draft.version)),
            None,
        )
        if other is not None:
            return Refusal("INVALID_REQUEST", f"the tasks of {draft.name!r} would write to the log of {other[0]!r}'s")
        if len(topic.partitions) != draft.tasks or (before is not None and before.tasks != draft.tasks):
            return Refusal("INVALID_REQUEST", f"{draft.name!r} has {len(topic.partitions)} tasks, not {draft.tasks}")
        producer = before.producer if before is not None else ProducerId(next_producer)
        if before is None:
            next_producer += draft.tasks
        known[draft.name, draft.version] = _stage(draft, producer, paused=before is not None and before.paused)
    return App(name=command.name, stages=tuple(known.values()))


def _stage(draft: DraftedStage, producer: ProducerId, *, paused: bool) -> Stage:
    return Stage(
        name=draft.name,
        version=draft.version,
        spec=draft.spec,
        code=draft.code,
        topic=TopicId(draft.topic),
        tasks=draft.tasks,
        producer=producer,
        paused=paused,
        external=draft.external,
    )


def paused(app: App | None, command: SetPaused) -> App | Refusal:
    """The app with these stages paused, or not any more."""
    refusal = _refusal(app, command.app, command.stages)
    if app is None or refusal is not None:
        return refusal or _unknown(command.app)
    stages = (
        replace(stage, paused=command.paused) if (stage.name, stage.version) in command.stages else stage
        for stage in app.stages
    )
    return App(name=app.name, stages=tuple(stages))


def without(app: App | None, command: RemoveApp) -> App | Refusal:
    """The app without these stages; perhaps with none."""
    refusal = _refusal(app, command.app, command.stages)
    if app is None or refusal is not None:
        return refusal or _unknown(command.app)
    left = (stage for stage in app.stages if (stage.name, stage.version) not in command.stages)
    return App(name=app.name, stages=tuple(left))


def _refusal(app: App | None, name: str, stages: Collection[tuple[str, int]]) -> Refusal | None:
    if app is None:
        return _unknown(name)
    there = {(stage.name, stage.version) for stage in app.stages}
    missing = next((key for key in stages if key not in there), None)
    return Refusal("UNKNOWN_APP", f"app {name!r} has no {missing[0]}@{missing[1]}") if missing is not None else None


def _unknown(name: str) -> Refusal:
    return Refusal("UNKNOWN_APP", f"there is no app {name!r}")
