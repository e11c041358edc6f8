"""Rows written: upserts, deletes, what is refused, and the position that goes with them."""

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.connectors.contract import Delivery, Position, Sink
from cluster.connectors.postgres import PostgresSink, writing
from cluster.errors import InvalidRoute, RecordRefused, Unreachable
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
LANE = "app/route/topic/0"
Open = Callable[..., Sink]


@pytest.fixture
async def sink(server: PostgresServer, database: str) -> AsyncIterator[Open]:
    """Makes a sink of this test's database, closed with the test."""
    async with AsyncExitStack() as end:

        def make(table: str = "rows", key: str | Sequence[str] = "id", **options: Any) -> Sink:
            given_ = PostgresSink(url=server.url(database), table=table, key=key, **options)
            given_.check()
            opened = given_.open("test")
            end.push_async_callback(opened.close)
            return opened

        yield make


def deliveries(*values: Any, begin: int = 0, key: bytes | None = None) -> list[Delivery]:
    """One of each value."""
    return [
        Delivery(value=value, key=key, timestamp_ns=0, headers=(), offset=offset, id=f"{LANE}/{offset}")
        for offset, value in enumerate(values, begin)
    ]


async def put(into: Sink, batch: Sequence[Delivery], begin: int, end: int | None = None) -> None:
    """At a position of the lane."""
    assert await into.write(batch, Position(lane=LANE, begin=begin, end=begin + len(batch) if end is None else end))


def rows_of(server: PostgresServer, database: str, table: str = "rows") -> list[tuple[Any, ...]]:
    """All, in order of the first column."""
    with server.connect(database) as db:
        return db.execute(f"SELECT * FROM {table} ORDER BY 1".encode()).fetchall()


def make(server: PostgresServer, database: str, *statements: str) -> None:
    """Tables."""
    with server.connect(database) as db:
        for statement in statements:
            db.execute(statement.encode())


ROWS = "CREATE TABLE rows (id int PRIMARY KEY, a text, b int DEFAULT 7)"


async def test_upserts_and_their_position(server: PostgresServer, database: str, sink: Open) -> None:
    """The last one of a key counts, fields that are not given stay, and the position is where the next begins."""
    make(server, database, ROWS)
    into = sink()
    assert await into.last_position(LANE) is None
    await put(into, deliveries({"id": 1, "a": "x"}, {"id": 2, "a": "y", "b": 1}, {"id": 1, "b": 5}), 0)
    await put(into, deliveries({"id": 1, "a": "z"}, {"id": 3}), 3)
    await put(into, [], 5, 9)

    assert [(1, "z", 5), (2, "y", 1), (3, None, 7)] == rows_of(server, database)
    assert 9 == await into.last_position(LANE)
    assert await into.last_position("another") is None


async def test_deletes(server: PostgresServer, database: str, sink: Open) -> None:
    """A record without a value deletes its key, and what comes after it begins from nothing."""
    make(server, database, "CREATE TABLE rows (kind text, id int, a text, PRIMARY KEY (kind, id))")
    into = sink(key=["id", "kind"])
    key = b'{"kind": "k", "id": 1}'
    await put(into, deliveries({"a": "x"}, None, {"id": 2, "a": "y"}, key=key), 0)
    await put(into, deliveries({"a": "new"}, begin=3, key=key), 3)
    await put(into, deliveries(None, None, begin=4, key=b'{"kind": "k", "id": 2}'), 4)

    assert [("k", 1, "new")] == rows_of(server, database)


@pytest.mark.parametrize(("kind", "key", "row"), [("int", b"7", 7), ("text", b"a b", "a b"), ("text", b'"q"', "q")])
async def test_deletes_by_a_plain_key(
    server: PostgresServer, database: str, sink: Open, kind: str, key: bytes, row: object
) -> None:
    """Where the table's key is one column the record's key may be its text."""
    make(server, database, f"CREATE TABLE rows (id {kind} PRIMARY KEY)")
    into = sink()
    await put(into, deliveries({"id": row}, {"id": 0}), 0)
    await put(into, deliveries(None, key=key), 2)

    assert 1 == len(rows_of(server, database))


