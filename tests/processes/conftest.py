"""Real clusters for real tests: started on free ports of loopback, always stopped."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos.arenas.processes.ports import claimed_ports
from cluster.cli.local import LocalCluster


@pytest.fixture
def make_cluster(data_dir: Path) -> Iterator[Callable[[int], LocalCluster]]:
    """Makes a cluster of so many nodes; its processes are ended with the test, whatever happens."""
    with contextlib.ExitStack() as end:

        def make(nodes: int) -> LocalCluster:
            cluster = LocalCluster(data_dir, nodes=nodes, port=end.enter_context(claimed_ports(nodes)))
            end.callback(cluster.stop)
            return cluster

        yield make
