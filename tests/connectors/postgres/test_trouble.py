"""What may be wrong with a database that is captured: one sentence that says what and where, or patience."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from cluster.connectors.postgres import PostgresSource, source
from cluster.connectors.postgres.options import slot_name
from cluster.connectors.postgres.pgoutput import read_lsn
from cluster.errors import InvalidRoute, RiverrunError, Unreachable
from tests.connectors.postgres.following import Followed, brief
from tests.servers.postgres import PASSWORD, PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
Follow = Callable[..., Followed]
ORDERS = "CREATE TABLE orders (id int PRIMARY KEY, item text)"


async def told(followed: Followed, kind: type[RiverrunError]) -> str:
    """What a read fails with."""
    with pytest.raises(kind) as wrong:  # noqa: PT012  which read it is does not matter
        while True:
            await followed.read()
    assert PASSWORD not in str(wrong.value)
    return str(wrong.value)


async def patiently(followed: Followed, count: int) -> list[object]:
    """So many values, through whatever the database does meanwhile."""
    while True:
        try:
            return await followed.values(count)
        except Unreachable:
            await followed.reopen()
            await asyncio.sleep(0.02)


TABLES = {
    "missing": ("", "there is no table public.orders of 127.0.0.1:"),
    "keyless": ("CREATE TABLE orders (id int)", "has no primary key: add one"),
    "unlogged": ("CREATE UNLOGGED TABLE orders (id int PRIMARY KEY)", "its changes are in no log"),
    "a view": ("CREATE VIEW orders AS SELECT 1 AS id", "no table with rows of its own"),
    "no identity": (f"{ORDERS}; ALTER TABLE orders REPLICA IDENTITY NOTHING", "REPLICA IDENTITY DEFAULT"),
    "another identity": (
        f"{ORDERS}; ALTER TABLE orders ALTER item SET NOT NULL; CREATE UNIQUE INDEX other ON orders (item);"
        "ALTER TABLE orders REPLICA IDENTITY USING INDEX other",
        "REPLICA IDENTITY without its primary key",
    ),
}


@pytest.mark.parametrize(("made", "sentence"), TABLES.values(), ids=TABLES)
async def test_tables_that_cannot_be_captured(
    server: PostgresServer, database: str, follow: Follow, made: str, sentence: str
) -> None:
    """Nothing is made for them: neither a publication, which might stop their updates, nor a slot."""
    with server.connect(database) as db:
        db.execute(made.encode())
        said = await told(follow("orders"), InvalidRoute)
        left = db.execute("SELECT count(*) FROM pg_publication").fetchone()

    assert sentence in said
    assert (0,) == left


@pytest.fixture
def role(server: PostgresServer, database: str) -> Iterator[str]:
    """One that may log in, and nothing else."""
    name = f"plain_{database}"
    with server.connect(database) as db:
        db.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'".encode())
    yield name
    with server.connect(database) as db:
        db.execute(f"DROP OWNED BY {name}".encode())


async def test_rights_that_are_missing(server: PostgresServer, database: str, follow: Follow, role: str) -> None:
    """To read, to publish and to replicate: each is named, one after the other."""
    url = server.url(database, user=role)
    with server.connect(database) as db:
        db.execute(ORDERS)
        assert "may not be read: GRANT SELECT" in await told(follow("orders", url=url), InvalidRoute)
        db.execute(f"GRANT SELECT ON orders TO {role}".encode())
        said = await told(follow("orders", url=url, publication="p"), InvalidRoute)
        assert 'have its owner run CREATE PUBLICATION "p" FOR TABLE ONLY "public"."orders"' in said
        db.execute("CREATE PUBLICATION p")
        said = await told(follow("orders", url=url, publication="p"), InvalidRoute)
        assert "publication p of 127.0.0.1:" in said
        assert "does not have public.orders: ALTER PUBLICATION p ADD TABLE public.orders" in said
        db.execute("ALTER PUBLICATION p ADD TABLE orders")
        said = await told(follow("orders", url=url, publication="p"), InvalidRoute)
        assert "must be superuser or replication role to use replication slots" in said
        db.execute(f"ALTER ROLE {role} REPLICATION".encode())
        db.execute("INSERT INTO orders VALUES (1, 'a')")

        assert [("r", {"id": 1, "item": "a"})] == brief(await follow("orders", url=url, publication="p").values(1))


@pytest.mark.parametrize(
    ("wrong", "kind", "sentence"),
    [
        ({"password": "wr0ng-" + PASSWORD}, InvalidRoute, "password authentication failed"),
        ({"user": "nobody"}, InvalidRoute, "authentication failed"),
        ({"dbname": "nowhere"}, InvalidRoute, 'database "nowhere" does not exist'),
        ({"port": 25999}, Unreachable, "127.0.0.1:25999/"),
        ({"host": "nowhere.invalid"}, Unreachable, "nowhere.invalid"),
        ({"url": "postgresql://river:s3cret-word@127.0.0.1/x?slmode=off"}, InvalidRoute, "one of the url's parameters"),
    ],
)
async def test_addresses_that_lead_nowhere(
    follow: Follow, wrong: dict[str, object], kind: type[RiverrunError], sentence: str
) -> None:
    """Who has to mend it, or that it is tried again."""
    assert sentence in await told(follow("orders", **wrong), kind)


async def test_a_server_that_logs_too_little() -> None:
    """wal_level is named."""
    server = PostgresServer(wal_level="replica")
    try:
        server.start()
        database = server.new_database()
        with server.connect(database) as db:
            db.execute(ORDERS)
        followed = Followed(PostgresSource(url=server.url(database), table="orders"), "test")
        said = await told(followed, InvalidRoute)
        await followed.close()
    finally:
        server.stop()

    assert "has wal_level other than logical" in said


async def _free(db: "psycopg.Connection[Any]", slot: str) -> None:
    """Nobody uses it any more, as far as the server knows."""
    while db.execute("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", [slot]).fetchall():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def test_a_slot_that_is_gone(server: PostgresServer, database: str, follow: Follow) -> None:
    """What is lost is said; with on_lost_slot = "snapshot" the tables are read anew, after a word that says so."""
    with server.connect(database) as db:
        db.execute(ORDERS)
        db.execute("INSERT INTO orders VALUES (1, 'a'), (2, 'b')")
        followed = follow("orders")
        await followed.values(2)
        await followed.begin()
        await followed.source.close()
        slot = slot_name(followed.identity)
        await _free(db, slot)
        db.execute("SELECT pg_drop_replication_slot(%s)", [slot])
        db.execute("DELETE FROM orders WHERE id = 1")
        await followed.reopen()
        said = await told(followed, InvalidRoute)
        again = follow("orders", on_lost_slot="snapshot", identity=followed.identity)
        again.cursor = followed.cursor
        found = await again.values(2)
        db.execute("INSERT INTO orders VALUES (3, 'c')")
        found += await again.values(1)

    assert f"replication slot {slot} of 127.0.0.1:{server.port}/{database} is gone: what changed since 0/" in said
    assert 'on_lost_slot = "snapshot" goes on' in said
    assert [("t", None), ("r", {"id": 2, "item": "b"}), ("c", {"id": 3, "item": "c"})] == brief(found)


async def test_a_slot_that_was_moved(server: PostgresServer, database: str, follow: Follow) -> None:
    """Somebody else has taken changes from it: that is a gap, and no secret."""
    with server.connect(database) as db:
        db.execute(ORDERS)
        followed = follow("orders")
        await followed.begin()
        await followed.source.close()
        db.execute("INSERT INTO orders VALUES (1, 'a')")
        await _free(db, slot_name(followed.identity))
        db.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", [slot_name(followed.identity)])
        await followed.reopen()

        assert "was moved to 0/" in await told(followed, InvalidRoute)


async def test_a_slot_of_another_kind(server: PostgresServer, database: str, follow: Follow) -> None:
    """It is not touched."""
    with server.connect(database) as db:
        db.execute(ORDERS)
        db.execute("SELECT pg_create_physical_replication_slot('theirs')")
        said = await told(follow("orders", slot="theirs"), InvalidRoute)
        db.execute("SELECT pg_drop_replication_slot('theirs')")

    assert "replication slot theirs of" in said
    assert "is not one of pgoutput in this database" in said


async def test_a_slot_in_use(server: PostgresServer, database: str, follow: Follow) -> None:
    """Somebody who was taken over still has it: it is waited for."""
    with server.connect(database) as db:
        db.execute(ORDERS)
        old = follow("orders")
        await old.begin()
        new = follow("orders")
        new.cursor = old.cursor
        said = await told(new, Unreachable)
        await old.close()
        db.execute("INSERT INTO orders VALUES (1, 'a')")
        await new.reopen()

        assert f'replication slot "{slot_name(old.identity)}" is active' in said
        assert [("c", {"id": 1, "item": "a"})] == brief(await patiently(new, 1))


@pytest.mark.parametrize("way", ["kill", "shut_down"])
async def test_a_database_that_restarts(server: PostgresServer, database: str, follow: Follow, way: str) -> None:
    """It is away, and then it goes on."""
    with server.connect(database) as db:
        db.execute(ORDERS)
    followed = follow("orders")
    await followed.begin()
    getattr(server, way)()
    said = await told(followed, Unreachable)
    await followed.reopen()
    assert "Connection refused" in await told(followed, Unreachable)
    server.start()
    with server.connect(database) as db:
        db.execute("INSERT INTO orders VALUES (1, 'a')")

    assert f"127.0.0.1:{server.port}/{database}" in said
    assert [("c", {"id": 1, "item": "a"})] == brief(await patiently(followed, 1))


async def test_a_primary_key_that_is_lost(server: PostgresServer, database: str, follow: Follow) -> None:
    """Records could not be told from each other any more."""
    with server.connect(database) as db:
        db.execute(ORDERS)
        followed = follow("orders")
        await followed.begin()
        db.execute("ALTER TABLE orders DROP CONSTRAINT orders_pkey")
        db.execute("INSERT INTO orders VALUES (1, 'a')")

        assert "table public.orders of" in await told(followed, InvalidRoute)


async def test_a_table_that_is_emptied_while_it_is_read(server: PostgresServer, database: str, follow: Follow) -> None:
    """Between two runs of the snapshot: what was read is void, and it begins anew."""
    with server.connect(database) as db:
        db.execute(ORDERS)
        db.execute("INSERT INTO orders SELECT n, 'old' FROM generate_series(1, 200) n")
        followed = follow("orders")
        first = await followed.values(1)
        await followed.source.close()
        db.execute("TRUNCATE orders")
        db.execute("INSERT INTO orders VALUES (5, 'new')")
        await followed.reopen()
        found = await followed.values(2)
        db.execute("INSERT INTO orders VALUES (6, 'newer')")
        found += await followed.values(1)

    assert {"old"} == {value["after"]["item"] for value in first}
    assert [("t", None), ("r", {"id": 5, "item": "new"}), ("c", {"id": 6, "item": "newer"})] == brief(found)


async def test_transactions_older_than_the_slot(server: PostgresServer, database: str, follow: Follow) -> None:
    """Whatever is open when capture begins is captured once, wherever it ends."""
    with server.connect(database) as db, server.connect(database) as other:
        db.execute(ORDERS)
        with other.transaction():
            other.execute("INSERT INTO orders VALUES (1, 'open')")
            followed = follow("orders")
            reading = asyncio.ensure_future(followed.values(1))
            while not db.execute("SELECT 1 FROM pg_replication_slots WHERE database = %s", [database]).fetchall():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        found = await reading
        db.execute("INSERT INTO orders VALUES (2, 'later')")
        found += await followed.values(1)

    assert [1, 2] == [value["after"]["id"] for value in found]


async def test_a_table_with_another_name(server: PostgresServer, database: str, follow: Follow) -> None:
    """Its changes are still published, and belong to nobody."""
    with server.connect(database) as db:
        db.execute(ORDERS)
        followed = follow("orders")
        await followed.begin()
        db.execute("ALTER TABLE orders RENAME TO bought")
        db.execute("INSERT INTO bought VALUES (1, 'a')")

        assert "is public.bought now: name it so" in await told(followed, InvalidRoute)


@pytest.mark.parametrize("again", ["", ORDERS], ids=["dropped", "made anew"])
async def test_a_table_that_is_dropped(
    server: PostgresServer, database: str, follow: Follow, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    """The stream says nothing of it, so it is looked for."""
    monkeypatch.setattr(source, "LOOK_S", 0.2)
    with server.connect(database) as db:
        db.execute(ORDERS)
        followed = follow("orders", heartbeat="200ms")
        await followed.begin()
        db.execute("DROP TABLE orders")
        db.execute(again.encode())
        said = await told(followed, InvalidRoute)

    assert ("does not have public.orders" if again else "there is no table public.orders") in said


async def test_forgetting(server: PostgresServer, database: str, follow: Follow) -> None:
    """What was made for a deployment is dropped with it, but not what has a name of its own."""
    with server.connect(database) as db:
        db.execute(ORDERS)
        db.execute("CREATE PUBLICATION theirs FOR TABLE orders")
        mine, named = follow("orders"), follow("orders", slot=f"named_{database}", publication="theirs")
        await mine.begin()
        await named.begin()
        with pytest.raises(Unreachable, match="is active"):
            await mine.options.forget(mine.identity)
        await mine.close()
        await named.close()
        await _free(db, slot_name(mine.identity))
        await mine.options.forget(mine.identity)
        await mine.options.forget(mine.identity)
        await named.options.forget(named.identity)
        slots = db.execute("SELECT slot_name FROM pg_replication_slots WHERE database = %s", [database]).fetchall()
        publications = db.execute("SELECT pubname FROM pg_publication").fetchall()

    assert [(f"named_{database}",)] == slots
    assert [("theirs",)] == publications


async def test_progress(server: PostgresServer, database: str, follow: Follow) -> None:
    """Of the snapshot, by the database's own estimate, until it is over."""
    with server.connect(database) as db:
        db.execute(ORDERS)
        db.execute("INSERT INTO orders SELECT n, 'x' FROM generate_series(1, 500) n")
        db.execute("ANALYZE orders")
        followed = follow("orders")
        assert followed.source.progress() is None
        await followed.read()
        await followed.read()
        progress = followed.source.progress()
        await followed.begin()

    assert progress is not None
    assert ("snapshot", 500) == (progress.what, progress.total)
    assert 0 < progress.done < 500
    assert followed.source.progress() is None


