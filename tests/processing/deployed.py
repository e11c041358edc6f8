"""Clusters in virtual time that deploy apps: hosts that know some files, and tasks that say what they are told to."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from cluster.client.client import Client
from cluster.config import NodeConfig, ProcessingOptions
from cluster.errors import HostFailed, InvalidApp, InvalidRequest
from cluster.node import Node
from cluster.processing.app import App
from cluster.processing.hosts import CodeFile, Host, ReadState, Seat
from cluster.processing.spec import ProcessorSpec
from cluster.processing.surroundings import Processing
from cluster.processing.task_status import Position, TaskState, TaskStatus
from cluster.sim.clock import SimLoop, simulate
from cluster.sim.cluster import SimCluster
from cluster.types import NodeId, Offset, PartitionId, Term

FILES: dict[bytes, App | str] = {}
"""Content → the app in it; or what is wrong with it."""
Body = Callable[["Deploys", Client], Awaitable[None]]


class KnownFiles:
    """Hosts that look files up instead of importing them. See Hosts."""

    async def describe(self, code: CodeFile) -> list[ProcessorSpec]:
        """See Hosts."""
        found = FILES[code.content]
        if found == "dies":
            raise HostFailed("its process ended with exit code 9")
        if isinstance(found, str):
            raise InvalidApp(found)
        return found.specs()

    async def open(self, code: CodeFile, seat: Seat, read_state: ReadState, *, external: bool) -> Host:
        """It takes for ever: nothing is run here."""
        del code, seat, read_state, external
        await asyncio.Event().wait()
        raise AssertionError

    def trouble(self, code: CodeFile) -> str:
        """None."""
        del code
        return ""

    async def close(self) -> None:
        """Nothing is open."""


class SaidTasks:
    """Tasks that are all doing well, but for those of which something else is said. See Tasks."""

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.redriven: list[PartitionId] = []
        self.resumed: list[PartitionId] = []
        self.said: dict[str, Any] = {}

    async def status(self, partition: PartitionId) -> TaskStatus:
        """See Tasks."""
        status = TaskStatus(
            state=TaskState.RUNNING,
            why="",
            node=self.node,
            term=Term(2),
            commits=10 + partition.number,
            watermark_ns=1_000 + partition.number,
            restarts=0,
            positions=[Position(0, partition.number, Offset(7), 9)],
            lag_records=2,
            lag_s=1.5,
            counts={"late": 3},
        )
        return replace(status, **self.said)

    def resume(self, partition: PartitionId) -> None:
        """See Tasks."""
        self.resumed.append(partition)

    async def redrive(self, partition: PartitionId) -> int:
        """See Tasks."""
        if partition.number == 2:
            raise InvalidRequest("one is under way")
        self.redriven.append(partition)
        return 5


class NodeWithApps(Node):
    """One whose hosts know some files, and whose tasks are asked in the place of its own."""

    def __init__(self, config: NodeConfig, *arguments: Any, **options: Any) -> None:
        stores = options.pop("processing").stores
        super().__init__(config, *arguments, processing=Processing(hosts=KnownFiles(), stores=stores), **options)
        self.said = SaidTasks(self.me)
        self.apps.run_by(self.said)


class Deploys(SimCluster):
    """Takes code from anywhere: there is no loopback between simulated hosts."""

    node_class = NodeWithApps
    options = ProcessingOptions(deploy_from_anywhere=True, code_piece_bytes_max=1000)

    def _config(self, number: int) -> NodeConfig:
        return replace(super()._config(number), processing=self.options)

    def said(self) -> Sequence[SaidTasks]:
        """The tasks of each node."""
        nodes = [node for _, node in sorted(self.running.items())]
        return [node.said for node in nodes if isinstance(node, NodeWithApps)]


async def until(condition: Callable[[], object]) -> None:
    """Wait in virtual time."""
    while not condition():  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.01)


def with_apps(*, cluster_class: type[Deploys] = Deploys, seeds: int = 2) -> Callable[[Body], Callable[[], None]]:
    """A test on three nodes with a topic `purchases` of three partitions."""

    def decorate(body: Body) -> Callable[[], None]:
        async def run() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SimLoop)
            cluster = cluster_class(loop)
            await cluster.start_all()
            client = cluster.client("writer")
            await asyncio.sleep(3)  # of virtual time: they choose a controller
            await client.open()
            await client.create_topic("purchases", partitions=3, replicas=3)
            await body(cluster, client)
            await client.abandon()
            assert [] == cluster.fabric.failed
            assert [] == cluster.fatal

        def test() -> None:
            for seed in range(1, seeds + 1):
                simulate(run(), seed)

        test.__doc__ = body.__doc__
        return test

    return decorate
