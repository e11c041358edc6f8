"""What users write of a PostgreSQL database: a source that captures its changes, a sink that writes rows."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Literal

import msgspec

from cluster.connectors.contract import Guarantee, Sink, Source
from cluster.connectors.durations import check_duration, duration_s
from cluster.connectors.postgres.addresses import named, read_url, table_of
from cluster.errors import InvalidRoute

_NAME = re.compile(r"[a-z0-9_]{1,63}")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
SHARE_OF_NAME = 40
_SET_ALREADY = "options", "replication", "client_encoding", "application_name"


class Database(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it is: a `url` (postgresql://user:password@host:port/name?sslmode=…), or its parts.

    What is given beside a url comes before what the url says: a password that is a secret is best given so.
    """

    url: str = ""
    host: str = ""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    dbname: str = ""
    user: str = ""
    password: str = ""
    connect_timeout: str = "10s"

    def __repr__(self) -> str:
        """Without the password."""
        return f"<{type(self).__name__} {self.place}>"

    def parts(self) -> dict[str, str]:
        """For libpq. InvalidRoute."""
        found = read_url(self.url) if self.url else {}
        port = str(self.port) if self.port else ""
        given = {"host": self.host, "port": port, "dbname": self.dbname, "user": self.user, "password": self.password}
        found |= {name: text for name, text in given.items() if text}
        for name in ("host", "dbname"):
            if not found.get(name):
                raise InvalidRoute(f"{name} is missing: give a url (postgresql://user:password@host/dbname), or {name}")
        for name in _SET_ALREADY:
            if name in found:
                raise InvalidRoute(f"url sets {name}, which the connector sets itself")
        return found

    @property
    def place(self) -> str:
        """`localhost:5432/shop`."""
        try:
            return named(self.parts())
        except InvalidRoute:
            return "(no valid address)"

    def check_place(self) -> None:
        """InvalidRoute."""
        self.parts()
        check_duration(self.connect_timeout, "connect_timeout", least_s=1, most_s=300)


class PostgresSource(Database, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="postgres"):
    """Rows of tables as they are, and then every change, exactly once and in the order of commits.

    `snapshot`: `initial` reads what is in the tables first, `never` only what changes from now on.
    `publication` and `slot` are made if they are not there; without names they get their own, by deployment. A slot
    keeps the database's log until it is dropped: `forget`, or `SELECT pg_drop_replication_slot('…')`, when a route is
    removed. A snapshot keeps a transaction open while it reads, and the tables from being emptied or altered; where a
    key has other columns than whole numbers and uuids the database sorts the table for it.
    `tombstones`: a delete is followed by a record without a value, for compacted topics and for destinations that are
    to delete the row, too (`where = "op != 'd'"` leaves out the other record).
    `on_lost_slot`: when the slot is gone, and changes with it, `stop`, or begin with a new `snapshot`.
    """

    table: str = ""
    tables: Sequence[str] = ()
    snapshot: Literal["initial", "never"] = "initial"
    publication: str = ""
    slot: str = ""
    tombstones: bool = False
    on_lost_slot: Literal["stop", "snapshot"] = "stop"
    heartbeat: str = "10s"

    @property
    def guarantee(self) -> Guarantee:
        """See SourceOptions."""
        return Guarantee.EXACTLY_ONCE

    @property
    def summary(self) -> str:
        """See SourceOptions."""
        names = self.table_names()
        return f"postgres {self.place}, {'table' if len(names) == 1 else 'tables'} {', '.join(names)}"

    def table_names(self) -> list[str]:
        """With their schemas, in the order given."""
        return [".".join(table_of(name)) for name in ([self.table] if self.table else [*self.tables])]

    def check(self) -> None:
        """See SourceOptions."""
        self.check_place()
        if bool(self.table) == bool(self.tables):
            raise InvalidRoute('name the tables: either table = "public.orders" or tables = ["public.orders", …]')
        names = self.table_names()
        if len(set(names)) < len(names):
            raise InvalidRoute("a table is named twice")
        if self.slot and "${" not in self.slot and not _NAME.fullmatch(self.slot):
            raise InvalidRoute(f"slot {self.slot!r} may have only a to z, 0 to 9 and _, at most 63")
        check_duration(self.heartbeat, "heartbeat", least_s=0.1, most_s=300)

    @property
    def heartbeat_s(self) -> float:
        """How often the database is told how far we are, at least."""
        return duration_s(self.heartbeat, "heartbeat")

    def shares(self) -> Sequence[str]:
        """One: a slot has one stream."""
        return [""]

    def open(self, share: str, identity: str) -> Source:
        """See SourceOptions."""
        with _psycopg():
            from cluster.connectors.postgres.source import ChangeSource  # noqa: PLC0415

        assert not share, share
        self.check()  # now with what stood in the place of secrets
        name = slot_name(identity)
        return ChangeSource(self, slot=self.slot or name, publication=self.publication or name)

    async def forget(self, identity: str) -> None:
        """Drop what was made for that deployment: the slot and the publication that are named after it.

        Unreachable: also while it still runs; InvalidRoute. Those that have names of their own are left alone.
        """
        with _psycopg():
            from cluster.connectors.postgres.preparing import forget  # noqa: PLC0415

        name = slot_name(identity)
        await forget(self, slot="" if self.slot else name, publication="" if self.publication else name)


