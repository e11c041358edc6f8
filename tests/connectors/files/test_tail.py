"""A source of growing files: each line once, through rotation, truncation, restarts and bad input."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cluster.connectors.contract import Arrived
from cluster.connectors.files.marks import Cursor
from cluster.connectors.files.options import FileTail
from cluster.connectors.files.tail import Tail
from cluster.connectors.lines import UNDECODED
from cluster.errors import InvalidRoute, Unreachable


class Reading:
    """A host that commits all that it reads, and may begin anew."""

    def __init__(self, options: FileTail) -> None:
        self.options = options
        self.cursor: bytes | None = None
        self.source: Tail | None = None
        self.ended = False

    async def read(self) -> Arrived:
        if self.source is None:
            self.source = self.options.open("", "logs-1")
        arrived = await self.source.read(self.cursor)
        self.cursor, self.ended = arrived.cursor, arrived.ended
        await self.source.committed(arrived.cursor)
        return arrived

    async def values(self, count: int) -> list[Any]:
        """So many and no more."""
        found: list[Any] = []
        async with asyncio.timeout(10):
            while len(found) < count:
                found += [record.value for record in (await self.read()).records]
        assert len(found) == count
        return found

    async def nothing(self) -> None:
        """There is nothing for some looks."""
        found: list[Any] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(0.08):
                while not found:
                    found = list((await self.read()).records)
        assert [] == found
        await self.restart()

    async def restart(self) -> None:
        """As after a crash, from what was committed."""
        if self.source is not None:
            await self.source.close()
        self.source = None

    def marks(self) -> dict[str, int]:
        assert self.cursor is not None
        return {Path(mark.name).name: mark.offset for mark in Cursor.decode(self.cursor).marks}


@pytest.fixture
async def reading(tmp_path: Path) -> AsyncIterator[Any]:
    """Makes one; it is closed at the end."""
    made: list[Reading] = []

    def make(pattern: str = "app.log", **options: Any) -> Reading:
        made.append(Reading(FileTail(path=str(tmp_path / pattern), poll="10ms", **options)))
        return made[-1]

    yield make
    for one in made:
        await one.restart()


def add(path: Path, *lines: str, end: str = "\n") -> None:
    """Write them behind what is there."""
    with path.open("a") as file:
        file.write("".join(line + end for line in lines))


async def test_lines_come_as_they_are_written_whole(reading: Any, tmp_path: Path) -> None:
    """A line without its end is waited for, also after a restart; so is a file that is not there yet."""
    one, log = reading(), tmp_path / "app.log"
    await one.nothing()
    add(log, "a", "b")
    assert [b"a", b"b"] == await one.values(2)
    add(log, "par", end="")
    await one.nothing()
    add(log, "tial", "c")
    assert [b"partial", b"c"] == await one.values(2)


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_file_that_was_renamed_is_read_to_its_end_before_the_new_one(
    reading: Any, tmp_path: Path, *, restarts: bool
) -> None:
    """Whether riverrun was there when it was renamed, or not; and what is written to it later comes, too."""
    one, log = reading(), tmp_path / "app.log"
    add(log, "a")
    assert [b"a"] == await one.values(1)
    if restarts:
        await one.restart()
    add(log, "b")
    log.rename(tmp_path / "app.log.1")
    add(log, "c")
    assert [b"b", b"c"] == await one.values(2)
    add(tmp_path / "app.log.1", "late")
    assert [b"late"] == await one.values(1)
    await one.nothing()


async def test_a_pattern_follows_many_rotations_while_riverrun_is_away(reading: Any, tmp_path: Path) -> None:
    """The oldest first; what is compressed is passed over, for it was read before."""
    one, log = reading("app.log*"), tmp_path / "app.log"
    add(log, "a")
    assert [b"a"] == await one.values(1)
    await one.restart()
    add(log, "b")
    for number in (3, 2, 1):
        log.rename(tmp_path / f"app.log.{number}")
        add(log, f"c{number}")
        os.utime(log, ns=(10**18 - number * 10**9, 10**18 - number * 10**9))
    (tmp_path / "app.log.4.gz").write_bytes(b"not looked at\n")
    assert [b"b", b"c3", b"c2", b"c1"] == await one.values(4)


async def test_a_deleted_file_is_read_to_its_end_and_forgotten(reading: Any, tmp_path: Path) -> None:
    """Also a last line without its end; and a file that went while riverrun was away."""
    one, log = reading("*.log"), tmp_path / "app.log"
    add(log, "a")
    add(tmp_path / "other.log", "o")
    await one.values(2)
    add(log, "b", "rest", end="\n")
    add(log, "of it", end="")
    log.unlink()
    assert [b"b", b"rest", b"of it"] == await one.values(3)
    await one.nothing()
    assert {"other.log": 2} == one.marks()
    (tmp_path / "other.log").unlink()
    assert [] == list((await one.read()).records)
    assert {} == one.marks()


@pytest.mark.parametrize("others", ["nothing", "files of its own", "no directory"])
async def test_on_another_machine_its_files_are_waited_for(
    reading: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    """What leads is somewhere else, for a while: when it is back it goes on where it was."""
    one, there, away = reading("logs/*.log"), tmp_path / "logs", tmp_path / "away"
    there.mkdir()
    add(there / "app.log", "a", "b")
    assert [b"a", b"b"] == await one.values(2)
    await one.restart()
    home = socket.gethostname()
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    there.rename(away)
    if others != "no directory":
        there.mkdir()
    if others == "files of its own":
        add(there / "app.log", "another's", "log")
    for _ in range(3):
        with pytest.raises(Unreachable, match=f"its files are on the machine {home}, and this is elsewhere"):
            await asyncio.wait_for(one.read(), 5)
    await one.restart()
    if there.exists():
        there.rename(tmp_path / "elsewhere")
    away.rename(there)
    monkeypatch.setattr(socket, "gethostname", lambda: home)
    await one.nothing()
    add(there / "app.log", "c")
    assert [b"c"] == await one.values(1)


async def test_a_machine_that_has_another_name_by_now_has_its_files(
    reading: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a container that was made anew on the same volume: also where one was renamed meanwhile."""
    one, log = reading("*.log"), tmp_path / "app.log"
    add(log, "a")
    await one.values(1)
    await one.restart()
    log.rename(tmp_path / "app.old")
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    add(tmp_path / "app.old", "b")
    assert [b"b"] == await one.values(1)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("again", [["x"], ["x", "y", "z", "longer than before"], ["a", "B", "c"]])
