"""Texts of PostgreSQL as plain data, cursors, what snapshots have seen, and addresses without their secrets."""

import json
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.connectors.contract import Guarantee
from cluster.connectors.postgres import PostgresSink, PostgresSource
from cluster.connectors.postgres.addresses import named, read_url
from cluster.connectors.postgres.capture import iso
from cluster.connectors.postgres.cursor import Cursor, Overlap, Reading, Seen, Segment, decode_cursor, ordered
from cluster.connectors.postgres.options import slot_name
from cluster.connectors.postgres.rows import Action, folded
from cluster.connectors.postgres.values import INT4, Known, converter
from cluster.errors import InvalidRoute

TEXT, TEXT_ARRAY, INT_ARRAY, FLOAT8 = 25, 1009, 1007, 701
ITEMS = st.recursive(
    st.none() | st.text("ab,{}\"\\ é'N", max_size=5), lambda each: st.lists(each, min_size=1), max_leaves=8
)


def _written(item: object) -> str:
    """As PostgreSQL writes an array."""
    if isinstance(item, list):
        return "{" + ",".join(map(_written, item)) + "}"
    if item is None:
        return "NULL"
    quoted = str(item).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


@pytest.mark.slow
@given(st.lists(ITEMS))
def test_arrays(items: list[object]) -> None:
    """Of any depth, with every character that means something in them."""
    assert items == converter(TEXT_ARRAY, {})(_written(items).encode())


@pytest.mark.parametrize(
    ("type_id", "text", "value"),
    [
        (INT_ARRAY, "{}", []),
        (INT_ARRAY, "[0:1]={1,NULL}", [1, None]),
        (TEXT_ARRAY, '{a b,NULL,"NULL",é}', ["a b", None, "NULL", "é"]),
        (FLOAT8, "-Infinity", "-Infinity"),
        (FLOAT8, "1e300", 1e300),
        (1114, "0044-03-15 10:00:00 BC", "0044-03-15 10:00:00 BC"),
        (1184, "infinity", "infinity"),
        (114, '{"a": 1e400}', '{"a": 1e400}'),
        (3802, '"\\u00e9"', "é"),
        (99999, "anything", "anything"),
        (50000, "7", 7),
        (50001, "{7;8}", [7, 8]),
    ],
)
def test_values(type_id: int, text: str, value: object) -> None:
    """What is beyond plain data stays a text; domains are what they are made of."""
    types = {50000: Known(base=INT4), 50001: Known(element=50000, delimiter=";")}

    assert value == converter(type_id, types)(text.encode())


@given(st.sets(st.integers(100, 120)), st.integers(100, 121), st.integers(0, 2))
def test_what_a_snapshot_has_seen(running: set[int], end: int, epoch: int) -> None:
    """Everything that had ended when it was taken, whatever is left of a transaction's number in the stream."""
    base = epoch * 2**32 - 110 if epoch else 0
    still = sorted(base + xid for xid in running if xid < end)
    seen = Seen(f"{min([*still, base + end])}:{base + end}:{','.join(map(str, still))}")

    for xid in range(90, 130):
        assert (xid < end and xid not in running) == seen.has((base + xid) % 2**32)


def test_segments() -> None:
    """A change counts as read if the run that read its key had seen its transaction."""
    segments = [Segment("10:10:", 1, ["5", "b"]), Segment("20:20:", 2, ["5", "d"]), Segment("30:30:", 3, None)]
    overlap = Overlap(Reading("t", segments=segments), [INT4, TEXT])

    assert [True, False] == [overlap.has(xid, ["4", "z"]) for xid in (9, 10)]
    assert [True, False] == [overlap.has(xid, ["5", "b"]) for xid in (9, 10)]
    assert [True, False] == [overlap.has(xid, ["5", "c"]) for xid in (19, 20)]
    assert [True, False] == [overlap.has(xid, ["10", "a"]) for xid in (29, 30)]
    assert [True, False] == [overlap.has_all(xid) for xid in (9, 10)]
    assert (9, "x") < ordered(["10", "a"], [INT4, TEXT])


def test_cursors() -> None:
    """Bytes and back."""
    cursor = Cursor("7", "slot", 5, 3, [Reading("t", "shape", 9, [Segment("1:2:", 4, ["a"])])])

    assert cursor == decode_cursor(cursor.encode())
    assert cursor.in_snapshot
    assert not Cursor("7", "slot", 5).in_snapshot
    assert 5 == json.loads(cursor.encode())["lsn"]


def test_times() -> None:
    """Of commits, to the microsecond."""
    assert "2026-11-27T21:08:29.000007Z" == iso(1795813709000007)


