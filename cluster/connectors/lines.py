"""Bytes of files as records: text, JSON lines, CSV with a header. Pure.

`split` cuts what was read into lines, whole ones only, and never keeps more than a line's limit; `Decoder` makes
records of them. What does not decode is a record all the same: its bytes, and why in the header UNDECODED, so that
whoever takes it can put it aside.
"""

import csv
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from cluster.connectors.contract import Arrival

UNDECODED = "rr-undecoded"
"""The header of a record that is bytes as they came because they could not be decoded: why, and where they stood."""

Format = Literal["text", "json", "csv"]
LINE_END_BYTES = 2
_QUOTE = b'"'


class Line(NamedTuple):
    """One record's bytes without the line's end. `end`: where the next one begins."""

    content: bytes
    begin: int
    end: int
    fault: str = ""
    """Why it is not whole."""


class Split(NamedTuple):
    """`end`: what is before it is done with. `skipping`: it lies in a line that was too long; its rest is to go."""

    lines: Sequence[Line]
    end: int
    skipping: bool


def split(
    content: bytes,
    at: int,
    *,
    line_bytes_max: int,
    records_max: int,
    skipping: bool = False,
    quotes: bool = False,
    last: bool = False,
) -> Split:
    """Cut `content`, which begins at offset `at`. It holds `line_bytes_max + LINE_END_BYTES`, or all there is.

    `quotes`: a line's end within quotes does not end it (CSV). `last`: nothing comes behind it, so what has no line's
    end is a line, too.
    """
    begin, lines = 0, list[Line]()
    if skipping:
        begin = content.find(b"\n") + 1
        if begin == 0:
            return Split(lines, at + len(content), skipping=not last)
    while begin < len(content) and len(lines) < records_max:
        end, fault = _end(content, begin, line_bytes_max + 1, quotes=quotes, last=last)
        if end is None:
            break
        whole = content[begin:end]
        if last or whole.endswith(b"\n"):
            whole = whole.removesuffix(b"\n").removesuffix(b"\r")
        if len(whole) > line_bytes_max:
            whole, fault = whole[:line_bytes_max], f"a line of more than {line_bytes_max} bytes, cut"
        lines.append(Line(whole, at + begin, at + end, fault))
        begin = end
        if fault and not content[:end].endswith(b"\n"):
            return Split(lines, at + end, skipping=not last)
    return Split(lines, at + begin, skipping=False)


def _end(content: bytes, begin: int, limit: int, *, quotes: bool, last: bool) -> tuple[int | None, str]:
    """Where the line that begins there ends; None: that is still to come. `limit`: with a carriage return, no more."""
    first = end = content.find(b"\n", begin) + 1 or None
    if quotes and end is not None:
        odd = content.count(_QUOTE, begin, end) % 2
        while odd and end is not None and end - begin <= limit:
            before, end = end, content.find(b"\n", end) + 1 or None
            odd ^= content.count(_QUOTE, before, end or len(content)) % 2
        if odd and ((len(content) if end is None else end) - begin > limit or last):
            return first, "a quote that does not end"
    if end is None and (last or len(content) - begin > limit):
        return len(content), ""
    return end, ""


class Decoder:
    """Makes records of lines. `source` is for messages: a file's name."""

    def __init__(self, form: Format, source: str, *, delimiter: str = ",") -> None:
        self._form, self._source, self._delimiter = form, source, delimiter
        self._columns: list[str] = []
        self._header_fault = ""

    @property
    def wants_header(self) -> bool:
        """The next line is the header."""
        return self._form == "csv" and not self._columns and not self._header_fault

    def header(self, line: Line) -> None:
        """Take it. One that makes no sense is told with each line that follows."""
        try:
            self._columns = self._fields(line.content.removeprefix(b"\xef\xbb\xbf"))
        except ValueError as error:
            self._header_fault = f"the header is no CSV: {error}"
        if line.fault or len(set(self._columns)) != len(self._columns):
            self._header_fault = line.fault or "the header has a name twice"

    def arrival(self, line: Line) -> Arrival | None:
        """The record; None: an empty line, where that means nothing."""
        if line.fault:
            return self._undecoded(line, line.fault)
        if self._form == "text":
            return Arrival(value=line.content)
        if not line.content.strip():
            return None
        try:
            value = msgspec.json.decode(line.content) if self._form == "json" else self._row(line.content)
        except (msgspec.DecodeError, ValueError) as error:
            return self._undecoded(line, str(error))
        return Arrival(value=value)

    def _row(self, content: bytes) -> dict[str, str]:
        if self._header_fault:
            raise ValueError(self._header_fault)
        fields = self._fields(content)
        if len(fields) != len(self._columns):
            raise ValueError(f"{len(fields)} fields, the header has {len(self._columns)}")
        return dict(zip(self._columns, fields, strict=True))

    def _fields(self, content: bytes) -> list[str]:
        if _QUOTE not in content and b"\r" not in content:
            return content.decode().split(self._delimiter) if content else []
        try:
            rows = list(csv.reader([content.decode()], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise ValueError(str(error)) from error
        return rows[0] if rows else []

    def _undecoded(self, line: Line, why: str) -> Arrival:
        reason = f"{self._source} at byte {line.begin}: {why}"
        return Arrival(value=line.content, headers=((UNDECODED, reason.encode(errors="replace")),))
