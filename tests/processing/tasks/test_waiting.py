"""Between attempts at a record time passes, on the node: others go on meanwhile, and whoever pauses does not wait."""

import asyncio
from itertools import pairwise

import pytest

from cluster.client.routing import partition_of_key
from cluster.processing.task_status import TaskState
from tests.processing.tasks import flaky
from tests.processing.tasks.deployed import AppCluster, a_node, deploy, on_a_cluster, until
from tests.processing.tasks.flaky import outside
from tests.processing.tasks.selling import TILLS, all_of, got, numbered, says, sell, status
from tests.processing.tasks.shop import Count, Sale

pytestmark = pytest.mark.slow
FLAKY = "tests.processing.tasks.flaky"
LOG = "__tasks.flaky.count.1"
HERE, THERE = ([till for till in TILLS if partition_of_key(till.encode(), 2) == partition] for partition in range(2))
"""Tills of either partition; one task reads both."""


async def begun(cluster: AppCluster) -> list[Sale]:
    """Sales of both partitions, one of which cannot be handled, with others before and behind it; it was tried."""
    outside.busy, outside.asked_s = True, []
    await deploy(cluster, flaky.app, FLAKY, 2, tasks=1)
    sales = [Sale(till, number) for number in range(10) for till in (HERE[0], HERE[1], THERE[0])]
    sales.insert(12, Sale(HERE[0], 100, bad=True))
    await sell(cluster, sales)
    return sales


async def set_paused(cluster: AppCluster, *, paused: bool) -> None:
    """The app's only stage."""
    await until(lambda: a_node(cluster).controller.set_paused("flaky", [("count", 1)], paused=paused))


def test_attempts_have_time_between_them_and_others_go_on() -> None:
    """Twice as long each time, about; what is of another partition, or before it, is done at once, and once."""

    async def work(cluster: AppCluster) -> None:
        sales = await begun(cluster)
        held = [sale for sale in sales if sale.till in HERE][8:]
        free = [sale for sale in sales if sale not in held]
        assert numbered(free) == got(await all_of(cluster, "counts", Count, len(free)))
        told = await says(cluster, LOG, TaskState.RUNNING, "tried again in")
        assert "failed at the record of sales/" in told.why
        assert "TimeoutError: it is busy" in told.why
        assert "in count\n" in told.error_traceback
        while len(outside.asked_s) < 4:  # noqa: ASYNC110  user code tells nobody
            await asyncio.sleep(1)
        outside.busy = False
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, len(sales)))
        waits_s = [later - before for before, later in pairwise(outside.asked_s)]
        assert 4 == len(waits_s)
        for failures, wait_s in enumerate(waits_s):
            assert 2 * 2**failures <= wait_s <= 4 * 2**failures + 1
        assert "" == (await status(cluster, LOG, 0)).why

    on_a_cluster(work)


def test_after_its_last_attempt_a_record_is_put_aside() -> None:
    """And counted once, whoever led the task meanwhile; what was behind it is done."""

    async def work(cluster: AppCluster) -> None:
        sales = await begun(cluster)
        done = [sale for sale in sales if not sale.bad]
        assert numbered(done) == got(await all_of(cluster, "counts", Count, len(done)))
        await all_of(cluster, "flaky.count.dead", Sale, 1)
        assert {"dead_lettered": 1} == (await status(cluster, LOG, 0)).counts
        assert 6 == len(outside.asked_s)

    on_a_cluster(work)


def test_nobody_waits_for_an_attempt() -> None:
    """A pause is one at once; and who goes on begins to count anew, at once."""

    async def work(cluster: AppCluster) -> None:
        sales = await begun(cluster)
        while len(outside.asked_s) < 4:  # noqa: ASYNC110  user code tells nobody
            await asyncio.sleep(1)
        await set_paused(cluster, paused=True)
        await asyncio.sleep(0.5)
        assert (TaskState.PAUSED, "") == ((told := await status(cluster, LOG, 0)).state, told.why)
        await asyncio.sleep(100)
        assert 4 == len(outside.asked_s)
        began_s = cluster.loop.now_s
        await set_paused(cluster, paused=False)
        while len(outside.asked_s) < 6:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert cluster.loop.now_s - began_s < 8
        outside.busy = False
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, len(sales)))

    on_a_cluster(work)


def test_a_leader_that_goes_takes_its_wait_with_it() -> None:
    """Another one tries at once, and nothing is lost or done twice."""

    async def work(cluster: AppCluster) -> None:
        sales = await begun(cluster)
        while len(outside.asked_s) < 5:  # noqa: ASYNC110  user code tells nobody
            await asyncio.sleep(1)
        victim = (await status(cluster, LOG, 0)).node
        began_s = cluster.loop.now_s
        cluster.crash(victim)
        while len(outside.asked_s) < 6:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert cluster.loop.now_s - began_s < 15
        outside.busy = False
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, len(sales)))
        await cluster.start(victim)

    on_a_cluster(work)
