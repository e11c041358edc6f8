"""What a deployment makes at a database goes with it."""

import asyncio
from collections.abc import Callable

import psycopg
import pytest

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from tests.processes import apps
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(120)]
ROUTES = """
[[route]]
name = "orders"
from = {{ kind = "postgres", url = "{url}", tables = ["public.orders"] }}
to = {{ topic = "orders" }}
"""


async def test_a_removed_route_leaves_no_slot_behind(make_cluster: Callable[[int], LocalCluster]) -> None:
    """A slot that nobody reads keeps the database's log for ever."""
    postgres = PostgresServer()
    try:
        postgres.start()
        url = postgres.url(postgres.new_database())
        with psycopg.connect(url, autocommit=True) as database:
            database.execute("create table orders (id int primary key, total numeric)")
            database.execute("insert into orders select n, n from generate_series(1, 10) n")
        cluster = make_cluster(1)
        cluster.start_all()
        await wait_ready(cluster)
        async with connect(cluster.addresses) as client:
            content = ROUTES.format(url=url).encode()
            await client.deploy_app(content, file_name="shop.toml", create_topics=True, partitions=1)
            await apps.records(client, "orders", 10)
            assert 1 == len(slots(url))
            await client.remove_app("shop")
            async with asyncio.timeout(apps.PATIENCE_S):
                while slots(url):  # noqa: ASYNC110  the database tells nobody
                    await asyncio.sleep(apps.LOOK_S)
    finally:
        postgres.stop()


def slots(url: str) -> list[tuple[str]]:
    """Those that are there."""
    with psycopg.connect(url, autocommit=True) as database:
        return database.execute("select slot_name from pg_replication_slots").fetchall()
