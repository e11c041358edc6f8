"""The least source and sink, on files, right or with one thing wrong: what the driver of kills has to tell apart."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cluster.connectors.contract import Arrival, Arrived, Delivery, Guarantee, Position, Progress
from cluster.errors import Unreachable


class PlainPeer:
    """Is away while there is no file of that name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def kill(self) -> None:
        self._path.unlink(missing_ok=True)

    def start(self) -> None:
        self._path.touch()


class PlainOptions(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What both share. `broken`: they forget."""

    path: str
    broken: bool = False
    hold_s: float = 0.0
    batch_records_max: int = 10
    summary: str = "a file"
    guarantee: Guarantee = Guarantee.EXACTLY_ONCE

    def check(self) -> None:
        pass

    def look(self) -> Path:
        """The data; Unreachable."""
        if not Path(self.path, "up").exists():
            raise Unreachable("the file is away")
        return Path(self.path, "data")


class PlainSource(PlainOptions, frozen=True, kw_only=True, tag="plain-source"):
    """Lines of a file, a few at a time."""

    def shares(self) -> Sequence[str]:
        return [""]

    def open(self, share: str, identity: str) -> "_Lines":
        assert (share, identity[:5]) == ("", "kills")
        return _Lines(self)


class _Lines:
    def __init__(self, options: PlainSource) -> None:
        self._options = options

    async def read(self, cursor: bytes | None) -> Arrived:
        begin = int(cursor or 0)
        content = self._options.look().read_bytes()[begin:]
        if not content:
            await asyncio.sleep(0.01)
        lines = content.splitlines(keepends=True)[:3]
        begin = 0 if self._options.broken and begin > 60 else begin
        return Arrived(records=[Arrival(value=line) for line in lines], cursor=b"%d" % (begin + sum(map(len, lines))))

    async def committed(self, cursor: bytes) -> None:
        assert self._options.look().stat().st_size >= int(cursor)

    async def close(self) -> None:
        pass

    def progress(self) -> Progress | None:
        return None


class PlainSink(PlainOptions, frozen=True, kw_only=True, tag="plain-sink"):
    """Appends lines, with the position in front of each."""

    def open(self, identity: str) -> "_Appended":
        assert identity.startswith("kills")
        return _Appended(self)


class _Appended:
    def __init__(self, options: PlainSink) -> None:
        self._options = options

    async def last_position(self, lane: str) -> int | None:
        lines = self._options.look().read_bytes().splitlines()
        assert lane.endswith("/topic/0")
        return None if self._options.broken or not lines else int(lines[-1].split()[0]) + 1

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:
        assert all(position.begin <= delivery.offset < position.end for delivery in batch)
        with self._options.look().open("ab") as file:
            file.write(b"".join(b"%d %s\n" % (delivery.offset, delivery.value) for delivery in batch))
        return True

    async def settle(self) -> None:
        self._options.look()

    async def close(self) -> None:
        pass
