"""Ports for proxies: enough for the largest cluster, nobody else's, and none that the machine gives away."""

import dataclasses
from pathlib import Path

import pytest

from chaos.arenas.processes.links.plan import plan_links, rewired
from chaos.arenas.processes.links.ports import BLOCK, PortBlock
from cluster.config import QUORUM_NODES_MAX, ListenerConfig, NodeConfig, PeerConfig


def test_blocks_do_not_meet() -> None:
    """Two runs have two blocks; one that is given back is somebody's again; each ends."""
    first, second = PortBlock(), PortBlock()
    try:
        mine = {first.take() for _ in range(BLOCK - 1)}
        theirs = {second.take() for _ in range(BLOCK - 1)}
        with pytest.raises(RuntimeError, match="needs more"):
            first.take()
    finally:
        first.close()
        second.close()
    again = PortBlock()
    again.close()

    assert set() == mine & theirs
    assert 2 * (BLOCK - 1) == len(mine | theirs)
    assert again.take() in mine


def test_the_machine_does_not_give_them_away() -> None:
    """A proxy that refuses connections finds its port free again: no connection of anybody's has it."""
    lowest, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    block = PortBlock()
    block.close()

    assert max(block.take() for _ in range(BLOCK - 1)) < lowest


def test_the_largest_cluster() -> None:
    """Every link has a proxy, and every node is told of its own; one more port is the server's."""
    nodes = range(1, QUORUM_NODES_MAX + 1)
    peers = tuple(PeerConfig(node=node, peer=f"peer-{node}:1", client=f"client-{node}:1") for node in nodes)
    config = NodeConfig(
        cluster_id="5eed" * 8,
        node=1,
        data_dir="",
        client=ListenerConfig(bind="client-1:1"),
        peer=ListenerConfig(bind="peer-1:1"),
        peers=peers,
    )
    configs = [dataclasses.replace(config, node=node) for node in nodes]
    ports = iter(range(1, BLOCK - 1))
    links = plan_links(configs, lambda: f"proxy:{next(ports)}")
    told = [peer.peer for node in configs for peer in rewired(node, links).peers]

    assert 45 == len(links) == len({link.name for link in links})
    assert 20 == len({address for address in told if address.startswith("proxy:")})
    assert QUORUM_NODES_MAX == len([address for address in told if address.startswith("peer-")])
