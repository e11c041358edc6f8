"""The fitting on the real server, around nodes that only listen: what is cut, slow, refused, replaced and counted."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from chaos.arenas.processes.links.errors import AddressTaken
from chaos.arenas.processes.links.fitting import Links
from chaos.nemeses.catalogue import CATALOGUE
from chaos.nemeses.links import KINDS
from tests.chaos.links.conftest import require_server
from tests.chaos.links.echoes import connected, echoed
from tests.chaos.links.pausing import pause
from tests.chaos.links.standing import StandingNodes, link, passes, standing

pytestmark = pytest.mark.slow
PATIENCE_S = 10.0


@contextlib.asynccontextmanager
async def fitted(folder: Path) -> AsyncIterator[tuple[Links, StandingNodes]]:
    """Around three nodes; nothing of it is left behind the block."""
    links = Links(require_server())
    async with standing(folder) as nodes:
        injectors = await links.fit(nodes)
        assert set(injectors) == {kind.name for kind in KINDS}, "each fault of this kind, and no other"
        links.injectors = injectors  # type: ignore[attr-defined]
        try:
            yield links, nodes
        finally:
            with contextlib.suppress(RuntimeError):
                await links.remove()


async def _inject(links: Links, fault: str, *nodes: int, **options: object):
    return await links.injectors[fault].inject(nodes, options)  # type: ignore[attr-defined]


async def _passing(links: Links) -> set[str]:
    """The links over which something gets, and back."""
    names = [link.name for link in links.links]
    passing = await asyncio.gather(*(passes(links, name) for name in names))
    return {name for name, ok in zip(names, passing, strict=True) if ok}


def _between(*pairs: tuple[int, int]) -> set[str]:
    """Names of the links from the one to the other and back."""
    return {f"{way}-{a}-{b}" for pair in pairs for a, b in (pair, pair[::-1]) for way in ("peer", "forward")}


def _clients(nodes: Iterable[int]) -> set[str]:
    return {f"client-{node}" for node in nodes}


ALL = _between((1, 2), (1, 3), (2, 3)) | _clients((1, 2, 3))


async def test_nodes_are_told_of_their_links(tmp_path: Path) -> None:
    """Each sees the others, and is seen by clients, at a proxy; itself, and where it listens, as before."""
    async with fitted(tmp_path) as (links, nodes):
        first = nodes.launches[1]
        seen = {peer.node: peer for peer in first.config.peers}

        assert nodes.clients[1].address == first.config.client.bind
        assert link(links, "client-1").listen == first.config.client.advertise
        assert nodes.peers[1].address == first.config.peer.address
        assert nodes.peers[1].address == seen[1].peer
        assert link(links, "peer-1-2").listen == seen[2].peer
        assert link(links, "forward-1-3").listen == seen[3].client
        assert len(ALL) == len({link.listen for link in links.links})
        assert "127.0.0.1" in first.environment["NO_PROXY"]
        assert ALL == await _passing(links)
        assert await echoed(link(links, "peer-1-2").listen, b"to node 2") == b"to node 2"
        assert b"to node 2" in nodes.peers[2].got


@pytest.mark.parametrize("refused", [False, True], ids=["silent", "loud"])
async def test_a_partition_and_its_end(tmp_path: Path, refused: bool) -> None:  # noqa: FBT001
    """The links of the one that is cut off carry nothing, those of the others and of clients do; then all do."""
    async with fitted(tmp_path) as (links, _):
        mend = await _inject(links, "partition_one", 2, grouping=1, refused=refused)

        assert ALL - _between((1, 2), (2, 3)) == await _passing(links)
        await mend()
        assert ALL == await _passing(links)


async def test_a_cut_one_way(tmp_path: Path) -> None:
    """What node 1 says does not get to node 2, whoever of them has connected; what node 2 says gets to node 1."""
    async with fitted(tmp_path) as (links, nodes):
        async with (
            connected(link(links, "peer-1-2").listen) as (from_2, to_2),
            connected(link(links, "peer-2-1").listen) as (from_1, to_1),
        ):
            to_2.write(b"before")
            assert b"before" == await from_2.read(100)
            mend = await _inject(links, "cut_one_way", 1, grouping=1, direction="from", one=False)
            to_2.write(b"lost")
            to_1.write(b"heard")  # node 1 answers, which is lost
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(from_1.read(1), 0.3)

            assert b"before" == nodes.peers[2].got
            assert b"heard" == nodes.peers[1].got
            await mend()
            assert b"" == await asyncio.wait_for(from_1.read(1), PATIENCE_S), "mended, it ends what was cut"
            assert b"" == await asyncio.wait_for(from_2.read(1), PATIENCE_S)
        assert ALL == await _passing(links)


async def test_a_slow_node(tmp_path: Path) -> None:
    """All that it says and hears takes longer; what others say to each other does not."""
    async with fitted(tmp_path) as (links, _):
        mend = await _inject(links, "latency", 3, direction="both", latency=100, jitter=0)
        took_s = {}
        for name in ("peer-1-3", "forward-3-2", "peer-1-2", "client-3"):
            began = time.perf_counter()
            await echoed(link(links, name).listen)
            took_s[name] = time.perf_counter() - began
        await mend()

        assert took_s["peer-1-3"] >= 0.18
        assert took_s["forward-3-2"] >= 0.18
        assert took_s["peer-1-2"] < 0.15
        assert took_s["client-3"] < 0.15


async def test_clients_that_are_cut_off(tmp_path: Path) -> None:
    """From one node, silently or loudly; from the others they are not, nor are nodes from each other."""
    async with fitted(tmp_path) as (links, _):
        for refused in (False, True):
            mend = await _inject(links, "client_cut", 2, direction="both", refused=refused)
            assert ALL - _clients([2]) == await _passing(links)
            await mend()
        mend = await _inject(links, "client_reset", 1, 2, direction="both", timeout=0)

        with pytest.raises(ConnectionResetError):
            await echoed(link(links, "client-1").listen)
        assert ALL - _clients([1, 2]) == await _passing(links)
        await mend()
        assert ALL == await _passing(links)


async def test_two_faults_at_a_time(tmp_path: Path) -> None:
    """What both have cut stays cut until the second ends, too."""
    async with fitted(tmp_path) as (links, _):
        first = await _inject(links, "partition_one", 1, grouping=1, refused=True)
        second = await _inject(links, "partition_one", 2, grouping=1, refused=True)
        third = await _inject(links, "partition_one", 2, grouping=1, refused=False)
        await first()

        assert ALL - _between((1, 2), (2, 3)) == await _passing(links)
        await second()
        assert ALL - _between((1, 2), (2, 3)) == await _passing(links)
        await third()
        assert ALL == await _passing(links)


async def test_every_fault_as_it_is_drawn(tmp_path: Path) -> None:
    """With options from the catalogue each can be done and mended, after which everything gets everywhere."""
    async with fitted(tmp_path) as (links, _):
        for number, kind in enumerate(KINDS):
            for seed in range(3):
                options = CATALOGUE[kind.name].draw(random.Random(f"{number}/{seed}"))
                await (await _inject(links, kind.name, 1, **options))()

        assert ALL == await _passing(links)
        assert 0 == links.restarts


async def test_a_server_that_is_killed(tmp_path: Path) -> None:
    """Another one takes its place, on the same ports, with everything that is in force."""
    async with fitted(tmp_path) as (links, _):
        silent = await _inject(links, "cut", 1, grouping=1, refused=False)
        loud = await _inject(links, "client_cut", 3, direction="both", refused=True)
        before = await _passing(links)
        assert links.server_pid is not None
        os.kill(links.server_pid, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            while not links.restarts or await _passing(links) != before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await silent()
        await loud()

        assert len(ALL - before) == 5, "a link between two nodes is four, and one of clients"
        assert ALL == await _passing(links)
        assert 1 == links.restarts


async def test_a_server_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks something of it waits for a bound; then it is replaced, and what was asked for is done."""
    monkeypatch.setattr(Links, "call_s_max", 0.3)
    async with fitted(tmp_path) as (links, _):
        assert links.server_pid is not None
        pause(links.server_pid)
        mend = await _inject(links, "client_cut", 3, direction="both", refused=True)

        assert 1 == links.restarts
        assert ALL - _clients([3]) == await _passing(links)
        await mend()
        assert ALL == await _passing(links)


