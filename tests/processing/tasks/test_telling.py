"""What a task on simulated nodes says of how far behind it is."""

import pytest

from tests.processing.tasks import shop
from tests.processing.tasks.deployed import AppCluster, deploy, on_a_cluster
from tests.processing.tasks.selling import TILLS, all_of, sell, status
from tests.processing.tasks.shop import Count, Sale
from tests.processing.tasks.test_parking import LOG, SHOP, set_paused

pytestmark = pytest.mark.slow


def test_what_was_deleted_has_no_age() -> None:
    """Everything that a paused task had not read is gone: it is behind by nothing that could be old."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, SHOP, 1)
        await sell(cluster, [Sale(TILLS[0], 0)])
        await all_of(cluster, "counts", Count, 1)
        await set_paused(cluster, paused=True)
        await sell(cluster, [Sale(TILLS[0], number) for number in range(1, 4)])
        told = await status(cluster, LOG, 0)
        assert 3 == told.lag_records
        assert 0 < told.lag_s < 60
        client = cluster.client("cleaner")
        await client.open()
        for partition, there in (await client.offsets("sales")).items():
            await client.delete_records("sales", partition, before=there.end)
        await client.abandon()
        assert (await status(cluster, LOG, 0)).lag_s < 60

    on_a_cluster(work)
