"""What is in a file, a bounded piece at a time: lines, one JSON value, or Parquet.

`read` takes a place (a byte, an element, a row) and gives what comes from there and the place behind it. Broken lines
are records all the same (`cluster.connectors.lines`); a broken JSON or Parquet file stops the route (InvalidRoute).
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from cluster.connectors.contract import Arrival
from cluster.connectors.lines import LINE_END_BYTES, Decoder, Format, split
from cluster.connectors.objects.options import ObjectsSource
from cluster.connectors.objects.store import Entry, Store
from cluster.errors import InvalidRoute, Unreachable

RECORDS_MAX = 1000
CHUNK_BYTES = 1024 * 1024
_FORMATS = {
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "json",
    "csv": "csv",
    "txt": "text",
    "log": "text",
    "parquet": "parquet",
}


class Gone(Exception):
    """The file is not there any more."""


class Read(NamedTuple):
    """`share`: of the file, up to `place`."""

    records: Sequence[Arrival]
    place: int
    skipping: bool = False
    ended: bool = False
    share: float = 1.0


class Contents(Protocol):
    """One file's."""

    async def read(self, place: int, *, skipping: bool) -> Read:
        """About 1,000 records or 1 MiB. Gone."""

    def close(self) -> None:
        """Let go of it."""


def contents_of(options: ObjectsSource, store: Store, entry: Entry) -> Contents:
    """By its format. InvalidRoute: that is not to be told."""
    found = options.format if options.format != "auto" else _FORMATS.get(entry.name.rpartition(".")[2].lower())
    if found is None:
        raise InvalidRoute(f"{entry.name}: its name does not tell its format; write format, or other names")
    if found == "parquet":
        return Table(store, entry)
    if found == "json":
        return Document(options, store, entry)
    return Lines(options, store, entry, "csv" if found == "csv" else "json" if found == "jsonl" else "text")


class Lines:
    """Text, JSON lines, CSV. A place is a byte."""

    def __init__(self, options: ObjectsSource, store: Store, entry: Entry, form: Format) -> None:
        self._options, self._store, self._entry = options, store, entry
        self._quotes = form == "csv"
        self._decoder = Decoder(form, entry.name, delimiter=options.delimiter)
        self._begin, self._content = 0, b""

    async def read(self, place: int, *, skipping: bool) -> Read:
        """See Contents."""
        if self._decoder.wants_header and place > 0:
            header = await self._split(0, 1, skipping=False)
            if header.lines:
                self._decoder.header(header.lines[0])
        lines, end, skipping = await self._split(place, RECORDS_MAX, skipping=skipping)
        if self._decoder.wants_header and lines:
            self._decoder.header(lines[0])
            lines = lines[1:]
        records = [arrival for line in lines if (arrival := self._decoder.arrival(line)) is not None]
        size = self._entry.size
        return Read(records, end, skipping, ended=end >= size or end == place, share=end / max(1, size))

    async def _split(self, place: int, records_max: int, *, skipping: bool) -> Any:
        """From what is here, if that has a whole line."""
        for fetched in (False, True):
            if fetched:
                self._begin, self._content = place, await self._fetch(place)
            end = self._begin + len(self._content)
            if self._begin <= place < end or fetched:
                found = split(
                    self._content[place - self._begin :],
                    place,
                    line_bytes_max=self._options.line_bytes_max,
                    records_max=records_max,
                    skipping=skipping,
                    quotes=self._quotes,
                    last=end >= self._entry.size,
                )
                if found.lines or fetched:
                    return found
        raise AssertionError("it was fetched")

    async def _fetch(self, place: int) -> bytes:
        length = max(CHUNK_BYTES, self._options.line_bytes_max + LINE_END_BYTES)
        found = await self._store.read(self._entry.name, place, length)
        if found is None:
            raise Gone
        return found

    def close(self) -> None:
        """Nothing is open."""


class Document:
    """One JSON value: each element of a list, or the whole. A place is an element."""

    def __init__(self, options: ObjectsSource, store: Store, entry: Entry) -> None:
        self._options, self._store, self._entry = options, store, entry
        self._values: list[Any] | None = None

    async def read(self, place: int, *, skipping: bool) -> Read:
        """See Contents."""
        assert not skipping, self._entry
        if self._values is None:
            self._values = await self._load()
        records = _some(self._values[place : place + RECORDS_MAX])
        end = place + len(records)
        return Read(records, end, ended=end >= len(self._values), share=end / max(1, len(self._values)))

    async def _load(self) -> list[Any]:
        name, limit = self._entry.name, self._options.json_bytes_max
        if self._entry.size > limit:
            raise InvalidRoute(
                f"{name} is one JSON value of {self._entry.size} bytes, at most {limit} are read at once"
            )
        content = await self._store.read(name)
        if content is None:
            raise Gone
        try:
            value = await asyncio.to_thread(msgspec.json.decode, content)
        except msgspec.DecodeError as error:
            raise InvalidRoute(f"{name} is no JSON: {error}") from error
        return value if isinstance(value, list) else [value]

    def close(self) -> None:
        """Nothing is open."""
        self._values = None


class Table:
    """Parquet. A place is a row."""

    def __init__(self, store: Store, entry: Entry) -> None:
        self._store, self._entry = store, entry
        self._rows: Any = None
        self._ahead: tuple[int, list[Any]] = (0, [])

    async def read(self, place: int, *, skipping: bool) -> Read:
        """See Contents."""
        assert not skipping, self._entry
        return await asyncio.to_thread(self._read, place)

    def _read(self, place: int) -> Read:
        try:
            from pyarrow import ArrowException  # noqa: PLC0415  an extra

            from cluster.connectors.objects.parquet import Rows  # noqa: PLC0415  an extra
        except ImportError as error:
            raise InvalidRoute(f"{self._entry.name}: Parquet needs pyarrow: install riverrun[arrow]") from error
        try:
            if self._rows is None:
                self._rows = Rows(self._store.open(self._entry))
            begin, values = self._ahead
            if begin != place or not values:
                values = self._rows.read(place)
        except FileNotFoundError as error:
            raise Gone from error
        except Unreachable:
            self.close()
            raise
        except (ArrowException, OSError) as error:
            raise InvalidRoute(f"{self._entry.name} is no Parquet, or damaged: {str(error)[:200]}") from error
        records = _some(values)
        end = place + len(records)
        self._ahead = (end, values[len(records) :])
        return Read(records, end, ended=end >= self._rows.rows, share=end / max(1, self._rows.rows))

    def close(self) -> None:
        """See Contents."""
        self._ahead = (0, [])
        if self._rows is not None:
            self._rows.close()
            self._rows = None


def _some(values: Sequence[Any]) -> list[Arrival]:
    """As many as are about 1 MiB as JSON, and at least one."""
    found, room = list[Arrival](), CHUNK_BYTES
    for value in values:
        room -= len(msgspec.json.encode(value))
        if room < 0 and found:
            break
        found.append(Arrival(value=value))
    return found
