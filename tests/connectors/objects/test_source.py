"""Whole files as a source: formats, restarts anywhere, new files, and files that change under its hands."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cluster.connectors.contract import Arrived, Delivery, Position
from cluster.connectors.lines import UNDECODED
from cluster.connectors.objects import contents, finished
from cluster.connectors.objects.finished import Cursor
from cluster.connectors.objects.options import FilesSink, ObjectsSource
from cluster.connectors.objects.source import Objects
from cluster.connectors.objects.store import open_store
from cluster.errors import InvalidRoute, Unreachable


class Reading:
    """A host that commits all that it reads; it may begin anew before each read."""

    def __init__(self, options: ObjectsSource, *, restarts: bool = False) -> None:
        self.options, self.restarts = options, restarts
        self.cursor: bytes | None = None
        self.source: Objects | None = None
        self.ended = False

    async def read(self) -> Arrived:
        if self.restarts:
            await self.close()
        if self.source is None:
            self.source = self.options.open("", "r-1")
        arrived = await self.source.read(self.cursor)
        self.cursor, self.ended = arrived.cursor, arrived.ended
        await self.source.committed(arrived.cursor)
        return arrived

    async def all(self) -> list[Any]:
        """To its end; a record that was not decoded with why."""
        found: list[Any] = []
        while not self.ended:
            for record in (await self.read()).records:
                why = dict(record.headers).get(UNDECODED)
                found.append(record.value if why is None else (record.value, why.decode()))
        return found

    async def nothing(self) -> None:
        """There is nothing for some looks."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await self.read()
        await self.close()

    async def close(self) -> None:
        if self.source is not None:
            await self.source.close()
        self.source = None


@pytest.fixture
async def reading(place: dict[str, Any]) -> AsyncIterator[Any]:
    """Makes one; it is closed at the end."""
    made: list[Reading] = []

    def make(*, restarts: bool = False, **options: Any) -> Reading:
        made.append(Reading(ObjectsSource(**{**place, "look": "20ms", **options}), restarts=restarts))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def put(place: dict[str, Any], **files: bytes) -> None:
    """A double underscore is the dot in a name."""
    store = open_store(FilesSink(**place))
    for name, content in files.items():
        assert await store.create(name.replace("__", ".").replace("in_", "in/"), content)


def lines(count: int, begin: int = 0) -> bytes:
    """JSON lines with numbers."""
    return b"".join(b'{"n": %d}\n' % n for n in range(begin, begin + count))


@pytest.mark.parametrize("restarts", [False, True])
async def test_each_format_by_its_name(
    reading: Any, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *, restarts: bool
) -> None:
    """In the order of names, a little at a time; hidden files are passed over."""
    monkeypatch.setattr(contents, "RECORDS_MAX", 2)
    await put(place, a__jsonl=lines(5), b__json=b'[{"n": 5}, 6, [7]]', c__csv=b'n,s\n8,"x\ny"\n9,z\n10,w\n')
    await put(
        place, in_d__txt=b"11\n\n12", e__json=b'{"n": 13}', f__ndjson=b"", _hidden__jsonl=b"1", **{"in_.x.json": b"["}
    )

    found = await reading(restarts=restarts, follow=False).all()

    csv = [{"n": "8", "s": "x\ny"}, {"n": "9", "s": "z"}, {"n": "10", "s": "w"}]
    assert [*({"n": n} for n in range(5)), {"n": 5}, 6, [7], *csv, {"n": 13}, b"11", b"", b"12"] == found


