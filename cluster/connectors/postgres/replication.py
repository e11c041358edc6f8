"""The stream of a slot: COPY both ways, over libpq without blocking the loop."""

import asyncio
from struct import Struct
from typing import LiteralString, Self

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus

from cluster.connectors.postgres.connecting import Connection, close, connect_for_replication, error_of, raise_mapped
from cluster.connectors.postgres.options import Database
from cluster.connectors.postgres.pgoutput import written_lsn
from cluster.errors import RiverrunError, Unreachable

SILENCE_S_MAX = 60.0
"""A server that is asked for a word and says nothing for so long is away."""
BEAT_S_MIN, BEAT_S_MAX = 0.05, 10.0
_DATA, _DATA_HEADER = ord("w"), 25
"""Of `w`: its own letter, where the data begins and ends in the log, and the server's time."""
_TIMEOUT: LiteralString = "SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'"
_KEEPALIVE, _STATUS = Struct(">QqB"), Struct(">cQQQqB")


class ReplicationStream:
    """Gives what the slot has from `begin` on. Tells the server now and then that we are there, and what is committed.

    That is `flushed`, until more is confirmed: whoever reads ahead, and begins anew, has `begin` further on.
    """

    def __init__(self, database: Database, connection: Connection, flushed: int, beat_s: float) -> None:
        self._place = database.place
        self._connection, self._pgconn = connection, connection.pgconn
        self._flushed, self._beat_s = flushed, beat_s
        self.idle_lsn = 0
        """The server has sent everything that commits before that."""
        self._silent_s = 0.0
        self._beating = asyncio.ensure_future(self._beat())
        self._failed: RiverrunError | None = None

    @classmethod
    async def open(
        cls, database: Database, slot: str, publication: str, begin: int, heartbeat_s: float, *, flushed: int
    ) -> Self:
        """Unreachable: also while another uses the slot. InvalidRoute."""
        connection = await connect_for_replication(database)
        try:
            found = await (await connection.execute(_TIMEOUT)).fetchone()
            timeout_s = int(found[0]) / 1000 if found and int(found[0]) else BEAT_S_MAX * 3
            await connection.execute(
                sql.SQL("START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {})").format(
                    sql.Identifier(slot), sql.SQL(written_lsn(begin)), sql.Literal(publication)
                )
            )
        except psycopg.Error as wrong:
            await close(connection)
            raise_mapped(wrong, database.place)
        except BaseException:
            await close(connection)
            raise
        return cls(database, connection, flushed, max(BEAT_S_MIN, min(timeout_s / 3, heartbeat_s / 2, BEAT_S_MAX)))

    def take(self) -> bytes | None:
        """The next message, if it is here; empty: the server's own, `idle_lsn` moved. Unreachable; InvalidRoute."""
        if self._failed is not None:
            raise self._failed
        size, data = self._pgconn.get_copy_data(1)
        if size == 0:
            self._receive()
            size, data = self._pgconn.get_copy_data(1)
            if size == 0:
                return None
        if size < 0:
            raise self._end()
        if data[0] == _DATA:
            return bytes(data[_DATA_HEADER:])
        self.idle_lsn, _, wants_answer = _KEEPALIVE.unpack_from(data, 1)
        if wants_answer:
            self._tell(ask=False)
        return b""

    async def wait(self, seconds: float) -> bool:
        """For something to come. Unreachable."""
        if self._failed is not None:
            raise self._failed
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()
        descriptor = self._pgconn.socket
        loop.add_reader(descriptor, _done, readable)
        try:
            await asyncio.wait([readable], timeout=seconds)
        finally:
            loop.remove_reader(descriptor)
        if not readable.done():
            self._silent_s += seconds
            if self._silent_s > SILENCE_S_MAX:
                raise Unreachable(f"{self._place} says nothing for {SILENCE_S_MAX:.0f} s")
            return False
        self._silent_s = 0.0
        return True

    def confirm(self, lsn: int) -> None:
        """The server may forget what committed before that."""
        if lsn > self._flushed:
            self._flushed = lsn
            self._tell(ask=False)

    async def close(self) -> None:
        """Let go of the slot."""
        self._beating.cancel()
        await asyncio.wait([self._beating])
        await close(self._connection)

    def _receive(self) -> None:
        """What the socket has, without waiting."""
        try:
            self._pgconn.consume_input()
        except psycopg.Error as wrong:
            raise self._broken() from wrong

    async def _beat(self) -> None:
        """Whoever reads slowly is not taken for dead; and the answers tell how far the server is."""
        while True:
            await asyncio.sleep(self._beat_s)
            try:
                self._tell(ask=True)
            except Unreachable as failed:
                self._failed = failed
                return

    def _tell(self, *, ask: bool) -> None:
        status = _STATUS.pack(b"r", self._flushed, self._flushed, self._flushed, 0, ask)
        try:
            self._pgconn.put_copy_data(status)
            self._pgconn.flush()
        except psycopg.Error as wrong:
            raise self._broken() from wrong

    def _broken(self) -> Unreachable:
        return Unreachable(f"{self._place}: the replication stream broke")

    def _end(self) -> RiverrunError:
        """Why the server has ended it."""
        try:
            self._pgconn.consume_input()
            result = None if self._pgconn.is_busy() else self._pgconn.get_result()
        except psycopg.Error:
            return self._broken()
        if result is None or result.status != ExecStatus.FATAL_ERROR:
            return self._broken()
        return error_of(psycopg.errors.error_from_result(result), self._place)


def _done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
