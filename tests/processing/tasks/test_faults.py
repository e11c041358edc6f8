"""Topics that go, leaders that are gone, state that is not what it was: a task says so, loses nothing, and goes on."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cluster.client.routing import partition_of_key
from cluster.errors import CorruptStorage
from cluster.metadata import Delta
from cluster.processing.snapshot import Place
from cluster.processing.task_status import TaskState
from cluster.types import PartitionId
from tests.processing.tasks import flaky, moody, shop
from tests.processing.tasks.deployed import AppCluster, a_node, create, deploy, on_a_cluster, until
from tests.processing.tasks.selling import (
    TILLS,
    all_of,
    crash_at,
    delete,
    good,
    got,
    led_as_preferred,
    numbered,
    redrive,
    resume,
    says,
    sell,
    status,
    stopped,
)
from tests.processing.tasks.shop import Count, Sale, Total

pytestmark = pytest.mark.slow
SHOP = "tests.processing.tasks.shop"
PARTITIONS = 4


def test_a_redrive_goes_on_though_its_process_ends() -> None:
    """It was begun, so it comes to its end, without being asked for again."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, SHOP, PARTITIONS)
        sales = [Sale(TILLS[0], number, bad=number == 0) for number in range(60)]
        await sell(cluster, sales)
        await all_of(cluster, "shop.count.dead", dict, len(sales))
        await deploy(cluster, shop.mended, SHOP, PARTITIONS, name="mended")
        for hosts in cluster.user_code.values():
            hosts.crash_next_work(after=1)
        assert len(sales) == sum([await redrive(cluster, "__tasks.shop.count.1", n) for n in range(PARTITIONS)])
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, len(sales)))
        assert sum(hosts.crashes for hosts in cluster.user_code.values())

    on_a_cluster(work)


def test_a_redrive_goes_on_though_its_leader_is_gone() -> None:
    """Whoever leads next knows of it from the log: nobody asks again, and no letter is left out or handled twice."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, SHOP, 1)
        sales = [Sale(TILLS[0], number, bad=number == 0) for number in range(100)]
        await sell(cluster, sales)
        await all_of(cluster, "shop.count.dead", dict, len(sales))
        await deploy(cluster, shop.mended, SHOP, 1, name="mended")
        log = "__tasks.shop.count.1"
        assert len(sales) == await redrive(cluster, log, 0)
        while not 20 < (told := await status(cluster, log, 0)).counts.get("redriven", 0):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert 0 < told.redrive_left < 80
        cluster.crash(told.node)
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, len(sales)))
        after = await status(cluster, log, 0)
        assert (len(sales), 0) == (after.counts["redriven"], after.redrive_left)
        assert after.term > told.term
        await cluster.start(told.node)

    on_a_cluster(work, work_records_max=5)  # else all letters may be one work


def test_topics_that_are_deleted_stop_a_task_and_lose_nothing() -> None:
    """An output: what would be written is not made. An input: it is another topic when it is made again."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, SHOP, 1)
        await sell(cluster, good(10))
        await all_of(cluster, "counts", Count, 10)
        await delete(cluster, "counts")
        await sell(cluster, good(10, first=10))
        told = await stopped(cluster, "__tasks.shop.count.1")
        assert "the topic 'counts', which it writes, was deleted" in told.why
        (position,) = told.positions
        assert position.position < 20
        assert "riverrun app resume shop count@1" in told.why
        await create(cluster, "counts", 1)
        assert TaskState.STOPPED is (await status(cluster, "__tasks.shop.count.1", 0)).state
        await deploy(cluster, shop.mended, SHOP, 1, name="mended")
        rest = numbered(good(20)) - numbered(good(position.position))
        assert rest == got(await all_of(cluster, "counts", Count, len(rest)))

        assert numbered(good(20)) == got(await all_of(cluster, "strict-counts", Count, 20))
        await delete(cluster, "sales")
        assert "the topic 'sales', which it reads, was deleted" in (await stopped(cluster, "__tasks.shop.strict.1")).why
        resume(cluster, "__tasks.shop.strict.1")
        await says(cluster, "__tasks.shop.strict.1", TaskState.WAITING, "sales")
        await create(cluster, "sales", 1)
        await sell(cluster, good(10, first=20))
        assert numbered(good(30)) == got(await all_of(cluster, "strict-counts", Count, 30))
        assert "" == (await status(cluster, "__tasks.shop.strict.1", 0)).why
        assert "which it reads, was deleted" in (await stopped(cluster, "__tasks.shop.count.1")).why

    on_a_cluster(work)


