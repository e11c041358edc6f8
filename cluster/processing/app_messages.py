"""Apps and their tasks as they are told: from the controller's values and the tasks' own to public messages. Pure."""

from collections.abc import Mapping, Sequence

from cluster.metadata import App, Stage
from cluster.processing.spec import ProcessorSpec
from cluster.processing.stages import processor_of, specs_of
from cluster.processing.task_status import TaskState, TaskStatus
from cluster.processing.work import AFTER_ALL_TIME_NS, BEFORE_ALL_TIME_NS
from cluster.wire.api import app_pb2

TRACEBACKS_BYTES_MAX = 1 << 20
"""Of all tasks of an app together, so that the answer fits into a message; the rest are asked for by looking again."""
_STATES = {
    TaskState.RUNNING: app_pb2.TASK_STATE_RUNNING,
    TaskState.PAUSED: app_pb2.TASK_STATE_PAUSED,
    TaskState.STOPPED: app_pb2.TASK_STATE_STOPPED,
    TaskState.WAITING: app_pb2.TASK_STATE_WAITING,
    TaskState.FINISHED: app_pb2.TASK_STATE_FINISHED,
}


TaskKey = tuple[str, int, int]
"""A task's stage by name and version, and its number."""


def app_to_pb(app: App, tasks: Mapping[TaskKey, app_pb2.Task] | None = None) -> app_pb2.App:
    """The app, with what is known of its tasks."""
    return app_pb2.App(name=app.name, stages=[_stage_to_pb(stage, spec, tasks or {}) for stage, spec in specs_of(app)])


def _stage_to_pb(stage: Stage, spec: ProcessorSpec, tasks: Mapping[TaskKey, app_pb2.Task]) -> app_pb2.Stage:
    keys = [(stage.name, stage.version, number) for number in range(stage.tasks)]
    return app_pb2.Stage(
        name=stage.name,
        version=stage.version,
        processor=processor_of(spec),
        kind=str(spec.kind),
        inputs=[
            app_pb2.StageInput(topic=item.topic, kind=str(item.kind), start=item.start, until=item.until)
            for item in spec.inputs
        ],
        outputs=[app_pb2.StageOutput(topic=item.topic) for item in spec.outputs],
        on_error=spec.on_error,
        stores=spec.stores,
        code=app_pb2.StageCode(file_name=stage.code.name, sha256=stage.code.sha256, size_bytes=stage.code.size_bytes),
        paused=stage.paused,
        external=stage.external,
        task_count=stage.tasks,
        tasks=[tasks[key] for key in keys if key in tasks],
        outside=spec.outside,
        guarantee=spec.guarantee,
    )


def task_to_pb(number: int, status: TaskStatus, *, traceback_bytes_max: int) -> app_pb2.Task:
    """What a task is doing."""
    message = app_pb2.Task(
        task=number,
        state=_STATES[status.state],
        why=status.why,
        node=status.node,
        term=status.term,
        commits=status.commits,
        restarts=status.restarts,
        positions=[
            app_pb2.TaskPosition(
                input=item.input,
                partition=item.partition,
                position=item.position,
                end=item.end if item.end >= 0 else None,
            )
            for item in status.positions
        ],
        unshipped_bytes=status.unshipped_bytes,
        timers=status.timers,
        counts=status.counts,
        state_bytes=status.state_bytes,
        error_traceback=_tail(status.error_traceback, traceback_bytes_max),
        retrying=status.retrying,
        records_in_per_s=status.records_in_per_s,
        records_out_per_s=status.records_out_per_s,
        redrive_left=status.redrive_left,
    )
    if BEFORE_ALL_TIME_NS < status.watermark_ns < AFTER_ALL_TIME_NS:
        message.watermark_ns = status.watermark_ns
    if status.lag_records >= 0:
        message.lag_records = status.lag_records
    if status.lag_s >= 0:
        message.lag_s = status.lag_s
    if status.progress is not None:
        message.progress.CopyFrom(app_pb2.TaskProgress(**status.progress._asdict()))
    if status.failure is not None:
        failure = status.failure
        message.last_failure.CopyFrom(
            app_pb2.TaskFailure(
                error=failure.error,
                became=failure.became,
                topic=failure.topic,
                partition=failure.partition,
                offset=failure.offset,
                at_ns=failure.at_ns,
            )
        )
    return message


def unknown_task(number: int, why: str) -> app_pb2.Task:
    """A task of which nothing can be told."""
    return app_pb2.Task(task=number, state=app_pb2.TASK_STATE_UNKNOWN, why=why)


def trim_tracebacks(tasks: Sequence[app_pb2.Task]) -> None:
    """The first ones are told, as far as they fit: it is the same error most of the time."""
    left = TRACEBACKS_BYTES_MAX
    for task in tasks:
        size = len(task.error_traceback.encode())
        if size > left:
            task.error_traceback = _tail(task.error_traceback, 0)
        left -= size


def _tail(text: str, bytes_max: int) -> str:
    """The end of it, which says what happened."""
    data = text.encode()
    if len(data) <= bytes_max:
        return text
    return "… " + data[len(data) - bytes_max :].decode(errors="ignore")
