"""Rows of tables as they are, in the order of their keys, from one snapshot of the database for each run."""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from cluster.connectors.contract import Arrival
from cluster.connectors.postgres.capture import NS_PER_US, encode_key, iso
from cluster.connectors.postgres.catalog import Table, find_table
from cluster.connectors.postgres.connecting import Connection, raise_mapped
from cluster.connectors.postgres.cursor import Reading, Segment
from cluster.connectors.postgres.options import PostgresSource
from cluster.connectors.postgres.pgoutput import read_lsn
from cluster.connectors.postgres.preparing import Prepared
from cluster.connectors.postgres.values import UUID, WHOLE, converter
from cluster.errors import Unreachable

READ_RECORDS_MAX = 1000
READ_BYTES_MAX = 1 << 20
ROWS_AT_FIRST = 50
LOCK_TIMEOUT_MS = 10_000
BARRIER_S_MAX = 20.0
"""So long a read waits for old transactions before it says so."""
BARRIER_LOOK_S = 0.05


class SnapshotRun:
    """One transaction's reading, from where `cursor` is to the end of the last table; `cursor` moves with it."""

    def __init__(self, connection: Connection, options: PostgresSource, prepared: Prepared) -> None:
        self._connection, self._options, self._place = connection, options, options.place
        self._cursor, self._types = prepared.cursor, prepared.types
        self._tables = {table.full_name: table for table in prepared.tables}
        self._seen, self._lsn, self._time_us = "", 0, 0
        self._fresh = prepared.fresh
        self._open: Reading | None = None
        self._rows = ROWS_AT_FIRST

    async def begin(self) -> list[Arrival]:
        """Take the snapshot. Of a table whose rows were read and do not count any more comes a `t`. Unreachable."""
        try:
            if not any(reading.segments for reading in self._cursor.readings):
                await self._wait_for_old()
            await self._connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
            await self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            # Whoever empties or rewrites a table waits for us from here on; the snapshot is taken by the first query.
            for reading in self._cursor.readings:
                if not reading.done:
                    await self._connection.execute(
                        sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(self._from(reading))
                    )
            found = await (
                await self._connection.execute(
                    "SELECT txid_current_snapshot()::text, pg_current_wal_insert_lsn()::text,"
                    " (extract(epoch FROM clock_timestamp()) * 1000000)::int8"
                )
            ).fetchone()
        except psycopg.Error as wrong:
            raise_mapped(wrong, self._place)
        assert found is not None
        self._seen, self._lsn, self._time_us = found[0], read_lsn(found[1]), found[2]
        void = []
        for reading in self._cursor.readings:
            if reading.done:
                continue
            shape = await self._look(reading.table)
            if self._fresh or (reading.segments and reading.shape != shape):
                # Emptied or rewritten since it was read in part: it is read again, from its beginning.
                void.append(self._record("t", reading.table, None, None))
                reading.segments, reading.rows = [], 0
            reading.shape = shape
        return void

    async def _look(self, name: str) -> str:
        """The table again, now that it cannot change."""
        before = self._tables[name]
        table = await find_table(self._connection, self._options, name, self._types)
        table.row_filter, table.published = before.row_filter, before.published
        self._tables[name] = table
        return table.shape

    async def read(self) -> list[Arrival]:
        """Some rows more; when the last ones are read the tables are free again. Unreachable; InvalidRoute."""
        found: list[Arrival] = []
        try:
            while not found and (left := [reading for reading in self._cursor.readings if not reading.done]):
                found = await self._fetch(left[0])
            if not self._cursor.in_snapshot:
                await self._connection.execute("COMMIT")
        except psycopg.Error as wrong:
            raise_mapped(wrong, self._place)
        return found

    async def _wait_for_old(self) -> None:
        """Until every transaction that may have committed before the slot's beginning has ended, for all to see."""
        found = await (await self._connection.execute("SELECT txid_current()")).fetchone()
        assert found is not None
        for _ in range(round(BARRIER_S_MAX / BARRIER_LOOK_S)):
            lowest = await (
                await self._connection.execute("SELECT txid_snapshot_xmin(txid_current_snapshot())")
            ).fetchone()
            assert lowest is not None
            if lowest[0] >= found[0]:
                return
            await asyncio.sleep(BARRIER_LOOK_S)
        raise Unreachable(
            f"{self._place}: the snapshot waits for a transaction that is open since before the slot was made"
        )

    def _from(self, reading: Reading) -> sql.Composable:
        table = self._tables[reading.table]
        name = sql.Identifier(table.schema, table.name)
        return name if table.partitioned else sql.SQL("ONLY {}").format(name)

    async def _fetch(self, reading: Reading) -> list[Arrival]:
        table = self._tables[reading.table]
        if self._open is not reading:
            await self._declare(reading, table)
            self._open = reading
        result = (
            await self._connection.execute(sql.SQL("FETCH FORWARD {} FROM riverrun_rows").format(self._rows))
        ).pgresult
        assert result is not None
        plan = [(name, converter(kind, self._types)) for name, kind in table.sent.items()]
        in_key = [name for name in table.sent if name in table.key]
        found, size = [], 0
        for row in range(result.ntuples):
            after: dict[str, Any] = {}
            for place, (name, convert) in enumerate(plan):
                written = result.get_value(row, place)
                after[name] = None if written is None else convert(written)
                size += 0 if written is None else len(written)
            found.append(self._record("r", reading.table, after, encode_key({name: after[name] for name in in_key})))
        if result.ntuples:
            last = [result.get_value(result.ntuples - 1, len(plan) + place) for place in range(len(table.key))]
            reading.segments[-1].upper = [(text or b"").decode() for text in last]
            reading.rows += result.ntuples
        if result.ntuples < self._rows:
            reading.segments[-1].upper = None
            await self._connection.execute("CLOSE riverrun_rows")
        elif size:
            self._rows = max(1, min(READ_RECORDS_MAX, READ_BYTES_MAX * result.ntuples // size))
        return found

    async def _declare(self, reading: Reading, table: Table) -> None:
        order = [_order(name, kind, utf8=self._utf8) for name, kind in table.key.items()]
        where: list[sql.Composable] = [sql.SQL("({})").format(sql.SQL(table.row_filter))] if table.row_filter else []
        behind = reading.segments[-1].upper if reading.segments else None
        if behind is not None:
            values = [
                _literal(text, kind, utf8=self._utf8) for text, kind in zip(behind, table.key.values(), strict=True)
            ]
            where.append(sql.SQL("ROW({}) > ROW({})").format(_list(order), _list(values)))
        texts = [
            sql.SQL("{}::text AS {}").format(sql.Identifier(name), sql.Identifier(f"riverrun key {place}"))
            for place, name in enumerate(table.key)
        ]
        await self._connection.execute(
            sql.SQL("DECLARE riverrun_rows NO SCROLL CURSOR FOR SELECT {} FROM {} WHERE {} ORDER BY {}").format(
                _list([*map(sql.Identifier, table.sent), *texts]),
                self._from(reading),
                sql.SQL(" AND ").join(where or [sql.SQL("true")]),
                _list(order),
            )
        )
        reading.segments.append(Segment(self._seen, self._lsn, behind or []))

    @property
    def _utf8(self) -> bool:
        return self._connection.info.parameter_status("server_encoding") == "UTF8"

    def _record(self, op: str, table: str, after: dict[str, Any] | None, key: bytes | None) -> Arrival:
        value = {
            "op": op,
            "table": table,
            "before": None,
            "after": after,
            "lsn": self._lsn,
            "xid": None,
            "ts": iso(self._time_us),
        }
        return Arrival(value=value, key=key, timestamp_ns=self._time_us * NS_PER_US)


def _list(parts: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(", ").join([*parts])


def _order(name: str, kind: int, *, utf8: bool) -> sql.Composable:
    """A column as it is compared here as well (`cursor.ordered`): without a locale."""
    if kind in WHOLE or kind == UUID:
        return sql.Identifier(name)
    return sql.SQL('{}::text COLLATE "C"' if utf8 else "convert_to({}::text, 'UTF8')").format(sql.Identifier(name))


def _literal(text: str, kind: int, *, utf8: bool) -> sql.Composable:
    if kind in WHOLE:
        return sql.SQL("{}::int8").format(text)
    if kind == UUID:
        return sql.SQL("{}::uuid").format(text)
    return sql.SQL("{}::text" if utf8 else "convert_to({}::text, 'UTF8')").format(text)
