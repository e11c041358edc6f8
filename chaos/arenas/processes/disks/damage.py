"""Damage of one file: what disks, file systems and people do to bytes at rest.

All of it, but for a single bit, is done while the node does not run. Everything is a fraction of what is there, drawn
with the schedule, so that the same schedule does the same to the same files.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.arenas.processes.disks.layout import Kept

HOWS = ("flip", "cut", "swap", "stale-chunk", "stale-file")
CHUNK_BYTES_MIN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Wound:
    """What is to be done. Fractions: in [0, 1)."""

    how: str
    """One of `HOWS`."""
    file: float
    """Which of the files."""
    place: float
    """Where in it."""
    size: float = 0.0
    """Of a chunk: up to a quarter of the file."""

    def chosen(self, files: Sequence[Kept]) -> Kept:
        """The file that it hits."""
        return files[int(self.file * len(files))]


def wound(kept: Kept, what: Wound, *, earlier: bytes = b"") -> str:
    """Do it; a sentence of what was done. `earlier`: the file's bytes as they once were, for what is stale.

    A file that is too small for two chunks gets a flipped bit instead, as does one that has not changed since.
    """
    data = bytearray(kept.path.read_bytes())
    place = kept.position(what.place)
    size = max(int(what.size * kept.used / 4), CHUNK_BYTES_MIN)
    if what.how == "cut":
        with kept.path.open("r+b") as file:
            file.truncate(place)
        return f"{kept.name} was cut at byte {place} of {kept.spans[-1][1]}"
    if what.how == "stale-file" and earlier and earlier != data:
        _write(kept.path, earlier)
        return f"{kept.name} is as it once was, {len(data.rstrip(bytes(1))) - len(earlier.rstrip(bytes(1)))} bytes ago"
    if what.how == "stale-chunk" and earlier and earlier != data:
        first = next(at for at in range(len(data)) if data[at : at + 1] != earlier[at : at + 1])
        old = earlier[first : first + size].ljust(min(size, len(data) - first), b"\0")
        data[first : first + len(old)] = old
        _write(kept.path, data)
        return f"{kept.name}: {len(old)} bytes at {first} are as they once were"
    end = max(end for begin, end in kept.spans if begin <= place)
    if what.how == "swap" and end >= 2 * size:
        first = min(place, end - 2 * size)
        one, other = data[first : first + size], data[first + size : first + 2 * size]
        data[first : first + 2 * size] = other + one
        if one != other:
            _write(kept.path, data)
            return f"{kept.name}: {size} bytes at {first} were swapped with those behind them"
    return flip(kept, what)


def flip(kept: Kept, what: Wound) -> str:
    """One bit, where it lies: the file may be in use. Done twice it is undone."""
    place = kept.position(what.place)
    with kept.path.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), bytes([byte_at(kept.path, place) ^ 1 << (int(what.place * 8 * kept.used) % 8)]), place)
    return f"{kept.name}: a bit of byte {place} of {kept.spans[-1][1]} was flipped"


def byte_at(path: Path, place: int) -> int:
    """What is there; -1 if there is nothing."""
    with path.open("rb", buffering=0) as file:
        return next(iter(os.pread(file.fileno(), 1, place)), -1)


def _write(path: Path, data: bytes | bytearray) -> None:
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()
