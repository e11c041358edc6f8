"""Apps on a simulated cluster, deployed by hand: topics, task logs, and the controller's one command."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from cluster.config import NodeConfig, ProcessingOptions
from cluster.controller.commands import DraftedStage
from cluster.errors import RiverrunError
from cluster.metadata import Code, TopicConfig
from cluster.node import Node
from cluster.processing.app import App
from cluster.processing.internal_topics import tasks_topic
from cluster.processing.spec import encode_spec
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.types import Offset

T = TypeVar("T")


class CodeNode(Node):
    """Its code is not in a topic: the file's name is what the simulator imports."""

    async def read_code(self, code: Code) -> bytes:
        """The name of the module."""
        return code.name.encode()


class AppCluster(SimCluster):
    """See `SimCluster`. `short_logs`: of tasks, so that whoever is away for a while is behind their start."""

    node_class = CodeNode
    short_logs = False
    unshipped_bytes_max = ProcessingOptions().unshipped_bytes_max
    work_records_max = ProcessingOptions().work_records_max
    delete_read_s = ProcessingOptions().delete_read_s

    def _config(self, number: int) -> NodeConfig:
        config = super()._config(number)
        if not self.short_logs:
            processing = replace(
                config.processing,
                unshipped_bytes_max=self.unshipped_bytes_max,
                work_records_max=self.work_records_max,
                delete_read_s=self.delete_read_s,
            )
            return replace(config, processing=processing)
        return replace(
            config,
            log=replace(config.log, folded_segment_bytes_max=4_096),
            processing=replace(
                config.processing, flush_interval_s=0.5, lagging_bytes_max=0, snapshot_chunk_bytes=1_000
            ),
        )

    @property
    def fetched(self) -> int:
        """States that replicas got from others."""
        return sum(node.tasks.fetched for node in self.running.values() if node.tasks is not None)


async def deploy(
    cluster: SimCluster,
    app: App,
    module: str,
    partitions: int,
    *,
    name: str = "app",
    tasks: int = 0,
    external: bool = False,
) -> None:
    """All of its topics with so many partitions, a task for each or `tasks`; and the app of that name in the module."""
    tasks = tasks or partitions
    await asyncio.sleep(3)  # they choose a controller
    specs = app.specs()
    for wanted in {item.topic for spec in specs for item in (*spec.inputs, *spec.outputs)}:
        if wanted not in a_node(cluster).broker.directory.by_name:
            await create(cluster, wanted, partitions)
    code = Code(sha256=b"", size_bytes=0, name=module, app=name, offset=Offset(0))
    known = a_node(cluster).broker.directory.apps.get(app.name)
    replaced = {(stage.name, stage.version): stage.spec for stage in known.stages} if known is not None else {}
    stages = []
    for spec in specs:
        topic = await create(cluster, tasks_topic(app.name, spec.name, spec.version), tasks)
        stages.append(
            DraftedStage(
                name=spec.name,
                version=spec.version,
                spec=encode_spec(spec),
                code=code,
                topic=topic,
                tasks=tasks,
                replaces=replaced.get((spec.name, spec.version), b""),
                external=external,
            )
        )
    deployed = await until(lambda: a_node(cluster).controller.deploy_app(app.name, stages))
    while any(node.broker.directory.apps.get(app.name) != deployed for node in cluster.running.values()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # of virtual time: all hear of it


async def create(cluster: SimCluster, name: str, partitions: int, *, replicas: int = 3) -> bytes:
    """A topic, the cluster's own or not."""
    make = a_node(cluster).controller.create_topic
    topic = await until(
        lambda: make(name, partitions=partitions, replicas=replicas, if_absent=True, config=TopicConfig())
    )
    return topic.id


def a_node(cluster: SimCluster) -> Node:
    """One that runs."""
    return next(iter(cluster.running.values()))


async def until(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try again what may be better in a moment."""
    while True:
        try:
            return await attempt()
        except RiverrunError as error:
            if not error.retry:
                raise
            await asyncio.sleep(0.2)


def on_a_cluster(
    work: Callable[[AppCluster], Awaitable[None]],
    seed: int = 1,
    *,
    short_logs: bool = False,
    unshipped_bytes_max: int = AppCluster.unshipped_bytes_max,
    work_records_max: int = AppCluster.work_records_max,
    delete_read_s: float = AppCluster.delete_read_s,
) -> None:
    """Run on three nodes, in virtual time; no node may end by itself."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        cluster = AppCluster(loop)
        cluster.short_logs, cluster.unshipped_bytes_max = short_logs, unshipped_bytes_max
        cluster.work_records_max, cluster.delete_read_s = work_records_max, delete_read_s
        await cluster.start_all()
        try:
            await work(cluster)
        finally:
            assert [] == cluster.fatal

    simulate(run(), seed)
