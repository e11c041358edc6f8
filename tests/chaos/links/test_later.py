"""Proxies for a node that comes later, on the real server, around nodes that only listen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chaos.arenas.processes.fitting import Launch
from chaos.arenas.processes.links.fitting import Links
from cluster.config import ListenerConfig, NodeConfig, PeerConfig
from tests.chaos.links.conftest import require_server
from tests.chaos.links.echoes import Echo, echoed
from tests.chaos.links.standing import StandingNodes, link, passes, standing

pytestmark = pytest.mark.slow
NEW = {f"{way}-4-{node}" for way in ("peer", "forward") for node in (1, 2, 3)} | {"peer-4", "client-4"}
"""The links that come with node 4."""


@dataclass(frozen=True, slots=True)
class Grown:
    """Three nodes, and a fourth that came later."""

    links: Links
    nodes: StandingNodes
    told: NodeConfig
    """What the others are told of the fourth."""

    async def passing(self) -> set[str]:
        """Those of the new links over which something gets, and back."""
        passing = await asyncio.gather(*(passes(self.links, name) for name in sorted(NEW)))
        return {name for name, ok in zip(sorted(NEW), passing, strict=True) if ok}


@contextlib.asynccontextmanager
async def grown(folder: Path) -> AsyncIterator[Grown]:
    """Nothing is left behind the block."""
    links = Links(require_server())
    async with standing(folder) as nodes, Echo().open() as peer, Echo().open() as client:
        injectors = await links.fit(nodes)
        links.injectors = injectors  # type: ignore[attr-defined]
        try:
            listening = NodeConfig(
                cluster_id="5eed" * 8,
                node=0,
                data_dir="",
                client=ListenerConfig(bind=client.address),
                peer=ListenerConfig(bind=peer.address),
                peers=(),
            )
            told = links.fronted(listening)
            others = (PeerConfig(node=node, peer=nodes.peers[node].address) for node in (1, 2, 3))
            peers = (*others, PeerConfig(node=4, peer=told.peer.address), PeerConfig(node=9, peer="127.0.0.1:9"))
            config = NodeConfig(
                cluster_id="5eed" * 8, node=4, data_dir="", client=told.client, peer=told.peer, peers=peers, joins=True
            )
            nodes.launches[4] = Launch(4, folder / "node-4", config)
            await links.fit_later(nodes.launches[4])
            yield Grown(links, nodes, told)
        finally:
            with contextlib.suppress(RuntimeError):
                await links.remove()


async def _inject(grown: Grown, fault: str, *nodes: int, **options: object):
    return await grown.links.injectors[fault].inject(nodes, options)  # type: ignore[attr-defined]


async def test_it_is_told_of_its_links(tmp_path: Path) -> None:
    """It sees each of the others at a proxy, and is seen by them, and by clients, at what was told of it before."""
    async with grown(tmp_path) as four:
        config = four.nodes.launches[4].config
        seen = {peer.node: peer for peer in config.peers}

        assert NEW <= {link.name for link in four.links.links}
        assert NEW == await four.passing()
        assert link(four.links, "peer-4-1").listen == seen[1].peer
        assert link(four.links, "forward-4-1").listen == seen[1].client
        assert link(four.links, "peer-4").listen == four.told.peer.address == config.peer.advertise
        assert link(four.links, "client-4").listen == four.told.client.address == config.client.advertise
        assert config.peer.bind == seen[4].peer, "to itself no network is in between"
        assert seen[9].peer == "127.0.0.1:9", "who is off has no link"
        assert "127.0.0.1" in four.nodes.launches[4].environment["NO_PROXY"]
        await echoed(link(four.links, "peer-4-1").listen, b"to node 1")
        assert b"to node 1" in four.nodes.peers[1].got


async def test_it_alone_is_cut_off(tmp_path: Path) -> None:
    """Nothing gets to it or from it, but for clients, until that is mended."""
    async with grown(tmp_path) as four:
        mend = await _inject(four, "partition_one", 4, grouping=1)

        assert {"client-4"} == await four.passing()
        await mend()
        assert NEW == await four.passing()


async def test_one_of_the_others_is_cut_off(tmp_path: Path) -> None:
    """What the fourth says to the second, and hears of it, is lost; it does hear the others at the shared address."""
    async with grown(tmp_path) as four:
        mend = await _inject(four, "partition_one", 2, grouping=1, refused=True)

        assert NEW - {"peer-4-2", "forward-4-2"} == await four.passing()
        await mend()
        assert NEW == await four.passing()


@pytest.mark.parametrize("unused", ["peer-4", "peer-4-1"])
async def test_nodes_that_go_around_them(tmp_path: Path, unused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom it met depends on who was there; but somebody it has met, and somebody has met it, by their links."""
    monkeypatch.setattr("chaos.arenas.processes.links.fitting.COUNTED_S_MAX", 0.1)
    async with grown(tmp_path) as four:
        used = {"client-4", "peer-4", "peer-4-1"} - {unused}
        for name in sorted(used):
            await echoed(link(four.links, name).listen)
        four.nodes.ready(4)
        with pytest.raises(RuntimeError, match=f"nothing went over {unused}.*, though their nodes ran"):
            await four.links.remove()
