"""Parked keys on simulated nodes: what becomes of them when `on_error` becomes another, or their letters are gone."""

import asyncio

import pytest

from tests.processing.tasks import shop
from tests.processing.tasks.deployed import AppCluster, a_node, deploy, on_a_cluster, until
from tests.processing.tasks.selling import TILLS, all_of, got, redrive, sell, status
from tests.processing.tasks.shop import Count, Sale

pytestmark = pytest.mark.slow
SHOP = "tests.processing.tasks.shop"
LOG = "__tasks.shop.count.1"


async def set_paused(cluster: AppCluster, *, paused: bool) -> None:
    """The stage that parks."""
    await until(lambda: a_node(cluster).controller.set_paused("shop", [("count", 1)], paused=paused))


@pytest.mark.parametrize("then", ["skipping", "stopping"])
def test_no_key_is_parked_where_nothing_is_put_aside(then: str) -> None:
    """With other code under the same version, that passes over or stops: what comes then is counted, and once."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, SHOP, 1)
        await sell(cluster, [Sale(TILLS[0], 0), Sale(TILLS[0], 1, bad=True), Sale(TILLS[0], 2), Sale(TILLS[1], 3)])
        await all_of(cluster, "shop.count.dead", Sale, 2)
        await deploy(cluster, getattr(shop, then), SHOP, 1, name=then)
        await sell(cluster, [Sale(TILLS[0], 4), Sale(TILLS[1], 5), Sale(TILLS[0], 6)])
        expected = {(TILLS[0], 0, 1), (TILLS[0], 4, 2), (TILLS[0], 6, 3), (TILLS[1], 3, 1), (TILLS[1], 5, 2)}
        assert expected == got(await all_of(cluster, "counts", Count, 5))
        assert {"dead_lettered": 1, "parked": 1} == (await status(cluster, LOG, 0)).counts
        await deploy(cluster, shop.app, SHOP, 1)
        await sell(cluster, [Sale(TILLS[0], 7)])
        await asyncio.sleep(5)
        assert {(TILLS[0], 7, 4)} == got(await all_of(cluster, "counts", Count, 6)) - expected

    on_a_cluster(work)


def test_a_redrive_holds_nobody_who_puts_nothing_aside() -> None:
    """It was under way when other code came, which has no dead letters: it rests until they are read again."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, SHOP, 1)
        sales = [Sale(TILLS[0], number, bad=number == 0) for number in range(100)]
        await sell(cluster, sales)
        await all_of(cluster, "shop.count.dead", dict, len(sales))
        await deploy(cluster, shop.mended, SHOP, 1, name="mended")
        assert len(sales) == await redrive(cluster, LOG, 0)
        while not 5 < (await status(cluster, LOG, 0)).counts.get("redriven", 0):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await set_paused(cluster, paused=True)
        await deploy(cluster, shop.skipping, SHOP, 1, name="skipping")
        await set_paused(cluster, paused=False)
        left = (await status(cluster, LOG, 0)).redrive_left
        assert 0 < left < 95
        await sell(cluster, [Sale(TILLS[0], 100)])
        await all_of(cluster, "counts", Count, 101 - left)
        await deploy(cluster, shop.mended, SHOP, 1, name="mended")
        await all_of(cluster, "counts", Count, 101)

    on_a_cluster(work, work_records_max=1)
