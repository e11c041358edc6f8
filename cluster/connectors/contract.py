"""What every source and sink is. Pure.

A *source* has one or several *shares*, each read on its own from a cursor (bytes that only it understands). A *sink* is
given the records of one *lane* (a partition of an input, as one deployment of a route reads it) in their order, without
gaps, and after a restart from a place at or before the one where it ended.

All calls are made on one event loop, one at a time for each instance, but that `committed` and `progress` may be
called while `read` waits. Calls may be cancelled at any await; a cancelled or failed instance is closed and made anew,
but that after Unreachable `read` and `committed` are called again.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec


class Guarantee(StrEnum):
    """How often a record takes effect at a destination, or is captured from a source, through all crashes."""

    EXACTLY_ONCE = "exactly once"
    ONCE_BY_KEY = "once by key"
    """Written again it replaces itself: duplicates cannot be seen in the contents, only in the traffic."""
    AT_LEAST_ONCE = "at least once"
    """After a crash a few may come again, with the same `Delivery.id`."""


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One captured record.

    `value`: bytes as they are, or plain data (dict, list, str, numbers, None) that becomes JSON; empty bytes with a
    `key`: a tombstone. `timestamp_ns` 0: now.
    `unique`: what the peer knows it by, if it may send it again (a webhook's id): the same is taken once within
    `unique_s`; "": it is not looked for.
    """

    value: Any
    key: bytes | None = None
    timestamp_ns: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()
    unique: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Of something with an end (a snapshot, a folder): `total` 0: not known."""

    what: str
    done: int
    total: int


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """What was read at once, and the cursor behind it. Both are committed together, or neither is."""

    records: Sequence[Arrival]
    cursor: bytes
    ended: bool = False
    """There will never be anything more (a bounded source)."""


class Source(Protocol):
    """One share of a source, from one cursor on."""

    async def read(self, cursor: bytes | None) -> Arrived:
        """Wait for what comes after `cursor` (None: from the beginning, as the options say).

        Called again with the cursor that it gave last, before that is committed: it reads ahead. Bounded: about 1,000
        records or 1 MiB at once, unless one record is larger. It may give no records and a new cursor.
        Unreachable: the peer is away, try again later. InvalidRoute: a person has to do something.
        """

    async def committed(self, cursor: bytes) -> None:
        """Everything up to `cursor` is durable here: the peer may forget it. Errors are as of `read`."""

    async def close(self) -> None:
        """Let go of the peer. What was not committed is read again by the next one."""

    def progress(self) -> Progress | None:
        """How far it is, while that has an end."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One record for a destination.

    `value`: what the route made of it: plain data, or bytes where the route decodes nothing; None: a tombstone (the key
    is deleted). `id` names it for ever, whoever delivers it and however often (an idempotency key): printable ASCII of
    at most 200 characters. `offset`: of the record that it was made of; several may come of one.
    """

    value: Any
    key: bytes | None
    timestamp_ns: int
    headers: tuple[tuple[str, bytes], ...]
    offset: int
    id: str


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Which records of its lane a batch was made of: offsets from `begin` to before `end`.

    `lane` is printable ASCII of at most 200 characters; another deployment of the same route has other lanes.
    """

    lane: str
    begin: int
    end: int


class Sink(Protocol):
    """The destination of some lanes."""

    async def last_position(self, lane: str) -> int | None:
        """The offset behind what is at the destination, if it keeps that with the data (transactional ones); else None.

        Asked before the first write of a lane. What lies below is passed over.
        """

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:
        """Put them there, in order. True: they, and all before them, are safe there; False: held for a larger piece.

        The batch may be empty (all was filtered out): the position moves all the same. Where the position is kept with
        the data both are written in one transaction, which must find the position at `begin` (else somebody else has
        written: Unreachable, and it is asked anew).
        Unreachable: the peer is away or slow, nothing or a part was done, it is tried again later. RecordRefused: the
        peer will not take one record, `place` says which of the batch; nothing of the batch is to be there then (where
        that cannot be, what is there keeps its `id`). InvalidRoute: a person has to do something.
        """

    async def settle(self) -> None:
        """Put what is held at the destination now: `hold_s` after something was first held, and at the end."""

    async def close(self) -> None:
        """Let go of the peer; what is held is forgotten, and comes again."""


class SourceOptions(Protocol):
    """What a user writes of a source: a frozen msgspec Struct that forbids unknown fields, with a `kind` of its own.

    `async forget(identity)` (if it has that) takes back what was made at the peer for a deployment that was removed,
    such as a replication slot. It is called once, at best: what is left behind is for a person.
    """

    @property
    def summary(self) -> str:
        """For people, without secrets: `postgres localhost:5432/shop, table orders`."""

    @property
    def guarantee(self) -> Guarantee:
        """How often what the peer has is captured."""

    def check(self) -> None:
        """InvalidRoute: they contradict themselves. Asks nobody."""

    def shares(self) -> Sequence[str]:
        """Names of what can be read side by side, always the same; most have one, "". Asks nobody."""

    def open(self, share: str, identity: str) -> Source:
        """Does not connect yet. `identity` is this deployment's, for names of its own at the peer (a slot)."""


class SinkOptions(Protocol):
    """What a user writes of a sink.

    `keeps_position` (if it has that): whether `last_position` is never below what was written, though batches were
    empty; else so if `guarantee` is EXACTLY_ONCE. A destination that keeps it and is below has lost what it had.
    """

    @property
    def summary(self) -> str:
        """As of SourceOptions."""

    @property
    def guarantee(self) -> Guarantee:
        """How often a record takes effect there."""

    @property
    def hold_s(self) -> float:
        """How long records may be held for a larger piece; 0: they are not."""

    @property
    def batch_records_max(self) -> int:
        """Of one write: so many as the peer takes in a few seconds even when it is slow."""

    def check(self) -> None:
        """As of SourceOptions."""

    def open(self, identity: str) -> Sink:
        """Does not connect yet."""


Secrets = Mapping[str, str]
"""What `${NAME}` stands for in options."""
