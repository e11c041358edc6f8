"""A disk whose power can fail loses what was not synced and keeps what was; one that is full has no room."""

import errno
import os
from pathlib import Path

import pytest

from chaos.arenas.processes.disks.loop import LoopDisk, missing_for_loops
from chaos.arenas.processes.disks.power import fill
from tests.processes.file_systems import loop_disk

pytestmark = [pytest.mark.root, pytest.mark.slow]


def _write(path: Path, data: bytes, *, sync: bool) -> int:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, data)
    if sync:
        os.fsync(descriptor)
    return descriptor


def test_power_loss_takes_what_was_not_synced(tmp_path: Path):
    """Files, the ends of files and names: the same writes, with a sync and without, before the power fails."""
    with loop_disk(tmp_path, 64) as disk:
        opened = [_write(disk.path / "synced", b"A" * 8192, sync=True)]
        opened.append(_write(disk.path / "not-synced", b"B" * 8192, sync=False))
        opened.append(_write(disk.path / "synced", b"C" * 8192, sync=False))
        (disk.path / "not-synced").rename(disk.path / "renamed")

        disk.fail_power()
        with pytest.raises(OSError, match="Input/output error"):
            os.fsync(opened[1])
        for descriptor in opened:
            os.close(descriptor)
        disk.detach()
        disk.attach()

        assert ["lost+found", "synced"] == sorted(path.name for path in disk.path.iterdir())
        assert b"A" * 8192 == (disk.path / "synced").read_bytes()


def test_a_full_disk_has_no_room_until_the_filler_goes(tmp_path: Path):
    """Not even for a block, and afterwards for as much as before."""
    with loop_disk(tmp_path, 64) as disk:
        filler = disk.path / "filler"
        fill(filler, 0)
        with pytest.raises(OSError, match="No space left") as refused:
            (disk.path / "more").write_bytes(b"x" * 65536)
        assert errno.ENOSPC == refused.value.errno

        filler.unlink()
        (disk.path / "more").write_bytes(b"x" * 65536)


def test_some_room_can_be_left(tmp_path: Path):
    """For what was asked, and not for much more."""
    with loop_disk(tmp_path, 64) as disk:
        fill(disk.path / "filler", 256 * 1024)

        (disk.path / "small").write_bytes(b"x" * 200_000)
        with pytest.raises(OSError, match="No space left"):
            (disk.path / "large").write_bytes(b"x" * 200_000)


def test_nothing_is_left_of_a_disk(tmp_path: Path):
    """Neither mount nor loop device nor file, whatever state it was in."""
    with loop_disk(tmp_path, 64) as disk:
        image = str(tmp_path / "image")
        assert image in _backing_files()
        disk.fail_power()
        disk.remove()

        assert not disk.path.is_mount()
        assert image not in _backing_files()
        assert not Path(image).exists()


def test_too_few_loop_devices_are_said(tmp_path: Path):
    """How many are needed, how many are free, and what has the others."""
    with loop_disk(tmp_path, 64):
        why = missing_for_loops(1000)
        assert "1000 loop devices are needed" in why
        assert str(tmp_path / "image") in why


def test_what_is_no_file_system_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A mount that fails gives the loop device back."""
    (tmp_path / "works").mkdir()
    with loop_disk(tmp_path / "works", 64):
        monkeypatch.setattr(LoopDisk, "attach", lambda _: (_ for _ in ()).throw(RuntimeError("no such file system")))
        with pytest.raises(RuntimeError, match="no such file system"):
            LoopDisk(tmp_path / "image", tmp_path / "mount", 64)

    assert str(tmp_path / "image") not in _backing_files()


def _backing_files() -> set[str]:
    return {path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")}