async def test_values_of_all_kinds(server: PostgresServer, database: str, sink: Open) -> None:
    """What a source makes of a row becomes that row again; the column's type reads the text."""
    kinds = (
        "id int PRIMARY KEY, n numeric, f float8, t text, b bytea, at timestamptz, j jsonb, s jsonb, l int[], m text[]"
    )
    make(
        server,
        database,
        f"CREATE TABLE rows ({kinds}, ok bool, d text)",
        f"CREATE TABLE added ({kinds}, ok bool, d text)",
    )
    value = {
        "id": 1,
        "n": "12345678901234567890.10",
        "f": 0.1,
        "t": "tab\tback\\slash\nline\r{}",
        "b": base64.b64encode(b"\0\xff").decode(),
        "at": "2026-02-03T04:05:06.7Z",
        "j": {"a": [1, None, "ü"]},
        "s": "text",
        "l": [[1, 2], [3, None]],
        "m": ['a"b', "c\\d", "NULL", None, ""],
        "ok": True,
        "d": {"nested": 1},
    }
    await put(sink(), deliveries(value), 0)
    many = [value | {"id": number} for number in range(1, 100)]
    await put(sink(table="added", key=(), mode="append"), deliveries(*many), 1)
    with server.connect(database) as db:
        one = db.execute("SELECT n::text, f, t, b, at::text, j, s, l, m, ok, d FROM rows").fetchall()
        others = db.execute("SELECT DISTINCT n::text, f, t, b, at::text, j, s, l, m, ok, d FROM added").fetchall()

    wanted = [*value.values()][1:]
    wanted[3:5], wanted[-1] = [b"\0\xff", "2026-02-03 04:05:06.7+00"], '{"nested":1}'
    assert [tuple(wanted)] == [tuple(row) for row in one]
    assert one == others


REFUSED = [
    ({"id": 50, "b": "five"}, "invalid input syntax"),
    ({"id": 50, "b": 3_000_000_000}, "out of range"),
    ({"id": 50, "b": 1.5}, "invalid input syntax"),
    ({"id": 50, "b": -1}, "check constraint"),
    ({"id": 50, "a": None}, "not-null"),
    ({"id": 50, "a": "long " * 10}, "too long"),
    ({"id": 50, "a": "a\0b"}, "NUL"),
    ({"id": 50, "a": "\ud800"}, "surrogate"),
    ({"a": "no key"}, "has no id"),
    ({"id": None}, "null"),
    ([1], "no object"),
    ("text", "no object"),
    ({"id": 50, "c": "not base64!"}, "base64"),
    ({"id": 50, "p": 999}, "foreign key"),
]


@pytest.mark.parametrize("place", [0, 1, 499, 999])
@pytest.mark.parametrize(("value", "told"), REFUSED[::3])
async def test_one_in_a_thousand_is_refused(
    server: PostgresServer, database: str, sink: Open, value: Any, told: str, place: int
) -> None:
    """It is named, nothing of the batch is there, and without it the rest is taken."""
    _make_strict(server, database)
    batch = [{"id": number, "a": "x"} for number in range(1000, 2000)]
    batch[place] = value
    into = sink()
    with pytest.raises(RecordRefused, match=told) as refused:
        await put(into, deliveries(*batch), 0)
    assert ([], place) == (rows_of(server, database), refused.value.place)
    assert await into.last_position(LANE) is None
    del batch[place]
    await put(into, deliveries(*batch), 0, 1000)

    assert 999 == len(rows_of(server, database))


def _make_strict(server: PostgresServer, database: str) -> None:
    make(
        server,
        database,
        "CREATE TABLE parents (id int PRIMARY KEY)",
        "CREATE TABLE rows (id int PRIMARY KEY, a varchar(20) NOT NULL DEFAULT '', b int CHECK (b > 0), c bytea,"
        " p int REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
    )


@pytest.mark.parametrize(("value", "told"), REFUSED)
async def test_each_kind_of_refusal(server: PostgresServer, database: str, sink: Open, value: Any, told: str) -> None:
    """With the database's own words, or ours; also where the constraint waits for the commit."""
    _make_strict(server, database)
    with pytest.raises(RecordRefused, match=told) as refused:
        await put(sink(), deliveries({"id": 1}, {"id": 2}, value), 0)

    assert ([], 2) == (rows_of(server, database), refused.value.place)


