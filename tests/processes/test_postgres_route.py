"""A table, captured, counted by a processor and written to another table, under kills of every part: they are equal."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.app_views import StageView
from cluster.client.client import Client
from cluster.errors import RiverrunError
from tests.processes import apps
from tests.processes.orders import ROWS, Orders
from tests.servers.postgres import PASSWORD, USER, PostgresServer

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(300)]
MakeCluster = Callable[[int], LocalCluster]
APP = Path(__file__).parent / "orders_app.py"
LIMITS = apps.LIMITS + 'host_environment = ["SHOP_PASSWORD"]\n'
ROUTES = """
[connections.shop]
kind = "postgres"
url = "postgresql://{user}@127.0.0.1:{port}/{database}"
password = "${{SHOP_PASSWORD}}"

[[route]]
name = "capture"
from = {{ connection = "shop", table = "orders", heartbeat = "1s" }}
map = {{ op = "op", id = "before.id if after is None else after.id", row = "after" }}
key = "id"
to = {{ topic = "order-changes" }}

[[route]]
name = "copy"
from = {{ topic = "order-rows" }}
to = {{ connection = "shop", table = "orders_copy", key = "id" }}
"""
KINDS = ["node", "child", "postgres", "node", "child", "postgres"]
"""Every part; a child is the source, the processor or the sink, by chance. Whoever outlives the last has to go on."""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Started, and of this test alone: it is killed."""
    made = PostgresServer()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def routes(server: PostgresServer, database: str, place: Path) -> Path:
    """The route file."""
    file = place / "shop.toml"
    file.write_text(ROUTES.format(user=USER, port=server.port, database=database))
    return file


async def captured(client: Client) -> int:
    """How many records the topic has; 0 if it cannot be asked now."""
    with contextlib.suppress(RiverrunError):
        return sum(offsets.end for offsets in (await client.offsets("order-changes")).values())
    return 0


class Killer:
    """Kills parts, by a seed, and starts them again."""

    def __init__(self, cluster: LocalCluster, server: PostgresServer, orders: Orders, seed: int) -> None:
        self._cluster, self._server, self._orders = cluster, server, orders
        self._chance = random.Random(seed)

    async def kill(self, kind: str) -> None:
        """One of that kind, at a random moment."""
        await asyncio.sleep(self._chance.random())
        if kind == "node":
            victim = self._chance.choice(self._cluster.nodes)
            self._cluster.kill(victim)
            await asyncio.sleep(self._chance.random() * 0.5)
            self._cluster.start(victim)
            await wait_ready(self._cluster)
        elif kind == "postgres":
            left = self._orders.leave_open()
            self._server.kill()
            left.close()
            await asyncio.sleep(self._chance.random() * 0.5)
            await asyncio.to_thread(self._server.start)
        else:
            children = apps.children(self._cluster)
            while not children:
                await asyncio.sleep(apps.LOOK_S)
                children = apps.children(self._cluster)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._chance.choice(children), signal.SIGKILL)


async def stages(client: Client) -> list[StageView]:
    """Of both apps."""
    return [stage for app in await client.list_apps() for stage in (await client.describe_app(app.name)).stages]


async def same(orders: Orders, client: Client) -> None:
    """Return when the tables are equal; the test fails with what differs if they never are."""
    left: list[tuple[object, ...]] = []
    try:
        async with asyncio.timeout(apps.PATIENCE_S):
            while left := await asyncio.to_thread(orders.difference):  # noqa: ASYNC110  no database tells us
                await asyncio.sleep(apps.LOOK_S)
    except TimeoutError:
        tasks = [(stage.name, task) for stage in await stages(client) for task in stage.tasks]
        said = [f"{name} {task.number}: {task.state} {task.why} behind {task.lag_records}" for name, task in tasks]
        shown = [[str(value)[:20] for value in row] for row in left[:6]]
        raise AssertionError("\n".join([f"{len(left)} rows differ", *said, *map(str, shown)])) from None


async def test_the_copy_of_a_table_is_equal_and_each_change_is_counted_once(
    make_cluster: MakeCluster, server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six kills: of nodes, of the processes of connectors and of user code, and of PostgreSQL."""
    await through_kills(make_cluster, server, tmp_path, monkeypatch, KINDS, seed=5)


@pytest.mark.long
@pytest.mark.parametrize("seed", [11, 12])
async def test_it_is_through_twenty_kills(
    make_cluster: MakeCluster, server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """In an order by chance."""
    kinds = ["node"] * 5 + ["postgres"] * 5 + ["child"] * 10
    random.Random(seed).shuffle(kinds)
    await through_kills(make_cluster, server, tmp_path, monkeypatch, kinds, seed=seed)


async def through_kills(
    make_cluster: MakeCluster,
    server: PostgresServer,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    kinds: list[str],
    *,
    seed: int,
) -> None:
    """Rows change from before the first look until all kills are over."""
    print(f"seed {seed}, kills: {' '.join(kinds)}")
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    orders = Orders(server, seed)
    cluster = make_cluster(3)
    apps.limit(cluster, LIMITS)
    cluster.start_all()
    await wait_ready(cluster)
    async with await connect(cluster.addresses) as client:
        orders.start()
        try:
            file = routes(server, orders.database, place)
            done = await asyncio.to_thread(apps.riverrun, cluster, "route", "deploy", str(file), "--partitions", "3")
            assert 0 == done.returncode, done.stdout + done.stderr
            await client.deploy_app(APP.read_bytes(), file_name="orders_app.py", partitions=3)
            killer = Killer(cluster, server, orders, seed)
            for number, kind in enumerate(kinds):
                if number == 1:
                    async with asyncio.timeout(apps.PATIENCE_S):
                        while await captured(client) < ROWS:  # noqa: ASYNC110
                            await asyncio.sleep(apps.LOOK_S)
                    orders.come_and_go()
                await killer.kill(kind)
        finally:
            orders.finish()
        await same(orders, client)
        found = await stages(client)
        assert {"capture", "copy", "count"} == {stage.name for stage in found}
        assert [] == [stage.name for stage in found if set(stage.counts) & {"skipped", "dead_lettered", "parked"}]
        print(f"{orders.changes()} changes in {orders.transactions} transactions")
        assert await captured(client) <= orders.changes()
