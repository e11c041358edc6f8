"""The table that is written, as the database has it, and the table with the positions."""

from collections.abc import Sequence
from typing import LiteralString

import msgspec
import psycopg
from psycopg import sql

from cluster.connectors.postgres.addresses import table_of
from cluster.connectors.postgres.connecting import Connection, mapped, raise_mapped, said
from cluster.connectors.postgres.options import PostgresSink
from cluster.connectors.postgres.rows import TargetColumn
from cluster.errors import InvalidRoute

_TABLE: LiteralString = """
SELECT c.oid, c.relkind::text,
  has_table_privilege(c.oid, 'INSERT') OR has_any_column_privilege(c.oid, 'INSERT'),
  ARRAY(SELECT array_to_string(ARRAY(SELECT attname FROM pg_attribute
           WHERE attrelid = c.oid AND attnum = ANY (i.indkey[0:i.indnkeyatts - 1])), ' ')
        FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
        AND i.indpred IS NULL AND i.indexprs IS NULL)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s"""
_COLUMNS: LiteralString = """
WITH RECURSIVE kinds AS (
  SELECT a.attname::text AS name, a.attgenerated <> '' OR a.attidentity = 'a' AS made,
    t.oid, t.typbasetype, t.typcategory
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT k.name, k.made, t.oid, t.typbasetype, t.typcategory FROM kinds k JOIN pg_type t ON t.oid = k.typbasetype)
SELECT name, made,
  CASE WHEN oid IN (114, 3802) THEN 'json' WHEN typcategory = 'A' THEN 'array' WHEN oid = 17 THEN 'bytea'
    WHEN oid IN (20, 21, 23) THEN 'whole' ELSE '' END
FROM kinds WHERE typbasetype = 0"""


class Target(msgspec.Struct, frozen=True):
    """The table, and its columns."""

    schema: str
    name: str
    columns: dict[str, TargetColumn]

    @property
    def identifier(self) -> sql.Identifier:
        """For statements."""
        return sql.Identifier(self.schema, self.name)


async def find_target(connection: Connection, options: PostgresSink) -> Target:
    """InvalidRoute: it is not there, or not as the route needs it."""
    schema, name = table_of(options.table)
    full = f"table {schema}.{name} of {options.place}"
    with mapped(options.place):
        found = await (await connection.execute(_TABLE, [schema, name])).fetchone()
        if found is None:
            raise InvalidRoute(f"there is no {full}")
        oid, kind, may_write, uniques = found
        rows = await (await connection.execute(_COLUMNS, [oid])).fetchall()
    if kind not in "rp":
        raise InvalidRoute(f"{full} is no table")
    if not may_write:
        raise InvalidRoute(f"{full} may not be written: GRANT INSERT, UPDATE, DELETE on it")
    columns = {column: TargetColumn(what, made) for column, made, what in rows}
    _check_key(full, options.key_columns, columns, [set(unique.split(" ")) for unique in uniques])
    return Target(schema, name, columns)


def _check_key(full: str, key: Sequence[str], columns: dict[str, TargetColumn], uniques: Sequence[set[str]]) -> None:
    missing = [name for name in key if name not in columns]
    if missing:
        raise InvalidRoute(f"{full} has no column {missing[0]}, which is to be its key")
    if key and set(key) not in uniques:
        raise InvalidRoute(
            f'{full} has no primary key or unique index on ({", ".join(key)}): mode = "upsert" needs one'
        )


async def make_positions(connection: Connection, options: PostgresSink) -> sql.Identifier:
    """The table's name, which is there then. InvalidRoute: it is not, and may not be made."""
    name = sql.Identifier(*table_of(options.positions_table))
    written = name.as_string()
    with mapped(options.place):
        found = await (await connection.execute("SELECT to_regclass(%s)", [written])).fetchone()
    if found is not None and found[0] is not None:
        return name
    statement = sql.SQL(
        "CREATE TABLE IF NOT EXISTS {} (lane text PRIMARY KEY, position bigint NOT NULL,"
        " written_at timestamptz NOT NULL DEFAULT now())"
    ).format(name)
    try:
        await connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege as forbidden:
        raise InvalidRoute(
            f"{options.place}: {said(forbidden)}: have its owner run {statement.as_string()}, "
            f"and grant SELECT, INSERT and UPDATE on it"
        ) from forbidden
    except psycopg.errors.UniqueViolation:  # somebody else made it just now
        pass
    except psycopg.Error as wrong:
        raise_mapped(wrong, options.place)
    return name
