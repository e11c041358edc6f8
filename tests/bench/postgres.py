"""Changes captured from PostgreSQL beside the same stream read raw: `python -m tests.bench.postgres CHANGES ROUNDS`.

Both read what a slot has kept of the same transactions (inserts of rows with seven columns, 100 a transaction) from one
server, one after the other, in rounds. The yardstick takes messages off the connection and drops them, answering
nothing; ours decodes, makes records, keeps its cursor and confirms it, as a route would but for the commit.
"""

import asyncio
import sys
import time
from collections.abc import Callable

import psycopg

from cluster.connectors.postgres import PostgresSource
from tests.servers.postgres import PostgresServer

CHANGES = 100_000
IN_TRANSACTION = 100
TABLE = """CREATE TABLE orders (
  id int PRIMARY KEY, customer text, amount numeric(10, 2), quantity int, at timestamptz, paid bool, notes jsonb)"""
INSERT = """INSERT INTO orders
  SELECT n, 'c' || n %% 1000, n %% 10000 / 100.0, n %% 5, now(), n %% 2 = 0, '{"region": "eu"}'
  FROM generate_series(%s::int, %s::int) n"""
START = "START_REPLICATION SLOT raw LOGICAL 0/0 (proto_version '1', publication_names 'bench')"
Note = Callable[[str, float], None]


async def measure(changes: int, note: Note) -> None:
    """One round on a server of its own."""
    server = PostgresServer(max_wal_size="4GB")
    try:
        server.start()
        database = server.new_database()
        options = PostgresSource(
            url=server.url(database), table="orders", publication="bench", slot="ours", snapshot="never"
        )
        with server.connect(database) as db:
            db.execute(TABLE)
            source = options.open("", "bench")
            cursor = (await source.read(None)).cursor
            db.execute("SELECT pg_create_logical_replication_slot('raw', 'pgoutput')")
            for begin in range(0, changes, IN_TRANSACTION):
                db.execute(INSERT, [begin, begin + IN_TRANSACTION - 1])
        begin_s, cpu_s = time.perf_counter(), time.process_time()
        await _read_raw(server, database, changes)
        note("raw changes/s", changes / (time.perf_counter() - begin_s))
        note("raw, for each second of this process", changes / (time.process_time() - cpu_s))
        begin_s, cpu_s, count = time.perf_counter(), time.process_time(), 0
        while count < changes:
            arrived = await source.read(cursor)
            cursor = arrived.cursor
            count += len(arrived.records)
            await source.committed(cursor)
        note("ours changes/s", changes / (time.perf_counter() - begin_s))
        note("ours, for each second of this process", changes / (time.process_time() - cpu_s))
        await source.close()
    finally:
        server.stop()


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


def main() -> None:
    """Rounds, each figure as it comes."""
    changes, rounds = [*map(int, sys.argv[1:3]), *[CHANGES, 3][len(sys.argv) - 1 :]]
    for _ in range(rounds):
        asyncio.run(measure(changes, lambda name, value: print(f"{name}: {value:,.0f}", flush=True)))


if __name__ == "__main__":
    main()
