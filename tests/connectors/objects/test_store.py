"""One contract, a directory and a bucket: what is made is there whole, once, and never replaced."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from cluster.connectors.objects.local import BESIDE
from cluster.connectors.objects.options import FilesSink
from cluster.connectors.objects.store import Store, open_store
from cluster.errors import InvalidRoute, Unreachable
from tests.connectors.objects.conftest import s3_options
from tests.servers.s3 import S3


def store_of(options: dict[str, Any]) -> Store:
    """At a place."""
    return open_store(FilesSink(**options))


async def test_a_name_is_given_once(place: dict[str, Any]) -> None:
    """Of many who make it at once one does; all see what that one wrote."""
    store = store_of(place)

    made = await asyncio.gather(*(store.create("a/b/one", b"%02d" % n) for n in range(20)))

    assert 1 == sum(made)
    assert b"%02d" % made.index(True) == await store.read("a/b/one")
    assert not await store_of(place).create("a/b/one", b"later")


async def test_the_first_ones_write_while_others_end(place: dict[str, Any]) -> None:
    """Regression: what was beside when the first writer looked for leftovers was gone when it asked for its age."""
    for run in range(30):
        stores = [store_of(place) for _ in range(8)]
        made = await asyncio.gather(*(stores[n % 8].create(f"{run}/{n}", b"") for n in range(24)))
        assert all(made)


async def test_parts_of_a_file(place: dict[str, Any]) -> None:
    """Its end is not an error, its absence is None."""
    store = store_of(place)
    await store.create("x", b"0123456789")

    assert [b"0123456789", b"34", b"89", b"", b"56789"] == [
        await store.read("x"),
        await store.read("x", 3, 2),
        await store.read("x", 8, 5),
        await store.read("x", 10, 5),
        await store.read("x", 5),
    ]
    assert [None, None] == [await store.read("y"), await store.read("y", 1, 1)]


async def test_what_there_is(place: dict[str, Any]) -> None:
    """By name, within a folder; what is deleted is gone, and may be deleted again."""
    store = store_of(place)
    assert [] == list(await store.list(""))
    for name in ("b", "a/2", "a/1", "a.txt", "ab/1"):
        await store.create(name, name.encode())

    listed = [entry for entry in await store.list("") if not entry.name.startswith("_")]
    assert [("a.txt", 5), ("a/1", 3), ("a/2", 3), ("ab/1", 4), ("b", 1)] == [(e.name, e.size) for e in listed]
    assert ["a/1", "a/2"] == [entry.name for entry in await store.list("a")]
    assert listed[1] == await store.look("a/1")
    await store.delete(["a/1", "none"])
    assert None is await store.look("a/1")
    assert [] == list(await store.list("nothing"))


async def test_a_directory_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """What and where."""
    (tmp_path / "file").touch()
    for url, why in [
        (f"file://{tmp_path}/nowhere/out", f"there is no directory {tmp_path}/nowhere"),
        (f"file://{tmp_path}/file", "file"),
    ]:
        with pytest.raises(InvalidRoute, match=why):
            await store_of({"url": url}).create("x", b"")
    with pytest.raises(InvalidRoute, match="there is no directory"):
        await store_of({"url": f"file://{tmp_path}/nowhere/out"}).list("")


async def test_what_a_killed_writer_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    """And nothing else is beside the files."""
    beside = tmp_path / "out" / BESIDE
    beside.mkdir(parents=True)
    for name, age in (("old", 200_000), ("young", 10)):
        (beside / name).touch()
        os.utime(beside / name, (10**9 - age, 10**9 - age))

    await store_of({"url": f"file://{tmp_path}/out"}).create("x", b"1")

    assert ["young"] == [path.name for path in beside.iterdir()]


@pytest.mark.slow
async def test_a_bucket_that_is_not_there_or_not_ours(server: S3) -> None:
    """The server's own word for it, and where; never a key."""
    options = s3_options(server, "x")
    for change, failure, why in [
        ({"url": "s3://none/x"}, InvalidRoute, "s3://none at http://127.0.0.1:.*: x: NoSuchBucket"),
        ({"secret_key": "wrong"}, InvalidRoute, "SignatureDoesNotMatch"),
        ({"endpoint": "http://127.0.0.1:1"}, Unreachable, "s3://lake at http://127.0.0.1:1: x: GenericError"),
    ]:
        store = store_of({**options, **change, "timeout": "1s"})
        for call in (store.create("x", b""), store.list("x")):
            with pytest.raises(failure, match=why) as raised:
                await call
            assert options["secret_key"] not in str(raised.value)
            assert len(str(raised.value)) < 400


@pytest.mark.slow
async def test_a_server_without_conditional_puts_is_no_destination() -> None:
    """It would take each claim that it is given; it is found out before the first."""
    server = S3(conditional=False)
    server.start()
    try:
        with pytest.raises(
            InvalidRoute, match=r"it does not know If-None-Match: \*\), so no record could be there once"
        ):
            await FilesSink(**s3_options(server, "x")).open("r-1").last_position("r-1/sales/0")
    finally:
        server.stop()


@pytest.mark.slow
async def test_a_server_that_comes_back(server: S3) -> None:
    """It is away meanwhile; what was made before is there."""
    store = store_of({**s3_options(server, "back"), "timeout": "1s"})
    await store.create("one", b"1")
    server.kill()
    with pytest.raises(Unreachable):
        await store.create("two", b"2")
    server.start()

    assert (False, True) == (await store.create("one", b"x"), await store.create("two", b"2"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"url": "ftp://host/x"}, "url is 'ftp://host/x'"),
        ({"url": "relative"}, "url is 'relative'"),
        ({"url": "s3://key:secret@lake/x"}, "url is 's3'"),
        ({"url": "s3://lake", "endpoint": "host:9"}, "has to begin with http"),
        ({"url": "s3://lake", "endpoint": "http://a:b@host"}, "has a user in it"),
        ({"url": "s3://lake", "access_key": "a"}, "both, or neither"),
        ({"url": "file:///x", "roll_bytes": 0}, "roll_bytes is 0"),
        ({"url": "file:///x", "folder": "{topic}/"}, "only {date}"),
        ({"url": "file:///x", "folder": "../"}, "may not lead out"),
        ({"url": "file:///x", "folder": "a"}, "has to end with a slash"),
        ({"url": "file:///x", "folder": "_riverrun/"}, "not to begin"),
        ({"url": "file:///x", "roll": "0s"}, "roll is '0s'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], why: str) -> None:
    """Are told before anything is opened."""
    with pytest.raises(InvalidRoute, match=why):
        FilesSink(**options).check()
