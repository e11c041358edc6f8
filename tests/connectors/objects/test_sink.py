"""Files as a destination: formats, folders, when a file ends, and what is refused."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cluster.connectors.contract import Delivery, Guarantee, Position
from cluster.connectors.objects.options import FilesSink
from cluster.connectors.objects.pieces import Claim, claim_name, encode_claim, lane_name
from cluster.connectors.objects.sink import Pieces
from cluster.connectors.objects.store import open_store
from cluster.errors import RecordRefused, Unreachable

LANE = "r-1/sales/0"
DAY_NS = 24 * 3600 * 10**9


def records(values: Sequence[Any], begin: int = 0) -> list[Delivery]:
    """One an offset, each on its own day."""
    return [
        Delivery(value=value, key=None, timestamp_ns=n * DAY_NS, headers=(), offset=n, id=f"{n}")
        for n, value in enumerate(values, begin)
    ]


async def write(sink: Pieces, *values: Any, begin: int = 0, lane: str = LANE) -> bool:
    """As one batch."""
    return await sink.write(records(values, begin), Position(lane=lane, begin=begin, end=begin + len(values)))


async def files(options: FilesSink) -> dict[str, bytes]:
    """Those with data."""
    store = open_store(options)
    found = {entry.name: await store.read(entry.name) for entry in await store.list("")}
    return {name: content or b"" for name, content in found.items() if not name.startswith("_")}


async def test_files_end_by_size_by_number_and_when_they_are_told_to(place: dict[str, Any]) -> None:
    """What is held is not there; a file is named after its lane and its first offset."""
    options = FilesSink(**place, roll_records=3, roll_bytes=100)
    sink = options.open("r-1")

    assert None is await sink.last_position(LANE)
    assert not await write(sink, 1, 2)
    assert {} == await files(options)
    assert await write(sink, 3, begin=2)
    assert not await write(sink, 4, begin=3)
    assert await write(sink, "x" * 100, begin=4)
    assert not await write(sink, 6, begin=5)
    await sink.settle()
    await sink.settle()

    part = f"part-{lane_name(LANE)}-"
    assert {
        f"{part}{0:020}.jsonl": b"1\n2\n3\n",
        f"{part}{3:020}.jsonl": b'4\n"' + b"x" * 100 + b'"\n',
        f"{part}{5:020}.jsonl": b"6\n",
    } == await files(options)
    assert 6 == await options.open("r-1").last_position(LANE)


async def test_what_is_written_again_is_passed_over(place: dict[str, Any]) -> None:
    """Below the position, and within a batch that begins below it."""
    options = FilesSink(**place, roll_records=1)
    sink = options.open("r-1")
    assert await write(sink, 0, 1)
    assert await write(sink, 0, 1)
    assert await write(options.open("r-1"), 1, 2, begin=1)

    assert [b"0\n1\n", b"2\n"] == list((await files(options)).values())


async def test_a_piece_that_another_has_begun_is_ended_where_that_one_would_have(place: dict[str, Any]) -> None:
    """It has claimed it and was killed: its end stands, before ours or behind it."""
    options = FilesSink(**place, roll_records=3)
    store, sink = open_store(options), options.open("r-1")
    name = f"part-{lane_name(LANE)}-{0:020}.jsonl"
    await store.create(claim_name(LANE, 0), encode_claim(Claim(LANE, 0, 2, (name,))))
    assert not await write(sink, 0, 1, 2, 3)
    assert b"0\n1\n" == (await files(options))[name]
    await sink.settle()
    other = f"part-{lane_name(LANE)}-{4:020}.jsonl"
    await store.create(claim_name(LANE, 4), encode_claim(Claim(LANE, 4, 9, (other,))))
    assert not await write(sink, 4, 5, 6, begin=4)
    with pytest.raises(Unreachable, match="from 4 was begun by another up to 9, and its records are here up to 7"):
        await sink.settle()
    assert await write(sink, 7, 8, begin=7)

    assert [b"0\n1\n", b"2\n3\n", b"4\n5\n6\n7\n8\n"] == list((await files(options)).values())


async def test_folders_of_days_and_positions_without_records(place: dict[str, Any]) -> None:
    """One file of a piece for each day; where all was filtered out the position moves all the same."""
    options = FilesSink(**place, folder="day={date}/")
    sink = options.open("r-1")
    await write(sink, "a", "b")
    await sink.settle()
    assert not await sink.write([], Position(lane=LANE, begin=2, end=7))
    await sink.settle()

    part = f"part-{lane_name(LANE)}-{0:020}.jsonl"
    assert {f"day=1970-01-01/{part}": b'"a"\n', f"day=1970-01-02/{part}": b'"b"\n'} == await files(options)
    assert 7 == await sink.last_position(LANE)


async def test_all_lanes_together_are_bounded(tmp_path: Path) -> None:
    """The largest is ended early."""
    options = FilesSink(url=f"file://{tmp_path}", memory_bytes_max=100)
    sink = options.open("r-1")
    assert not await write(sink, "x" * 60, lane="r-1/sales/0")
    assert not await write(sink, "y" * 30, lane="r-1/sales/1")
    assert not await write(sink, "z" * 30, lane="r-1/sales/2")

    assert ['"' + "x" * 60 + '"\n'] == [content.decode() for content in (await files(options)).values()]


async def test_files_that_were_taken_away_stay_away(place: dict[str, Any]) -> None:
    """They are not looked for when their piece is marked, by whoever goes on."""
    options = FilesSink(**place, roll_records=2)
    late = options.open("r-1")
    assert not await write(late, 0)
    await write(options.open("r-1"), 0, 1)
    await open_store(options).delete(list(await files(options)))

    assert await write(late, 1, begin=1)
    assert {} == await files(options)


async def content(tmp_path: Path, form: Any, *values: Any) -> bytes:
    """Of the one file that these become."""
    options = FilesSink(url=f"file://{tmp_path}/{form}", format=form)
    sink = options.open("r-1")
    await write(sink, *values)
    await sink.settle()
    (found,) = (await files(options)).values()
    return found


async def test_json_lines_and_text(tmp_path: Path) -> None:
    """Bytes that are JSON are one line of it, whatever they looked like."""
    lines = await content(tmp_path, "jsonl", {"a": [1]}, b'{\n "b": 2\n}', float("nan"), "x\ny")
    assert [{"a": [1]}, {"b": 2}, None, "x\ny"] == [json.loads(line) for line in lines.decode().splitlines()]
    assert b'line\n\xff\n{"a":1}\n' == await content(tmp_path, "text", "line", b"\xff", {"a": 1})


async def test_csv(tmp_path: Path) -> None:
    """Columns of all records; what is not there is empty."""
    found = await content(
        tmp_path, "csv", {"a": 1, "b": 'x,"y"\nz'}, {"c": [1], "a": True}, 5, {"b": b"\xff", "a": 2**70}
    )
    rows = list(csv.DictReader(io.StringIO(found.decode())))

    assert ["a", "b", "c", "value"] == list(rows[0])
    assert [("1", 'x,"y"\nz', "", ""), ("true", "", "[1]", ""), ("", "", "", "5"), (str(2**70), "/w==", "", "")] == [
        tuple(row.values()) for row in rows
    ]


async def test_parquet(tmp_path: Path) -> None:
    """Types are those of the values; a column of several is text."""
    parquet = pytest.importorskip("pyarrow.parquet")
    values = [
        {"n": 1, "f": 1, "s": "x", "b": b"\xff", "mixed": 1, "nested": {"a": 1}, "flag": True, "none": None},
        {"n": None, "f": 0.5, "mixed": "y"},
    ]
    table = parquet.read_table(io.BytesIO(await content(tmp_path, "parquet", *values)))

    types = ["int64", "double", "string", "binary", "string", "string", "bool", "string"]
    assert types == [str(field.type) for field in table.schema]
    assert [
        {"n": 1, "f": 1.0, "s": "x", "b": b"\xff", "mixed": "1", "nested": '{"a":1}', "flag": True, "none": None},
        {"n": None, "f": 0.5, "s": None, "b": None, "mixed": "y", "nested": None, "flag": None, "none": None},
    ] == table.to_pylist()


@pytest.mark.parametrize(
    ("form", "value", "why"),
    [
        ("jsonl", b"oops", "cannot be written as jsonl: JSON is malformed"),
        ("jsonl", {"a": "\ud800"}, "surrogates not allowed"),
        ("jsonl", None, "a tombstone has no value"),
        ("text", "a\nb", "a line's end in it"),
        ("csv", {}, "it has no fields"),
        ("parquet", {"a": "\ud800"}, "surrogates not allowed"),
    ],
)
async def test_a_record_that_cannot_be_written_is_named(tmp_path: Path, form: Any, value: Any, why: str) -> None:
    """And nothing of its batch is held."""
    if form == "parquet":
        pytest.importorskip("pyarrow")
    options = FilesSink(url=f"file://{tmp_path}/out", format=form)
    sink = options.open("r-1")
    with pytest.raises(RecordRefused, match=why) as refused:
        await write(sink, {"x": 1}, value)
    await sink.settle()

    assert (1, {}) == (refused.value.place, await files(options))


def test_what_is_declared() -> None:
    """For people, and for who runs it."""
    options = FilesSink(url="s3://lake/x", roll="90s", secret_key="${SECRET}", access_key="${KEY}")
    options.check()

    assert ("files s3://lake/x (jsonl)", 90.0) == (options.summary, options.hold_s)
    assert Guarantee.EXACTLY_ONCE == options.guarantee
