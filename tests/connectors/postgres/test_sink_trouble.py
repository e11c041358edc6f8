"""What may be wrong with a database that is written to: one sentence that says what and where, or patience."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from cluster.connectors.contract import Delivery, Position, Sink
from cluster.connectors.postgres import PostgresSink
from cluster.errors import InvalidRoute, Unreachable
from tests.servers.postgres import PASSWORD, PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
LANE = "app/route/topic/0"
Open = Callable[..., Sink]
ROWS = "CREATE TABLE rows (id int PRIMARY KEY, a text)"


@pytest.fixture
async def sink(server: PostgresServer, database: str) -> AsyncIterator[Open]:
    """Makes a sink of this test's database, closed with the test."""
    async with AsyncExitStack() as end:

        def make(**options: Any) -> Sink:
            given: dict[str, Any] = {"url": server.url(database), "table": "rows", "key": "id", **options}
            opened = PostgresSink(**given).open("test")
            end.push_async_callback(opened.close)
            return opened

        yield make


async def put(into: Sink, begin: int = 0, **value: Any) -> None:
    """One record."""
    delivery = Delivery(value=value, key=None, timestamp_ns=0, headers=(), offset=begin, id=f"{begin}")
    assert await into.write([delivery], Position(lane=LANE, begin=begin, end=begin + 1))


TABLES = {
    "missing": ("SELECT 1", "there is no table public.rows of 127.0.0.1:"),
    "a view": ("CREATE VIEW rows AS SELECT 1 AS id", "is no table"),
    "no such key": ("CREATE TABLE rows (a int)", "has no column id, which is to be its key"),
    "no index": ("CREATE TABLE rows (id int)", r"no primary key or unique index on \(id\)"),
    "half an index": ("CREATE TABLE rows (id int, b int, PRIMARY KEY (id, b))", r"unique index on \(id\)"),
    "another index": ("CREATE TABLE rows (id int); CREATE UNIQUE INDEX ON rows (id) WHERE id > 0", "unique index on"),
}


@pytest.mark.parametrize(("made", "sentence"), TABLES.values(), ids=TABLES)
async def test_tables_that_cannot_be_written(
    server: PostgresServer, database: str, sink: Open, made: str, sentence: str
) -> None:
    """They are named before anything is read for them."""
    with server.connect(database) as db:
        db.execute(made.encode())
    with pytest.raises(InvalidRoute, match=sentence) as wrong:
        await sink().last_position(LANE)

    assert PASSWORD not in str(wrong.value)


async def test_rights_that_are_missing(server: PostgresServer, database: str, sink: Open) -> None:
    """To keep positions, to write, to update: each is named, one after the other."""
    role = f"writer_{database}"
    with server.connect(database) as db:
        db.execute(ROWS)
        db.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; REVOKE TEMP ON DATABASE {database} FROM public".encode()
        )
        url = server.url(database, user=role)
        with pytest.raises(InvalidRoute, match="permission denied for schema public: have its owner run CREATE TABLE"):
            await put(sink(url=url), id=1)
        db.execute(
            "CREATE TABLE riverrun_positions (lane text PRIMARY KEY, position bigint NOT NULL, written_at timestamptz)"
        )
        with pytest.raises(InvalidRoute, match="may not be written: GRANT INSERT"):
            await put(sink(url=url), id=1)
        db.execute(f"GRANT INSERT ON rows TO {role}".encode())
        with pytest.raises(InvalidRoute, match="permission denied for table riverrun_positions"):
            await put(sink(url=url), id=1)
        db.execute(f"GRANT SELECT, INSERT, UPDATE ON riverrun_positions TO {role}".encode())
        with pytest.raises(InvalidRoute, match="permission denied for table rows"):
            await put(sink(url=url), id=1, a="x")
        db.execute(f"GRANT SELECT, UPDATE, DELETE ON rows TO {role}".encode())
        into = sink(url=url)
        many = [
            Delivery(value={"id": n, "a": "x"}, key=None, timestamp_ns=0, headers=(), offset=n, id="")
            for n in range(99)
        ]
        await into.write(many, Position(lane=LANE, begin=0, end=99))

        assert (99,) == db.execute("SELECT count(*) FROM rows").fetchone()


async def test_a_lock_that_somebody_holds(server: PostgresServer, database: str, sink: Open) -> None:
    """It is waited for, for a while, and tried again."""
    with server.connect(database) as db:
        db.execute(ROWS)
        into = sink(lock_timeout="50ms")
        await put(into, id=1, a="x")
        with db.transaction():
            db.execute("LOCK TABLE rows")
            with pytest.raises(Unreachable, match="lock timeout"):
                await put(into, 1, id=1, a="y")
        await put(into, 1, id=1, a="y")

        assert [(1, "y")] == db.execute("SELECT * FROM rows").fetchall()


async def test_a_deadlock(server: PostgresServer, database: str, sink: Open) -> None:
    """One of two has to give way: it is tried again."""
    with server.connect(database) as db:
        db.execute(ROWS)
        db.execute("INSERT INTO rows VALUES (1, 'x'), (2, 'x')")
        into = sink()
        await into.last_position(LANE)
        batch = [
            Delivery(value={"id": n, "a": "y"}, key=None, timestamp_ns=0, headers=(), offset=n, id="") for n in (1, 2)
        ]
        db.execute("SET deadlock_timeout = '10s'")
        with db.transaction():
            db.execute("UPDATE rows SET a = 'z' WHERE id = 2")
            writing = asyncio.ensure_future(into.write(batch, Position(lane=LANE, begin=0, end=3)))
            while not db.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            asyncio.get_running_loop().run_in_executor(None, db.execute, "UPDATE rows SET a = 'z' WHERE id = 1")
            with pytest.raises(Unreachable, match="deadlock"):
                await writing
        await into.write(batch, Position(lane=LANE, begin=0, end=3))

        assert [(1, "y"), (2, "y")] == db.execute("SELECT * FROM rows ORDER BY 1").fetchall()


@pytest.mark.parametrize("way", ["kill", "shut_down"])
async def test_a_database_that_restarts(server: PostgresServer, database: str, sink: Open, way: str) -> None:
    """It is away, and a new session goes on where the last one was."""
    with server.connect(database) as db:
        db.execute(ROWS)
    into = sink()
    await put(into, id=1, a="x")
    getattr(server, way)()
    with pytest.raises(Unreachable, match=f"127.0.0.1:{server.port}/{database}"):
        await put(into, 1, id=2, a="y")
    with pytest.raises(Unreachable, match="Connection refused"):
        await sink().last_position(LANE)
    server.start()
    again = sink()
    assert 1 == await again.last_position(LANE)
    await put(again, 1, id=2, a="y")
    with server.connect(database) as db:
        found = db.execute("SELECT * FROM rows ORDER BY 1").fetchall()

    assert [(1, "x"), (2, "y")] == found


async def test_a_commit_that_counts(server: PostgresServer, database: str, sink: Open) -> None:
    """Where commits of a role need not be on disk ours are all the same, and its position table may have a schema."""
    with server.connect(database) as db:
        db.execute(f"{ROWS}; CREATE SCHEMA river; ALTER DATABASE {database} SET synchronous_commit = off".encode())
        into = sink(positions_table="river.places")
        await put(into, id=1, a="x")
        connection = getattr(into, "_connection", None)
        assert connection is not None
        setting = await (await connection.execute("SHOW synchronous_commit")).fetchone()

        assert ("on",) == setting
        assert [(LANE, 1)] == db.execute("SELECT lane, position FROM river.places").fetchall()
