"""The source: a snapshot, if it is wanted, and then the stream, as one sequence of reads behind one cursor."""

import asyncio

from cluster.connectors.contract import Arrival, Arrived, Progress
from cluster.connectors.postgres.capture import Capture, KeyTypes
from cluster.connectors.postgres.catalog import Table, find_table, learn_types
from cluster.connectors.postgres.connecting import Connection, close, connect, mapped
from cluster.connectors.postgres.cursor import Cursor, Overlap, decode_cursor
from cluster.connectors.postgres.options import PostgresSource
from cluster.connectors.postgres.pgoutput import Relation
from cluster.connectors.postgres.preparing import Preparation
from cluster.connectors.postgres.replication import ReplicationStream
from cluster.connectors.postgres.snapshot import READ_BYTES_MAX, READ_RECORDS_MAX, SnapshotRun
from cluster.connectors.postgres.values import OWN_TYPES_END, Known, converter
from cluster.errors import InvalidRoute, Unreachable

READ_S_MAX = 900.0
"""So long a call may take: a slot waits for old transactions, a snapshot's first rows for a table to be sorted."""
LOOK_S = 60.0
"""So often it is seen to that the tables are published still."""


class ChangeSource:
    """See `cluster.connectors.contract.Source`."""

    def __init__(self, options: PostgresSource, *, slot: str, publication: str) -> None:
        self._options, self._slot, self._publication = options, slot, publication
        self._names = frozenset(options.table_names())
        self._given: bytes | None = None
        """The cursor that was given out last."""
        self._flushed = 0
        """What commits before that is committed here: a stream that is opened again may not say more."""
        self._cursor: Cursor | None = None
        self._tables: list[Table] = []
        self._types: dict[int, Known] = {}
        self._connection: Connection | None = None
        self._run: SnapshotRun | None = None
        self._stream: ReplicationStream | None = None
        self._capture: Capture | None = None
        self._heartbeat_s = options.heartbeat_s
        self._look_at_s = 0.0

    async def read(self, cursor: bytes | None) -> Arrived:
        """See Source. Without anything new it answers after `heartbeat`, mostly with a cursor further on."""
        try:
            async with asyncio.timeout(READ_S_MAX):
                return await self._read(cursor)
        except TimeoutError as slow:
            await self._begin_anew()
            raise Unreachable(f"{self._options.place} does not answer within {READ_S_MAX:.0f} s") from slow
        except Unreachable:
            await self._begin_anew()
            raise

    async def _read(self, cursor: bytes | None) -> Arrived:
        if self._cursor is None:
            first = await self._begin(cursor)
            if first is not None:
                return first
        else:
            assert cursor == self._given, "a source is read on from where it was read to"
        if self._run is not None:
            records = await self._run.read()
            if self._cursor is not None and not self._cursor.in_snapshot:
                await close(self._connection)
                self._run = self._connection = None
            if records:
                return self._arrived(records)
        if self._capture is None:
            await self._follow()
        return await self._changes()

    async def committed(self, cursor: bytes) -> None:
        """See Source."""
        self._flushed = max(self._flushed, decode_cursor(cursor).lsn)
        if self._stream is not None:
            self._stream.confirm(self._flushed)

    async def close(self) -> None:
        """See Source."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()
        connection, self._connection = self._connection, None
        await close(connection)

    async def _begin_anew(self) -> None:
        """The next read is as the first one was: from its cursor, over connections of its own."""
        self._cursor = self._run = self._capture = None
        await self.close()

    def progress(self) -> Progress | None:
        """See Source."""
        if self._cursor is None or not self._cursor.in_snapshot:
            return None
        done = sum(reading.rows for reading in self._cursor.readings)
        total = sum(table.rows for table in self._tables)
        return Progress(what="snapshot", done=done, total=max(done, total) if total else 0)

    async def _begin(self, cursor: bytes | None) -> Arrived | None:
        """See that all is there, and begin the snapshot, or go on with it; whatever has to be said at once."""
        self._connection = await connect(self._options)
        preparation = Preparation(self._connection, self._options, self._slot, self._publication)
        prepared = await preparation.run(None if cursor is None else decode_cursor(cursor))
        self._tables, self._types = prepared.tables, prepared.types
        said: list[Arrival] = []
        if prepared.cursor.in_snapshot:
            self._run = SnapshotRun(self._connection, self._options, prepared)
            said = await self._run.begin()
        else:
            await close(self._connection)
            self._connection = None
        self._cursor, self._given = prepared.cursor, cursor
        if not self._flushed or prepared.fresh:
            self._flushed = prepared.cursor.lsn
        if cursor is None or said:
            # The slot is there: from now on it is missed when it is gone.
            return self._arrived(said)
        return None

    async def _follow(self) -> None:
        assert self._cursor is not None
        tables = {table.full_name: table for table in self._tables}
        overlaps: dict[str, tuple[Overlap, KeyTypes]] = {
            reading.table: (Overlap(reading, [*tables[reading.table].key.values()]), tables[reading.table].key)
            for reading in self._cursor.readings
        }
        self._stream = await ReplicationStream.open(
            self._options, self._slot, self._publication, self._cursor.lsn, self._heartbeat_s, flushed=self._flushed
        )
        self._look_at_s = asyncio.get_running_loop().time() + LOOK_S
        self._capture = Capture(self._cursor, overlaps, tombstones=self._options.tombstones)

    async def _changes(self) -> Arrived:
        """What is here, or the first that comes."""
        stream, capture, loop = self._stream, self._capture, asyncio.get_running_loop()
        assert stream is not None
        assert capture is not None
        records: list[Arrival] = []
        size, end_s = 0, loop.time() + self._heartbeat_s
        while len(records) < READ_RECORDS_MAX and size < READ_BYTES_MAX:
            data = stream.take()
            if data:
                size += len(data)
                relation = capture.take(data, records)
                if relation is not None:
                    await self._describe(relation)
            elif data is None:
                if capture.between_transactions:
                    capture.passed(stream.idle_lsn)
                left_s = end_s - loop.time()
                if records or left_s <= 0:
                    await self._look_around(loop.time())
                    break
                await stream.wait(left_s)
        return self._arrived(records)

    async def _look_around(self, now_s: float) -> None:
        """Now and then: nobody tells a stream that its table was dropped."""
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_S
        connection = await connect(self._options)
        try:
            await Preparation(connection, self._options, self._slot, self._publication).look_again()
        finally:
            await close(connection)

    def _arrived(self, records: list[Arrival]) -> Arrived:
        assert self._cursor is not None
        self._given = self._cursor.encode()
        return Arrived(records=records, cursor=self._given)

    async def _describe(self, relation: Relation) -> None:
        """What its columns are, and which of them are its key: as it was when the changes that follow were made."""
        relation.wanted = relation.table in self._names
        before = next((table.full_name for table in self._tables if table.oid == relation.id), relation.table)
        if before != relation.table:
            raise InvalidRoute(f"table {before} of {self._options.place} is {relation.table} now: name it so")
        types = {column.type_id for column in relation.columns}
        key = [column.name for column in relation.columns if column.in_identity]
        strange = {type_ for type_ in types if type_ >= OWN_TYPES_END} - self._types.keys()
        if relation.wanted and (relation.identity != "d" or strange):
            connection = await connect(self._options)
            try:
                with mapped(self._options.place):
                    await learn_types(connection, strange, self._types)
                if relation.identity != "d":
                    found = await find_table(connection, self._options, relation.table, self._types)
                    key = [column.name for column in relation.columns if column.name in found.key]
                    if len(key) < len(found.key):
                        key = []
            finally:
                await close(connection)
        if relation.wanted and not key:
            raise InvalidRoute(f"table {relation.table} of {self._options.place} has lost its primary key: add one")
        relation.key = key
        relation.plan = [(column.name, converter(column.type_id, self._types)) for column in relation.columns]
