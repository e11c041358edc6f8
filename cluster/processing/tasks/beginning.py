"""The first command of a task's log: who it is, and where its inputs begin."""

from cluster.broker.read_service import ReadService
from cluster.processing.commit import Begin
from cluster.processing.tasks.plan import Plan
from cluster.processing.tasks.starts import start_position
from cluster.types import Offset, PartitionId


async def first_command(plan: Plan, reading: ReadService, now_ns: int) -> Begin:
    """As its author wrote it, of the offsets that there are now; RiverrunError if these cannot be had."""
    inputs: list[tuple[PartitionId, Offset]] = []
    for source in (*plan.sources, *plan.parked):
        at = start_position(source.spec.start, now_ns)
        offsets = await reading.offsets_of(source.topic, source.partition.number, at)
        inputs.append((source.partition, Offset(offsets.at)))
    return Begin(
        app=plan.app.name,
        processor=plan.spec.name,
        version=str(plan.spec.version),
        task=plan.task,
        tasks=plan.stage.tasks,
        producer=plan.producer,
        inputs=inputs,
        outputs=[output.topic for output in plan.outputs],
        partitions=plan.partitions,
    )
