"""One node for all tests of the command, and the command as a process."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos.arenas.processes.ports import claimed_ports
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from tests.spoken import in_environment, spoken

Riverrun = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[str]:
    """The address of a node that runs."""
    speaks = spoken(pytestconfig)
    with claimed_ports(1) as port:
        cluster = LocalCluster(tmp_path_factory.mktemp("node"), nodes=1, port=port, speaks=speaks)
        cluster.start_all()
        try:
            asyncio.run(wait_ready(cluster))
            with in_environment(cluster.tls):
                yield cluster.address(1)
        finally:
            codes = cluster.stop()
    assert {1: 0} == codes


@pytest.fixture
def riverrun(server: str) -> Riverrun:
    """Run the command against that node."""

    def run(*arguments: str, stdin: str = "", at: str | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "cluster.cli", *arguments],
            input=stdin,
            env=os.environ | {"RIVERRUN_SERVER": at or server, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
            cwd=Path(__file__).parents[2],
        )

    return run