@pytest.mark.parametrize("restarts", [False, True])
async def test_parquet_a_row_group_at_a_time(reading: Any, place: dict[str, Any], *, restarts: bool) -> None:
    """From any row on; what JSON does not have becomes text."""
    pa = pytest.importorskip("pyarrow")
    import datetime as dt  # noqa: PLC0415
    import io  # noqa: PLC0415

    from pyarrow import parquet  # noqa: PLC0415

    rows = [{"n": n, "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "b": b"\xff", "l": [n]} for n in range(2500)]
    out = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), out, row_group_size=1100)
    await put(place, rows__parquet=out.getvalue(), empty__parquet=b"")
    one = reading(restarts=restarts, follow=False, names="r*")

    found = await one.all()

    assert [{"n": n, "at": "2026-01-01T00:00:00Z", "b": "/w==", "l": [n]} for n in range(2500)] == found
    with pytest.raises(InvalidRoute, match=r"empty.parquet is no Parquet, or damaged"):
        await reading(names="e*").read()


async def test_new_files_are_taken_up_whatever_their_names(reading: Any, place: dict[str, Any]) -> None:
    """Those that were read are remembered as long as they are there."""
    one = reading()
    await put(place, b__jsonl=lines(1))
    assert [{"n": 0}] == [record.value for record in (await one.read()).records]
    await one.nothing()
    await put(place, a__jsonl=lines(1, 1), c__jsonl=lines(1, 2))
    assert [[{"n": 1}], [{"n": 2}]] == [[record.value for record in (await one.read()).records] for _ in range(2)]
    assert 24 == len(Cursor.decode(one.cursor).hashes)
    await open_store(FilesSink(**place)).delete(["a.jsonl", "b.jsonl"])
    await put(place, d__jsonl=b"")
    await one.read()
    assert 16 == len(Cursor.decode(one.cursor).hashes)