async def test_a_truncated_file_is_read_from_its_start(
    reading: Any, tmp_path: Path, again: list[str], *, restarts: bool
) -> None:
    """Whether it is shorter than before by then, or longer; also by its own first line."""
    one, log = reading(), tmp_path / "app.log"
    add(log, "a", "b")
    assert [b"a", b"b"] == await one.values(2)
    if restarts:
        await one.restart()
    log.write_bytes(b"")
    add(log, *again)
    assert [line.encode() for line in again] == await one.values(len(again))


async def test_the_end_to_begin_with(reading: Any, tmp_path: Path) -> None:
    """Only what is there when the route is new is passed over, to the end of the line that is being written."""
    one, log = reading("*.log", begin="end"), tmp_path / "app.log"
    add(log, "old", "half", end="\n")
    add(log, "of a li", end="")
    assert [] == list((await one.read()).records)
    add(log, "ne", "new")
    add(tmp_path / "later.log", "all")
    assert {b"new", b"all"} == set(await one.values(2))


async def test_lines_that_are_too_long_are_cut_and_said_to_be(reading: Any, tmp_path: Path) -> None:
    """In bounded memory, through a restart in the middle of one."""
    one, log = reading(line_bytes_max=10), tmp_path / "app.log"
    add(log, "x" * 3_000_000, end="")
    first = await one.read()
    while not first.records:
        first = await one.read()
    await one.restart()
    add(log, "x" * 10, "short", "y" * 11)

    assert (b"x" * 10, b"rr-undecoded") == (first.records[0].value, first.records[0].headers[0][0].encode())
    assert [b"short", b"y" * 10] == await one.values(2)
    assert f"{log} at byte 0: a line of more than 10 bytes, cut" == dict(first.records[0].headers)[UNDECODED].decode()