async def test_the_log_does_not_pile_up(server: PostgresServer, database: str, follow: Follow) -> None:
    """Where other tables are busy the slot moves all the same, by cursors without records."""
    with server.connect(database) as db:
        db.execute(ORDERS)
        db.execute("CREATE TABLE busy (id int)")
        followed = follow("orders", heartbeat="200ms")
        await followed.begin()
        db.execute("INSERT INTO busy SELECT generate_series(1, 1000)")
        row = db.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        assert row is not None
        flushed = 0
        while flushed < read_lsn(row[0]):
            assert [] == await followed.read()
            slot = db.execute(
                "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s",
                [slot_name(followed.identity)],
            ).fetchone()
            assert slot is not None
            flushed = read_lsn(slot[0])


async def test_a_slow_reader_is_not_taken_for_dead() -> None:
    """The server hears of it while nobody asks for more, for several times as long as it waits."""
    server = PostgresServer(wal_sender_timeout="600ms")
    try:
        server.start()
        database = server.new_database()
        with server.connect(database) as db:
            db.execute(ORDERS)
            followed = Followed(PostgresSource(url=server.url(database), table="orders", heartbeat="1s"), "test")
            await followed.begin()
            pid = "SELECT active_pid FROM pg_replication_slots"
            before = db.execute(pid).fetchone()
            await asyncio.sleep(2)
            db.execute("INSERT INTO orders VALUES (1, 'a')")
            found = await followed.values(1)
            after = db.execute(pid).fetchone()
            await followed.close()
    finally:
        server.stop()

    assert before == after
    assert [("c", {"id": 1, "item": "a"})] == brief(found)


