"""Apps on a simulated cluster, deployed by hand: topics, task logs, and the controller's one command."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

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
    """See `SimCluster`."""

    node_class = CodeNode


async def deploy(cluster: SimCluster, app: App, module: str, partitions: int) -> None:
    """All of its topics with so many partitions, a task for each; and the app, with the code of that module."""
    client = cluster.client("deployer")
    await client.open()
    specs = app.specs()
    for name in {item.topic for spec in specs for item in (*spec.inputs, *spec.outputs)}:
        await create(cluster, name, partitions)
    code = Code(sha256=b"", size_bytes=0, name=module, app="app", offset=Offset(0))
    stages = []
    for spec in specs:
        topic = await create(cluster, tasks_topic(app.name, spec.name, spec.version), partitions)
        stages.append(
            DraftedStage(
                name=spec.name, version=spec.version, spec=encode_spec(spec), code=code, topic=topic, tasks=partitions
            )
        )
    await until(lambda: a_node(cluster).controller.deploy_app(app.name, stages))
    await client.abandon()


async def create(cluster: SimCluster, name: str, partitions: int) -> bytes:
    """A topic, the cluster's own or not."""
    make = a_node(cluster).controller.create_topic
    topic = await until(lambda: make(name, partitions=partitions, replicas=3, if_absent=True, config=TopicConfig()))
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


def on_a_cluster(work: Callable[[AppCluster], Awaitable[None]], seed: int = 1) -> None:
    """Run on three nodes, in virtual time; no node may end by itself."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        cluster = AppCluster(loop)
        await cluster.start_all()
        await work(cluster)
        assert [] == cluster.fatal

    simulate(run(), seed)