def test_a_topic_that_was_made_again_with_other_partitions_is_none() -> None:
    """State is by partitions. Another leader does not take the new topic up by itself, either."""

    async def work(cluster: AppCluster) -> None:
        log = "__tasks.shop.strict.1"
        await deploy(cluster, shop.mended, SHOP, 1, name="mended")
        await sell(cluster, good(10))
        await all_of(cluster, "strict-counts", Count, 10)
        await delete(cluster, "sales")
        await stopped(cluster, log)
        await create(cluster, "sales", 2)
        resume(cluster, log)
        told = await stopped(cluster, log, "made again with 2 partitions, and had 1")
        await delete(cluster, "sales")
        await create(cluster, "sales", 1)
        cluster.crash(told.node)
        told = await stopped(cluster, log, "made again since this task began")
        await sell(cluster, good(10, first=10))
        resume(cluster, log)
        assert numbered(good(20)) == got(await all_of(cluster, "strict-counts", Count, 20))

    on_a_cluster(work)


def test_what_has_stopped_goes_on_when_its_errors_are_to_be_put_aside() -> None:
    """Under the same version, from where it is. Back and forth: letters of before are handled once, new ones kept."""

    async def work(cluster: AppCluster) -> None:
        log, dead = "__tasks.shop.strict.1", "shop.strict.dead"
        await deploy(cluster, shop.app, SHOP, 1)
        await sell(cluster, [*good(5), Sale(TILLS[0], 5, bad=True), *good(4, first=6)])
        assert "cannot handle 5" in (await stopped(cluster, log)).why
        await create(cluster, dead, 1)
        await deploy(cluster, shop.lenient, SHOP, 1, name="lenient")
        await all_of(cluster, "strict-counts", Count, 9)
        assert [5] == [letter["number"] for letter in await all_of(cluster, dead, dict, 1)]
        await deploy(cluster, shop.mended, SHOP, 1, name="mended")
        await sell(cluster, [Sale(TILLS[0], 10, bad=True)])
        await all_of(cluster, "strict-counts", Count, 10)
        await deploy(cluster, shop.lenient, SHOP, 1, name="lenient")
        await sell(cluster, [Sale(TILLS[0], 11, bad=True)])
        assert [5, 11] == [letter["number"] for letter in await all_of(cluster, dead, dict, 2)]
        assert 2 == await redrive(cluster, log, 0)

    on_a_cluster(work)


def test_keys_do_not_wait_for_dead_letters_that_were_deleted() -> None:
    """They are gone with their topic, so later records of the key are handled again."""

    async def work(cluster: AppCluster) -> None:
        log = "__tasks.shop.count.1"
        await deploy(cluster, shop.app, SHOP, 1)
        sales = [Sale(TILLS[0], number, bad=number == 0) for number in range(10)]
        await sell(cluster, sales)
        await all_of(cluster, "shop.count.dead", dict, len(sales))
        await delete(cluster, "shop.count.dead")
        assert "'shop.count.dead', which it writes, was deleted" in (await stopped(cluster, log)).why
        await sell(cluster, [Sale(TILLS[0], 10)])
        await create(cluster, "shop.count.dead", 1)
        resume(cluster, log)
        await sell(cluster, [Sale(TILLS[0], 11)])
        found = await all_of(cluster, "counts", Count, 2)
        assert [(10, 1), (11, 2)] == [(count.number, count.count) for count in found]
        assert 0 == await redrive(cluster, log, 0)

    on_a_cluster(work)


