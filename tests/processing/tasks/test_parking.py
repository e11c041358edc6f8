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


async def delete_letters(cluster: AppCluster, *, before: int) -> None:
    """Somebody does not want them."""
    client = cluster.client("cleaner")
    await client.open()
    await client.delete_records("shop.count.dead", 0, before=before)
    await client.abandon()


@pytest.mark.parametrize("deleted", [3, 5])
def test_a_key_does_not_wait_for_letters_that_are_gone(deleted: int) -> None:
    """Some of them, or all: after a redrive its records are handled again."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, SHOP, 1)
        await sell(cluster, [Sale(TILLS[0], number, bad=number == 0) for number in range(5)])
        await all_of(cluster, "shop.count.dead", Sale, 5)
        await delete_letters(cluster, before=deleted)
        await deploy(cluster, shop.mended, SHOP, 1, name="mended")
        assert 5 == await redrive(cluster, LOG, 0)
        await sell(cluster, [Sale(TILLS[0], 5)])
        found = await all_of(cluster, "counts", Count, 6 - deleted)
        assert [*range(deleted, 6)] == [count.number for count in found]
        assert 0 == await redrive(cluster, LOG, 0)

    on_a_cluster(work, work_records_max=1)  # each letter is a batch of its own


def test_letters_that_are_gone_leave_the_order_of_the_others() -> None:
    """One fails in the first redrive: with all behind it it waits for the second, and nothing comes before it."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, SHOP, 1)
        await sell(cluster, [Sale(TILLS[0], number, bad=number in {0, 2}) for number in range(5)])
        await all_of(cluster, "shop.count.dead", Sale, 5)
        await delete_letters(cluster, before=1)
        assert 5 == await redrive(cluster, LOG, 0)
        assert [1] == [count.number for count in await all_of(cluster, "counts", Count, 1)]
        await sell(cluster, [Sale(TILLS[0], 5)])
        await asyncio.sleep(5)
        await deploy(cluster, shop.mended, SHOP, 1, name="mended")
        assert 4 == await redrive(cluster, LOG, 0)
        await sell(cluster, [Sale(TILLS[0], 6)])
        assert [1, 2, 3, 4, 5, 6] == [count.number for count in await all_of(cluster, "counts", Count, 6)]

    on_a_cluster(work, work_records_max=1)  # each letter is a batch of its own