async def test_a_publication_of_a_part(server: PostgresServer, database: str, follow: Follow) -> None:
    """Its columns and its rows are those of the snapshot as well."""
    with server.connect(database) as db:
        db.execute("CREATE TABLE orders (id int PRIMARY KEY, item text, secret text)")
        try:
            db.execute("CREATE PUBLICATION part FOR TABLE orders (id, item) WHERE (id > 1)")
        except psycopg.errors.SyntaxError:
            pytest.skip("a PostgreSQL before 15")
        db.execute("INSERT INTO orders VALUES (1, 'a', 'x'), (2, 'b', 'x')")
        followed = follow("orders", publication="part")
        found = await followed.values(1)
        db.execute("INSERT INTO orders VALUES (0, 'c', 'x'), (3, 'd', 'x')")
        found += await followed.values(1)

    assert [("r", {"id": 2, "item": "b"}), ("c", {"id": 3, "item": "d"})] == brief(found)


async def test_partitions_are_one_table(server: PostgresServer, database: str, follow: Follow) -> None:
    """Changes of parts are changes of the whole."""
    with server.connect(database) as db:
        db.execute("CREATE TABLE orders (id int PRIMARY KEY) PARTITION BY RANGE (id)")
        db.execute("CREATE TABLE low PARTITION OF orders FOR VALUES FROM (0) TO (10)")
        db.execute("CREATE TABLE high PARTITION OF orders FOR VALUES FROM (10) TO (20)")
        db.execute("INSERT INTO orders VALUES (1), (11)")
        followed = follow("orders")
        found = await followed.values(2)
        db.execute("INSERT INTO orders VALUES (2), (12)")
        found += await followed.values(2)

    assert [("r", 1), ("r", 11), ("c", 2), ("c", 12)] == [(value["op"], value["after"]["id"]) for value in found]
    assert {"public.orders"} == {value["table"] for value in found}