async def test_csv_keeps_its_header_through_a_restart(reading: Any, tmp_path: Path) -> None:
    """Each file has its own; a line that does not fit is handed over as it is."""
    one = reading("*.csv", format="csv")
    add(tmp_path / "a.csv", "id,name", '1,"x', 'y"')
    assert [{"id": "1", "name": "x\ny"}] == await one.values(1)
    await one.restart()
    add(tmp_path / "a.csv", "2,z", "3")
    assert [{"id": "2", "name": "z"}, b"3"] == await one.values(2)


async def test_a_source_that_does_not_follow_ends(reading: Any, tmp_path: Path) -> None:
    """When all is read, in pieces of 1,000 records; it knows how far it is."""
    one = reading("*.log", follow=False)
    add(tmp_path / "a.log", *(f"{n}" for n in range(2500)))
    add(tmp_path / "b.log", "last")
    add(tmp_path / "b.log", "one", end="")
    sizes, found = [], []
    while not one.ended:
        arrived = await one.read()
        sizes.append(len(arrived.records))
        found += [record.value for record in arrived.records]

    assert {*(b"%d" % n for n in range(2500)), b"last", b"one"} == set(found)
    assert (2502, True) == (len(found), max(sizes) <= 1000)
    progress = one.source.progress()
    assert (progress.done, progress.total) == (progress.total, 11398)


async def test_a_file_that_fails_for_a_moment_loses_nothing_of_the_others(
    reading: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of them at the same look comes again."""
    one = reading("*.csv", format="csv")
    add(tmp_path / "a.csv", "n")
    add(tmp_path / "b.csv", "n")
    await one.read()
    add(tmp_path / "a.csv", "1")
    add(tmp_path / "b.csv", "2")
    real, files = os.pread, set[int]()

    def failing(file: int, *args: int) -> bytes:
        is_second = file not in files and len(files) == 1
        files.add(file)
        if is_second:
            raise OSError(errno.EIO, "Input/output error")
        return real(file, *args)

    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(Unreachable, match=r"\.csv: Input/output error"):
        await one.read()

    assert {"1", "2"} == {value["n"] for value in await one.values(2)}


async def test_what_a_person_has_to_mend(reading: Any, tmp_path: Path) -> None:
    """Says what and where."""
    (tmp_path / "folder").mkdir()
    for number in range(3):
        add(tmp_path / f"{number}.log", "x")
    for pattern, options, why in [
        ("nowhere/*.log", {}, "there is no directory"),
        ("nowhere/app.log", {}, "there is no directory"),
        ("folder", {}, "is no file; write"),
        ("*.log", {"files_max": 2}, "matches 3 files, at most 2 are read"),
    ]:
        with pytest.raises(InvalidRoute, match=why):
            await reading(pattern, **options).read()
    one = reading("0.log")
    one.cursor = b"\xc1"
    with pytest.raises(InvalidRoute, match="the cursor of the files cannot be read"):
        await one.read()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"path": ""}, "path is empty"),
        ({"delimiter": "ab"}, "one character"),
        ({"line_bytes_max": 0}, "must be from 1"),
        ({"files_max": 100_000}, "must be from 1"),
        ({"poll": "1"}, "poll is '1'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], why: str) -> None:
    """Are told before anything is opened."""
    with pytest.raises(InvalidRoute, match=why):
        FileTail(**{"path": "app.log", **options}).check()
