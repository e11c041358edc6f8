"""Changes captured from PostgreSQL beside the same stream read raw, by psycopg's logical replication.

Three slots have kept the same transactions (inserts of rows with seven columns, 100 a transaction) on one server, and
are read one after the other. The yardstick takes messages off the connection and drops them, answering nothing. The
connector alone decodes, makes records, keeps its cursor and confirms it. The route is all there is: a source on a
cluster of three nodes, whose records are at last in a topic, synced, each once; its rate is measured from the first of
them, so that starting it does not count.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.client import Client
from cluster.connectors.postgres import PostgresSource
from tests.servers.postgres import PostgresServer

CHANGES = 100_000
IN_TRANSACTION = 100
PORT = 17_700
RAW, CONNECTOR, ROUTE = "raw logical replication (psycopg)", "the connector alone", "capture → topic, three nodes"
KIND = "changes of PostgreSQL"
TOPIC, PARTITIONS = "order-changes", 3
PATIENCE_S = 120.0
LOOK_S = 0.02
TABLE = """CREATE TABLE orders (
  id int PRIMARY KEY, customer text, amount numeric(10, 2), quantity int, at timestamptz, paid bool, notes jsonb)"""
INSERT = """INSERT INTO orders
  SELECT n, 'c' || n %% 1000, n %% 10000 / 100.0, n %% 5, now(), n %% 2 = 0, '{"region": "eu"}'
  FROM generate_series(%s::int, %s::int) n"""
START = "START_REPLICATION SLOT raw LOGICAL 0/0 (proto_version '1', publication_names 'bench')"
IS_READ = "SELECT active FROM pg_replication_slots WHERE slot_name = 'routed'"
ROUTES = """
[connections.shop]
kind = "postgres"
url = "{url}"

[[route]]
name = "capture"
to = {{ topic = "{topic}" }}
from = {{ connection = "shop", table = "orders", snapshot = "never", publication = "bench", slot = "routed" }}
"""
Note = Callable[[str, float], None]


async def measure(directory: Path, scale: float, note: Note) -> None:
    """One round, on a server and a cluster of its own."""
    changes = max(1, int(CHANGES * scale / IN_TRANSACTION)) * IN_TRANSACTION
    server = PostgresServer(max_wal_size="4GB")
    local = LocalCluster(directory, port=PORT)
    try:
        server.start()
        local.start_all()
        await wait_ready(local)
        async with await connect(local.addresses) as client:
            await _measure(server, client, changes, note)
    finally:
        local.stop()
        server.stop()


async def _measure(server: PostgresServer, client: Client, changes: int, note: Note) -> None:
    database = server.new_database()
    options = PostgresSource(
        url=server.url(database), table="orders", publication="bench", slot="ours", snapshot="never"
    )
    with server.connect(database) as db:
        db.execute(TABLE)
        source = options.open("", "bench")
        cursor = (await source.read(None)).cursor
        db.execute("SELECT pg_create_logical_replication_slot('raw', 'pgoutput')")
        await _deploy(client, server.url(database), db)
        for begin in range(0, changes, IN_TRANSACTION):
            await asyncio.to_thread(db.execute, INSERT, [begin, begin + IN_TRANSACTION - 1])
    begin_s = time.perf_counter()
    await _read_raw(server, database, changes)
    note(f"{KIND}: {RAW}", changes / (time.perf_counter() - begin_s))
    begin_s, count = time.perf_counter(), 0
    while count < changes:
        arrived = await source.read(cursor)
        cursor = arrived.cursor
        count += len(arrived.records)
        await source.committed(cursor)
    note(f"{KIND}: {CONNECTOR}", changes / (time.perf_counter() - begin_s))
    await source.close()
    note(f"{KIND}: {ROUTE}", await _captured_per_s(client, changes))


async def _deploy(client: Client, url: str, db: "psycopg.Connection[object]") -> None:
    """A route that has its slot, and rests."""
    text = ROUTES.format(topic=TOPIC, url=url)
    await client.create_topic(TOPIC, partitions=PARTITIONS)
    await client.deploy_app(text.encode(), file_name="bench.toml")
    async with asyncio.timeout(PATIENCE_S):
        while db.execute(IS_READ).fetchone() != (True,):  # noqa: ASYNC110  no database tells us
            await asyncio.sleep(LOOK_S)
        await client.pause_app("bench")
        while db.execute(IS_READ).fetchone() != (False,):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)


async def _captured_per_s(client: Client, changes: int) -> float:
    await client.resume_app("bench")
    first, first_s, count = 0, 0.0, 0
    async with asyncio.timeout(PATIENCE_S):
        while count < changes:
            await asyncio.sleep(LOOK_S)
            count = sum(offsets.end for offsets in (await client.offsets(TOPIC)).values())
            if count and not first:
                first, first_s = count, time.perf_counter()
    rate = (count - first) / (time.perf_counter() - first_s)
    assert count == changes, f"{count} of {changes} changes were captured"
    return rate


async def _read_raw(server: PostgresServer, database: str, changes: int) -> None:
    connection = await psycopg.AsyncConnection.connect(server.url(database), autocommit=True, replication="database")
    readable, count = asyncio.Event(), 0
    loop, pgconn = asyncio.get_running_loop(), connection.pgconn
    await connection.execute(START)
    loop.add_reader(pgconn.socket, readable.set)
    try:
        while count < changes:
            size, data = pgconn.get_copy_data(1)
            if size == 0:
                readable.clear()
                await readable.wait()
                pgconn.consume_input()
                continue
            assert size > 0, "the stream ended"
            count += size > 25 and data[25] == ord("I")
    finally:
        loop.remove_reader(pgconn.socket)
        await connection.close()
