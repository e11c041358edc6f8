"""The SQLite sink: rows and positions, what it refuses, and who else writes."""

import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cluster.connectors.contract import Delivery, Position
from cluster.connectors.sqlite.options import SqliteSink
from cluster.connectors.sqlite.sink import SqliteTable
from cluster.errors import InvalidRoute, RecordRefused, Unreachable

LANE = "shop-1/orders/0"


def record(offset: int, value: Any, key: bytes | None = b"k") -> Delivery:
    """One of a topic."""
    return Delivery(value=value, key=key, timestamp_ns=0, headers=(), offset=offset, id=f"orders-{offset}")


def at(begin: int, end: int, lane: str = LANE) -> Position:
    """Of the lane that the tests write."""
    return Position(lane=lane, begin=begin, end=end)


class Shop:
    """A database's file and the sinks that were opened on it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "shop.db"
        self.opened: list[SqliteTable] = []

    def sink(self, **options: Any) -> SqliteTable:
        chosen = {"path": str(self.path), "table": "orders", "key": ("id",), "busy_timeout": "50ms", **options}
        self.opened.append(SqliteSink(**chosen).open("shop-1"))
        return self.opened[-1]

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as database, database:
            return database.execute(sql).fetchall()

    def rows(self) -> list[Any]:
        return self.query("SELECT * FROM orders ORDER BY rowid")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Its sinks are closed at the end."""
    made = Shop(tmp_path)
    yield made
    for sink in made.opened:
        await sink.close()


async def write(sink: SqliteTable, *values: Any, begin: int = 0) -> bool:
    """As one batch."""
    batch = [record(begin + n, value) for n, value in enumerate(values)]
    return await sink.write(batch, at(begin, begin + len(values)))


async def test_a_table_is_made_of_the_first_batch_and_rows_are_replaced_by_key(shop: Shop) -> None:
    """Columns and types are those of the fields; what SQLite does not have becomes a number or JSON."""
    sink = shop.sink()

    assert await sink.last_position(LANE) is None
    assert await write(sink, {"id": 1, "price": 2, "paid": True, "items": ["a"], "note": None}, {"id": 2, "price": 0.5})
    assert await write(sink, {"id": 1, "price": 3}, begin=2)

    assert [(1, 3.0, 1, '["a"]', None), (2, 0.5, None, None, None)] == shop.rows()
    assert [
        'CREATE TABLE "orders" ("id" INTEGER, "price" REAL, "paid" INTEGER, "items" TEXT, "note", PRIMARY KEY ("id"))'
    ] == [sql for (sql,) in shop.query("SELECT sql FROM sqlite_master WHERE name = 'orders'")]
    assert await sink.last_position(LANE) == 3


async def test_a_tombstone_deletes_the_row_of_its_key(shop: Shop) -> None:
    """By the record's key where that is the table's, by the value or JSON in it where fields are."""
    by_key, by_fields = shop.sink(key=()), shop.sink(table="places", key=("shop", "till"))
    await by_key.write([record(0, {"n": 1}, b"a"), record(1, {"n": 2}, b"\xff"), record(2, None, b"a")], at(0, 3))
    values = [{"shop": "x", "till": till, "sum": 5} for till in (1, 2, 3)]
    gone = [record(3, None, b'["x", 1]'), record(4, None, b'{"till": 3, "shop": "x"}')]
    await by_fields.write([record(n, value) for n, value in enumerate(values)] + gone, at(0, 5, "other"))
    single = shop.sink(table="single", key="id")
    await single.write([record(0, {"id": "a"}), record(1, {"id": "b"}), record(2, None, b"b")], at(0, 3, "third"))

    assert [(2, b"\xff")] == shop.rows()
    assert [("x", 2, 5)] == shop.query("SELECT * FROM places")
    assert [("a",)] == shop.query("SELECT * FROM single")


async def test_append_and_values_that_are_no_objects(shop: Shop) -> None:
    """Each record is a row, keys do not matter; bytes and plain values go into one column."""
    sink = shop.sink(mode="append", key=())
    await write(sink, b"\x00", "text", 5, {"value": "v"}, b"\x00")

    assert [(b"\x00",), ("text",), (5,), ("v",), (b"\x00",)] == shop.rows()


async def test_a_position_that_somebody_else_has_moved_stops_the_write(shop: Shop) -> None:
    """Of two that write the same, one does; the other hears of it and asks anew."""
    ours, theirs = shop.sink(), shop.sink()
    await write(theirs, {"id": 1, "by": "them"}, {"id": 2, "by": "them"})

    with pytest.raises(Unreachable, match="somebody else has written shop-1/orders/0 up to 2, not to 0"):
        await write(ours, {"id": 1, "by": "us"})

    assert [(1, "them"), (2, "them")] == shop.rows()
    assert await ours.last_position(LANE) == 2
    assert await ours.write([], at(2, 9)), "nothing but the position"
    assert await theirs.last_position(LANE) == 9


async def test_new_fields_stop_the_route_or_become_columns(shop: Shop) -> None:
    """As the options say; a stop leaves nothing of the batch."""
    sink = shop.sink()
    await write(sink, {"id": 1})
    with pytest.raises(InvalidRoute, match=r"table orders has no column for 'discount' .* from offset 1\): add it"):
        await write(sink, {"id": 2}, {"id": 3, "discount": 0.1}, begin=1)
    assert [(1,)] == shop.rows()

    adding = shop.sink(add_columns=True)
    await write(adding, {"id": 2}, {"id": 3, "discount": 0.1}, begin=1)
    assert [(1, None), (2, None), (3, 0.1)] == shop.rows()


