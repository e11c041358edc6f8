"""Real clusters for real tests: started on free ports of loopback, always stopped."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos.arenas.processes.ports import claimed_ports
from cluster.cli.local import LocalCluster
from tests.spoken import in_environment, spoken


@pytest.fixture
def plain_text(pytestconfig: pytest.Config) -> None:
    """For a test of what is otherwise where there is TLS."""
    if spoken(pytestconfig) != "plain":
        pytest.skip("of plain text")


@pytest.fixture
def make_cluster(data_dir: Path, pytestconfig: pytest.Config) -> Iterator[Callable[[int], LocalCluster]]:
    """Makes a cluster of so many nodes; its processes are ended with the test, whatever happens."""
    speaks = spoken(pytestconfig)
    with contextlib.ExitStack() as end:

        def make(nodes: int) -> LocalCluster:
            port = end.enter_context(claimed_ports(nodes))
            cluster = LocalCluster(data_dir, nodes=nodes, port=port, speaks=speaks)
            end.callback(cluster.stop)
            end.enter_context(in_environment(cluster.tls))
            return cluster

        yield make
