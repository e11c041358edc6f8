"""What the database says of itself: its tables, their keys and columns, the types of their values."""

from collections.abc import Iterable, Sequence
from typing import Any, LiteralString

import msgspec

from cluster.connectors.postgres.addresses import table_of
from cluster.connectors.postgres.connecting import Connection, mapped
from cluster.connectors.postgres.options import PostgresSource
from cluster.connectors.postgres.values import OWN_TYPES_END, Known, Types
from cluster.errors import InvalidRoute

ATTNAMES_SINCE, PARTITION_ROOT_SINCE = 150_000, 130_000
"""Versions of the server."""
_TABLE: LiteralString = """
SELECT c.oid, c.relkind::text, c.relreplident::text, c.relpersistence::text, c.reltuples::float8,
  has_table_privilege(c.oid, 'SELECT'),
  coalesce(pg_relation_filenode(c.oid)::text,
    (SELECT string_agg(coalesce(pg_relation_filenode(relid), 0)::text, ' ' ORDER BY relid)
     FROM pg_partition_tree(c.oid))),
  (SELECT array_agg(a.attname::text ORDER BY k.place)
     FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k(n, place)
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.n
     WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts),
  (SELECT array_agg(a.attname::text)
     FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
     WHERE i.indrelid = c.oid AND i.indisreplident)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s"""
_COLUMNS: LiteralString = """
SELECT attname::text, atttypid::int8 FROM pg_attribute
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"""
_TYPES: LiteralString = """
SELECT t.oid::int8, t.typbasetype::int8, CASE WHEN t.typcategory = 'A' THEN t.typelem::int8 ELSE 0 END,
  coalesce(e.typdelim::text, ',')
FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem WHERE t.oid = ANY (%s)"""
_NO_IDENTITY = "its updates and deletes are not replicated"


class Table(msgspec.Struct, kw_only=True):
    """As it is now."""

    schema: str
    name: str
    oid: int
    partitioned: bool
    rows: int
    """An estimate; 0: not known."""
    shape: str
    key: dict[str, int]
    """Columns of the primary key in its order, with their types (below domains)."""
    columns: dict[str, int]
    row_filter: str = ""
    published: frozenset[str] | None = None
    """None: all columns."""

    @property
    def sent(self) -> dict[str, int]:
        """The columns that the stream has as well."""
        return {name: kind for name, kind in self.columns.items() if self.published is None or name in self.published}

    @property
    def full_name(self) -> str:
        """With its schema."""
        return f"{self.schema}.{self.name}"


async def find_table(connection: Connection, options: PostgresSource, written: str, types: dict[int, Known]) -> Table:
    """InvalidRoute: it cannot be captured. `types` learns those of its columns."""
    schema, name = table_of(written)
    full = f"table {schema}.{name} of {options.place}"
    with mapped(options.place):
        found = await (await connection.execute(_TABLE, [schema, name])).fetchone()
        if found is None:
            raise InvalidRoute(f"there is no {full}")
        oid, kind, identity, persistence, rows, may_read, shape, key, index = found
        columns = dict(await _all(connection, _COLUMNS, [oid]))
        await learn_types(connection, columns.values(), types)
    if kind not in "rp":
        raise InvalidRoute(f"{full} is no table with rows of its own, and has no changes")
    if persistence != "p":
        raise InvalidRoute(f"{full} is unlogged or temporary: its changes are in no log")
    if not key:
        raise InvalidRoute(f"{full} has no primary key: add one, records are known by it")
    if identity == "n":
        raise InvalidRoute(
            f"{full} has REPLICA IDENTITY NOTHING, {_NO_IDENTITY}: ALTER TABLE … REPLICA IDENTITY DEFAULT"
        )
    if identity == "i" and not set(key) <= set(index or ()):
        raise InvalidRoute(
            f"{full} has a REPLICA IDENTITY without its primary key: ALTER TABLE … REPLICA IDENTITY DEFAULT"
        )
    if not may_read and options.snapshot == "initial":
        raise InvalidRoute(f'{full} may not be read: GRANT SELECT on it, or set snapshot = "never"')
    return Table(
        schema=schema,
        name=name,
        oid=oid,
        partitioned=kind == "p",
        rows=max(0, int(rows)),
        shape=f"{shape}/{' '.join(key)}",
        key={column: below(columns[column], types) for column in key},
        columns=columns,
    )


async def learn_types(connection: Connection, type_ids: Iterable[int], types: dict[int, Known]) -> None:
    """Ask for those that are not PostgreSQL's own, down to what they are made of."""
    wanted = {number for number in type_ids if number >= OWN_TYPES_END} - types.keys()
    while wanted:
        for number, base, element, delimiter in await _all(connection, _TYPES, [[*wanted]]):
            types[number] = Known(base, element, delimiter)
        for number in wanted - types.keys():  # dropped since
            types[number] = Known()
        parts = {part for number in wanted for part in (types[number].base, types[number].element)}
        wanted = {part for part in parts if part >= OWN_TYPES_END} - types.keys()


def below(type_id: int, types: Types) -> int:
    """A domain's type."""
    known = types.get(type_id)
    return below(known.base, types) if known and known.base else type_id


async def _all(connection: Connection, query: LiteralString, values: Sequence[object]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, values)).fetchall()