async def test_a_port_that_somebody_else_has_taken(tmp_path: Path) -> None:
    """A fault that cannot be mended is no mended one."""
    async with fitted(tmp_path) as (links, _):
        mend = await _inject(links, "client_cut", 3, direction="both", refused=True)
        host, port = link(links, "client-3").listen.split(":")
        with socket.create_server((host, int(port))), pytest.raises(AddressTaken):
            await mend()


async def test_what_went_over_the_links_is_counted(tmp_path: Path) -> None:
    """All of it, by what it was; at the end there is no server and no port is held."""
    async with fitted(tmp_path) as (links, nodes):
        for name in sorted(ALL):
            await echoed(link(links, name).listen, b"12345")
        for node in nodes.launches:
            nodes.ready(node)
        pid = links.server_pid
        counts = await links.remove()

        assert {
            "links": 15,
            "link_server_restarts": 0,
            "peer_link_bytes": 60,
            "forward_link_bytes": 60,
            "client_link_bytes": 30,
        } == counts
        assert links.server_pid is None
        with pytest.raises(ProcessLookupError):
            os.kill(pid or 0, 0)
        assert set() == await _passing(links)


async def test_nodes_that_go_around_their_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two nodes ran and nothing went from one to the other, the run proves nothing, and that is said."""
    monkeypatch.setattr("chaos.arenas.processes.links.fitting.COUNTED_S_MAX", 0.1)
    async with fitted(tmp_path) as (links, nodes):
        for name in sorted(ALL - {"peer-2-1", "peer-3-1"}):
            await echoed(link(links, name).listen)
        nodes.ready(1)
        nodes.ready(2)
        with pytest.raises(RuntimeError, match="nothing went over peer-2-1, though their nodes ran"):
            await links.remove()

        assert links.server_pid is None


async def test_a_machine_without_the_server(tmp_path: Path) -> None:
    """It says what to do, and makes nothing."""
    links = Links(tmp_path / "none")

    assert "Toxiproxy's server is not here: make toxiproxy" == links.missing()
    async with standing(tmp_path) as nodes:
        with pytest.raises(RuntimeError, match="make toxiproxy"):
            await links.fit(nodes)
    assert {} == await links.remove()