async def test_values_that_change_hands(server: PostgresServer, database: str, sink: Open) -> None:
    """What is right record by record is right in a batch, also where its last words alone would collide."""
    make(server, database, "CREATE TABLE rows (id int PRIMARY KEY, a text UNIQUE)")
    into = sink()
    await put(into, deliveries({"id": 1, "a": "x"}), 0)
    await put(into, deliveries({"id": 1, "a": "y"}, {"id": 2, "a": "x"}, {"id": 1, "a": "w"}), 1)
    await put(into, deliveries({"id": "03", "a": "p"}, {"id": 3, "a": "q"}), 4)

    assert [(1, "w"), (2, "x"), (3, "q")] == rows_of(server, database)


async def test_whoever_was_taken_over_writes_nothing(server: PostgresServer, database: str, sink: Open) -> None:
    """The transaction finds another position than its own."""
    make(server, database, ROWS)
    old, new = sink(), sink()
    await put(old, deliveries({"id": 1, "a": "old"}), 0)
    assert 1 == await new.last_position(LANE)
    await put(new, deliveries({"id": 1, "a": "new"}), 1)
    with pytest.raises(Unreachable, match="is at 2, and not at 1"):
        await put(old, deliveries({"id": 1, "a": "old again"}), 1)
    with pytest.raises(Unreachable, match="is at 2, and not at 0"):
        await put(sink(), deliveries({"id": 1, "a": "older"}), 0)

    assert [(1, "new", 7)] == rows_of(server, database)


async def test_objects_as_bytes_and_whole_numbers(server: PostgresServer, database: str, sink: Open) -> None:
    """JSON that nobody has decoded is decoded; 5.0 is a whole number."""
    make(server, database, ROWS)
    await put(sink(), deliveries(b'{"id": 1, "b": 5.0}', {"id": 2.0, "a": 2.5}), 0)
    with pytest.raises(RecordRefused, match="no object with fields, but bytes"):
        await put(sink(), deliveries(b"\xff"), 2)

    assert [(1, None, 5), (2, "2.5", 7)] == rows_of(server, database)


async def test_a_table_that_changes(server: PostgresServer, database: str, sink: Open) -> None:
    """A new column is found, another type is used, and a column that is gone is named."""
    make(server, database, ROWS)
    into = sink()
    batch = [{"id": number, "b": number} for number in range(100)]
    await put(into, deliveries(*batch), 0)
    make(server, database, "ALTER TABLE rows ADD c text, ALTER b TYPE text")
    await put(into, deliveries(*[value | {"c": "new", "b": "b"} for value in batch]), 100)
    make(server, database, "ALTER TABLE rows DROP a")
    with pytest.raises(InvalidRoute, match=r"table public.rows of .* has no column a: add it, or leave the field out"):
        await put(into, deliveries({"id": 1, "a": "x"}), 200)
    await put(into, deliveries({"id": 1, "c": "y"}), 200)

    assert (1, "b", "y") == rows_of(server, database)[1]
    assert (99, "b", "new") == rows_of(server, database)[99]


VALUES = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional={"a": st.none() | st.text("ab\t\\\n", max_size=3), "b": st.integers(0, 9)}),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.tuples(st.integers(0, 6), VALUES), max_size=60), max_size=5))
async def test_like_a_dictionary(
    server: PostgresServer,
    database: str,
    sink: Open,
    monkeypatch: pytest.MonkeyPatch,
    batches: list[list[tuple[int, dict[str, Any] | None]]],
) -> None:
    """Whatever comes in one batch and whatever in several: the table is what one record after another makes."""
    monkeypatch.setattr(writing, "COPY_ROWS_MIN", 2)
    make(server, database, "DROP TABLE IF EXISTS rows", "DROP TABLE IF EXISTS riverrun_positions", ROWS)
    into, wanted, begin = sink(), {}, 0
    for batch in batches:
        found = []
        for number, value in batch:
            found += deliveries(value, begin=begin + len(found), key=msgspec.json.encode({"id": number}))
            if value is None:
                wanted.pop(number, None)
            else:
                wanted[number] = {"a": None, "b": 7} | wanted.get(number, {}) | value
        await put(into, found, begin, begin + len(found))
        begin += len(found)
    await into.close()

    assert [(number, row["a"], row["b"]) for number, row in sorted(wanted.items())] == rows_of(server, database)
