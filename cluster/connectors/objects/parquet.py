"""Parquet (riverrun[arrow]): files from columns, and rows from files, a row group at a time.

A column whose values are of several types is text, with JSON for what is not; whole numbers and fractions together are
fractions. Types are those of one file's values, so files of one route may differ: readers unite them by name.
"""

import io
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
from pyarrow import parquet

from cluster.connectors.objects.rows import columns

ROWS_AT_ONCE = 1000
_TYPES = {
    frozenset({bool}): pa.bool_(),
    frozenset({int}): pa.int64(),
    frozenset({float}): pa.float64(),
    frozenset({int, float}): pa.float64(),
    frozenset({bytes}): pa.binary(),
}


def content_of_parquet(rows: Sequence[bytes]) -> bytes:
    """A file with those rows."""
    arrays = {name: _array(values) for name, values in columns(rows).items()}
    out = io.BytesIO()
    parquet.write_table(pa.table(arrays), out, compression="zstd")
    return out.getvalue()


def _array(values: list[Any]) -> Any:
    kinds = frozenset(type(value) for value in values if value is not None)
    found = _TYPES.get(kinds)
    if found is not None:
        return pa.array([float(v) if v is not None else None for v in values] if len(kinds) > 1 else values, found)
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


class Rows:
    """A file's rows, a row group in memory at a time. OSError or ArrowException: it is no Parquet. Blocks."""

    def __init__(self, file: BinaryIO) -> None:
        self._source = file
        try:
            self._file = parquet.ParquetFile(file)
        except BaseException:
            file.close()
            raise
        meta = self._file.metadata
        self._sizes = [meta.row_group(number).num_rows for number in range(meta.num_row_groups)]
        self._batches: Iterator[Any] = iter(())
        self._at = -1
        self.rows = sum(self._sizes)

    def read(self, row: int) -> list[dict[str, Any]]:
        """Some rows from that one on; none: that was the end. Cheap where it goes on where it was."""
        skip = 0 if row == self._at else self._seek(row)
        for batch in self._batches:
            found = batch.slice(skip).to_pylist()
            skip = max(0, skip - batch.num_rows)
            if found:
                self._at = row + len(found)
                return [msgspec.to_builtins(one, str_keys=True) for one in found]
        self._at = row
        return []

    def close(self) -> None:
        """Let go of it."""
        self._file.close()
        self._source.close()

    def _seek(self, row: int) -> int:
        """To its row group; how many rows there are to pass over."""
        begin = 0
        for number, size in enumerate(self._sizes):
            if row < begin + size:
                groups = list(range(number, len(self._sizes)))
                self._batches = self._file.iter_batches(batch_size=ROWS_AT_ONCE, row_groups=groups)
                return row - begin
            begin += size
        self._batches = iter(())
        return 0
