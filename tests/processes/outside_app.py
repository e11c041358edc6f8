# ruff: noqa: ARG002, ASYNC230, ASYNC240, TRY301  small files, and two lines of each method
"""An app that captures a file's lines, and keeps a book of them in a database: connectors as a user writes them."""

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from cluster.connectors.contract import Arrival, Arrived, Delivery, Guarantee, Position, Progress
from cluster.errors import RecordRefused, Unreachable
from cluster.processing.app import App
from cluster.processing.policies import dead_letter

PLACE = Path(os.environ["OUTSIDE"])


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """Each line of a file, once; the cursor is the place in bytes."""

    path: str
    summary = "lines"
    guarantee = Guarantee.EXACTLY_ONCE

    def check(self) -> None:
        """Anything goes."""

    def shares(self) -> Sequence[str]:
        """One."""
        return ("",)

    def open(self, share: str, identity: str) -> "LinesSource":
        """See SourceOptions."""
        return LinesSource(self.path)


class LinesSource:
    """See Source."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def read(self, cursor: bytes | None) -> Arrived:
        """Some lines at once, as soon as there is one."""
        place = int(cursor or b"0")
        while True:
            if not Path(self._path).exists():
                raise Unreachable(f"{self._path} is not there")
            with Path(self._path).open("rb") as file:
                file.seek(place)
                data = file.read(2_000)
            lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
            if lines:
                records = [Arrival(value=line.strip(), key=line.split(b",")[0]) for line in lines]
                return Arrived(records=records, cursor=b"%d" % (place + sum(map(len, lines))))
            await asyncio.sleep(0.02)

    async def committed(self, cursor: bytes) -> None:
        """What may be forgotten is written down."""
        Path(f"{self._path}.done").write_bytes(cursor)

    async def close(self) -> None:
        """Nothing is held."""

    def progress(self) -> Progress | None:
        """It has no end."""


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """A table of all records, with the position in it."""

    path: str
    summary = "a book"
    guarantee = Guarantee.EXACTLY_ONCE
    hold_s = 0.0
    batch_records_max = 20

    def check(self) -> None:
        """Anything goes."""

    def open(self, identity: str) -> "BookSink":
        """See SinkOptions."""
        return BookSink(self.path)


class BookSink:
    """See Sink."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: sqlite3.Connection | None = None

    def _book(self) -> sqlite3.Connection:
        if not Path(self._path).parent.exists():
            raise Unreachable("the book is away")
        if self._open is None:
            self._open = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._open.execute("create table if not exists book (id text, line text)")
            self._open.execute("create table if not exists place (lane text primary key, position integer)")
        return self._open

    async def last_position(self, lane: str) -> int | None:
        """From the book."""
        found = self._book().execute("select position from place where lane = ?", (lane,)).fetchone()
        return None if found is None else int(found[0])

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:
        """In one transaction."""
        book = self._book()
        book.execute("begin immediate")
        try:
            at = await self.last_position(position.lane)
            if at not in {None, position.begin}:
                raise Unreachable("somebody else has written")
            for place, delivery in enumerate(batch):
                if b"refuse" in delivery.value:
                    raise RecordRefused("that is no line for the book", place=place)
                book.execute("insert into book values (?, ?)", (delivery.id, delivery.value.decode()))
            book.execute("insert or replace into place values (?, ?)", (position.lane, position.end))
            book.execute("commit")
        except BaseException:
            book.execute("rollback")
            raise
        return True

    async def settle(self) -> None:
        """Nothing is held."""

    async def close(self) -> None:
        """Let go of the file."""
        if self._open is not None:
            self._open.close()


app = App("outside")
lines: Any = app.topic("lines", bytes)
app.source("capture", Lines(path=str(PLACE / "lines")), to=lines)
app.sink(lines, Book(path=str(PLACE / "books" / "book.db")), name="book", on_error=dead_letter(retries=0))
