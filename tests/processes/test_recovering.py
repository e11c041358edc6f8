"""Two of three nodes' data is gone for good: real nodes, the command as people give it, and what the third one had."""

import asyncio
import contextlib
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import PEER_PORT_STEP, LocalCluster
from cluster.client.client import Client

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.usefixtures("plain_text")]


def _riverrun(*arguments: str, stdin: str = "", code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert code == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


def _contents(data: Path) -> dict[str, str]:
    """Of every file, a hash."""
    files = [path for path in sorted(data.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextlib.contextmanager
def _added(cluster: LocalCluster, number: int) -> Iterator[None]:
    """A node that joins, as `riverrun cluster add` makes one."""
    config, port = cluster.data_dir / f"added-{number}.toml", cluster.port + number - 1
    said = _riverrun(
        *("cluster", "add", "--server", cluster.address(1), "--output", str(config)),
        *("--client-address", f"127.0.0.1:{port}", "--peer-address", f"127.0.0.1:{port + PEER_PORT_STEP}"),
        *("--data-dir", str(cluster.data_dir / f"added-{number}")),
    )
    assert "added node 10" in said
    with subprocess.Popen(
        [sys.executable, "-m", "cluster.cli", "node", "--config", str(config)], stdout=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.terminate()


async def _values(client: Client) -> list[bytes]:
    return sorted([record.value async for record in client.read("t", until="latest")])


async def test_the_third_node_goes_on_alone(make_cluster: Callable[[int], LocalCluster]) -> None:
    """The plan is shown, nothing changes; with --unsafe and a person's word it is done; then two nodes are added."""
    cluster = make_cluster(3)
    cluster.start_all()
    await wait_ready(cluster)
    values = sorted(b"%d" % number for number in range(30))
    async with connect(cluster.address(1)) as client:
        await client.create_topic("t", partitions=3, replicas=3)
        for value in values:
            await client.publish("t", value)
    await asyncio.sleep(0.5)  # what node 1 does not have yet is in flight
    data = cluster.data_dir / "node-1" / "data"
    assert "in use by another process" in _riverrun("cluster", "recover", "--data-dir", str(data), code=1)
    cluster.kill(1)
    early = _riverrun("cluster", "recover", "--data-dir", str(data), "--unsafe", "--yes", code=1)
    assert f"But node 2 answers at 127.0.0.1:{cluster.port + PEER_PORT_STEP + 1}, and would be given up" in early
    cluster.kill(2)
    cluster.kill(3)
    for node in (2, 3):
        shutil.rmtree(cluster.data_dir / f"node-{node}")

    before = _contents(data)
    said = _riverrun("cluster", "recover", "--data-dir", str(data))
    assert "given up for good: nodes 2 and 3" in said
    assert "the controller (configuration 1, nodes 1, 2 and 3): node 1 of 3 is left, and 2 are needed" in said
    assert "t/2: 1 of 3 replicas is left; that on node 1 is taken: up to offset" in said
    assert "Nothing was changed" in said
    survey, plan = cluster.data_dir / "node-1.json", cluster.data_dir / "plan.json"
    _riverrun("cluster", "recover", "--data-dir", str(data), "--write-survey", str(survey))
    _riverrun("cluster", "recover", "--survey", str(survey), "--write-plan", str(plan))
    refused = _riverrun("cluster", "recover", "--data-dir", str(data), "--unsafe", stdin="yes\n", code=1)
    assert "nothing was changed" in refused
    assert before == _contents(data)
    said = _riverrun("cluster", "recover", "--data-dir", str(data), "--unsafe", stdin="2 3\n")
    assert "node 1" in said.splitlines()[-2]
    assert said.splitlines()[-2].endswith("recovered")
    other = _riverrun("cluster", "recover", "--plan", str(plan), "--data-dir", str(data), "--unsafe", "--yes", code=1)
    assert "node 1 was recovered by another plan" in other

    cluster.start(1)
    await wait_ready(cluster, nodes=[1])
    async with connect(cluster.address(1)) as client:
        assert values == await _values(client)
        for number in range(3):
            await client.publish("t", b"after", partition=number)
        with _added(cluster, 4), _added(cluster, 5):
            for _ in range(600):
                if not (await client.cluster_status()).partitions_under_replicated:
                    break
                await asyncio.sleep(0.1)
            assert sorted([*values, b"after", b"after", b"after"]) == await _values(client)
