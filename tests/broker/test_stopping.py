"""While a node stops its actors end one after the other, and nobody takes that for a failure."""

import asyncio

import pytest

from cluster.sim.cluster import SimCluster
from tests.broker.thin import in_a_cluster

pytestmark = pytest.mark.slow


@in_a_cluster
async def test_a_replica_that_has_stopped_gets_no_turns(cluster: SimCluster) -> None:
    """Regression: the tick after the first replica had stopped was told as a failure of the node."""
    replica = next(iter(cluster.running[1].broker.running.values()))
    await replica.ref.stop()
    await asyncio.sleep(2)  # of virtual time: many ticks
    assert [] == cluster.fatal
