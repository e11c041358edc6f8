"""Changes of a stream as records, and the cursor behind each of them. Pure but for dates.

A record is `{"op", "table", "before", "after", "lsn", "xid", "ts"}`. `op`: `c` created, `u` updated, `d` deleted, `t`
the table was emptied, `r` read from it by a snapshot. `before` of an update or delete is what the table's REPLICA
IDENTITY sends: with FULL the whole row, else the key for a delete and None for an update. `lsn` and `ts` are the
commit's. Large values that did not change are not sent by PostgreSQL: they are taken from `before` where that has them,
else left out and named in `unchanged_columns`. An update that changes the primary key is a `d` of the old and a `c` of
the new one. The record's key is JSON of the primary key, its timestamp is the commit's. A `t` that a snapshot begins
with says that what was captured of the table before is void: all its rows follow.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from cluster.connectors.contract import Arrival
from cluster.connectors.postgres.cursor import Cursor, Overlap, key_text
from cluster.connectors.postgres.pgoutput import Begin, Change, Commit, Decoder, Relation, Row, Truncate, texts
from cluster.errors import InvalidRoute

NS_PER_US = 1000
KeyTypes = Mapping[str, int]
"""Columns of a primary key and their types, in the key's order."""
encode_key = msgspec.json.Encoder().encode


class Capture:
    """One stream's changes. `cursor` moves with them; it is handed in as it was committed."""

    def __init__(self, cursor: Cursor, overlaps: dict[str, tuple[Overlap, KeyTypes]], *, tombstones: bool) -> None:
        self.cursor = cursor
        self._decoder = Decoder()
        self._overlaps = overlaps
        """By table, with its key: what the snapshot may have in common with the stream."""
        self._overlap_end = max((part.lsn for reading in cursor.readings for part in reading.segments), default=0)
        self._tombstones = tombstones
        self._begin: Begin | None = None
        self._number = 0
        self._ts = ""

    @property
    def between_transactions(self) -> bool:
        """Nothing of one was sent without its end."""
        return self._begin is None

    def take(self, data: bytes, into: list[Arrival]) -> Relation | None:
        """One message's records. A Relation is to be described (`plan`, `key`, `wanted`) before the next message."""
        message = self._decoder.decode(data)
        if isinstance(message, Change):
            if self._counts():
                if message.relation.wanted:
                    self._change(message, into)
                self.cursor.changes = self._number
        elif isinstance(message, Begin):
            self._begin, self._number = message, 0
            self._ts = iso(message.committed_us)
            if message.lsn > self.cursor.lsn:
                self.cursor.lsn, self.cursor.changes = message.lsn, 0
            if self._overlaps and message.lsn >= self._overlap_end:
                self._overlaps, self.cursor.readings = {}, []
        elif isinstance(message, Commit):
            self.passed(message.end_lsn)
            self._begin = None
        elif isinstance(message, Truncate):
            if self._counts():
                emptied = (each for each in message.relations if each.wanted and not self._read_empty(each))
                into.extend(self._record("t", relation, None, None, None) for relation in emptied)
                self.cursor.changes = self._number
        elif message is not None:
            return message
        return None

    def passed(self, lsn: int) -> None:
        """Everything that commits before that is here."""
        if lsn > self.cursor.lsn:
            self.cursor.lsn, self.cursor.changes = lsn, 0

    def _counts(self) -> bool:
        """Whether the next change is one that is not here yet."""
        assert self._begin is not None
        self._number += 1
        return self._begin.lsn >= self.cursor.lsn and self._number > self.cursor.changes

    def _change(self, change: Change, into: list[Arrival]) -> None:
        relation, old, new = change.relation, change.old, change.new
        if new is None:
            assert old is not None
            self._delete(change, old, into)
            return
        if change.op == "I":
            if not self._was_read(change, new):
                into.append(self._record("c", relation, None, new, self._key(relation, new)))
            return
        if change.old_whole and old is not None and new.unchanged:
            new = _filled(new, old)
        key = self._key(relation, new)
        if old is None or self._key(relation, old) == key:
            if not self._was_read(change, new):
                before = old.values if old is not None and change.old_whole else None
                into.append(self._record("u", relation, before, new, key))
            return
        self._delete(change, old, into)
        if not self._was_read(change, new):
            into.append(self._record("c", relation, None, new, key))

    def _delete(self, change: Change, old: Row, into: list[Arrival]) -> None:
        if self._was_read(change, old):
            return
        relation = change.relation
        before = old.values if change.old_whole else {name: old.values[name] for name in relation.key}
        record = self._record("d", relation, before, None, self._key(relation, old))
        into.append(record)
        if self._tombstones:
            into.append(Arrival(value=b"", key=record.key, timestamp_ns=record.timestamp_ns))

    def _key(self, relation: Relation, row: Row) -> bytes:
        values = row.values
        return encode_key({name: values[name] for name in relation.key})

    def _record(
        self, op: str, relation: Relation, before: dict[str, Any] | None, new: Row | None, key: bytes | None
    ) -> Arrival:
        begin = self._begin
        assert begin is not None
        value: dict[str, Any] = {
            "op": op,
            "table": relation.table,
            "before": before,
            "after": None if new is None else new.values,
            "lsn": begin.lsn,
            "xid": begin.xid,
            "ts": self._ts,
        }
        if new is not None and new.unchanged:
            value["unchanged_columns"] = list(new.unchanged)
        return Arrival(value=value, key=key, timestamp_ns=begin.committed_us * NS_PER_US)

    def _was_read(self, change: Change, row: Row) -> bool:
        """The snapshot had it already."""
        if not self._overlaps or (found := self._overlaps.get(change.relation.table)) is None:
            return False
        assert self._begin is not None
        overlap, kinds = found
        sent = dict(zip((column.name for column in change.relation.columns), texts(change.data, row), strict=True))
        if not sent.keys() >= kinds.keys():
            raise InvalidRoute(
                f"the primary key of {change.relation.table} has changed while a snapshot of it was read: "
                "deploy the route anew, and it reads the table again"
            )
        return overlap.has(self._begin.xid, [key_text(sent[name] or b"", kind) for name, kind in kinds.items()])

    def _read_empty(self, relation: Relation) -> bool:
        found = self._overlaps.get(relation.table)
        assert self._begin is not None
        return found is not None and found[0].has_all(self._begin.xid)


def _filled(new: Row, old: Row) -> Row:
    """Large values that did not change are in the whole old row."""
    values = {**new.values, **{name: old.values[name] for name in new.unchanged if name in old.values}}
    return Row(values, [name for name in new.unchanged if name not in old.values], new.place)


def iso(time_us: int) -> str:
    """Unix time in microseconds as `2026-01-02T03:04:05.000006Z`."""
    seconds, rest_us = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_us:06}Z"
