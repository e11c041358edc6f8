"""Before anything is captured: tables, publication and slot are there, and the slot has what the cursor needs."""

from typing import Any, LiteralString

import msgspec
import psycopg
from psycopg import sql

from cluster.connectors.postgres.catalog import ATTNAMES_SINCE, PARTITION_ROOT_SINCE, Table, find_table
from cluster.connectors.postgres.connecting import Connection, close, connect, mapped, raise_mapped, said
from cluster.connectors.postgres.cursor import Cursor, Reading
from cluster.connectors.postgres.options import PostgresSource
from cluster.connectors.postgres.pgoutput import read_lsn, written_lsn
from cluster.connectors.postgres.values import Known
from cluster.errors import InvalidRoute, Unreachable

SLOT_S_MAX = 300
"""So long a slot waits for transactions that had begun before it."""
_SLOT: LiteralString = """
SELECT plugin::text, database::text, confirmed_flush_lsn::text, {} FROM pg_replication_slots WHERE slot_name = %s"""
_DROP_SLOT: LiteralString = """
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"""
_DUPLICATES = psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation


class Prepared(msgspec.Struct):
    """What a capture goes on with. `fresh`: with a new snapshot, what was captured before is void."""

    tables: list[Table]
    types: dict[int, Known]
    cursor: Cursor
    fresh: bool = False