async def test_rising_names_need_no_memory(
    reading: Any, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the last one is kept; without that too many files stop the route."""
    monkeypatch.setattr(finished, "FILES_MAX", 2)
    await put(place, a__jsonl=lines(1), b__jsonl=lines(1), c__jsonl=lines(1))
    one = reading(rising=True)
    for _ in range(3):
        await one.read()
    await put(place, aa__jsonl=lines(1), d__jsonl=lines(1, 7))
    assert [{"n": 7}] == [record.value for record in (await one.read()).records]
    assert ("d.jsonl", b"") == (Cursor.decode(one.cursor).last, Cursor.decode(one.cursor).hashes)
    with pytest.raises(InvalidRoute, match="has 5 files, at most 2 can be told apart"):
        await reading().read()


async def test_lines_that_do_not_decode_are_handed_over_with_why(reading: Any, place: dict[str, Any]) -> None:
    """And one that is too long is cut."""
    await put(place, a__jsonl=b'oops\n{"a": 1}\n' + b"x" * 3_000_000 + b"\n5\n")

    found = await reading(follow=False, line_bytes_max=10).all()

    assert (b"oops", "a.jsonl at byte 0: JSON is malformed: invalid character (byte 0)") == found[0]
    assert [{"a": 1}, (b"x" * 10, "a.jsonl at byte 14: a line of more than 10 bytes, cut"), 5] == found[1:]


async def test_a_file_that_changes_while_it_is_read_stops_the_route(reading: Any, tmp_path: Path) -> None:
    """By its name, how far it was, and what to do; nothing is stopped where nothing was read of it yet."""
    folder = tmp_path / "in"
    folder.mkdir()
    for change in ("replaced", "deleted"):
        (folder / "a.jsonl").write_bytes(lines(3000))
        one = reading(url=f"file://{folder}")
        await one.read()
        if change == "replaced":
            (tmp_path / "new").write_bytes(lines(3001))
            (tmp_path / "new").rename(folder / "a.jsonl")
            why = r"a.jsonl is another one by now, though only a part of it was read \(up to 10890 of its bytes"
        else:
            (folder / "a.jsonl").unlink()
            why = "a.jsonl is gone, though only a part of it was read"
        with pytest.raises(InvalidRoute, match=why):
            await one.read()
    (folder / "a.json").write_bytes(b"[1, 2")
    one = reading(url=f"file://{folder}")
    with pytest.raises(InvalidRoute, match=r"a.json is no JSON: Input data was truncated"):
        await one.read()
    (tmp_path / "new").write_bytes(b"[1, 2]")
    os.replace(tmp_path / "new", folder / "a.json")  # noqa: PTH105
    assert [1, 2] == [record.value for record in (await one.read()).records]


async def test_pieces_are_bounded_and_progress_is_told(reading: Any, place: dict[str, Any]) -> None:
    """About 1 MiB at once, of elements as of lines; in bytes of all that is there."""
    big = [{"n": n, "rest": "x" * 100_000} for n in range(25)]
    await put(place, a__json=json.dumps(big).encode(), b__jsonl=lines(1500))
    one = reading(follow=False)

    sizes, told = [], []
    while not one.ended:
        sizes.append(len((await one.read()).records))
        told.append(one.source.progress())

    assert [10, 10, 5, 1000, 500, 0] == sizes
    assert sorted(progress.done for progress in told) == [progress.done for progress in told]
    assert (True, 0) == (told[0].done > 900_000, told[-1].total - told[-1].done)


async def test_what_the_sink_has_written_comes_back(place: dict[str, Any], reading: Any) -> None:
    """The source sees the files, and not what the sink keeps beside them."""
    sink = FilesSink(**place, roll_records=3, format="csv", folder="{date}/").open("r-1")
    batch = [Delivery(value={"n": n}, key=None, timestamp_ns=0, headers=(), offset=n, id=f"{n}") for n in range(7)]
    await sink.write(batch, Position(lane="r-1/sales/0", begin=0, end=7))
    await sink.settle()

    assert [{"n": f"{n}"} for n in range(7)] == await reading(follow=False).all()


async def test_a_place_that_is_away_for_a_moment(
    reading: Any, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a Parquet file: it is read on by the same source."""
    pytest.importorskip("pyarrow")
    from cluster.connectors.objects.parquet import content_of_parquet  # noqa: PLC0415
    from cluster.connectors.objects.rows import encoder_of  # noqa: PLC0415

    encode = encoder_of("parquet")
    batch = [Delivery(value={"n": n}, key=None, timestamp_ns=0, headers=(), offset=n, id="") for n in range(2500)]
    await put(place, a__parquet=content_of_parquet([encode(one, 0) for one in batch]))
    one = reading(follow=False)
    store = type(open_store(FilesSink(**place)))
    found: list[Any] = []
    for broken in ("open", "look", ""):
        with monkeypatch.context() as patch:
            if broken:
                patch.setattr(store, broken, _away)
                with pytest.raises(Unreachable):
                    await one.read()
        found += [record.value["n"] for record in (await one.read()).records]

    assert list(range(2500)) == found


def _away(*_: Any) -> Any:
    raise Unreachable("it is away")


async def test_what_a_person_has_to_mend(reading: Any, place: dict[str, Any]) -> None:
    """A format that is not to be told, a value that is too large, a place that is not there, a foreign cursor."""
    await put(place, a__dat=b"x", b__json=b"[" + b"1," * 600 + b"1]")
    for options, why in [
        ({"names": "a*"}, "a.dat: its name does not tell its format"),
        ({"names": "b*", "json_bytes_max": 1000}, "b.json is one JSON value of 1203 bytes, at most 1000"),
        ({"url": "file:///nowhere/at/all"}, "there is no directory"),
    ]:
        with pytest.raises(InvalidRoute, match=why):
            await reading(**options).read()
    one = reading()
    one.cursor = b"\xc1"
    with pytest.raises(InvalidRoute, match="cannot be read"):
        await one.read()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"names": ""}, "names is empty"),
        ({"delimiter": ""}, "one character"),
        ({"line_bytes_max": 0}, "from 1 to"),
        ({"json_bytes_max": 0}, "from 1 to"),
        ({"look": "often"}, "look is 'often'"),
        ({"url": "x"}, "url is 'x'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], why: str) -> None:
    """Are told before anything is opened."""
    with pytest.raises(InvalidRoute, match=why):
        ObjectsSource(**{"url": "file:///srv", **options}).check()
