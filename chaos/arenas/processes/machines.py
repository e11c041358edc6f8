"""What an operator does with machines of real processes: one more, switched off, wiped, restarted.

A node that is added gets ports of its own and is made as `riverrun cluster add` makes one; what is fitted around the
others is fitted around it, too.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from chaos.arenas.processes.emptying import empty
from chaos.arenas.processes.fitting import Fitting, Fronting
from chaos.arenas.processes.nodes import ProcessNodes
from chaos.arenas.processes.ports import claimed_ports
from cluster.cli.health import ask
from cluster.cli.joining import join
from cluster.cli.local import HTTP_PORT_STEP, PEER_PORT_STEP
from cluster.client.client import Client
from cluster.config import ListenerConfig, NodeConfig
from cluster.errors import RiverrunError, Unavailable

ADDED_S_MAX = 60.0
READY_S_MAX = 60.0
ASK_S_MAX = 2.0
AGAIN_S = 0.25
AliveThere = Callable[[int, Sequence[int]], Awaitable[None]]
"""Returns when this node answers and takes these to be alive; RuntimeError if that takes too long."""


class ProcessMachines:
    """See `chaos.arenas.machines.Machines`. `fittings`: those that are fitted. Ports are kept until `close`."""

    def __init__(
        self, nodes: ProcessNodes, *, fittings: Sequence[Fitting], client: Callable[[str], Client], ready: AliveThere
    ) -> None:
        self._nodes = nodes
        self._fittings = fittings
        self._client = client
        self._ready = ready
        self._ports = contextlib.ExitStack()
        self._came = 0

    @property
    def on(self) -> Sequence[int]:
        """See Machines."""
        return self._nodes.on

    async def add(self) -> int:
        """See Machines."""
        if why := next((why for fitting in self._fittings if (why := fitting.why_fixed())), ""):
            raise RuntimeError(f"no node can come: {why}")
        config = self._listening()
        for fitting in self._fittings:
            if isinstance(fitting, Fronting):
                config = fitting.fronted(config)
        joined = await self._join(config)
        folder = self._nodes.folder_of(joined.node)
        launch = self._nodes.add(replace(joined, data_dir=str(folder / "data"), http=config.http))
        for fitting in self._fittings:
            await fitting.fit_later(launch)
        await self._nodes.start(launch.node)
        await self._ready(launch.node, [launch.node])
        return launch.node

    async def switch_off(self, node: int) -> None:
        """See Machines."""
        await self._nodes.switch_off(node)

    async def wipe(self, node: int) -> None:
        """See Machines."""
        await self._nodes.kill_for_good(node)
        await asyncio.to_thread(empty, Path(self._nodes.launches[node].config.data_dir))

    async def restart(self, node: int) -> None:
        """See Machines."""
        await self._nodes.terminate(node)
        await self._nodes.start(node)
        await self._ready(node, [node])
        await self._opened(node)

    def close(self) -> None:
        """Others may have the ports."""
        self._ports.close()

    async def _opened(self, node: int) -> None:
        """As `riverrun health --ready` says it; where its HTTP is in a namespace, that it answers will do."""
        launch, why = self._nodes.launches[node], "it was not asked"
        if launch.config.http is None or launch.ways:
            return
        bind, end_s = launch.config.http.bind, time.monotonic() + READY_S_MAX  # noqa: TID251
        while why:
            try:
                await asyncio.to_thread(ask, launch.config, bind, "/readyz", timeout_s=ASK_S_MAX)
                why = ""
            except Unavailable as error:
                why = str(error)
                if time.monotonic() > end_s:  # noqa: TID251
                    raise RuntimeError(f"node {node} was not ready within {READY_S_MAX:.0f} s: {why}") from error
                await asyncio.sleep(AGAIN_S)

    def _listening(self) -> NodeConfig:
        """As much as is known of a node that has no number yet."""
        port = self._ports.enter_context(claimed_ports(1))
        client, peer, http = (
            ListenerConfig(bind=f"127.0.0.1:{port + step}") for step in (0, PEER_PORT_STEP, HTTP_PORT_STEP)
        )
        return NodeConfig(cluster_id="", node=0, data_dir="", client=client, peer=peer, http=http, peers=())

    async def _join(self, config: NodeConfig) -> NodeConfig:
        """Ask until the cluster has recorded it, within a bound."""
        self._came += 1
        client = self._client(f"operator-{self._came}")
        end_s = time.monotonic() + ADDED_S_MAX  # noqa: TID251  real processes take real time
        try:
            while True:
                try:
                    return await join(client, data_dir="", client_listener=config.client, peer_listener=config.peer)
                except RiverrunError as error:
                    if time.monotonic() > end_s:  # noqa: TID251
                        raise RuntimeError(f"no node could be added within {ADDED_S_MAX:.0f} s: {error}") from error
                await asyncio.sleep(AGAIN_S)
        finally:
            await client.abandon()
