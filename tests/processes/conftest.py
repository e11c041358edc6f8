"""Real clusters for real tests: started on free ports of loopback, always stopped."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.cli.local import PEER_PORT_STEP, LocalCluster


def free_ports(nodes: int) -> int:
    """A port whose neighbours are free, for so many nodes and their peer listeners."""
    for port in range(21171, 30171, 10):
        try:
            for node in range(nodes):
                for offset in (node, PEER_PORT_STEP + node):
                    with socket.socket() as probe:
                        probe.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    pytest.fail("no free ports on loopback")


@pytest.fixture
def make_cluster(data_dir: Path) -> Iterator[Callable[[int], LocalCluster]]:
    """Makes a cluster of so many nodes; its processes are ended with the test, whatever happens."""
    made: list[LocalCluster] = []

    def make(nodes: int) -> LocalCluster:
        made.append(LocalCluster(data_dir, nodes=nodes, port=free_ports(nodes)))
        return made[-1]

    yield make
    for cluster in made:
        cluster.stop()
