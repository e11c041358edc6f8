"""What the cluster says about its apps, as values. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from cluster.types import NodeId, Offset
from cluster.wire.api import app_pb2


class TaskState(StrEnum):
    """What a task is doing; UNKNOWN: nobody who knows could be asked, `TaskView.why` says more."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    WAITING = "waiting"
    FINISHED = "finished"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPositionView:
    """How far a task is in a partition of a topic; `end` None: not known."""

    topic: str
    partition: int
    position: Offset
    end: Offset | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureView:
    """A record that user code raised for, and what became of it (skipped, dead_lettered), when."""

    error: str
    became: str
    topic: str
    partition: int
    offset: Offset
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressView:
    """So many offsets are done of those that there are up to `until`; or of `what` a source captures that has an end.

    `total` 0: it is not known.
    """

    done: int
    total: int
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One task. `why`: a sentence; empty if all is fine. `node` None, and nothing else, where its state is unknown.

    `watermark_ns` None: there is none yet. `lag_records`, `lag_s` None: not known. `counts`: since its beginning.
    `last_failure`: of a record that was passed over or put aside. `retrying`: what waits for its next attempt. Rates
    are of the last ten seconds. `progress` None: no input ends. `redrive_left`: dead letters still to be handled.
    """

    number: int
    state: TaskState
    why: str
    node: NodeId | None
    term: int
    commits: int
    watermark_ns: int | None
    restarts: int
    positions: tuple[TaskPositionView, ...]
    lag_records: int | None
    lag_s: float | None
    unshipped_bytes: int
    timers: int
    counts: Mapping[str, int]
    state_bytes: int
    error_traceback: str
    last_failure: FailureView | None = None
    retrying: int = 0
    records_in_per_s: float = 0.0
    records_out_per_s: float = 0.0
    progress: ProgressView | None = None
    redrive_left: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageView:
    """A stage of an app: a processor's own, or the one that puts its records under another key (`kind` rekey).

    `inputs`, `outputs`: names of topics; `tasks`: those that were asked for, by number.
    """

    name: str
    version: int
    processor: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    on_error: str
    stores: tuple[str, ...]
    file_name: str
    code_sha256: bytes
    code_bytes: int
    paused: bool
    external: bool
    task_count: int
    tasks: tuple[TaskView, ...]
    outside: str = ""
    """Of a source or a sink: what it captures from, or delivers to."""
    guarantee: str = ""
    """Likewise: how often each record."""

    @property
    def lag_records(self) -> int | None:
        """Of all tasks together; None: of one it is not known."""
        lags = [task.lag_records for task in self.tasks]
        return None if not lags or None in lags else sum(lag for lag in lags if lag is not None)

    @property
    def lag_s(self) -> float | None:
        """Of the task that is furthest behind; None: of one it is not known."""
        lags = [task.lag_s for task in self.tasks]
        return None if not lags or None in lags else max(lag for lag in lags if lag is not None)

    @property
    def watermark_ns(self) -> int | None:
        """Of the task that is furthest behind; None: one has none yet."""
        marks = [task.watermark_ns for task in self.tasks]
        return None if not marks or None in marks else min(mark for mark in marks if mark is not None)

    @property
    def last_failure(self) -> FailureView | None:
        """The latest one of all tasks."""
        failures = [task.last_failure for task in self.tasks if task.last_failure is not None]
        return max(failures, key=lambda failure: failure.at_ns, default=None)

    @property
    def progress(self) -> ProgressView | None:
        """Of all tasks together; None: no input ends, or of one it is not known."""
        found = [task.progress for task in self.tasks if task.progress is not None]
        if not found or len(found) < len(self.tasks):
            return None
        total = sum(item.total for item in found) if all(item.total for item in found) or not found[0].what else 0
        return ProgressView(done=sum(item.done for item in found), total=total, what=found[0].what)

    @property
    def counts(self) -> dict[str, int]:
        """Of all tasks together, as far as they are known."""
        found: dict[str, int] = {}
        for task in self.tasks:
            for name, count in task.counts.items():
                found[name] = found.get(name, 0) + count
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class AppView:
    """An app with its stages, in the order of the data."""

    name: str
    stages: tuple[StageView, ...]


class Change(StrEnum):
    """What a deployment did to a stage."""

    NEW = "new"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentView:
    """What came of a deployment. `changes`: by stage and version, of those in the code; the app has others, perhaps."""

    app: AppView
    changes: Mapping[tuple[str, int], Change]
    topics_made: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveView:
    """One task's part in a redrive: so many dead letters are handled again; or `error`, why it was not begun."""

    stage: str
    version: int
    task: int
    records: int
    error: str