class Preparation:
    """One start's, over an ordinary connection."""

    def __init__(self, connection: Connection, options: PostgresSource, slot: str, publication: str) -> None:
        self._connection, self._options = connection, options
        self._slot, self._publication = slot, publication
        self._version = connection.info.server_version

    async def run(self, cursor: Cursor | None) -> Prepared:
        """InvalidRoute; Unreachable."""
        if await self._one("SELECT current_setting('wal_level')") != "logical":
            raise InvalidRoute(
                f"{self._options.place} has wal_level other than logical: set it, and start the server again"
            )
        types: dict[int, Known] = {}
        tables = await self._find_tables(types)
        await self._make_publication(tables)
        await self._check_published(tables)
        system = str(await self._one("SELECT system_identifier FROM pg_control_system()"))
        if cursor is None:
            return Prepared(tables, types, self._begin(tables, system, await self._make_slot()))
        why = await self._lost(cursor, system)
        if not why:
            await self._look_for_new_tables(cursor, tables)
            return Prepared(tables, types, cursor)
        since = written_lsn(cursor.lsn)
        if self._options.on_lost_slot == "stop":
            raise InvalidRoute(
                f"{why}: what changed since {since} cannot be captured any more; "
                f'on_lost_slot = "snapshot" goes on with all rows as they are now, without what was in between'
            )
        await self._drop_slot()
        return Prepared(tables, types, self._begin(tables, system, await self._make_slot(), fresh=True), fresh=True)

    async def look_again(self) -> None:
        """The tables are there and published still: nobody else says so to whoever waits for changes. InvalidRoute."""
        await self._check_published(await self._find_tables({}))

    async def _find_tables(self, types: dict[int, Known]) -> list[Table]:
        return [await find_table(self._connection, self._options, name, types) for name in self._options.table_names()]

    def _begin(self, tables: list[Table], system: str, lsn: int, *, fresh: bool = False) -> Cursor:
        reads = fresh or self._options.snapshot == "initial"
        readings = [Reading(table.full_name) for table in tables] if reads else []
        return Cursor(system=system, slot=self._slot, lsn=lsn, readings=readings)

    async def _look_for_new_tables(self, cursor: Cursor, tables: list[Table]) -> None:
        """Those of a snapshot that goes on have to be there still."""
        names = {table.full_name for table in tables}
        cursor.readings = [reading for reading in cursor.readings if reading.table in names]

    async def _lost(self, cursor: Cursor, system: str) -> str:
        """Why the slot does not have what comes after the cursor; empty: it has."""
        what = f"replication slot {self._slot} of {self._options.place}"
        if cursor.system != system:
            return f"{self._options.place} is another database cluster than the one that was captured"
        found = await self._find_slot()
        if found is None:
            return f"{what} is gone"
        flushed, status = found
        if status == "lost":
            return f"{what} has lost its log (max_slot_wal_keep_size)"
        if flushed > cursor.lsn:
            return f"{what} was moved to {written_lsn(flushed)} by somebody else"
        return ""

    async def _find_slot(self) -> tuple[int, str] | None:
        status = "wal_status::text" if self._version >= PARTITION_ROOT_SINCE else "''"
        with mapped(self._options.place):
            query = sql.SQL(_SLOT).format(sql.SQL(status))
            found = await (await self._connection.execute(query, [self._slot])).fetchone()
        if found is None:
            return None
        plugin, database, flushed, wal_status = found
        what = f"replication slot {self._slot} of {self._options.place}"
        if plugin != "pgoutput" or database != self._connection.info.dbname:
            raise InvalidRoute(f"{what} is not one of pgoutput in this database: name another one")
        if flushed is None:
            raise Unreachable(f"{what} is still being made: it waits for transactions that had begun before")
        return read_lsn(flushed), wal_status or ""

    async def _make_slot(self) -> int:
        """Where it begins. One that is there is used from where it is."""
        if (found := await self._find_slot()) is not None:
            if found[1] == "lost":
                raise InvalidRoute(f"replication slot {self._slot} of {self._options.place} has lost its log: drop it")
            return found[0]
        try:
            await self._connection.execute(sql.SQL("SET statement_timeout = {}").format(f"{SLOT_S_MAX}s"))
            made = await self._one(
                "SELECT lsn::text FROM pg_create_logical_replication_slot(%s, 'pgoutput')", self._slot
            )
            await self._connection.execute("SET statement_timeout = 0")
        except psycopg.errors.ConfigurationLimitExceeded as full:
            raise InvalidRoute(f"{self._options.place}: {said(full)}: raise max_replication_slots") from full
        except _DUPLICATES as there:
            raise Unreachable(f"{self._options.place}: {said(there)}") from there
        except psycopg.Error as wrong:
            raise_mapped(wrong, self._options.place)
        return read_lsn(made)

    async def _drop_slot(self) -> None:
        with mapped(self._options.place):
            await self._connection.execute(_DROP_SLOT, [self._slot])

    async def _make_publication(self, tables: list[Table]) -> None:
        if await self._one("SELECT count(*) FROM pg_publication WHERE pubname = %s", self._publication):
            return
        names = sql.SQL(", ").join(
            sql.SQL("TABLE ONLY {}").format(sql.Identifier(table.schema, table.name)) for table in tables
        )
        statement = sql.SQL("CREATE PUBLICATION {} FOR {}").format(sql.Identifier(self._publication), names)
        if self._version >= PARTITION_ROOT_SINCE:
            statement += sql.SQL(" WITH (publish_via_partition_root = true)")
        try:
            await self._connection.execute(statement)
        except _DUPLICATES as there:
            raise Unreachable(f"{self._options.place}: {said(there)}") from there
        except psycopg.errors.InsufficientPrivilege as forbidden:
            raise InvalidRoute(
                f"{self._options.place}: {said(forbidden)}: have its owner run {statement.as_string()}"
            ) from forbidden
        except psycopg.Error as wrong:
            raise_mapped(wrong, self._options.place)

    async def _check_published(self, tables: list[Table]) -> None:
        """All of them, and which of their columns and rows."""
        more = "attnames::text[], coalesce(rowfilter, '')" if self._version >= ATTNAMES_SINCE else "NULL, ''"
        query = sql.SQL(
            "SELECT schemaname || '.' || tablename, {} FROM pg_publication_tables WHERE pubname = %s"
        ).format(sql.SQL(more))
        with mapped(self._options.place):
            rows = await (await self._connection.execute(query, [self._publication])).fetchall()
        published = {name: (columns, row_filter) for name, columns, row_filter in rows}
        for table in tables:
            if table.full_name not in published:
                raise InvalidRoute(
                    f"publication {self._publication} of {self._options.place} does not have {table.full_name}: "
                    f"ALTER PUBLICATION {self._publication} ADD TABLE {table.full_name}"
                )
            columns, table.row_filter = published[table.full_name]
            table.published = None if columns is None else frozenset(columns)

    async def _one(self, query: LiteralString, *values: object) -> Any:
        with mapped(self._options.place):
            found = await (await self._connection.execute(query, values or None)).fetchone()
        assert found is not None
        return found[0]


async def forget(options: PostgresSource, *, slot: str, publication: str) -> None:
    """Drop them, if they are there; empty: not that one. Unreachable; InvalidRoute."""
    connection = await connect(options)
    try:
        with mapped(options.place):
            await connection.execute(_DROP_SLOT, [slot])
            if publication:
                await connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(publication)))
    finally:
        await close(connection)
