"""The decoder, on bytes that a PostgreSQL 15 has sent, and what it must not believe."""

import pytest

from cluster.connectors.postgres.pgoutput import (
    Begin,
    Change,
    Column,
    Commit,
    Decoder,
    Relation,
    Truncate,
    read_lsn,
    texts,
    written_lsn,
)
from cluster.connectors.postgres.values import converter
from cluster.errors import InvalidRoute

BEGIN = b"B\x00\x00\x00\x00\x01\x92c`\x00\x03\x04G:\xff\x9f\x07\x00\x00\x02\xd9"
RELATION = (
    b"R\x00\x00@\x01public\x00a\x00d\x00\t\x01i\x00\x00\x00\x00\x17\xff\xff\xff\xff\x00t\x00\x00\x00\x00\x19\xff\xff\xff"
    b"\xff\x00ts\x00\x00\x00\x04\xa0\xff\xff\xff\xff\x00ar\x00\x00\x00\x03\xef\xff\xff\xff\xff\x00nu\x00\x00\x00\x06\xa4"
    b"\x00\n\x00\x07\x00b\x00\x00\x00\x00\x11\xff\xff\xff\xff\x00iv\x00\x00\x00\x04\xa2\xff\xff\xff\xff\x00bo\x00\x00\x00"
    b"\x00\x10\xff\xff\xff\xff\x00j\x00\x00\x00\x0e\xda\xff\xff\xff\xff"
)
INSERT = (
    b"I\x00\x00@\x01N\x00\tt\x00\x00\x00\x011t\x00\x00\x00\x01xt\x00\x00\x00\x1d2026-11-27 21:08:29.151128+00"
    b"t\x00\x00\x00\x05{1,2}t\x00\x00\x00\x051.500t\x00\x00\x00\x06\\xdeadt\x00\x00\x00\x04PT0St\x00\x00\x00\x01tt\x00\x00"
    b'\x00\x08{"a": 1}'
)
UPDATE_OF_KEY = (
    b"U\x00\x00@\x01K\x00\tt\x00\x00\x00\x011nnnnnnnnN\x00\tt\x00\x00\x00\x0211t\x00\x00\x00\x01xt\x00\x00\x00\x1d"
    b"2026-11-27 21:08:29.151128+00t\x00\x00\x00\x05{1,2}t\x00\x00\x00\x051.500t\x00\x00\x00\x06\\xdeadt"
    b'\x00\x00\x00\x04PT0St\x00\x00\x00\x01tt\x00\x00\x00\x08{"a": 1}'
)
DELETE = b"D\x00\x00@\x01K\x00\tt\x00\x00\x00\x012nnnnnnnn"
TRUNCATE = b"T\x00\x00\x00\x01\x00\x00\x00@\x01"
COMMIT = b"C\x00\x00\x00\x00\x00\x01\x92c`\x00\x00\x00\x00\x01\x92c\x90\x00\x03\x04G:\xff\x9f\x07"
NAMES = ["i", "t", "ts", "ar", "nu", "b", "iv", "bo", "j"]


@pytest.fixture
def decoder() -> Decoder:
    """One that knows the table."""
    made = Decoder()
    relation = made.decode(RELATION)
    assert isinstance(relation, Relation)
    relation.plan = [(column.name, converter(column.type_id, {})) for column in relation.columns]
    return made


def test_a_transaction(decoder: Decoder) -> None:
    """Where it commits, when, under which number, and where it ends."""
    assert Begin(0x1926360, 1795813709000000 + 152007, 729) == decoder.decode(BEGIN)
    assert Commit(0x1926360, 0x1926390) == decoder.decode(COMMIT)


def test_a_relation() -> None:
    """Its columns, their types, and which of them are its identity."""
    relation = Decoder().decode(RELATION)
    assert isinstance(relation, Relation)

    assert ("public.a", "d", 0x4001) == (relation.table, relation.identity, relation.id)
    assert NAMES == [column.name for column in relation.columns]
    assert [Column("i", 23, in_identity=True), Column("t", 25, in_identity=False)] == list(relation.columns[:2])


def test_changes(decoder: Decoder) -> None:
    """Each column as plain data, and the old key where it is another one."""
    inserted, updated, deleted = map(decoder.decode, (INSERT, UPDATE_OF_KEY, DELETE))
    assert isinstance(inserted, Change)
    assert isinstance(updated, Change)
    assert isinstance(deleted, Change)
    row = [1, "x", "2026-11-27T21:08:29.151128Z", [1, 2], "1.500", "3q0=", "PT0S", True, {"a": 1}]

    assert ("I", None) == (inserted.op, inserted.old)
    assert dict(zip(NAMES, row, strict=True)) == inserted.new.values
    assert 11 == updated.new.values["i"]
    assert (1, None, False) == (updated.old.values["i"], updated.old.values["t"], updated.old_whole)
    assert (2, None) == (deleted.old.values["i"], deleted.new)
    assert [b"11", b"x"] == texts(UPDATE_OF_KEY, updated.new)[:2]
    assert [b"1", *[None] * 8] == texts(UPDATE_OF_KEY, updated.old)


def test_columns_that_were_not_sent(decoder: Decoder) -> None:
    """They are named, and those behind them are where they belong."""
    update = UPDATE_OF_KEY.replace(b"t\x00\x00\x00\x01x", b"u")
    change = decoder.decode(update)
    assert isinstance(change, Change)

    assert (["t"], "PT0S") == (list(change.new.unchanged), change.new.values["iv"])
    assert [b"11", None] == texts(update, change.new)[:2]


def test_a_table_that_nobody_wants() -> None:
    """Without a plan its rows are passed over, and not read."""
    decoder = Decoder()
    decoder.decode(RELATION)
    changes = [decoder.decode(data) for data in (INSERT, UPDATE_OF_KEY, DELETE)]

    assert ["I", "U", "D"] == [change.op for change in changes if isinstance(change, Change)]


def test_other_messages(decoder: Decoder) -> None:
    """Tables are emptied; types and origins do not matter; anything else is no protocol of ours."""
    truncate = decoder.decode(TRUNCATE)

    assert isinstance(truncate, Truncate)
    assert ["public.a"] == [relation.table for relation in truncate.relations]
    assert decoder.decode(b"Y\x00\x00@\x01public\x00mood\x00") is None
    with pytest.raises(InvalidRoute, match="protocol 1"):
        decoder.decode(b"S\x00\x00\x00\x01")


def test_places_in_the_log() -> None:
    """As PostgreSQL writes them."""
    assert "16/B374D848" == written_lsn(read_lsn("16/B374D848"))
    assert 0x16_B374D848 == read_lsn("16/B374D848")
