"""What only the real disk promises: a directory of its own, locked, and one thread."""

import os
import threading

import pytest
from structlog.testing import capture_logs

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


@pytest.mark.parametrize(
    ("release", "alone"),
    [("4.18.0-553.el8.x86_64", 7), ("5.7.19", 7), ("5.8.0-rc1", 0), ("5.15", 0), ("6.18.44-fc-v782", 0), ("odd", 7)],
)
def test_files_are_synced_at_once_only_where_that_tells_of_failures(data_dir, monkeypatch, release, alone):
    """Before Linux 5.8 syncfs said nothing of what could not be written back: what was lost was acknowledged."""
    calls: list[str] = []
    for name in ("fdatasync", "fsync"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda descriptor, real=real: (calls.append("alone"), real(descriptor)))
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", release, "", "x86_64")))
    with capture_logs() as logs:
        disk = RealDisk(data_dir)
        try:
            disk.make_directory("d")
            for _ in range(2):
                calls.clear()
                disk.sync_files([disk.open(f"d/{number}", create=True) for number in range(5)], ["d", "."])
                assert alone == len(calls)
        finally:
            disk.close()
    assert (1 if alone else 0) == len([entry for entry in logs if entry["event"] == "files_synced_alone"])
