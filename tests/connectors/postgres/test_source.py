"""Capture: snapshots, changes of every kind, and the records that they become."""

import json
from collections.abc import Callable

import pytest

from tests.connectors.postgres.following import Followed, brief
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(30)]
Follow = Callable[..., Followed]


async def test_rows_that_are_there_and_then_changes(server: PostgresServer, database: str, follow: Follow) -> None:
    """A snapshot, and then the stream, without a gap or an overlap."""
    with server.connect(database) as db:
        db.execute("CREATE TABLE orders (id int PRIMARY KEY, item text)")
        db.execute("INSERT INTO orders SELECT n, 'i' || n FROM generate_series(1, 3) n")
        followed = follow("orders")
        found = await followed.values(3)
        db.execute("INSERT INTO orders VALUES (4, 'new')")
        db.execute("UPDATE orders SET item = 'other' WHERE id = 1")
        db.execute("DELETE FROM orders WHERE id = 2")
        db.execute("TRUNCATE orders")
        found += await followed.values(4)

    assert [
        ("r", {"id": 1, "item": "i1"}),
        ("r", {"id": 2, "item": "i2"}),
        ("r", {"id": 3, "item": "i3"}),
        ("c", {"id": 4, "item": "new"}),
        ("u", {"id": 1, "item": "other"}),
        ("d", {"id": 2}),
        ("t", None),
    ] == brief(found)


async def test_what_a_record_says(server: PostgresServer, database: str, follow: Follow) -> None:
    """The table, the commit's place and time, the transaction, and the primary key as the record's key."""
    with server.connect(database) as db:
        db.execute("CREATE TABLE parts (b text, a int, n int, PRIMARY KEY (a, b))")
        followed = follow("parts", snapshot="never", tombstones=True)
        await followed.begin()
        db.execute("INSERT INTO parts VALUES ('x', 1, 5)")
        db.execute("DELETE FROM parts")
        created, deleted, tombstone = await followed.records(3)
        committed = db.execute("SELECT (extract(epoch FROM now()) * 1e9)::int8").fetchone()

    assert {"b": "x", "a": 1} == json.loads(created.key or b"")
    assert {"op", "table", "before", "after", "lsn", "xid", "ts"} == created.value.keys()
    assert "public.parts" == created.value["table"]
    assert created.value["lsn"] < deleted.value["lsn"]
    assert created.value["xid"] + 1 == deleted.value["xid"]
    assert abs(created.timestamp_ns - committed[0]) < 20 * 10**9
    assert {"b": "x", "a": 1} == deleted.value["before"]
    assert (b"", deleted.key) == (tombstone.value, tombstone.key)


async def test_the_whole_row_before(server: PostgresServer, database: str, follow: Follow) -> None:
    """REPLICA IDENTITY FULL: `before` is the row, and large values that did not change are taken from it."""
    with server.connect(database) as db:
        db.execute("CREATE TABLE docs (id int PRIMARY KEY, n int, body text)")
        db.execute("ALTER TABLE docs ALTER body SET STORAGE EXTERNAL, REPLICA IDENTITY FULL")
        followed = follow("docs")
        await followed.begin()
        db.execute("INSERT INTO docs VALUES (1, 1, repeat('x', 10000))")
        db.execute("UPDATE docs SET n = 2")
        db.execute("UPDATE docs SET id = 7")
        db.execute("DELETE FROM docs")
        found = await followed.values(5)

    body = "x" * 10000
    assert ["c", "u", "d", "c", "d"] == [value["op"] for value in found]
    assert {"id": 1, "n": 1, "body": body} == found[1]["before"]
    assert {"id": 1, "n": 2, "body": body} == found[1]["after"]
    assert {"id": 1, "n": 2, "body": body} == found[2]["before"]
    assert {"id": 7, "n": 2, "body": body} == found[3]["after"]
    assert all("unchanged_columns" not in value for value in found)


async def test_large_values_that_did_not_change(server: PostgresServer, database: str, follow: Follow) -> None:
    """They are not sent: they are left out, and named."""
    with server.connect(database) as db:
        db.execute("CREATE TABLE docs (id int PRIMARY KEY, n int, body text)")
        db.execute("ALTER TABLE docs ALTER body SET STORAGE EXTERNAL")
        db.execute("INSERT INTO docs VALUES (1, 1, repeat('x', 10000))")
        followed = follow("docs", snapshot="never")
        await followed.begin()
        db.execute("UPDATE docs SET n = 2")
        (found,) = await followed.values(1)

    assert ({"id": 1, "n": 2}, None, ["body"]) == (found["after"], found["before"], found["unchanged_columns"])


async def test_another_primary_key(server: PostgresServer, database: str, follow: Follow) -> None:
    """A row that gets another key is deleted under the old one and created under the new one."""
    with server.connect(database) as db:
        db.execute("CREATE TABLE orders (id int PRIMARY KEY, item text)")
        db.execute("INSERT INTO orders VALUES (1, 'a')")
        followed = follow("orders", snapshot="never")
        await followed.begin()
        db.execute("UPDATE orders SET id = 2")
        found = await followed.records(2)

    assert [("d", {"id": 1}), ("c", {"id": 2, "item": "a"})] == brief([record.value for record in found])
    assert [b'{"id":1}', b'{"id":2}'] == [record.key for record in found]


