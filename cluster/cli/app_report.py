"""What `riverrun app` prints: apps, their stages and their tasks, for people and for programs."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cluster.cli.quantities import as_size
from cluster.cli.shared import counted, new_table, print_table

if TYPE_CHECKING:
    from cluster.client.app_views import AppView, DeploymentView, StageView, TaskView

MS_PER_S = 1_000
NS_PER_MS = 1_000_000
TRACEBACK_LINES_MAX = 12
"""Of an error, its last; the rest with --json."""
BAR_CHARS = 30
SMALL_RATE = 10
SECONDS_CHARS = len("2026-11-27 10:00:00")
ALL_IS_WELL = {"running", "paused", "finished"}


def print_deployment(deployed: "DeploymentView", file_name: str) -> None:
    """What came of it."""
    click.echo(f"deployed {deployed.app.name} from {file_name}")
    table = new_table("PROCESSOR", "CHANGE", "TASKS", "READS", "WRITES")
    other = []
    for stage in deployed.app.stages:
        change = deployed.changes.get((stage.name, stage.version))
        if change is None:
            other.append(f"{stage.name}@{stage.version}")
            continue
        table.add_row(
            f"{stage.name}@{stage.version}",
            str(change),
            str(stage.task_count),
            stage.outside if stage.kind == "source" else _topics(stage.inputs),
            _written(stage),
        )
    print_table(table)
    if deployed.topics_made:
        click.echo(f"made: {', '.join(deployed.topics_made)}")
    if other:
        click.echo(f"not in this file, and goes on as it is: {', '.join(other)} (riverrun app remove ends it)")


def print_apps(apps: Sequence["AppView"]) -> None:
    """One line each."""
    table = new_table("APP", "CODE", "TASKS", "PROCESSORS")
    for app in apps:
        names = dict.fromkeys(f"{stage.processor}@{stage.version}" for stage in app.stages)
        files = dict.fromkeys(stage.file_name for stage in app.stages)
        tasks = sum(stage.task_count for stage in app.stages)
        table.add_row(app.name, " ".join(files), str(tasks), " ".join(names))
    print_table(table)


def print_app(app: "AppView", *, tasks: bool) -> None:
    """Its stages, then what is not well, once for all tasks that have it; `tasks`: each of them, too."""
    click.echo(f"app {app.name}   {counted(len(app.stages), 'stage')}")
    table = new_table("PROCESSOR", "STATE", "TASKS", "LAG", "IN/S", "OUT/S", "WATERMARK")
    for stage in app.stages:
        table.add_row(
            f"{stage.name}@{stage.version}",
            state_of(stage),
            str(stage.task_count),
            _lag(stage.lag_records, stage.lag_s),
            _rate(sum(task.records_in_per_s for task in stage.tasks)),
            _rate(sum(task.records_out_per_s for task in stage.tasks)),
            _moment(stage.watermark_ns)[:SECONDS_CHARS],
        )
    print_table(table)
    if tasks:
        for stage in app.stages:
            _print_tasks(stage)
    for stage in app.stages:
        for line in _lines_of(stage):
            click.echo(f"{stage.name}@{stage.version}: {line}")
        _print_trouble(stage)


def _lines_of(stage: "StageView") -> Iterator[str]:
    """How far it is, where that has an end; and what went wrong and is over, or under way."""
    progress, failure = stage.progress, stage.last_failure
    if stage.outside:
        yield f"{'captures from' if stage.kind == 'source' else 'delivers to'} {stage.outside}, {stage.guarantee}"
    counts = [f"{name} {number:,}" for name, number in sorted(stage.counts.items()) if number]
    if progress is not None:
        yield _bar(progress.done, progress.total, progress.what)
    if counts:
        yield ", ".join(counts)
    if failure is not None:
        error = _in_one_line(failure.error)
        yield (
            f"the last record that it could not handle was {failure.topic}/{failure.partition} at offset "
            f"{failure.offset}, {failure.became.replace('_', '-')} {_moment(failure.at_ns)}: {error} "
            f"(on_error: {stage.on_error})"
        )
    left = sum(task.redrive_left for task in stage.tasks)
    if left:
        yield f"{counted(left, 'dead letter')} still to be handled again, by a redrive that is under way"
    restarts = sum(task.restarts for task in stage.tasks)
    if restarts:
        times = counted(restarts, "time")
        yield f"the process with its code ended {times} (a crash, a hang, too much memory) since these nodes run it"


def _written(stage: "StageView") -> str:
    topics = _topics(stage.outputs)
    if stage.kind != "sink":
        return topics
    return stage.outside if not stage.outputs else f"{stage.outside}, {topics}"


def _bar(done: int, total: int, what: str) -> str:
    if what and not total:
        return f"{what}: {done:,}"
    share = min(done / total, 1.0) if total else 1.0
    bar = "#" * int(share * BAR_CHARS)
    return f"[{bar:-<{BAR_CHARS}}] {int(share * 100)} %   {done:,} of {total:,} {what or 'records'}"


def state_of(stage: "StageView") -> str:
    """Of all its tasks: one word if they agree, else how many of each."""
    found = Counter(str(task.state) for task in stage.tasks)
    if not found:
        return "paused" if stage.paused else "-"
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{count} {state}" for state, count in found.most_common())


def _print_tasks(stage: "StageView") -> None:
    click.echo(
        f"tasks of {stage.name}@{stage.version}, {stage.kind}, code {stage.file_name} {stage.code_sha256.hex()[:12]}"
    )
    table = new_table("TASK", "STATE", "NODE", "COMMITS", "LAG", "RESTARTS", "STATE SIZE", "POSITIONS")
    for task in stage.tasks:
        table.add_row(
            str(task.number),
            str(task.state),
            "-" if task.node is None else str(task.node),
            f"{task.commits:,}",
            _lag(task.lag_records, task.lag_s),
            str(task.restarts),
            as_size(task.state_bytes) if task.state_bytes else "0",
            " ".join(
                f"{at.topic}/{at.partition}:{at.position}{'' if at.end is None else f' of {at.end}'}"
                for at in task.positions
            )
            or "-",
        )
    print_table(table)


def _print_trouble(stage: "StageView") -> None:
    told: dict[tuple[str, str], list[TaskView]] = {}
    for task in stage.tasks:
        if task.why or task.error_traceback or str(task.state) not in ALL_IS_WELL:
            told.setdefault((task.why, task.error_traceback), []).append(task)
    for (why, traceback), tasks in told.items():
        numbers = ", ".join(str(task.number) for task in tasks)
        who = f"{stage.name}@{stage.version}, task{'s' * (len(tasks) > 1)} {numbers}"
        click.echo(
            f"{who}: {_in_one_line(why) or ('the last error of its code was' if traceback else str(tasks[0].state))}"
        )
        lines = traceback.rstrip().splitlines()
        if len(lines) > TRACEBACK_LINES_MAX:
            lines = ["…", *lines[-TRACEBACK_LINES_MAX:]]
        for line in lines:
            click.echo(f"    {line}")


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _topics(names: Sequence[str]) -> str:
    """What is between two stages of the app has no name for people."""
    return ", ".join("(re-keyed)" if name.startswith("__") else name for name in names) or "-"


def _lag(records: int | None, seconds: float | None) -> str:
    """In records, and how long the oldest of them has waited."""
    if records is None:
        return "-"
    return f"{records:,}" + (f", {seconds:,.1f} s" if records and seconds is not None else "")


def _rate(per_s: float) -> str:
    """With a digit behind the point where it is small."""
    return "0" if not per_s else f"{per_s:,.1f}" if per_s < SMALL_RATE else f"{per_s:,.0f}"


def _moment(ns: int | None) -> str:
    """In UTC, to the millisecond, where it is not a whole second."""
    if ns is None:
        return "-"
    try:
        moment = dt.datetime.fromtimestamp(ns // NS_PER_MS / MS_PER_S, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return str(ns)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f" if moment.microsecond else "%Y-%m-%d %H:%M:%S")[:23]


def plain_app(app: "AppView") -> dict[str, Any]:
    """For programs: all that is known."""
    return {"app": app.name, "stages": [_plain_stage(stage) for stage in app.stages]}


def _plain_stage(stage: "StageView") -> dict[str, Any]:
    return {
        "stage": stage.name,
        "version": stage.version,
        "processor": stage.processor,
        "kind": stage.kind,
        "state": state_of(stage),
        "inputs": list(stage.inputs),
        "outputs": list(stage.outputs),
        "on_error": stage.on_error,
        "stores": list(stage.stores),
        "code": {"file": stage.file_name, "sha256": stage.code_sha256.hex(), "bytes": stage.code_bytes},
        "paused": stage.paused,
        "external": stage.external,
        "outside": stage.outside,
        "guarantee": stage.guarantee,
        "task_count": stage.task_count,
        "lag_records": stage.lag_records,
        "lag_s": stage.lag_s,
        "watermark_ns": stage.watermark_ns,
        "counts": stage.counts,
        "last_failure": None if stage.last_failure is None else asdict(stage.last_failure),
        "progress": None if stage.progress is None else asdict(stage.progress),
        "tasks": [_plain_task(task) for task in stage.tasks],
    }


def _plain_task(task: "TaskView") -> dict[str, Any]:
    return {
        "task": task.number,
        "state": str(task.state),
        "why": task.why,
        "node": task.node,
        "term": task.term,
        "commits": task.commits,
        "watermark_ns": task.watermark_ns,
        "restarts": task.restarts,
        "positions": [
            {"topic": at.topic, "partition": at.partition, "position": at.position, "end": at.end}
            for at in task.positions
        ],
        "lag_records": task.lag_records,
        "lag_s": task.lag_s,
        "unshipped_bytes": task.unshipped_bytes,
        "timers": task.timers,
        "counts": dict(task.counts),
        "state_bytes": task.state_bytes,
        "error_traceback": task.error_traceback,
        "last_failure": None if task.last_failure is None else asdict(task.last_failure),
        "retrying": task.retrying,
        "records_in_per_s": task.records_in_per_s,
        "records_out_per_s": task.records_out_per_s,
        "progress": None if task.progress is None else asdict(task.progress),
        "redrive_left": task.redrive_left,
    }
