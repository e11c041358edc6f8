"""Contract of the disk while the power stays on: files, names, sizes, errors as the system gives them."""

import asyncio
import errno

import pytest

from tests.contracts.places import in_both_worlds, within


def write(disk, path, *parts):
    """A file with that content, open."""
    file = disk.open(path, create=True)
    file.write(0, list(parts))
    return file


@in_both_worlds
async def test_what_is_written_reads_back(place):
    """In one piece or many, synced or not, by the same handle and by another."""
    parts = [b"%d," % n for n in range(3_000)]
    whole = b"".join(parts)
    file = place.disk.open("a", create=True)

    assert len(whole) == file.write(0, parts)
    assert whole == file.read(0, len(whole))
    assert whole == place.disk.open("a").read(0, 1 << 20)
    file.sync()
    assert whole[100:200] == file.read(100, 100)
    assert (b"", b"", whole[-3:]) == (file.read(len(whole), 9), file.read(5, 0), file.read(len(whole) - 3, 9))
    assert len(whole) == file.size() == place.disk.open("a").size()
    assert 0 == file.write(7, []) == file.write(7, [b"", b""])


@in_both_worlds
async def test_writing_at_positions(place):
    """Over what is there, at the end, and beyond it, where the gap reads as zeros."""
    file = write(place.disk, "a", b"0123456789")
    file.write(3, [b"abc"])
    file.write(10, [b"X"])
    file.write(14, [b"end"])

    assert b"012abc6789X\0\0\0end" == file.read(0, 99)


@in_both_worlds
async def test_cutting_and_growing(place):
    """What is cut does not come back when the file grows again; reserved space reads as zeros and never shrinks."""
    file = write(place.disk, "a", b"0123456789")
    file.truncate(4)
    assert (4, b"0123") == (file.size(), file.read(0, 99))
    file.truncate(6)
    assert b"0123\0\0" == file.read(0, 99)
    file.allocate(8)
    file.allocate(5)
    assert b"0123\0\0\0\0" == file.read(0, 99)
    file.truncate(0)
    assert (0, b"") == (file.size(), file.read(0, 99))


@in_both_worlds
async def test_listing(place):
    """Names, sorted, of files and directories alike; of one level; nothing for what is not there."""
    disk = place.disk
    disk.make_directory("b/deep/er")
    disk.make_directory("b/deep")
    for path in ("c", "a", "b/x", "b/deep/y", "bb"):
        disk.open(path, create=True).close()

    assert ["a", "b", "bb", "c"] == disk.list(".")
    assert ["deep", "x"] == disk.list("b")
    assert ["er", "y"] == disk.list("b/deep")
    assert [] == disk.list("b/deep/er") == disk.list("nowhere") == disk.list("nowhere/deep")


@in_both_worlds
async def test_a_rename_replaces(place):
    """The new name has the old content; who had the replaced file open still sees that."""
    disk = place.disk
    source, target = write(disk, "new", b"new"), write(disk, "old", b"old content")
    disk.rename("new", "old")

    assert ["old"] == disk.list(".")
    assert b"new" == disk.open("old").read(0, 99) == source.read(0, 99)
    assert b"old content" == target.read(0, 99)
    source.write(3, [b"er"])
    assert b"newer" == disk.open("old").read(0, 99)


@in_both_worlds
async def test_a_rename_to_another_directory(place):
    """Also of a directory with all that it holds."""
    disk = place.disk
    disk.make_directory("here/in")
    disk.make_directory("there")
    write(disk, "here/in/a", b"a")
    disk.rename("here/in/a", "there/b")
    disk.open("here/in/c", create=True).write(0, [b"c"])
    disk.rename("here/in", "there/in")

    assert ([], ["b", "in"], ["c"]) == (disk.list("here"), disk.list("there"), disk.list("there/in"))
    assert (b"a", b"c") == (disk.open("there/b").read(0, 9), disk.open("there/in/c").read(0, 9))


@in_both_worlds
async def test_removing(place):
    """A file, or a directory with all that it holds; an open file can still be read."""
    disk = place.disk
    disk.make_directory("d/e")
    open_still = write(disk, "d/e/a", b"kept")
    write(disk, "d-not", b"")
    disk.remove("d")

    assert ["d-not"] == disk.list(".")
    assert b"kept" == open_still.read(0, 9)
    disk.remove("d-not")
    assert [] == disk.list(".")
    assert 0 == disk.open("d-not", create=True).size()