class PostgresSink(Database, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="postgres"):
    """Rows of a table, exactly once: written in one transaction with the position, which a table of ours keeps.

    A record's fields are columns; what is nested goes into `jsonb`. `mode`: `upsert` by the columns of `key`, where a
    record without a value deletes; `append` only adds. `positions_table` is made if it is not there.
    """

    table: str
    mode: Literal["upsert", "append"] = "upsert"
    key: str | Sequence[str] = ()
    positions_table: str = "riverrun_positions"
    lock_timeout: str = "10s"
    statement_timeout: str = "60s"
    batch_records_max: int = 1000

    @property
    def guarantee(self) -> Guarantee:
        """See SinkOptions."""
        return Guarantee.EXACTLY_ONCE

    @property
    def hold_s(self) -> float:
        """Nothing is held."""
        return 0.0

    @property
    def summary(self) -> str:
        """See SinkOptions."""
        return f"postgres {self.place}, {self.mode} into {'.'.join(table_of(self.table))}"

    @property
    def key_columns(self) -> tuple[str, ...]:
        """What a row is known by."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)

    def check(self) -> None:
        """See SinkOptions."""
        self.check_place()
        table_of(self.table)
        table_of(self.positions_table)
        if self.mode == "upsert" and not all(self.key_columns or [""]):
            raise InvalidRoute('mode = "upsert" needs key = "id", or key = ["country", "number"]')
        if self.mode == "append" and self.key_columns:
            raise InvalidRoute('mode = "append" has no use for a key')
        if not 1 <= self.batch_records_max <= BATCH_RECORDS_CAP:
            raise InvalidRoute(f"batch_records_max must be between 1 and {BATCH_RECORDS_CAP}")
        for name in ("lock_timeout", "statement_timeout"):
            check_duration(getattr(self, name), name, least_s=0.001, most_s=3600)

    def open(self, identity: str) -> Sink:
        """See SinkOptions."""
        with _psycopg():
            from cluster.connectors.postgres.sink import TableSink  # noqa: PLC0415

        self.check()
        return TableSink(self, identity)


BATCH_RECORDS_CAP = 10_000


@contextmanager
def _psycopg() -> Iterator[None]:
    """It is an extra. InvalidRoute: it is not here."""
    try:
        yield
    except ImportError as missing:
        raise InvalidRoute("a postgres route needs psycopg: install riverrun[postgres]") from missing


def slot_name(identity: str) -> str:
    """Of a deployment: to be told from others by people, and by a hash.

    >>> slot_name("Orders/v1")
    'riverrun_orders_v1_1bbe4915'
    """
    readable = _NOT_IN_NAMES.sub("_", identity.lower())[:SHARE_OF_NAME].strip("_")
    return f"riverrun_{readable}_{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
