"""Nodes that only listen: echoes in the places of a cluster's listeners, for what happens between them."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from chaos.arenas.processes.fitting import Launch
from chaos.arenas.processes.links.fitting import Links
from chaos.arenas.processes.links.plan import Link
from cluster.config import ListenerConfig, NodeConfig, PeerConfig
from tests.chaos.links.echoes import Echo, echoed


class StandingNodes:
    """See Nodes: as much of it as a fitting of links needs. `peers` and `clients`: who listens, by node."""

    def __init__(self, folder: Path, peers: Mapping[int, Echo], clients: Mapping[int, Echo]) -> None:
        seen = tuple(PeerConfig(node=n, peer=peers[n].address, client=clients[n].address) for n in peers)
        self.peers, self.clients = peers, clients
        self.launches = {
            node: Launch(
                node,
                folder / f"node-{node}",
                NodeConfig(
                    cluster_id="5eed" * 8,
                    node=node,
                    data_dir=str(folder / f"node-{node}" / "data"),
                    client=ListenerConfig(bind=clients[node].address),
                    peer=ListenerConfig(bind=peers[node].address),
                    peers=seen,
                ),
            )
            for node in peers
        }

    def ready(self, node: int) -> None:
        """Its log says that it was."""
        folder = self.launches[node].folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "node.log").write_text('{"event": "node_ready"}\n')

    @property
    def on(self) -> list[int]:
        """All that there are."""
        return list(self.launches)

    def pid(self, _: int) -> int | None:
        """There is none."""
        return None

    async def start(self, node: int) -> None:
        """It stands."""

    kill = terminate = start

    def expect_end(self, node: int) -> None:
        """It does not end."""

    expect_no_end = expect_end

    def note(self, node: int, what: str) -> None:
        """Nobody reads it."""


@contextlib.asynccontextmanager
async def standing(folder: Path, nodes: int = 3) -> AsyncIterator[StandingNodes]:
    """So many, until the end of the block."""
    async with contextlib.AsyncExitStack() as end:

        async def listening() -> dict[int, Echo]:
            return {node: await end.enter_async_context(Echo().open()) for node in range(1, nodes + 1)}

        yield StandingNodes(folder, await listening(), await listening())


def link(links: Links, name: str) -> Link:
    """By its name."""
    return next(link for link in links.links if link.name == name)


async def passes(links: Links, name: str) -> bool:
    """Whether something gets over the link, and back, on a new connection, within a short while."""
    try:
        return bool(await echoed(link(links, name).listen, within_s=0.3))
    except (ConnectionError, TimeoutError):
        return False
