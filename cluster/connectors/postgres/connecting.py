"""Connections to the database, and what its errors mean here. No message has a secret."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, NoReturn

import psycopg
from psycopg.conninfo import make_conninfo

from cluster.connectors.durations import duration_s
from cluster.connectors.postgres.options import Database
from cluster.errors import InvalidRoute, RiverrunError, Unreachable

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
SESSION = {
    "datestyle": "ISO",
    "intervalstyle": "iso_8601",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
"""Values are written the same way in every session, whatever the role or the database is set to."""
DEFAULTS = {
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "target_session_attrs": "read-write",
    "sslmode": "prefer",
}
_CLOSE_S_MAX = 1.0

_FOR_A_PERSON = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no password supplied",
    "is not permitted to log in",
    "does not support SSL",
    "permission denied",
    "certificate verify failed",
    "must be superuser or replication role",
)
"""In what libpq says of a connection that was refused: it has no code for that."""
_PASSES = {"08", "40", "53", "57", "58", "XX"}
"""Classes of SQLSTATE that mean: away, or not now. Connections, rollbacks, resources, operators, systems, internals."""
_PASSES_TOO = {"55006", "55P03", "25006", "25P02", "25P03"}
"""In use by another, lock timeout, read only (a standby, for now), transactions that were ended from outside."""
_REFUSES = {"22", "23", "44", "54", "P0"}
"""The data: exceptions of values, of constraints, of a view's condition, of sizes, and those that triggers raise."""


async def connect(database: Database, **session: str) -> Connection:
    """An ordinary one, in autocommit. `session` sets what else is to hold. Unreachable; InvalidRoute."""
    return await _connect(database, session, {})


async def connect_for_replication(database: Database) -> Connection:
    """One that takes commands of replication as well."""
    return await _connect(database, {}, {"replication": "database"})


async def _connect(database: Database, session: dict[str, str], more: dict[str, str]) -> Connection:
    timeout_s = duration_s(database.connect_timeout, "connect_timeout")
    settings = SESSION | session
    parts = {**DEFAULTS, **database.parts(), "client_encoding": "utf8", "application_name": "riverrun", **more}
    parts["options"] = " ".join(f"-c {name}={value}" for name, value in settings.items())
    try:
        conninfo = make_conninfo("", **parts, connect_timeout=max(2, round(timeout_s)))
    except psycopg.ProgrammingError:
        # Its message may quote what was given, and there may be a secret in that.
        raise InvalidRoute(f"{database.place}: libpq does not know one of the url's parameters") from None
    try:
        async with asyncio.timeout(timeout_s + 1):
            return await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    except TimeoutError as away:
        raise Unreachable(f"{database.place} does not answer within {database.connect_timeout}") from away
    except psycopg.Error as wrong:
        told = "; ".join(dict.fromkeys(line.strip() for line in str(wrong).splitlines() if line.strip()))
        if any(word in told for word in _FOR_A_PERSON):
            raise InvalidRoute(f"{database.place} refuses the connection: {told}") from wrong
        raise Unreachable(f"{database.place}: {told}") from wrong


async def close(connection: Connection | None) -> None:
    """However it is, and without waiting long."""
    if connection is not None:
        with contextlib.suppress(psycopg.Error, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_S_MAX):
                await connection.close()


@contextlib.contextmanager
def mapped(place: str) -> Iterator[None]:
    """Errors of the database as ours."""
    try:
        yield
    except psycopg.Error as wrong:
        raise_mapped(wrong, place)


def raise_mapped(wrong: psycopg.Error, place: str) -> NoReturn:
    """Unreachable where time may help, else InvalidRoute."""
    raise error_of(wrong, place) from wrong


def error_of(wrong: psycopg.Error, place: str) -> RiverrunError:
    """See `raise_mapped`."""
    state = wrong.sqlstate or ""
    told = f"{place}: {said(wrong)}"
    if not state:
        return Unreachable(told)
    return Unreachable(told) if state[:2] in _PASSES or state in _PASSES_TOO else InvalidRoute(told)


def refuses_data(wrong: psycopg.Error) -> bool:
    """It is about a value or a row, not about the statement."""
    return (wrong.sqlstate or "")[:2] in _REFUSES


def said(wrong: psycopg.Error) -> str:
    """The database's sentence."""
    primary = wrong.diag.message_primary
    return primary or "; ".join(line.strip() for line in str(wrong).splitlines() if line.strip())
