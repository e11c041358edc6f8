"""A stage's task on this cluster: its topics found, its partitions counted out. Pure."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cluster.broker.directory import Directory
from cluster.errors import TopicDeleted
from cluster.metadata import App, Stage, Topic
from cluster.processing.spec import InputKind, InputSpec, ProcessorSpec, decode_spec
from cluster.processing.tasks.feed import Source
from cluster.processing.tasks.making import Destination
from cluster.processing.tasks.starts import time_ns
from cluster.types import Offset, PartitionId, ProducerId, TopicId


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Task `task` of a stage. `sources`: what it reads, but dead letters; `parked`: those, for a redrive."""

    app: App
    stage: Stage
    spec: ProcessorSpec
    task: int
    partitions: int
    inputs: Sequence[Topic]
    outputs: Sequence[Destination]
    sources: Sequence[Source]
    parked: Sequence[Source]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.app.name}.{self.spec.name}@{self.spec.version}/{self.task}"

    @property
    def producer(self) -> ProducerId:
        """What destinations know the task by."""
        return ProducerId(self.stage.producer + self.task)

    def identity(self, cluster_id: str) -> str:
        """What the world outside knows the task by: its own, as long as its stage is deployed, and nobody else's."""
        own = f"{cluster_id}/{self.stage.topic.hex()}/{self.task}".encode()
        name = f"{self.app.name[:32]}.{self.spec.name[:32]}"
        return f"{name}.{hashlib.sha256(own).hexdigest()[:12]}"

    def redrives(self, pending: Collection[PartitionId]) -> bool:
        """Whether letters in one of those are handled again: other code may read none, or those of another topic."""
        return any(source.partition in pending for source in self.parked)

    def check_begun(self, begun: Collection[TopicId], positions: Mapping[PartitionId, Offset]) -> None:
        """TopicDeleted if an input is not the topic that the task began with, or an output is not among `begun`."""
        for source in (*self.sources, *self.parked):
            if source.partition not in positions:
                raise TopicDeleted(
                    f"the topic {source.topic.name!r} was deleted and made again since this task began: its records "
                    f"are others"
                )
        for output in self.outputs:
            if output.topic not in begun:
                raise TopicDeleted(
                    f"the topic {output.name!r} was deleted and made again since this task began to write it: what is "
                    f"in it is not all that was written"
                )

    def check_outputs(self, gone: Collection[TopicId]) -> None:
        """TopicDeleted if one of them is among those: what would be written there would be lost."""
        for output in self.outputs:
            if output.topic in gone:
                raise TopicDeleted(
                    f"the topic {output.name!r}, which it writes, was deleted; nothing more is read, so that nothing "
                    f"is lost"
                )


def plan_of(app: App, stage: Stage, task: int, directory: Directory) -> Plan:
    """UnknownTopic if one of its topics is not there (any more)."""
    spec = decode_spec(stage.spec)
    inputs = [directory.topic(item.topic) for item in spec.inputs]
    outputs = [directory.topic(item.topic) for item in spec.outputs]
    sources: list[Source] = []
    parked: list[Source] = []
    for number, (item, topic) in enumerate(zip(spec.inputs, inputs, strict=True)):
        into = parked if item.kind is InputKind.PARKED else sources
        for partition in range(task, len(topic.partitions), stage.tasks):
            into.append(Source(number, item, topic, PartitionId(topic.id, partition), _until_ns(item)))
    return Plan(
        app=app,
        stage=stage,
        spec=spec,
        task=task,
        partitions=len(inputs[0].partitions) if inputs else stage.tasks,
        inputs=inputs,
        outputs=[Destination(topic.name, topic.id, len(topic.partitions)) for topic in outputs],
        sources=sources,
        parked=parked,
    )


def _until_ns(spec: InputSpec) -> int | None:
    return time_ns(spec.until, 0) if spec.until and spec.kind is InputKind.STREAM else None