@in_both_worlds
async def test_opening_does_not_empty(place):
    """`create` makes an absent file and leaves another one alone."""
    write(place.disk, "a", b"kept").close()

    assert b"kept" == place.disk.open("a", create=True).read(0, 9)


@in_both_worlds
async def test_what_is_not_there(place):
    """FileNotFoundError, whatever is asked of it."""
    disk = place.disk
    write(disk, "file", b"")
    for ask in (
        lambda: disk.open("a"),
        lambda: disk.open("nowhere/a"),
        lambda: disk.open("nowhere/a", create=True),
        lambda: disk.rename("a", "b"),
        lambda: disk.rename("file", "nowhere/b"),
        lambda: disk.remove("a"),
        lambda: disk.remove("nowhere/a"),
        lambda: disk.sync_directory("nowhere"),
    ):
        with pytest.raises(FileNotFoundError):
            ask()

    assert ["file"] == disk.list(".")


@in_both_worlds
async def test_a_directory_is_no_file(place):
    """And a file is no directory."""
    disk = place.disk
    disk.make_directory("d")
    write(disk, "file", b"")
    for ask in (lambda: disk.open("d"), lambda: disk.open("d", create=True), lambda: disk.rename("file", "d")):
        with pytest.raises(IsADirectoryError):
            ask()
    for ask in (
        lambda: disk.open("file/a", create=True),
        lambda: disk.make_directory("file/a"),
        lambda: disk.list("file"),
        lambda: disk.sync_directory("file"),
    ):
        with pytest.raises(NotADirectoryError):
            ask()
    with pytest.raises(FileExistsError):
        disk.make_directory("file")

    assert ["d", "file"] == disk.list(".")


@in_both_worlds
async def test_a_closed_file_stays_closed(place):
    """Whatever is opened afterwards is another file, which the old handle cannot touch; closing again is nothing."""
    old = write(place.disk, "old", b"old")
    old.close()
    other = write(place.disk, "other", b"other")
    for use in (
        lambda: old.read(0, 9),
        lambda: old.write(0, [b"wrong"]),
        lambda: old.truncate(0),
        lambda: old.allocate(99),
        old.size,
        old.sync,
    ):
        with pytest.raises(OSError, match="descriptor") as caught:
            use()
        assert errno.EBADF == caught.value.errno
    old.close()

    assert b"other" == other.read(0, 99)


@in_both_worlds
async def test_syncing_many(place):
    """Files and directories together, few or many; all stay usable."""
    disk = place.disk
    disk.make_directory("d")
    for count in (1, 2, 12):
        files = [write(disk, f"d/{n}", b"%d" % n) for n in range(count)]
        disk.sync_files(files, ["d", "."])
        disk.sync_files(files)
        disk.sync_files([], ["d"])
        assert [b"%d" % n for n in range(count)] == [file.read(0, 9) for file in files]
    disk.sync_files([])

    assert sorted(str(n) for n in range(12)) == disk.list("d")


@in_both_worlds
async def test_room_is_told(place):
    """There is some; what is reserved is gone from it."""
    before = place.disk.free_bytes()
    assert 0 < before <= place.disk.total_bytes()
    place.disk.open("a", create=True).allocate(1 << 24)

    assert before > 1 << 24
    assert place.disk.free_bytes() < before


@in_both_worlds
async def test_work_runs_in_the_order_asked(place):
    """One at a time, each with its own result or error; the loop goes on meanwhile."""
    asked, order, at_once = [], [], []

    def work(n):
        at_once.append(n)
        assert 1 == len(at_once)
        order.append(n)
        at_once.remove(n)
        if n == 5:
            raise OSError(errno.EIO, "broken")
        return n * n

    async def ask(n):
        asked.append(n)
        return await place.disk.run(lambda: work(n))

    answers = await within(asyncio.gather(*map(ask, range(10)), return_exceptions=True))

    assert 10 == len(asked)
    assert asked == order
    assert [n * n for n in range(10) if n != 5] == [answer for n, answer in enumerate(answers) if n != 5]
    assert errno.EIO == answers[5].errno