def test_a_task_that_stopped_tries_again_when_it_is_resumed() -> None:
    """With the same code: what was wrong was outside."""

    async def work(cluster: AppCluster) -> None:
        log = "__tasks.strict.count.1"
        flaky.outside.busy, flaky.outside.asked_s = True, []
        await deploy(cluster, flaky.strict, "tests.processing.tasks.flaky", 1, name="strict")
        sales = [*good(5), Sale(TILLS[0], 5, bad=True), *good(5, first=6)]
        await sell(cluster, sales)
        await stopped(cluster, log, "it is busy")
        resume(cluster, log)
        while len(flaky.outside.asked_s) < 2:  # noqa: ASYNC110  user code tells nobody
            await asyncio.sleep(0.1)
        await stopped(cluster, log, "it is busy")
        flaky.outside.busy = False
        resume(cluster, log)
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, len(sales)))

    on_a_cluster(work)


def test_better_code_does_not_wait_for_the_process_of_the_old_one() -> None:
    """That has ended again and again, so it may be started in half a minute; what is told of it says so."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, SHOP, 1)
        await led_as_preferred(cluster, "__tasks.shop.count.1")  # else another node's process has ended once
        sales = good(9)
        for count in range(1, 9):
            await crash_at(cluster, sales[count - 1])
            await all_of(cluster, "counts", Count, count)
        await crash_at(cluster, sales[8])
        await says(cluster, "__tasks.shop.count.1", TaskState.WAITING, "9 times in a row")
        began_s = cluster.loop.now_s
        await deploy(cluster, shop.mended, SHOP, 1, name="mended")
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, 9))
        assert cluster.loop.now_s - began_s < 15

    on_a_cluster(work)


def test_state_that_is_found_damaged_is_got_anew() -> None:
    """By whoever reads it, in the middle of a work: the task goes on, and every sale has its right number."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, SHOP, 1)
        sales = good(40)
        await sell(cluster, sales[:5])
        await all_of(cluster, "counts", Count, 5)
        damaged = []

        def get_many(places: Sequence[Place]) -> list[bytes | None]:
            damaged.append(places)
            raise CorruptStorage("a row is not what was written")

        partition = PartitionId(a_node(cluster).broker.directory.by_name["__tasks.shop.count.1"].id, 0)
        for node in cluster.running.values():
            assert node.tasks is not None
            keeper = node.tasks.keeper(partition)
            if keeper is not None and keeper.replica.raft.is_leader:
                assert keeper.store is not None
                keeper.store.get_many = get_many  # type: ignore[method-assign]
        await sell(cluster, sales[5:])
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, 40))
        assert damaged

    on_a_cluster(work)


def leader_of(cluster: AppCluster, topic: str, number: int) -> int:
    """The node that leads a partition."""
    partition = PartitionId(a_node(cluster).broker.directory.by_name[topic].id, number)
    for node in cluster.running.values():
        running = node.broker.running.get(partition)
        if running is not None and running.replica.raft.is_leader:
            return node.me
    raise AssertionError(f"nobody leads {topic}/{number}")


def test_no_event_is_late_because_its_leader_was_gone() -> None:
    """Longer than a partition may be silent; when it is back, what could not be published meanwhile comes in time."""

    async def work(cluster: AppCluster) -> None:
        await asyncio.sleep(3)
        await create(cluster, "sales", 3, replicas=1)
        await deploy(cluster, shop.app, SHOP, 3, tasks=1)
        await asyncio.sleep(5)
        victim = leader_of(cluster, "sales", 0)
        away = [till for till in TILLS if leader_of(cluster, "sales", partition_of_key(till.encode(), 3)) == victim]
        there = [till for till in TILLS if till not in away]
        assert away
        assert there
        expected: Counter[tuple[str, int]] = Counter()

        async def sell_at(tills: Sequence[str], *seconds: int) -> None:
            sales = [Sale(till, 0, second=second) for second in seconds for till in tills]
            await sell(cluster, sales, at_s=0)
            expected.update((sale.till, 1_800_000_000 + sale.second // 10 * 10) for sale in sales)

        await sell_at(TILLS, 0, 1, 2)
        cluster.crash(victim)
        await sell_at(there, 100, 200)
        await asyncio.sleep(60)
        await cluster.start(victim)
        await asyncio.sleep(3)
        await sell_at(away, 3, 30, 40)
        await asyncio.sleep(1)
        await sell_at(TILLS, 300)
        found = await all_of(cluster, "totals", Total, len(expected))
        assert expected == Counter({(total.till, total.start): total.sales for total in found})
        assert not (await status(cluster, "__tasks.shop.totals.1", 0)).counts.get("late")

    on_a_cluster(work)


def test_a_destination_without_a_majority_holds_the_task() -> None:
    """No more is made than may wait, and all of it comes when the destination is there again."""

    async def work(cluster: AppCluster) -> None:
        await asyncio.sleep(3)
        await create(cluster, "counts", 1, replicas=1)
        await deploy(cluster, shop.app, SHOP, 1)
        sales = good(400)
        await sell(cluster, sales[:10])
        await all_of(cluster, "counts", Count, 10)
        victim = leader_of(cluster, "counts", 0)
        cluster.crash(victim)
        await sell(cluster, sales[10:])
        await asyncio.sleep(5)
        told = await status(cluster, "__tasks.shop.count.1", 0)
        assert 4_000 <= told.unshipped_bytes < 30_000
        assert told.lag_records > 100
        assert "counts/0" in told.why
        await cluster.start(victim)
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, 400))

    on_a_cluster(work, unshipped_bytes_max=4_000)


