"""The process that plays the host of one connector, to be killed at any moment: `python -m tests.connectors.host DIR`.

`DIR/job` says what is to be done, `Ledger` is what a cluster's commit is elsewhere: on disk, one owner at a time. A
process that was frozen while another took over may still be at work at the peer, and commits nothing any more.
"""

import asyncio
import contextlib
import fcntl
import os
import pickle
import random
import sys
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from cluster.connectors.contract import Arrival, Arrived, Delivery, Position, Sink, SinkOptions, Source, SourceOptions
from cluster.errors import Unreachable

RETRY_S = 0.03
PEEK_S = 0.005
IMPATIENT = 0.1
"""Of all calls: so many are cancelled after a moment."""
AHEAD = 0.3
"""Of all reads: after so many another one goes ahead of the commit."""
TOLD = 0.7
"""Of all commits: of so many the source is told."""
ANEW = 0.5
"""Of all reads that found nobody: after so many the source is made anew, after the others it is asked again."""
SETTLED = 0.3
REMEMBERED = 0.4
"""Of all writes that are safe: so many are committed, the others come again after a kill."""
PIECE_MAX = 50


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What the process has to do. Pickled: options are the classes of any connector."""

    identity: str
    seed: int
    source: SourceOptions | None = None
    share: str = ""
    sink: SinkOptions | None = None
    lanes: dict[str, list[Delivery]] = {}


class Commit(msgspec.Struct, frozen=True):
    """One commit of a source (`records` and `cursor`), or of a sink (`positions` by lane)."""

    records: Sequence[Arrival] = ()
    cursor: bytes | None = None
    ended: bool = False
    positions: dict[str, int] = {}


class TakenOver(Exception):
    """Another process is the owner now."""


class Ledger:
    """Commits in a file: each whole, synced, and only of who took the ledger last. A torn one is overwritten."""

    def __init__(self, directory: Path) -> None:
        self._path, self._epoch_path = directory / "commits", directory / "epoch"
        self._progress_path = directory / "progress"
        self.epoch = 0
        self._end = 0

    def take(self) -> list[Commit]:
        """Become the owner; what is committed."""
        with self._locked():
            self.epoch = self.owner() + 1
            self._epoch_path.write_text(str(self.epoch))
            found, self._end = _parse(self._path.read_bytes()) if self._path.exists() else ([], 0)
            return found

    def owner(self) -> int:
        """The number of the process that took it last."""
        return int(self._epoch_path.read_text() or 0) if self._epoch_path.exists() else 0

    def add(self, commit: Commit) -> None:
        """Durable when it returns; TakenOver."""
        content = msgspec.msgpack.encode(commit)
        with self._locked():
            if self.owner() != self.epoch:
                raise TakenOver
            with self._path.open("r+b" if self._path.exists() else "w+b") as file:
                file.seek(self._end)
                file.truncate()
                file.write(len(content).to_bytes(4) + zlib.crc32(content).to_bytes(4) + content)
                file.flush()
                os.fsync(file.fileno())
                self._end = file.tell()

    def commits(self) -> list[Commit]:
        """All, in order."""
        return _parse(self._path.read_bytes())[0] if self._path.exists() else []

    def step(self) -> None:
        """Something has happened: for those who wait for that."""
        with self._progress_path.open("ab") as file:
            file.write(b".")

    def steps(self) -> int:
        """How much has happened."""
        return self._progress_path.stat().st_size if self._progress_path.exists() else 0

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._path.parent / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _parse(content: bytes) -> tuple[list[Commit], int]:
    found, at = [], 0
    while at + 8 <= len(content):
        size, crc = int.from_bytes(content[at : at + 4]), int.from_bytes(content[at + 4 : at + 8])
        body = content[at + 8 : at + 8 + size]
        if len(body) < size or zlib.crc32(body) != crc:
            break
        found.append(msgspec.msgpack.decode(body, type=Commit))
        at += 8 + size
    return found, at


class Host:
    """Calls a connector as its real host does, and is as impatient as that may be."""

    def __init__(self, job: Job, directory: Path) -> None:
        self.job, self.ledger, self.directory = job, Ledger(directory), directory
        self.committed = self.ledger.take()
        self.chance = random.Random(job.seed * 1000 + self.ledger.epoch)

    async def run(self) -> None:
        """Until it is killed, taken over, or the source has ended."""
        self.ledger.step()
        with contextlib.suppress(TakenOver):
            if self.job.source is not None:
                await self._again(self._open_source, self._read_all)
            else:
                await self._again(self._open_sink, self._write_all)

    async def _again(self, open_: Callable[[], Any], work: Callable[[Any], Awaitable[None]]) -> None:
        while True:
            opened = open_()
            try:
                await work(opened)
            except Unreachable as away:
                print(f"{self.ledger.epoch}: {away}", file=sys.stderr, flush=True)
                await asyncio.sleep(RETRY_S)
            except TimeoutError:
                continue
            else:
                return
            finally:
                await opened.close()

    def _open_source(self) -> Source:
        assert self.job.source is not None
        return self.job.source.open(self.job.share, self.job.identity)

    def _open_sink(self) -> Sink:
        assert self.job.sink is not None
        return self.job.sink.open(self.job.identity)

    async def _call(self, awaitable: Awaitable[Any]) -> Any:
        if self.chance.random() > IMPATIENT:
            return await awaitable
        async with asyncio.timeout(self.chance.uniform(0, 0.2)):
            return await awaitable

    async def _read_all(self, source: Source) -> None:
        while not (self.committed and self.committed[-1].ended):
            cursor = self.committed[-1].cursor if self.committed else None
            arrived = await self._read(source, cursor)
            if self.chance.random() < AHEAD and not arrived.ended:
                await self._read_ahead(source, arrived)
                continue
            self._commit(arrived)
            if self.chance.random() < TOLD:
                await self._call(source.committed(arrived.cursor))

    async def _read(self, source: Source, cursor: bytes | None) -> Arrived:
        """What is away is asked again, the same or one that is made anew."""
        while True:
            try:
                return cast("Arrived", await self._call(source.read(cursor)))
            except Unreachable as away:
                if self.chance.random() < ANEW:
                    raise
                print(f"{self.ledger.epoch}: {away}", file=sys.stderr, flush=True)
                await asyncio.sleep(RETRY_S)

    async def _read_ahead(self, source: Source, first: Arrived) -> None:
        """A second read before the first is committed. TimeoutError: it was given up, as is the source then."""
        try:
            async with asyncio.timeout(self.chance.uniform(0, 0.1)):
                second = await source.read(first.cursor)
        finally:
            self._commit(first)
        self._commit(second)
        await self._call(source.committed(second.cursor))

    def _commit(self, arrived: Arrived) -> None:
        commit = Commit(arrived.records, arrived.cursor, arrived.ended)
        self.ledger.add(commit)
        self.committed.append(commit)
        self.ledger.step()

    async def _write_all(self, sink: Sink) -> None:
        """Lanes in turn, in pieces that are others each time; what is written is only sometimes remembered."""
        positions = dict(self.committed[-1].positions) if self.committed else {}
        places: dict[str, int] = {}
        held: set[str] = set()
        for lane, deliveries in self.job.lanes.items():
            there = await self._call(sink.last_position(lane))
            begin = positions.get(lane, 0)
            assert there is None or there >= begin, f"{lane}: committed up to {begin}, there is only {there}"
            positions[lane] = begin if there is None else there
            places[lane] = sum(delivery.offset < positions[lane] for delivery in deliveries)
        while left := [lane for lane in places if places[lane] < len(self.job.lanes[lane])]:
            lane = self.chance.choice(left)
            end = min(
                places[lane] + self.chance.randint(0, self._size_max(sink)), await self._allowed(lane, places[lane])
            )
            batch = self.job.lanes[lane][places[lane] : end]
            behind = batch[-1].offset + 1 if batch else positions[lane]
            safe = await self._call(sink.write(batch, Position(lane=lane, begin=positions[lane], end=behind)))
            positions[lane], places[lane] = behind, end
            self.ledger.step()
            (held.discard if safe else held.add)(lane)
            if held and self.chance.random() < SETTLED:
                await self._call(sink.settle())
                held.clear()
            if not held and self.chance.random() < REMEMBERED:
                self.ledger.add(Commit(positions=positions))
        await sink.settle()
        self.ledger.add(Commit(positions=positions, ended=True))

    def _size_max(self, sink: Sink) -> int:
        assert self.job.sink is not None, sink
        return min(self.job.sink.batch_records_max, PIECE_MAX)

    async def _allowed(self, lane: str, place: int) -> int:
        """How many of the lane may be written by now: they are to last until all kills are done."""
        while True:
            share = float((self.directory / "allowed").read_text())
            allowed = int(share * len(self.job.lanes[lane]))
            if allowed > place:
                return allowed
            await asyncio.sleep(PEEK_S)


def main(directory: Path) -> None:
    """Play the host of what the job names."""
    job = pickle.loads((directory / "job").read_bytes())
    asyncio.run(Host(job, directory).run())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
