"""Why records wait for a task: its code fails, nothing runs it, its destinations do not take what it writes. Pure."""

from collections.abc import Iterator, Mapping

from cluster.broker.explaining.findings import Explanation, Finding, Severity, explanation, has_no_leader, of_another
from cluster.broker.explaining.words import counted, listed, size, span_ms
from cluster.wire.api import app_pb2

NO_WORKER = "no worker for"
NOT_SHIPPED = ("what it has put out is not at ", "outputs to ")
MS_PER_S = 1_000


def task_name(app: str, stage: str, version: int, number: int) -> str:
    """As it is told."""
    return f"task {app}/{stage}@{version}/{number}"


def explain_task(
    app: str,
    stage: app_pb2.Stage,
    task: app_pb2.Task,
    *,
    log: Explanation,
    inputs: Mapping[tuple[str, int], Explanation],
    outputs: Mapping[tuple[str, int], Explanation],
) -> Explanation:
    """`log`: the partition that is its log. `inputs`: those whose end is not known; `outputs`: those without a leader.

    Each of them is explained.
    """
    subject = task_name(app, stage.name, stage.version, task.task)
    findings = [*_doing(app, stage, task, log), *_without_leader(inputs, outputs), *_put_aside(app, stage, task)]
    findings += of_another(log, findings)
    for found in [*inputs.values(), *outputs.values()]:
        findings += of_another(found, findings)
    return explanation(subject, findings, [*_state(stage, task), *(f"its log: {line}" for line in log.state[:1])])


# --- what it is doing


def _doing(app: str, stage: app_pb2.Stage, task: app_pb2.Task, log: Explanation) -> Iterator[Finding]:
    processor = f"{stage.processor}@{stage.version}"
    match task.state:
        case app_pb2.TASK_STATE_UNKNOWN:
            yield Finding(
                code="TASK_UNKNOWN",
                severity=Severity.CRITICAL,
                cause=f"nobody who knows could be asked: it runs where {log.subject} is led"
                + ("" if has_no_leader(log) else f" ({_sentence(task.why)})"),
                consequence=f"nothing is processed while that partition has no leader; {_waiting(task)}",
                advice="what keeps that partition is told below; if nothing is, ask again in a few seconds",
            )
        case app_pb2.TASK_STATE_PAUSED:
            yield Finding(
                code="PAUSED",
                severity=Severity.NOTE,
                numbers=_numbers(task),
                cause="somebody has paused it",
                consequence=f"nothing is read until it is resumed: {_waiting(task)}",
                advice=f"to go on: `riverrun app resume {app} {processor}`",
            )
        case app_pb2.TASK_STATE_STOPPED:
            yield _stopped(app, stage, task, processor)
        case app_pb2.TASK_STATE_WAITING:
            yield _waits(stage, task)
        case _ if task.retrying:
            yield Finding(
                code="TASK_FAILING",
                severity=Severity.WARNING,
                numbers={"retrying": task.retrying, **_numbers(task)},
                nodes=(task.node,),
                cause=f"its code fails at {counted(task.retrying, 'record')}, which will be tried again: "
                f"{_sentence(task.why)}{_raised(task)}",
                consequence=f"what is behind in the same partition waits for it, other partitions go on: "
                f"{_waiting(task)}",
                advice=f"is what its code calls in order? `riverrun app describe {app}` has the whole error; when the "
                f"tries are over, `on_error` ({stage.on_error}) decides about the record",
            )


def _stopped(app: str, stage: app_pb2.Stage, task: app_pb2.Task, processor: str) -> Finding:
    refused = task.why.startswith(NOT_SHIPPED[1])
    return Finding(
        code="TASK_BACKPRESSURE" if refused else "TASK_FAILING",
        severity=Severity.CRITICAL,
        numbers=_numbers(task),
        nodes=(task.node,),
        cause=f"it has stopped: {_sentence(task.why)}{_raised(task)}",
        consequence=f"nothing is lost and nothing is processed until it goes on: {_waiting(task)}",
        advice=f"put its code in order and deploy it again (`{_deploy(stage)}`), or, if the "
        f"cause is gone, `riverrun app resume {app} {processor}`: it begins again at the same record",
    )