_STATES = {
    app_pb2.TASK_STATE_RUNNING: TaskState.RUNNING,
    app_pb2.TASK_STATE_PAUSED: TaskState.PAUSED,
    app_pb2.TASK_STATE_STOPPED: TaskState.STOPPED,
    app_pb2.TASK_STATE_WAITING: TaskState.WAITING,
    app_pb2.TASK_STATE_FINISHED: TaskState.FINISHED,
}
_CHANGES = {
    app_pb2.DEPLOYED_CHANGE_NEW: Change.NEW,
    app_pb2.DEPLOYED_CHANGE_REPLACED: Change.REPLACED,
    app_pb2.DEPLOYED_CHANGE_UNCHANGED: Change.UNCHANGED,
}


def app_view(app: app_pb2.App) -> AppView:
    """An app from the wire."""
    return AppView(name=app.name, stages=tuple(map(_stage_view, app.stages)))


def deployment_view(answer: app_pb2.DeployAppResponse) -> DeploymentView:
    """What DeployApp answered."""
    return DeploymentView(
        app=app_view(answer.app),
        changes={(item.name, item.version): _CHANGES.get(item.change, Change.REPLACED) for item in answer.stages},
        topics_made=tuple(answer.topics_made),
    )


def redrive_views(answer: app_pb2.RedriveAppResponse) -> tuple[RedriveView, ...]:
    """What RedriveApp answered."""
    return tuple(
        RedriveView(stage=task.stage, version=task.version, task=task.task, records=task.records, error=task.error)
        for task in answer.tasks
    )


def _stage_view(stage: app_pb2.Stage) -> StageView:
    return StageView(
        name=stage.name,
        version=stage.version,
        processor=stage.processor,
        kind=stage.kind,
        inputs=tuple(item.topic for item in stage.inputs),
        outputs=tuple(item.topic for item in stage.outputs),
        on_error=stage.on_error,
        stores=tuple(stage.stores),
        file_name=stage.code.file_name,
        code_sha256=stage.code.sha256,
        code_bytes=stage.code.size_bytes,
        paused=stage.paused,
        external=stage.external,
        outside=stage.outside,
        guarantee=stage.guarantee,
        task_count=stage.task_count,
        tasks=tuple(_task_view(task, stage) for task in stage.tasks),
    )


def _task_view(task: app_pb2.Task, stage: app_pb2.Stage) -> TaskView:
    state = _STATES.get(task.state, TaskState.UNKNOWN)
    return TaskView(
        number=task.task,
        state=state,
        why=task.why,
        node=NodeId(task.node) if state is not TaskState.UNKNOWN else None,
        term=task.term,
        commits=task.commits,
        watermark_ns=task.watermark_ns if task.HasField("watermark_ns") else None,
        restarts=task.restarts,
        positions=tuple(_position_view(item, stage) for item in task.positions),
        lag_records=task.lag_records if task.HasField("lag_records") else None,
        lag_s=task.lag_s if task.HasField("lag_s") else None,
        unshipped_bytes=task.unshipped_bytes,
        timers=task.timers,
        counts=dict(task.counts),
        state_bytes=task.state_bytes,
        error_traceback=task.error_traceback,
        last_failure=_failure_view(task.last_failure) if task.HasField("last_failure") else None,
        retrying=task.retrying,
        records_in_per_s=task.records_in_per_s,
        records_out_per_s=task.records_out_per_s,
        progress=(
            ProgressView(done=task.progress.done, total=task.progress.total, what=task.progress.what)
            if task.HasField("progress")
            else None
        ),
        redrive_left=task.redrive_left,
    )


def _failure_view(failure: app_pb2.TaskFailure) -> FailureView:
    return FailureView(
        error=failure.error,
        became=failure.became,
        topic=failure.topic,
        partition=failure.partition,
        offset=Offset(failure.offset),
        at_ns=failure.at_ns,
    )


def _position_view(item: app_pb2.TaskPosition, stage: app_pb2.Stage) -> TaskPositionView:
    known = item.input < len(stage.inputs)
    return TaskPositionView(
        topic=stage.inputs[item.input].topic if known else f"input {item.input}",
        partition=item.partition,
        position=Offset(item.position),
        end=Offset(item.end) if item.HasField("end") else None,
    )
