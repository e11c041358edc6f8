"""What a task tells about itself: what its leader has in memory, and where its inputs end."""

import asyncio

from cluster.broker.read_service import ReadService
from cluster.errors import RiverrunError
from cluster.processing.task_status import Position, Progress, TaskState, TaskStatus
from cluster.processing.tasks.feed import Source
from cluster.processing.tasks.leading import Leading
from cluster.processing.tasks.shipper import Shipper
from cluster.types import NodeId, PartitionId
from cluster.wire.api import stream_pb2
from cluster.world import Clock

NS_PER_S = 1_000_000_000
DESTINATIONS_TOLD_MAX = 3
ASK_S_MAX = 1.0
"""A leader that does not answer within this is left out."""


async def status_of(
    leading: Leading, *, node: NodeId, reading: ReadService, clock: Clock, state_bytes: int
) -> TaskStatus:
    """Of the task that is led here."""
    ledger, failure = leading.ledger, leading.failure
    state, why = _state(leading)
    retried, traceback = leading.retrying.told(clock.monotonic_s()) if state is TaskState.RUNNING else ("", "")
    (positions, lag_records, lag_s), progress = await asyncio.gather(
        _lag(leading, reading, clock), _progress(leading, reading)
    )
    if state is TaskState.FINISHED:  # what is behind `until` does not wait for it
        lag_records, lag_s = 0, 0.0
    records_in_per_s, records_out_per_s = leading.rates.per_s(clock.monotonic_s())
    shipper = leading.shipper
    return TaskStatus(
        state=state,
        why=why or retried,
        node=node,
        term=leading.term,
        commits=ledger.n,
        watermark_ns=ledger.watermark_ns,
        restarts=leading.restarts,
        positions=positions,
        lag_records=lag_records,
        lag_s=lag_s,
        unshipped_bytes=shipper.shipping.bytes if shipper is not None else 0,
        timers=len(ledger.timers),
        counts=dict(ledger.counts),
        state_bytes=state_bytes,
        error_traceback=failure.metadata.get("traceback", "") if failure is not None else traceback,
        failure=ledger.failure,
        retrying=leading.retrying.count,
        records_in_per_s=records_in_per_s,
        records_out_per_s=records_out_per_s,
        progress=progress,
        redrive_left=sum(end - ledger.positions[partition] for partition, end in ledger.redrive.items()),
    )


def _state(leading: Leading) -> tuple[TaskState, str]:
    working, shipper = leading.working, leading.shipper
    if leading.state == TaskState.RUNNING and shipper is not None:
        written = {output.topic for output in leading.plan.outputs} if leading.plan is not None else set()
        refusals = [item for item in shipper.shipping.stopped.items() if item[0].topic in written]
        if refusals:
            partition, error = refusals[0]
            return TaskState.STOPPED, f"outputs to {_name(leading, partition)} are refused: {error.message}"
        if leading.is_held_up:
            return TaskState.WAITING, f"what it has put out is not at {_destinations(leading, shipper)}"
    if working is not None and working.word.trouble and leading.state == TaskState.RUNNING:
        return TaskState.WAITING, working.word.trouble
    if working is not None and working.finished:
        return TaskState.FINISHED, ""
    return TaskState(leading.state), leading.trouble() or leading.why


def _destinations(leading: Leading, shipper: Shipper) -> str:
    """Those that it waits for, and why they do not take it, if they say so."""
    told = []
    for partition in shipper.shipping.waiting[:DESTINATIONS_TOLD_MAX]:
        refusal = shipper.refusals.get(partition)
        told.append(_name(leading, partition) + (f" ({refusal.message})" if refusal is not None else ""))
    more = len(shipper.shipping.waiting) - len(told)
    return ", ".join(told) + (f", and {more} more" if more > 0 else "") + " yet; nothing more is read until it is"


def _name(leading: Leading, partition: PartitionId) -> str:
    outputs = leading.plan.outputs if leading.plan is not None else ()
    name = next((output.name for output in outputs if output.topic == partition.topic), str(partition.topic))
    return f"{name}/{partition.number}"


async def _lag(leading: Leading, reading: ReadService, clock: Clock) -> tuple[list[Position], int, float]:
    """Positions, and the lag in records and in seconds; -1 where it is not known."""
    sources = _sources(leading)
    places = [leading.ledger.positions[source.partition] for source in sources]
    answers = await asyncio.gather(
        *(
            _ask(reading, source, stream_pb2.Position(offset=place))
            for source, place in zip(sources, places, strict=True)
        )
    )
    positions = []
    records, oldest_ns = 0, clock.wall_ns()
    for source, place, answer in zip(sources, places, answers, strict=True):
        end = -1 if answer is None else answer.end
        positions.append(Position(source.number, source.partition.number, place, end))
        records = -1 if answer is None or records < 0 else records + max(end - place, 0)
        if answer is not None and end > place and answer.HasField("at_append_time_ns"):  # else all of it was deleted
            oldest_ns = min(oldest_ns, answer.at_append_time_ns)
    if leading.plan is None:
        records = -1
    return positions, records, -1.0 if records < 0 else max(clock.wall_ns() - oldest_ns, 0) / NS_PER_S


async def _progress(leading: Leading, reading: ReadService) -> Progress | None:
    """Of inputs that end, or of a source; None: none does, or it is not known. What is to come is not in it."""
    if leading.working is not None and leading.working.word.progress is not None:
        what, done, total = leading.working.word.progress
        return Progress(done, total, what)
    begin = leading.ledger.begin
    ending = [(source, source.until_ns) for source in _sources(leading) if source.until_ns is not None]
    if begin is None or not ending:
        return None
    starts, positions = dict(begin.inputs), leading.ledger.positions
    answers = await asyncio.gather(
        *(_ask(reading, source, stream_pb2.Position(append_time_ns=until_ns)) for source, until_ns in ending)
    )
    done = total = 0
    for (source, _), answer in zip(ending, answers, strict=True):
        if answer is None:
            return None
        start = starts[source.partition]
        done += max(min(positions[source.partition], answer.at) - start, 0)
        total += max(answer.at - start, 0)
    return Progress(done, total)


def _sources(leading: Leading) -> list[Source]:
    """What it reads."""
    plan, positions = leading.plan, leading.ledger.positions
    return [source for source in plan.sources if source.partition in positions] if plan is not None else []


async def _ask(reading: ReadService, source: Source, at: stream_pb2.Position) -> stream_pb2.PartitionOffsets | None:
    """The partition's end, and what is at that position; None: its leader did not say."""
    try:
        async with asyncio.timeout(ASK_S_MAX):
            return await reading.offsets_of(source.topic, source.partition.number, at)
    except (RiverrunError, TimeoutError):
        return None
