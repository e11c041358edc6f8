"""What a user writes of a SQLite sink. Pure.

```toml
{ kind = "sqlite", path = "/var/lib/shop/sales.db", table = "sales", key = ["region", "day"] }
```
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from cluster.connectors.contract import Guarantee
from cluster.connectors.durations import check_duration
from cluster.errors import InvalidRoute

if TYPE_CHECKING:
    from cluster.connectors.sqlite.sink import SqliteTable

BUSY_S_MAX = 60.0
NAME_MAX = 200


class SqliteSink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="sqlite"):
    """Each record's fields become a row's columns.

    The table is made if it is not there, with the columns of the first batch. A value that is not an object goes into
    a column `value`; lists and objects within it become JSON.
    """

    path: str
    """Of the database's file; it is made if it is not there, its directory is not."""
    table: str
    mode: Literal["upsert", "append"] = "upsert"
    """upsert: one row for each key, a record sets the columns that it has, a tombstone deletes the row."""
    key: str | Sequence[str] = ()
    """upsert: the columns that are the key, each a field of every record. None: a column `key` with the record's key.

    A tombstone has no fields: its record's key is the value of one such column, or JSON of several, in order.
    """
    add_columns: bool = False
    """A field that has no column gets one; otherwise the route stops there."""
    busy_timeout: str = "2s"
    """A database that somebody else has locked for longer is away for now."""

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Those of `key`, which may be written as one name."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)

    @property
    def summary(self) -> str:
        """See SinkOptions."""
        return f"sqlite {self.path}, table {self.table}"

    @property
    def guarantee(self) -> Guarantee:
        """The position is in the rows' transaction."""
        return Guarantee.EXACTLY_ONCE

    @property
    def hold_s(self) -> float:
        """Nothing is held."""
        return 0.0

    @property
    def batch_records_max(self) -> int:
        """One transaction, a second or less."""
        return 10_000

    def check(self) -> None:
        """See SinkOptions."""
        if not self.path or self.path.startswith(":"):
            raise InvalidRoute(f"path is {self.path!r}; it has to name a file")
        for name in (self.table, *self.key_columns):
            _check_name(name)
        if self.table.lower() == "riverrun_positions" or self.table.lower().startswith("sqlite_"):
            raise InvalidRoute(f"table is {self.table!r}, a name that is taken")
        if self.mode == "append" and self.key:
            raise InvalidRoute('key is for mode = "upsert"; mode is "append"')
        if len({name.lower() for name in self.key_columns}) != len(self.key_columns):
            raise InvalidRoute(f"key names a column twice: {', '.join(self.key_columns)}")
        check_duration(self.busy_timeout, "busy_timeout", least_s=0, most_s=BUSY_S_MAX)

    def open(self, identity: str) -> "SqliteTable":
        """See SinkOptions; whose it is does not matter, for lanes have names of their own."""
        from cluster.connectors.sqlite.sink import SqliteTable  # noqa: PLC0415  only when it is used

        del identity
        self.check()
        return SqliteTable(self)


def _check_name(name: str) -> None:
    if not name or len(name) > NAME_MAX or "\0" in name or name.strip() != name:
        raise InvalidRoute(
            f"{name!r} is no name of a table or column: 1 to {NAME_MAX} characters, no spaces around them"
        )