REFUSED: list[tuple[Any, str]] = [
    ({"id": 7, "n": None}, "NOT NULL constraint failed: orders.n"),
    ({"id": 7, "n": -1}, "CHECK constraint failed"),
    ({"n": 1}, "it has no field 'id', which is the key"),
    ({"id": 7, "n": 2**63}, "a number beyond 64 bits"),
    ({"id": 7, "n": "\ud800"}, "field 'n' cannot be written"),
    ({"id": 7, "n": 1, "N": 2}, "differ in upper and lower case only"),
    ({str(n): n for n in range(1001)}, "1001 fields"),
]


@pytest.mark.parametrize(("value", "why"), REFUSED)
async def test_a_record_that_is_not_taken_is_named_and_nothing_of_its_batch_is_there(
    shop: Shop, value: Any, why: str
) -> None:
    """Constraints of the table, and what SQLite cannot hold."""
    shop.query("CREATE TABLE orders (id INTEGER PRIMARY KEY, n INTEGER NOT NULL CHECK (n >= 0))")
    sink = shop.sink()

    with pytest.raises(RecordRefused, match=why) as refused:
        await write(sink, {"id": 1, "n": 1}, {"id": 2, "n": 2}, value, {"id": 3, "n": 3})

    assert (2, [], None) == (refused.value.place, shop.rows(), await sink.last_position(LANE))
    assert await write(sink, {"id": 1, "n": 1})


async def test_tombstones_that_cannot_be_are_refused(shop: Shop) -> None:
    """Append has nothing to write; a key that does not say all of its fields deletes nothing."""
    with pytest.raises(RecordRefused, match="a tombstone has no fields"):
        await write(shop.sink(mode="append", key=()), {"id": 1}, None)
    with pytest.raises(RecordRefused, match="whose key does not say shop, till as JSON"):
        await write(shop.sink(key=("shop", "till")), None)


async def test_a_locked_database_is_away_for_now(shop: Shop) -> None:
    """And is written when it is free."""
    sink = shop.sink()
    await write(sink, {"id": 1})
    with closing(sqlite3.connect(shop.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unreachable, match=r"sqlite .*shop.db, table orders: database is locked"):
            await write(sink, {"id": 2}, begin=1)

    assert await write(sink, {"id": 2}, begin=1)


async def test_a_file_that_is_gone_is_noticed(shop: Shop) -> None:
    """SQLite itself would go on writing to what has no name any more."""
    sink = shop.sink()
    await write(sink, {"id": 1})
    shop.path.unlink()

    with pytest.raises(Unreachable, match="replaced or is gone"):
        await write(sink, {"id": 2}, begin=1)


async def test_what_a_person_has_to_mend_says_what_and_where(shop: Shop, tmp_path: Path) -> None:
    """A directory that is not there, a file that is no database, a table without the key."""
    with pytest.raises(InvalidRoute, match=f"there is no directory {tmp_path}/nowhere"):
        await shop.sink(path=str(tmp_path / "nowhere/shop.db")).last_position(LANE)
    (tmp_path / "text.db").write_text("this is not a database, though it has a long text in it" * 100)
    with pytest.raises(InvalidRoute, match="file is not a database"):
        await shop.sink(path=str(tmp_path / "text.db")).last_position(LANE)
    with pytest.raises(InvalidRoute, match="unable to open database file"):
        await shop.sink(path=str(tmp_path)).last_position(LANE)
    shop.query("CREATE TABLE orders (id INTEGER)")
    with pytest.raises(InvalidRoute, match="ON CONFLICT clause does not match any PRIMARY KEY"):
        await write(shop.sink(), {"id": 1})


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to be somebody else for a moment")
async def test_a_file_that_may_not_be_written_says_so() -> None:
    """Looked at as somebody who may only read it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101
        shop = Shop(Path(folder))
        shop.query("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        os.chmod(shop.path, 0o444)  # noqa: PTH101
        os.seteuid(65534)
        try:
            with pytest.raises(InvalidRoute, match="table orders: attempt to write a readonly database"):
                await shop.sink().last_position(LANE)
        finally:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"path": ":memory:"}, "has to name a file"),
        ({"table": ""}, "no name of a table"),
        ({"table": "riverrun_positions"}, "a name that is taken"),
        ({"key": ("a", "A")}, "names a column twice"),
        ({"mode": "append"}, 'key is for mode = "upsert"'),
        ({"busy_timeout": "soon"}, "busy_timeout is 'soon'"),
    ],
)
def test_options_that_contradict_themselves(options: dict[str, Any], why: str) -> None:
    """Are told before anything is opened."""
    chosen: dict[str, Any] = {"path": "shop.db", "table": "orders", "key": ("id",), **options}
    with pytest.raises(InvalidRoute, match=why):
        SqliteSink(**chosen).check()


def test_the_summary_says_where() -> None:
    """For people."""
    options: Sequence[SqliteSink] = [SqliteSink(path="${DIR}/shop.db", table="orders")]
    options[0].check()
    assert "sqlite ${DIR}/shop.db, table orders" == options[0].summary
