"""A cluster of more nodes than its controller's quorum has seats."""

import asyncio
import shutil
from collections.abc import Callable

import pytest

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(90)]


async def test_a_node_outside_of_the_quorum_does_all_that_others_do(
    make_cluster: Callable[[int], LocalCluster],
) -> None:
    """Six nodes: through the sixth a topic is made, written and read; wiped, it is told how it can be replaced."""
    cluster = make_cluster(6)
    cluster.start_all()
    await wait_ready(cluster)
    async with connect(cluster.address(6)) as client:
        await client.create_topic("t", partitions=6, replicas=3)
        await client.publish("t", b"x")
        status = await client.cluster_status()
    assert status.controller in {1, 2, 3, 4, 5}
    assert [1, 2, 3, 4, 5, 6] == [node.node for node in status.nodes if node.alive]

    cluster.kill(6)
    shutil.rmtree(cluster.data_dir / "node-6" / "data")
    cluster.start(6)
    for _ in range(300):
        if 6 in cluster.stopped():
            break
        await asyncio.sleep(0.1)
    assert "riverrun cluster replace 6 --with NEW" in cluster.last_words(6)