async def test_columns_come_and_go(server: PostgresServer, database: str, follow: Follow) -> None:
    """Each change has the columns that its table had then, also if it is read later."""
    with server.connect(database) as db:
        db.execute("CREATE TABLE orders (id int PRIMARY KEY, item text)")
        followed = follow("orders")
        await followed.begin()
        db.execute("INSERT INTO orders VALUES (1, 'a')")
        db.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')")
        db.execute("ALTER TABLE orders ADD feels mood DEFAULT 'glad', ADD n numeric(6, 2)")
        db.execute("INSERT INTO orders VALUES (2, 'b', 'sad', 1.5)")
        db.execute("ALTER TABLE orders DROP item")
        db.execute("ALTER TABLE orders RENAME feels TO mood")
        db.execute("INSERT INTO orders VALUES (3, 'sad', 2)")
        found = await followed.values(3)

    assert [
        {"id": 1, "item": "a"},
        {"id": 2, "item": "b", "feels": "sad", "n": "1.50"},
        {"id": 3, "mood": "sad", "n": "2.00"},
    ] == [value["after"] for value in found]


VALUES = {
    "bool": ("true", True),
    "int2": ("-5", -5),
    "int8": ("9223372036854775807", 9223372036854775807),
    "float8": ("0.1", 0.1),
    "float4": ("'NaN'", "NaN"),
    "numeric": ("'12345678901234567890.10'", "12345678901234567890.10"),
    "text": ("E'a\\nb\"ü'", 'a\nb"ü'),
    "varchar(5)": ("'abc'", "abc"),
    "char(4)": ("'ab'", "ab  "),
    "bytea": ("'\\xdeadbeef'::bytea", "3q2+7w=="),
    "date": ("'2026-02-03'", "2026-02-03"),
    "time": ("'04:05:06.7'", "04:05:06.7"),
    "timestamp": ("'2026-02-03 04:05:06.7'", "2026-02-03T04:05:06.7"),
    "timestamptz": ("'2026-02-03 04:05:06+02'", "2026-02-03T02:05:06Z"),
    "timestamptz[]": (
        "ARRAY['2026-02-03 04:05:06+02', 'infinity']::timestamptz[]",
        ["2026-02-03T02:05:06Z", "infinity"],
    ),
    "interval": ("'1 day 02:03'", "P1DT2H3M"),
    "uuid": ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "json": ("'{\"a\": [1, null]}'", {"a": [1, None]}),
    "jsonb": ("'[true]'", [True]),
    "int4[]": ("'{{1,2},{3,NULL}}'", [[1, 2], [3, None]]),
    "text[]": ("ARRAY['a,b', 'c\"d', 'NULL', NULL, '', E'e\\\\f']", ["a,b", 'c"d', "NULL", None, "", "e\\f"]),
    "int4range": ("'[1,5)'", "[1,5)"),
    "inet": ("'10.0.0.1/8'", "10.0.0.1/8"),
    "money": ("'12.5'::money", "$12.50"),
    "mood": ("'sad'", "sad"),
    "mood[]": ("'{sad,glad}'", ["sad", "glad"]),
    "small": ("7", 7),
}


async def test_types(server: PostgresServer, database: str, follow: Follow) -> None:
    """What each becomes, the same in the snapshot and in the stream; generated columns are in neither."""
    columns = {f"c{n}": kind for n, kind in enumerate(VALUES)}
    with server.connect(database) as db:
        db.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')")
        db.execute("CREATE DOMAIN small AS int CHECK (value < 10)")
        made = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        db.execute(f"CREATE TABLE kinds (id int PRIMARY KEY, {made}, twice int GENERATED ALWAYS AS (id * 2) STORED)")
        values = ", ".join(written for written, _ in VALUES.values())
        insert = f"INSERT INTO kinds (id, {', '.join(columns)}) VALUES"
        db.execute(f"{insert} (1, {values})")
        followed = follow("kinds")
        found = await followed.values(1)
        db.execute(f"{insert} (2, {values})")
        found += await followed.values(1)

    wanted = dict(zip(columns, (value for _, value in VALUES.values()), strict=True))
    for number, value in enumerate(found, 1):
        assert {"id": number, **wanted} == value["after"]


async def test_a_large_transaction_comes_in_pieces(server: PostgresServer, database: str, follow: Follow) -> None:
    """A thousand at once, each piece with a cursor that goes on within the transaction."""
    with server.connect(database) as db:
        db.execute("CREATE TABLE orders (id int PRIMARY KEY)")
        followed = follow("orders")
        await followed.begin()
        db.execute("INSERT INTO orders SELECT generate_series(1, 5000)")
        found, pieces = [], []
        while len(found) < 5000:
            piece = await followed.read()
            pieces.append(len(piece))
            found += [record.value["after"]["id"] for record in piece]
            if len(pieces) % 2:
                await followed.reopen()

    assert [*range(1, 5001)] == found
    assert max(pieces) <= 1000


async def test_a_snapshot_goes_on_where_it_was(server: PostgresServer, database: str, follow: Follow) -> None:
    """Opened again in the middle: each row comes once, and each change that the snapshot does not have comes once."""
    with server.connect(database) as db:
        db.execute("CREATE TABLE words (word text, n int, m int DEFAULT 0, PRIMARY KEY (word, n))")
        db.execute("INSERT INTO words SELECT chr(120 - n % 7) || 'ä', n FROM generate_series(1, 500) n")
        followed = follow("words")
        rows: dict[str, int] = {}
        reads, marked, ended = 0, False, False
        while not ended:
            for record in await followed.read():
                row, op = record.value["after"], record.value["op"]
                name = f"{row['word']}{row['n']}"
                assert (op == "u", row["m"] - (op == "u")) == (name in rows, rows.get(name, row["m"]))
                rows[name] = row["m"]
                ended = op == "c"
            reads += 1
            if reads <= 6:
                db.execute("UPDATE words SET m = m + 1 WHERE n % 2 = 0")
                await followed.reopen()
            if not marked and followed.streams:
                marked = True
                db.execute("INSERT INTO words VALUES ('zz', 1)")
        left = dict(db.execute("SELECT word || n, m FROM words").fetchall())

    assert left == rows
