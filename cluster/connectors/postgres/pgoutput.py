"""The messages of logical replication (pgoutput, protocol 1), from bytes. Pure.

PostgreSQL's documentation, "Logical Replication Message Formats". A change is decoded against the last `Relation` of
its table in the stream; what columns become is not known here: whoever takes a Relation gives it a `plan`.
"""

from collections.abc import Callable, Sequence
from struct import Struct, unpack_from
from typing import Any

import msgspec

from cluster.errors import InvalidRoute

EPOCH_US = 946_684_800_000_000
"""Of PostgreSQL: 2000-01-01, in microseconds of Unix time."""
Convert = Callable[[bytes], Any]
Plan = Sequence[tuple[str, Convert]]
NULL, UNCHANGED, TEXT = ord("n"), ord("u"), ord("t")
_BEGIN, _COMMIT, _SIZE = Struct(">QqI"), Struct(">BQQq"), Struct(">I")


class Column(msgspec.Struct, frozen=True):
    """Of a table, as it was when the changes that follow were made."""

    name: str
    type_id: int
    in_identity: bool


class Relation(msgspec.Struct):
    """A table; `identity` is `d` (primary key), `f` (all columns), `i` (an index) or `n`."""

    id: int
    schema: str
    name: str
    identity: str
    columns: Sequence[Column]
    plan: Plan = ()
    key: Sequence[str] = ()
    """Of the primary key, in its order."""
    wanted: bool = False

    @property
    def table(self) -> str:
        """With its schema."""
        return f"{self.schema}.{self.name}"


class Begin(msgspec.Struct, frozen=True):
    """A transaction, which commits at `lsn`."""

    lsn: int
    committed_us: int
    """Unix time."""
    xid: int


class Commit(msgspec.Struct, frozen=True):
    """Its end; the next one commits at `end_lsn` or later."""

    lsn: int
    end_lsn: int


class Row(msgspec.Struct, frozen=True):
    """A tuple: columns that were sent, and names of large ones that were not, for they have not changed."""

    values: dict[str, Any]
    unchanged: Sequence[str] = ()
    place: tuple[int, int] = (0, 0)
    """Where it begins in the message, and how many columns it has: `texts` reads them again."""


class Change(msgspec.Struct, frozen=True):
    """`op`: `I`, `U` or `D`. `old` is the whole row (`old_whole`) or its identity alone, other columns None."""

    op: str
    relation: Relation
    old: Row | None
    new: Row | None
    old_whole: bool
    data: bytes


class Truncate(msgspec.Struct, frozen=True):
    """Of some tables at once."""

    relations: Sequence[Relation]


Message = Begin | Commit | Relation | Change | Truncate


class Decoder:
    """One stream's: remembers the tables that it was told of."""

    def __init__(self) -> None:
        self.relations: dict[int, Relation] = {}

    def decode(self, data: bytes) -> Message | None:
        """None: nothing that matters here. InvalidRoute: it is not protocol 1."""
        kind = data[:1]
        if kind in {b"I", b"U", b"D"}:
            return self._change(data, kind.decode())
        if kind == b"B":
            lsn, time_us, xid = _BEGIN.unpack_from(data, 1)
            return Begin(lsn, time_us + EPOCH_US, xid)
        if kind == b"C":
            _, lsn, end_lsn, _ = _COMMIT.unpack_from(data, 1)
            return Commit(lsn, end_lsn)
        if kind == b"R":
            relation = _relation(data)
            self.relations[relation.id] = relation
            return relation
        if kind == b"T":
            (count,) = _SIZE.unpack_from(data, 1)
            return Truncate([self.relations[number] for number in unpack_from(f">{count}I", data, 6)])
        if kind in {b"Y", b"O", b"M"}:  # a type's name, where it came from, a message of an application
            return None
        raise InvalidRoute(f"the replication stream has a message of kind {kind!r}, which protocol 1 does not know")

    def _change(self, data: bytes, op: str) -> Change:
        relation = self.relations[_SIZE.unpack_from(data, 1)[0]]
        old, new, old_whole, at = None, None, False, 5
        if data[at] in b"KO":
            old_whole = data[at] == ord("O")
            old, at = _row(data, at + 1, relation.plan)
        if op != "D":
            new, at = _row(data, at + 1, relation.plan)
        return Change(op, relation, old, new, old_whole, data)


def _relation(data: bytes) -> Relation:
    (number,) = _SIZE.unpack_from(data, 1)
    schema, at = _string(data, 5)
    name, at = _string(data, at)
    identity = chr(data[at])
    (count,) = unpack_from(">H", data, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        in_identity = bool(data[at] & 1)
        column, at = _string(data, at + 1)
        columns.append(Column(column, _SIZE.unpack_from(data, at)[0], in_identity))
        at += 8
    return Relation(number, schema or "pg_catalog", name, identity, columns)


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1


def _row(data: bytes, at: int, plan: Plan) -> tuple[Row, int]:
    begin = at
    count = data[at] << 8 | data[at + 1]
    at += 2
    values: dict[str, Any] = {}
    unchanged: list[str] = []
    size_of = _SIZE.unpack_from
    for name, convert in plan:
        kind = data[at]
        if kind == TEXT:
            end = at + 5 + size_of(data, at + 1)[0]
            values[name] = convert(data[at + 5 : end])
            at = end
            continue
        if kind == NULL:
            values[name] = None
        else:
            unchanged.append(name)
        at += 1
    if not plan:
        at += _skip(data, at, count)
    return Row(values, unchanged, (begin, count)), at


def _skip(data: bytes, at: int, count: int) -> int:
    begin = at
    for _ in range(count):
        at += 5 + _SIZE.unpack_from(data, at + 1)[0] if data[at] == TEXT else 1
    return at - begin


def texts(data: bytes, row: Row) -> list[bytes | None]:
    """What the server wrote for each column, as it is; None also for what is not there."""
    at, count = row.place
    at += 2
    found: list[bytes | None] = []
    for _ in range(count):
        if data[at] == TEXT:
            end = at + 5 + _SIZE.unpack_from(data, at + 1)[0]
            found.append(data[at + 5 : end])
            at = end
        else:
            found.append(None)
            at += 1
    return found


def written_lsn(lsn: int) -> str:
    """As PostgreSQL writes it.

    >>> written_lsn(0x16B374D848)
    '16/B374D848'
    """
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def read_lsn(written: str) -> int:
    """The other way."""
    high, low = written.split("/")
    return int(high, 16) << 32 | int(low, 16)
