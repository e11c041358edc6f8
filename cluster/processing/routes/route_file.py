"""A route file: what it may say, and what becomes of it.

```toml
name = "shop"                     # what it is deployed as; the file's name by default

[connections.shop_db]             # options that several sources and destinations share; each may have more, or others
kind = "postgres"
url = "postgres://riverrun:${SHOP_PASSWORD}@localhost/shop"     # ${NAME}, ${file:/path}: put in where it runs

[schema.purchases]                # optional: kinds of fields, by topic (or by the `schema` of a route)
id = "int"                        # int, float, str, bool, list, dict, any, list[str]
customer_id = "str?"              # it may be null
total = "float"
ordered_at = "str"
shipping = { city = "str" }       # fields of a field

[tables.customers]                # a compacted topic to look rows up in, by the key of its records
topic = "customers"               # the table's name by default
key = "customer_id"               # which field its keys are made of (for people; they are what is looked up)

[[route]]
name = "orders"
description = "large orders"      # for people
version = 1                       # another one begins anew, beside the old one
from = { topic = "purchases", start = "-24h" }
where = "total > 100 and customer is not None"
lookup = { customer = { table = "customers", by = "customer_id" } }
map = { order_id = "id", total = "round(total, 2)", who.name = "customer.name" }
key = "who.name"
time = "input.ordered_at"
to = { topic = "orders" }
on_error = { dead_letter = "orders.dead", retries = 3 }

  [[route.test]]
  name = "keeps large ones"
  given = [{ id = 1, total = 200, customer_id = "c1", ordered_at = "2026-01-01T12:00:00Z" }]
  tables = { customers = { c1 = { name = "Ann" } } }
  expect = [{ order_id = 1, total = 200, who = { name = "Ann" } }]
```

`from`: `{ topic, start, until, key }` (start: "earliest", the default, "latest", "-24h", or a time; key: the field that
keys of its records are made of), or a source: `{ kind = "mqtt", … }`, `{ connection = "shop_db", … }`.

`where`: a condition, which holds as it would in Python; without it everything passes. `map`: a new record, of
expressions (a text is in quotes within the quotes: `"'eu'"`; numbers and true may stand as they are); tables in it are
tables in the record. Or `set`: fields that are added or replaced, from what was there before, and `drop`: fields that
go. What expressions are: `expressions`.

`lookup`: names for rows of tables, null where there is none. `by` is a field; if the keys of the records are not made
of it (`from.key`), they go through a topic of their own first. All look-ups of a route are by one field.

`key`, `time`: expressions of what was made, in which `input` is what it was made of; by default the record's own.
`to`: one destination or a list. `{ topic }`, or `{ kind = "sqlite", … }`, `{ connection, … }`; each may have a `where`,
an expression as `key` is, and a `name`, by which tests and messages call it (by default the topic, or the kind).

A record with a key and an empty value is a tombstone: it passes `where`, `map`, `set` and `drop` as it is, goes to
every destination, and deletes its key there. Where the route has a `key`, it fails: there is nothing to make that of.

`on_error`: "stop" (the default), "skip", "dead_letter", or a table: `dead_letter` (a topic) or `skip = true`, with
`retries`, `park_key`.

`test`: `given` records, each what it is, or `{ value, key, headers, timestamp, … }` with a value; `tables`: rows by
key; `expect`: what is made, in order (values, or tables with `value`, `key`, `time`); `expect_to`: the same for
destinations by name; `expect_errors`: for each record that fails, a part of what is said.
"""

from typing import Any

import msgspec

from cluster.processing.policies import OnError
from cluster.processing.routes.generating import key_bytes
from cluster.processing.routes.guards import get
from cluster.processing.routes.kinds import ANY, Kind
from cluster.processing.routes.program import Plan, Program


class FromTopic(msgspec.Struct, frozen=True, kw_only=True):
    """`key`: the field that the keys of its records are made of; "": not known."""

    topic: str
    start: str = "earliest"
    until: str = ""
    key: str = ""

    @property
    def summary(self) -> str:
        """For people."""
        return self.topic + (f" from {self.start}" if self.start != "earliest" else "")


class FromSource(msgspec.Struct, frozen=True, kw_only=True):
    """`options`: SourceOptions, with secrets by name."""

    options: Any
    connection: str = ""

    @property
    def summary(self) -> str:
        """For people."""
        return str(self.options.summary)


class ToTopic(msgspec.Struct, frozen=True, kw_only=True):
    """A destination. `name`: within its route."""

    name: str
    topic: str

    @property
    def summary(self) -> str:
        """For people."""
        return self.topic


class ToSink(msgspec.Struct, frozen=True, kw_only=True):
    """A destination. `options`: SinkOptions, with secrets by name."""

    name: str
    options: Any
    connection: str = ""

    @property
    def summary(self) -> str:
        """For people."""
        return str(self.options.summary)


class TableUse(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the file, or a look-up in one (then `name` is the look-up's, and `by` the path of a field)."""

    name: str
    topic: str
    key: str = ""
    table: str = ""
    by: tuple[str, ...] = ()
    kind: Kind = ANY


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A record of a test."""

    value: Any
    key: str | None = None
    headers: dict[str, str] = {}
    timestamp_ns: int = 0
    topic: str = ""
    partition: int = 0
    offset: int = 0


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a test wants. UNSET: it does not say."""

    value: Any
    key: str | msgspec.UnsetType | None = msgspec.UNSET
    time_ns: int | msgspec.UnsetType = msgspec.UNSET


class RouteTest(msgspec.Struct, frozen=True, kw_only=True):
    """One case. `tables`: rows by table and key; None: not looked at."""

    name: str
    given: tuple[Given, ...]
    tables: dict[str, dict[str, Any]] = {}
    expect: tuple[Expected, ...] | None = None
    expect_to: dict[str, tuple[Expected, ...]] = {}
    expect_errors: tuple[str, ...] | None = None
    line: int | None = None


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One, checked. `destinations` and those of `plan` are in the same order."""

    name: str
    source: FromTopic | FromSource
    plan: Plan
    destinations: tuple[ToTopic | ToSink, ...]
    lookups: tuple[TableUse, ...] = ()
    on_error: OnError = OnError()
    version: int = 1
    description: str = ""
    tests: tuple[RouteTest, ...] = ()
    record: Kind = ANY
    makes: Kind = ANY
    """Kinds of what it reads and of what it makes, as far as they are known."""

    @property
    def lookup_by(self) -> tuple[str, ...]:
        """The path of the field that rows are looked up by; () without look-ups."""
        return self.lookups[0].by if self.lookups else ()

    @property
    def rekeys(self) -> bool:
        """Whether its records go through a topic of their own first, under the key that rows are looked up by."""
        key = self.source.key if isinstance(self.source, FromTopic) else ""
        return bool(self.lookups) and key != ".".join(self.lookup_by)

    def lookup_key(self, record: Any) -> bytes | None:
        """The key under which a record's rows are; None: it has none, and they are null."""
        return key_bytes(get(record, self.lookup_by)) if self.lookups else None

    def compiled(self) -> Program:
        """What runs."""
        return Program(self.plan)


class RouteFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file, checked. `secrets`: the names of those that are to be put in."""

    name: str
    file_name: str
    routes: tuple[Route, ...]
    tables: dict[str, TableUse] = {}
    secrets: tuple[str, ...] = ()
