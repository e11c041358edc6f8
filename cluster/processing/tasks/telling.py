"""What a task tells about itself: what its leader has in memory, and where its inputs end."""

import asyncio

from cluster.broker.read_service import ReadService
from cluster.errors import RiverrunError
from cluster.processing.task_status import Position, TaskState, TaskStatus
from cluster.processing.tasks.feeding import Source
from cluster.processing.tasks.leading import Leading
from cluster.processing.tasks.shipper import Shipper
from cluster.types import NodeId, Offset, PartitionId
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
    positions, lag_records, lag_s = await _lag(leading, reading, clock)
    shipper = leading.shipper
    return TaskStatus(
        state=state,
        why=why,
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
        error_traceback=failure.metadata.get("traceback", "") if failure is not None else "",
    )


def _state(leading: Leading) -> tuple[TaskState, str]:
    working, shipper = leading.working, leading.shipper
    if leading.state == TaskState.RUNNING and shipper is not None:
        if shipper.shipping.stopped:
            partition, error = next(iter(shipper.shipping.stopped.items()))
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
    plan, ledger = leading.plan, leading.ledger
    if plan is None:
        return [], -1, -1.0
    sources = [source for source in plan.sources if source.partition in ledger.positions]
    places = [ledger.positions[source.partition] for source in sources]
    answers = await asyncio.gather(
        *(_ask(reading, source, place) for source, place in zip(sources, places, strict=True))
    )
    positions = []
    records, oldest_ns = 0, clock.wall_ns()
    for source, place, (end, appended_ns) in zip(sources, places, answers, strict=True):
        positions.append(Position(source.number, source.partition.number, place, end))
        records = -1 if end < 0 or records < 0 else records + max(end - place, 0)
        if end > place:
            oldest_ns = min(oldest_ns, appended_ns)
    return positions, records, -1.0 if records < 0 else max(clock.wall_ns() - oldest_ns, 0) / NS_PER_S


async def _ask(reading: ReadService, source: Source, place: Offset) -> tuple[int, int]:
    """The partition's end, and when the record at `place` was appended; -1: its leader did not say."""
    at = stream_pb2.Position(offset=place)
    try:
        async with asyncio.timeout(ASK_S_MAX):
            offsets = await reading.offsets_of(source.topic, source.partition.number, at)
    except (RiverrunError, TimeoutError):
        return -1, 0
    return offsets.end, offsets.at_append_time_ns
