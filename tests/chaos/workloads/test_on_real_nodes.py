"""The same workloads on real nodes: real sockets, real time, the client that applications have."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.arenas.arena import Arena
from chaos.arenas.processes.ports import claimed_ports
from chaos.history import History
from chaos.workloads.groups import GroupsWorkload
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.client import Client
from cluster.config import ClientOptions
from cluster.real.clock import RealClock, real_random
from cluster.real.network import RealNetwork

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(120)]
OPTIONS: dict[str, Any] = {
    "rate_per_s": 300.0,
    "partitions": 3,
    "members": 2,
    "producers": 2,
    "life_s_max": 3.0,
    "cut_off": 0.0,
}


class Nodes:
    """As much of an arena as a workload asks for."""

    def __init__(self, servers: list[str]) -> None:
        self.random = random.Random(1)
        self._servers = servers
        self._began_s = time.monotonic()  # noqa: TID251  a history's clock

    def now_s(self) -> float:
        """Of the history."""
        return time.monotonic() - self._began_s  # noqa: TID251

    def client(self, name: str, options: ClientOptions | None = None) -> Client:
        """As `cluster.connect` makes it."""
        del name
        return Client(self._servers, network=RealNetwork(), clock=RealClock(), random=real_random(), options=options)

    def cut_off(self, client: str, seconds: float) -> None:
        """These nodes cannot."""


@pytest.mark.long  # the scenarios do as much
async def test_groups_while_a_node_is_killed(data_dir: Path) -> None:
    """Sends at their rate, members that come and go, one kill -9; then everything is read, and there is no anomaly."""
    with claimed_ports(3) as port:
        cluster = LocalCluster(data_dir, nodes=3, port=port)
        try:
            cluster.start_all()
            await wait_ready(cluster)
            arena = Nodes(cluster.addresses)
            work = GroupsWorkload(cast("Arena", arena), History(scope="groups"), OPTIONS)
            await work.prepare()
            running = asyncio.create_task(work.run())
            await asyncio.sleep(2.0)
            cluster.kill(2)
            cluster.start(2)
            await wait_ready(cluster)
            work.stop()
            await running
            await work.finish()
        finally:
            cluster.stop()

    assert [] == work.judge(work.load.history.events, OPTIONS)
    assert work.load.counts["acknowledged"] > 300
    assert work.load.counts["receipts_verified"] == 15
