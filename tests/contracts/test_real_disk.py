"""What only the real disk promises: a directory of its own, locked, and one thread."""

import threading

import pytest

from cluster.errors import RefusedToStart
from cluster.real import disk as real
from cluster.real.disk import RealDisk


def test_a_place_where_no_directory_can_be_is_refused(data_dir):
    """With its path, and the system's word for why."""
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "file").touch()
    for place, why in (("file", "File exists"), ("file/below", "Not a directory")):
        with pytest.raises(RefusedToStart, match=f"cannot use the data directory {data_dir / place}: {why}"):
            RealDisk(data_dir / place)


def test_a_second_lock_is_refused(data_dir):
    """One process at a time, in one sentence that names the directory; free again after the close."""
    first = RealDisk(data_dir)
    with pytest.raises(RefusedToStart, match=f"{data_dir} is in use by another process"):
        RealDisk(data_dir)
    first.close()
    RealDisk(data_dir).close()

    assert [real.LOCK_FILE] == [path.name for path in data_dir.iterdir()]


def test_the_lock_is_not_listed(data_dir):
    """A fresh directory looks empty to a node: it claims only those."""
    disk = RealDisk(data_dir / "made" / "too")

    assert [] == disk.list(".")
    disk.close()


async def test_work_runs_on_one_thread_of_its_own(data_dir):
    """Never on the loop's, always on the same one; `close` waits for what was asked."""
    disk = RealDisk(data_dir)
    names = {await disk.run(lambda: threading.current_thread().name) for _ in range(10)}
    disk.close()

    assert {"disk"} == names


def test_thousands_of_buffers_are_one_write(data_dir):
    """More than the system takes at once, empty ones among them."""
    disk = RealDisk(data_dir)
    file = disk.open("a", create=True)
    parts = [b"" if n % 7 == 0 else b"%d " % n for n in range(5_000)]

    assert sum(map(len, parts)) == file.write(0, parts)
    assert b"".join(parts) == file.read(0, 1 << 20)
    file.close()
    disk.close()