def _waits(stage: app_pb2.Stage, task: app_pb2.Task) -> Finding:
    why = _sentence(task.why)
    code, severity = "TASK_WAITS", Severity.WARNING
    advice = f"ask again in a few seconds; if it stays so, look at the log of node {task.node}"
    if NO_WORKER in why:
        code, severity = "TASK_WAITS_FOR_WORKER", Severity.CRITICAL
        advice = f"start a worker, on any machine: `riverrun worker {stage.code.file_name} --connect HOST:PORT`"
    elif why.startswith(NOT_SHIPPED):
        code, severity = "TASK_BACKPRESSURE", Severity.CRITICAL
        written = [output.topic for output in stage.outputs]
        advice = (
            "look at where it writes to: "
            + listed([f"`riverrun explain partition {topic}/N`" for topic in written], "its destination")
            + "; it goes on by itself when that takes what it has"
        )
    elif stage.outside:
        advice = f"is {stage.outside} there, and does it take connections from node {task.node}? It is tried again"
    return Finding(
        code=code,
        severity=severity,
        numbers={"unshipped_bytes": task.unshipped_bytes, "restarts": task.restarts, **_numbers(task)},
        nodes=(task.node,),
        cause=f"it waits: {why}"
        + (f" ({size(task.unshipped_bytes)} are committed and not there yet)" if code == "TASK_BACKPRESSURE" else ""),
        consequence=_waiting(task),
        advice=advice,
    )


def _without_leader(
    inputs: Mapping[tuple[str, int], Explanation], outputs: Mapping[tuple[str, int], Explanation]
) -> Iterator[Finding]:
    if inputs:
        names = listed(f"{topic}/{number}" for topic, number in inputs)
        yield Finding(
            code="INPUT_WITHOUT_LEADER",
            severity=Severity.CRITICAL,
            numbers={"partitions": len(inputs)},
            cause=f"the leader of {names}, which it reads, does not answer, or there is none",
            consequence="nothing of it can be read, and event time stands still, so windows stay open",
            advice="why that is, and what to do, is told below",
        )
    if outputs:
        names = listed(f"{topic}/{number}" for topic, number in outputs)
        yield Finding(
            code="OUTPUT_WITHOUT_LEADER",
            severity=Severity.WARNING,
            numbers={"partitions": len(outputs)},
            cause=f"{names}, which it writes, {'has' if len(outputs) == 1 else 'have'} no leader",
            consequence="what it has for them stays in its log; when that is too much it reads nothing more",
            advice="why that is, and what to do, is told below",
        )


def _put_aside(app: str, stage: app_pb2.Stage, task: app_pb2.Task) -> Iterator[Finding]:
    aside = {name: number for name, number in task.counts.items() if number and name in {"dead_lettered", "parked"}}
    if aside:
        last = task.last_failure
        where = f"; the last one was {last.topic}/{last.partition}@{last.offset}: {_sentence(last.error)}"
        yield Finding(
            code="RECORDS_PUT_ASIDE",
            severity=Severity.NOTE,
            numbers=aside,
            cause=f"since its beginning it could not handle {counted(sum(aside.values()), 'record')} "
            f"({listed(name.replace('_', '-') for name in aside)})" + (where if last.error else ""),
            consequence="they are kept as dead letters, and everything else went on",
            advice=f"when its code is in order: `riverrun app redrive {app} {stage.processor}@{stage.version}`",
        )


def _deploy(stage: app_pb2.Stage) -> str:
    kind = "route" if stage.code.file_name.endswith(".toml") else "app"
    return f"riverrun {kind} deploy {stage.code.file_name}"


# --- how it is


def _state(stage: app_pb2.Stage, task: app_pb2.Task) -> Iterator[str]:
    state = app_pb2.TaskState.Name(task.state).removeprefix("TASK_STATE_").lower()
    if task.state == app_pb2.TASK_STATE_UNKNOWN:
        yield "what it is doing is not known"
        return
    yield f"{state} on node {task.node}; {_waiting(task)}"
    yield (
        f"reads {task.records_in_per_s:,.0f} records/s, writes {task.records_out_per_s:,.0f}; "
        f"{counted(task.commits, 'commit')}, {size(task.unshipped_bytes)} not at their destinations, "
        f"{counted(task.restarts, 'restart')} of its process"
    )
    for position in task.positions:
        name = stage.inputs[position.input].topic if position.input < len(stage.inputs) else f"input {position.input}"
        end = f"{position.end:,}" if position.HasField("end") else "an end that is not known"
        yield f"{name}/{position.partition}: at {position.position:,} of {end}"


def _waiting(task: app_pb2.Task) -> str:
    if not task.HasField("lag_records"):
        return "how many records wait is not known"
    if not task.lag_records:
        return "no record waits"
    oldest = f", the oldest for {span_ms(task.lag_s * MS_PER_S)}" if task.HasField("lag_s") else ""
    return f"{counted(task.lag_records, 'record waits', 'records wait')}{oldest}"


def _numbers(task: app_pb2.Task) -> dict[str, float]:
    numbers: dict[str, float] = {}
    if task.HasField("lag_records"):
        numbers["lag_records"] = task.lag_records
    if task.HasField("lag_s"):
        numbers["lag_s"] = task.lag_s
    return numbers


def _raised(task: app_pb2.Task) -> str:
    """Where its code raised, if that is known."""
    places = [line.strip() for line in task.error_traceback.splitlines() if line.strip().startswith("File ")]
    return f" ({places[-1]})" if places else ""


def _sentence(text: str) -> str:
    return " ".join(text.split())
