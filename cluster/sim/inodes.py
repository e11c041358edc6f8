"""What a simulated disk holds: files and directories, each as it is and as it would be after a crash.

A change is durable once its file or directory was synced. Until then a crash keeps it or not, each change by itself and
as the seed says: of a write all, nothing, or some of its sectors; of a new, gone or replaced name all or nothing (a
rename within one directory is one change). A directory whose own name was lost is gone with all that it holds.
"""

import random
from collections.abc import Iterator, Mapping

SECTOR_BYTES = 512


class Content:
    """A file's bytes."""

    def __init__(self) -> None:
        self.now = bytearray()
        self._durable = bytearray()
        self._pending: list[tuple[int, bytes | None]] = []
        """(position, bytes), or (size, None) for a cut or growth."""

    def write(self, position: int, data: bytes) -> None:
        """Put bytes somewhere."""
        _put(self.now, position, data)
        self._pending.append((position, data))

    def resize(self, size: int) -> None:
        """Cut, or grow with zeros."""
        _resize(self.now, size)
        self._pending.append((size, None))

    def sync(self) -> None:
        """What is, stays."""
        for position, data in self._pending:
            _apply(self._durable, position, data)
        self._pending.clear()

    def settle(self, chance: random.Random, *, torn: bool) -> None:
        """The power went."""
        for position, data in self._pending:
            luck = chance.random()
            if luck < 0.4:
                continue
            if data is None or luck < 0.7 or not torn:
                _apply(self._durable, position, data)
                continue
            for start in range(0, len(data), SECTOR_BYTES):
                if chance.random() < 0.5:
                    _put(self._durable, position + start, data[start : start + SECTOR_BYTES])
        self._pending.clear()
        self.now = bytearray(self._durable)

    def flip(self, bit: int) -> None:
        """One bit changes its mind, wherever its byte lies."""
        byte, mask = bit // 8, 1 << bit % 8
        self.now[byte] ^= mask
        if byte < len(self._durable):
            self._durable[byte] ^= mask
        for number, (position, data) in enumerate(self._pending):
            if data is not None and position <= byte < position + len(data):
                changed = bytearray(data)
                changed[byte - position] ^= mask
                self._pending[number] = position, bytes(changed)

    def cut(self, size: int) -> None:
        """The end is lost, durably."""
        del self.now[size:]
        self._durable = bytearray(self.now)
        self._pending.clear()


class Directory:
    """Names, and what they stand for."""

    def __init__(self) -> None:
        self.now: dict[str, Entry] = {}
        self._durable: dict[str, Entry] = {}
        self._pending: list[Mapping[str, Entry | None]] = []

    def change(self, names: "Mapping[str, Entry | None]") -> None:
        """Set or (None) remove names, as one change."""
        _rename(self.now, names)
        self._pending.append(names)

    def sync(self) -> None:
        """What is, stays: the names, not what the files hold, nor the names further down."""
        self._durable = dict(self.now)
        self._pending.clear()

    def settle(self, chance: random.Random, *, torn: bool) -> None:
        """The power went, for everything from here down."""
        for names in self._pending:
            if chance.random() < 0.5:
                _rename(self._durable, names)
        self._pending.clear()
        self.now = dict(self._durable)
        for _, entry in sorted(self.now.items()):
            entry.settle(chance, torn=torn)

    def files(self, prefix: str = "") -> Iterator[tuple[str, Content]]:
        """Every file from here down, with its path."""
        for name, entry in self.now.items():
            if isinstance(entry, Content):
                yield prefix + name, entry
            else:
                yield from entry.files(f"{prefix}{name}/")


Entry = Content | Directory


def _rename(entries: dict[str, Entry], names: Mapping[str, Entry | None]) -> None:
    for name, entry in names.items():
        if entry is None:
            entries.pop(name, None)
        else:
            entries[name] = entry


def _apply(content: bytearray, position: int, data: bytes | None) -> None:
    if data is None:
        _resize(content, position)
    else:
        _put(content, position, data)


def _put(content: bytearray, position: int, data: bytes) -> None:
    if not data:
        return
    if position > len(content):
        content.extend(bytes(position - len(content)))
    content[position : position + len(data)] = data


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))