@pytest.mark.parametrize(
    ("url", "place", "password"),
    [
        ("postgresql://me:pw@db.example/shop", "db.example:5432/shop", "pw"),
        ("postgres://me:p%40%2F@[::1]:99/shop?sslmode=require", "::1:99/shop", "p@/"),
        ("postgres://me:p@ss/w:rd@db/shop", "db:5432/shop", "p@ss/w:rd"),
        ("postgres://me:${PW}@${HOST}:${PORT}/${DB}", "${HOST}:${PORT}/${DB}", "${PW}"),
        ("postgres://me:${file:/run/a@b}@db/shop", "db:5432/shop", "${file:/run/a@b}"),
        ("postgres://a:1@one:1,two/shop", "one:1,two:5432/shop", "1"),
    ],
)
def test_addresses(url: str, place: str, password: str) -> None:
    """Every part of a url, with secrets that were put in or not yet; what is shown has none."""
    source = PostgresSource(url=url, table="orders")
    source.check()

    assert (place, password) == (named(read_url(url)), read_url(url)["password"])
    assert f"postgres {place}, table public.orders" == source.summary
    assert f"postgres {place}, upsert into public.rows" == PostgresSink(url=url, table="rows", key="id").summary
    assert Guarantee.EXACTLY_ONCE == source.guarantee


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"url": "mysql://me:secret@db/shop", "table": "a"}, "does not begin with postgresql://"),
        ({"url": "postgresql://me:secret@db", "table": "a"}, "dbname is missing"),
        ({"url": "postgresql://me:secret@db:x/shop", "table": "a"}, "other than host:port"),
        ({"url": "postgresql://me:secret@db/shop?options=x", "table": "a"}, "sets options"),
        ({"url": "postgresql://db/shop"}, "name the tables"),
        ({"url": "postgresql://db/shop", "table": "a", "tables": ["b"]}, "name the tables"),
        ({"url": "postgresql://db/shop", "tables": ["a", "public.a"]}, "named twice"),
        ({"url": "postgresql://db/shop", "table": "a."}, "not a table's name"),
        ({"url": "postgresql://db/shop", "table": "a", "slot": "Big-Slot"}, "only a to z"),
        ({"url": "postgresql://db/shop", "table": "a", "heartbeat": "soon"}, "heartbeat is 'soon'"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], told: str) -> None:
    """One sentence, without a secret."""
    with pytest.raises(InvalidRoute, match=told) as wrong:
        PostgresSource(**options).check()

    assert "secret" not in str(wrong.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "needs key"),
        ({"mode": "append", "key": "id"}, "no use for a key"),
        ({"key": "id", "lock_timeout": "0s"}, "it must be from"),
    ],
)
def test_sinks_that_cannot_be(options: dict[str, object], told: str) -> None:
    """One sentence."""
    with pytest.raises(InvalidRoute, match=told):
        PostgresSink(url="postgresql://db/shop", table="rows", **options).check()


def test_options_whose_secrets_are_not_put_in_yet() -> None:
    """They are looked at again with them."""
    source = PostgresSource(host="${H}", dbname="${D}", password="${P}", table="${T}", slot="${S}", heartbeat="${B}")
    source.check()

    assert "postgres ${H}:5432/${D}, table public.${T}" == source.summary


@pytest.mark.parametrize("kind", [PostgresSource, PostgresSink])
def test_tables_of_a_route(kind: type[PostgresSource | PostgresSink]) -> None:
    """Written as in a route's file; what nobody knows is refused, and no password is shown."""
    table = {"kind": "postgres", "url": "postgresql://me:secret@db/shop", "table": "orders"}
    with pytest.raises(msgspec.ValidationError, match="unknown field `tabel`"):
        msgspec.convert(table | {"tabel": "x"}, kind)

    assert f"<{kind.__name__} db:5432/shop>" == repr(msgspec.convert(table, kind))


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be installed is said."""
    monkeypatch.setitem(sys.modules, "cluster.connectors.postgres.source", None)
    with pytest.raises(InvalidRoute, match=r"install riverrun\[postgres\]"):
        PostgresSource(url="postgresql://db/shop", table="orders").open("", "me")


def test_names_of_slots() -> None:
    """Readable, allowed, and another one for each deployment."""
    assert slot_name("Shop Orders/v1") != slot_name("shop_orders/v1")
    assert slot_name("Shop Orders/v1").startswith("riverrun_shop_orders_v1_")
    assert len(slot_name("x" * 200)) <= 63


def test_the_last_word_of_each_key() -> None:
    """Fields of later records come over those of earlier ones, unless the row was deleted in between."""
    first, second = Action(("1",), False, {"id": "1", "a": "x"}), Action(("1",), False, {"id": "1", "b": "y"})
    other, gone = Action(("2",), False, {"id": "2"}), Action(("1",), True, None)

    assert [other, Action(("1",), False, {"id": "1", "a": "x", "b": "y"})] == folded([first, other, second])
    assert [Action(("1",), True, {"id": "1", "b": "y"})] == folded([first, gone, second])
    assert [gone] == folded([first, second, gone])
