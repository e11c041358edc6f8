"""How tasks are told of: what is not known is absent, and long errors keep their end."""

from dataclasses import asdict

import msgspec

from cluster.client.app_views import ProgressView, app_view
from cluster.processing.app_messages import TRACEBACKS_BYTES_MAX, task_to_pb, trim_tracebacks
from cluster.processing.task_status import Position, Progress, TaskState, TaskStatus
from cluster.processing.work import AFTER_ALL_TIME_NS, BEFORE_ALL_TIME_NS, Failure
from cluster.types import NodeId, Offset, Term
from cluster.wire.api import app_pb2


def status(**more: object) -> TaskStatus:
    """A task that waits."""
    values: dict = {
        "state": TaskState.WAITING,
        "why": "its input has no leader",
        "node": NodeId(2),
        "term": Term(3),
        "commits": 4,
        "watermark_ns": BEFORE_ALL_TIME_NS,
        "restarts": 1,
    }
    return TaskStatus(**values | more)


def test_what_is_not_known_is_absent():
    """A lag, an end, a watermark: zero would be a lie."""
    message = task_to_pb(5, status(positions=[Position(0, 5, Offset(7), -1)]), traceback_bytes_max=100)
    assert (5, app_pb2.TASK_STATE_WAITING, "its input has no leader") == (message.task, message.state, message.why)
    absent = [message.HasField("watermark_ns"), message.HasField("lag_records"), message.HasField("lag_s")]
    assert [False, False, False] == absent
    assert not message.positions[0].HasField("end")
    known = task_to_pb(
        5,
        status(watermark_ns=-5, lag_records=0, lag_s=0.0, positions=[Position(0, 5, Offset(7), 7)]),
        traceback_bytes_max=100,
    )
    assert (-5, 0, 0.0, 7) == (known.watermark_ns, known.lag_records, known.lag_s, known.positions[0].end)
    assert known.HasField("lag_records")
    done = task_to_pb(5, status(watermark_ns=AFTER_ALL_TIME_NS), traceback_bytes_max=100)
    assert not done.HasField("watermark_ns")


def test_what_went_wrong_last_is_told_and_how_far_a_bounded_job_is():
    """All of it, or nothing."""
    empty = task_to_pb(0, status(), traceback_bytes_max=100)
    assert [False, False] == [empty.HasField("last_failure"), empty.HasField("progress")]
    failure = Failure(error="ValueError: no", became="skipped", topic="in", partition=3, offset=9, at_ns=5)
    told = status(failure=failure, progress=Progress(0, 7), retrying=2, redrive_left=4, records_in_per_s=1.5)
    task = app_view(
        app_pb2.App(stages=[app_pb2.Stage(tasks=[task_to_pb(0, told, traceback_bytes_max=100)], task_count=1)])
    )
    (stage,) = task.stages
    assert ProgressView(done=0, total=7) == stage.progress
    assert asdict(stage.last_failure) == msgspec.structs.asdict(failure)
    assert (2, 4, 1.5) == tuple(
        getattr(stage.tasks[0], name) for name in ("retrying", "redrive_left", "records_in_per_s")
    )


def test_of_a_long_error_its_end_is_told():
    """That is where it says what happened, in whole characters."""
    message = task_to_pb(0, status(error_traceback="é" * 100 + "ValueError: no"), traceback_bytes_max=17)
    assert "… éValueError: no" == message.error_traceback


def test_the_errors_of_many_tasks_fit_into_one_message():
    """The first ones are told, as far as they fit."""
    size = TRACEBACKS_BYTES_MAX // 3
    tasks = [app_pb2.Task(task=number, error_traceback="x" * size) for number in range(10)]
    trim_tracebacks(tasks)
    assert [size, size, size] == [len(task.error_traceback) for task in tasks[:3]]
    assert ["… "] * 7 == [task.error_traceback for task in tasks[3:]]
