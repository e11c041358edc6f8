"""The sink: a batch and the position behind it in one transaction, which begins by looking where the lane is."""

import asyncio
from collections.abc import Sequence

import psycopg
from psycopg import sql

from cluster.connectors.contract import Delivery, Position
from cluster.connectors.durations import duration_s
from cluster.connectors.postgres.connecting import Connection, close, connect, mapped, raise_mapped, refuses_data
from cluster.connectors.postgres.options import PostgresSink
from cluster.connectors.postgres.rows import Action, Reader, folded
from cluster.connectors.postgres.target import find_target, make_positions
from cluster.connectors.postgres.writing import Writer
from cluster.errors import InvalidRoute, Unreachable

_MORE_S = 30.0
"""A write that takes so much longer than a statement may has lost its server."""
_CHANGED = {"42", "0A", "21"}
"""Classes of SQLSTATE: the table is not as it was, or one row is there twice under different texts."""


class TableSink:
    """See `cluster.connectors.contract.Sink`."""

    def __init__(self, options: PostgresSink, identity: str) -> None:
        self._options, self._identity = options, identity
        self._connection: Connection | None = None
        self._positions = sql.Identifier("")
        self._reader: Reader | None = None
        self._writer: Writer | None = None
        self._known: set[str] = set()
        """Lanes that have a row with their position."""
        self._write_s_max = duration_s(options.statement_timeout, "statement_timeout") + _MORE_S

    async def last_position(self, lane: str) -> int | None:
        """See Sink."""
        connection = await self._connected()
        query = sql.SQL("SELECT position FROM {} WHERE lane = %s").format(self._positions)
        with mapped(self._options.place):
            found = await (await connection.execute(query, [lane])).fetchone()
        if found is None:
            return None
        self._known.add(lane)
        return int(found[0])

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:
        """See Sink."""
        connection = await self._connected()
        try:
            async with asyncio.timeout(self._write_s_max):
                await self._write(connection, batch, position)
        except TimeoutError as slow:
            raise Unreachable(f"{self._options.place} does not answer") from slow
        except psycopg.Error as wrong:
            raise_mapped(wrong, self._options.place)
        self._known.add(position.lane)
        return True

    async def settle(self) -> None:
        """See Sink: nothing is held."""

    async def close(self) -> None:
        """See Sink."""
        connection, self._connection = self._connection, None
        await close(connection)

    async def _write(self, connection: Connection, batch: Sequence[Delivery], position: Position) -> None:
        try:
            assert self._reader is not None
            actions = self._reader.actions(batch)
        except InvalidRoute:  # a column that is new
            await self._look(connection)
            assert self._reader is not None
            actions = self._reader.actions(batch)
        assert self._writer is not None
        each_once = folded(actions) if self._options.key_columns else actions
        await self._writer.prepare(each_once)
        try:
            async with connection.transaction():
                await self._move(connection, position)
                await self._writer.write(each_once)
        except psycopg.Error as wrong:
            if not refuses_data(wrong) and (wrong.sqlstate or "")[:2] not in _CHANGED:
                raise
            await self._write_slowly(connection, batch, position)

    async def _write_slowly(self, connection: Connection, batch: Sequence[Delivery], position: Position) -> None:
        """Again, record by record as far as that is needed, by what the table is now."""
        await self._look(connection)
        assert self._reader is not None
        assert self._writer is not None
        actions: list[Action] = self._reader.actions(batch)
        async with connection.transaction():
            await self._move(connection, position)
            await self._writer.find_refused(actions, f"table {self._options.table} of {self._options.place}")

    async def _move(self, connection: Connection, position: Position) -> None:
        """The lane's position, from `begin` to `end`. Unreachable: it is not at `begin`."""
        lane, there = position.lane, None
        query = sql.SQL("SELECT position FROM {} WHERE lane = %s FOR UPDATE").format(self._positions)
        found = await (await connection.execute(query, [lane])).fetchone()
        if found is None and lane not in self._known:
            insert = sql.SQL(
                "INSERT INTO {} (lane, position) VALUES (%s, %s) ON CONFLICT (lane) DO NOTHING RETURNING position"
            ).format(self._positions)
            there = (
                position.begin if await (await connection.execute(insert, [lane, position.end])).fetchone() else None
            )
        elif found is not None:
            there = int(found[0])
            update = sql.SQL("UPDATE {} SET position = %s, written_at = now() WHERE lane = %s").format(self._positions)
            if there == position.begin:
                await connection.execute(update, [position.end, lane])
        if there != position.begin:
            at = "written for the first time by somebody else" if there is None else f"at {there}"
            raise Unreachable(
                f"{self._options.place}: lane {lane} is {at}, and not at {position.begin}: somebody else has written it"
            )

    async def _connected(self) -> Connection:
        if self._connection is None:
            timeouts = {
                name: str(max(1, round(1000 * duration_s(getattr(self._options, name), name))))
                for name in ("lock_timeout", "statement_timeout")
            }
            connection = await connect(self._options, **timeouts)
            try:
                self._positions = await make_positions(connection, self._options)
                await self._look(connection)
                with mapped(self._options.place):
                    # A commit that a crash of the server may take back would leave the lane behind what is known of it.
                    await connection.execute(
                        "SELECT set_config('synchronous_commit', 'on', false)"
                        " WHERE current_setting('synchronous_commit') = 'off'"
                    )
            except BaseException:
                await close(connection)
                raise
            self._connection = connection
        return self._connection

    async def _look(self, connection: Connection) -> None:
        """The table as it is now."""
        target = await find_target(connection, self._options)
        name = f"table {target.schema}.{target.name} of {self._options.place}"
        key = self._options.key_columns
        self._reader = Reader(name, target.columns, key)
        with mapped(self._options.place):
            await connection.execute("DISCARD TEMP")
        self._writer = Writer(connection, target, key)