def test_state_that_no_longer_decodes() -> None:
    """The task stops, and says which state of which key; with the old type it goes on."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.mended, SHOP, 1, name="mended")
        sales = good(20)
        await sell(cluster, sales[:10])
        await all_of(cluster, "strict-counts", Count, 10)
        await deploy(cluster, shop.retyped, SHOP, 1, name="retyped")
        await sell(cluster, sales[10:])
        told = await stopped(cluster, "__tasks.shop.strict.1")
        assert "state 'seen' of key b't" in told.why
        assert "does not decode as its type" in told.why
        await deploy(cluster, shop.mended, SHOP, 1, name="mended")
        assert numbered(sales) == got(await all_of(cluster, "strict-counts", Count, 20))

    on_a_cluster(work)


def test_a_pause_is_noticed_however_short_it_is() -> None:
    """A task that has stopped begins anew after it, though its node hears of both at once."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, moody.app, "tests.processing.tasks.moody", 1)
        await sell(cluster, good(3))
        assert "what it needs is missing" in (await stopped(cluster, "__tasks.moody.see.1")).why
        moody.MISSING.clear()
        app = a_node(cluster).broker.directory.apps["moody"]
        paused = replace(app, stages=tuple(replace(stage, paused=True) for stage in app.stages))
        for node in cluster.running.values():
            for told in (paused, app):
                node.broker.apply(Delta(version=node.broker.directory.version, apps=(told,)))
        await all_of(cluster, "seen", Sale, 3)

    on_a_cluster(work)


def test_a_removal_in_the_middle_of_everything() -> None:
    """Of works, of a redrive, of a process that begins anew: it ends, and what is deployed next begins from nothing."""

    async def work(cluster: AppCluster) -> None:
        await deploy(cluster, shop.app, SHOP, PARTITIONS)
        sales = [Sale(till, number, bad=number == 0) for number in range(20) for till in TILLS[:3]]
        await sell(cluster, sales)
        await all_of(cluster, "shop.count.dead", dict, len(sales))
        await deploy(cluster, shop.mended, SHOP, PARTITIONS, name="mended")
        topic = a_node(cluster).broker.directory.by_name["__tasks.shop.count.1"].id
        asked = [asyncio.create_task(redrive(cluster, "__tasks.shop.count.1", n)) for n in range(PARTITIONS)]
        for hosts in cluster.user_code.values():
            hosts.crash_next_work(after=1)
        await asyncio.sleep(0.02)
        await until(lambda: a_node(cluster).controller.remove_app("shop", [("count", 1)], []))
        await asyncio.sleep(10)
        assert all(task.done() for task in asked), "whoever asks is answered"
        await asyncio.gather(*asked, return_exceptions=True)
        for node in cluster.running.values():
            assert node.tasks is not None
            assert [None] * PARTITIONS == [node.tasks.keeper(PartitionId(topic, n)) for n in range(PARTITIONS)]
        await delete(cluster, "counts")
        await deploy(cluster, shop.mended, SHOP, PARTITIONS, name="mended")
        assert numbered(sales) == got(await all_of(cluster, "counts", Count, len(sales)))

    on_a_cluster(work)
