"""File systems of a test's own: tiny ones that fill up, and one whose power can fail. Without root, a skip."""

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require_tool

FS_IOC_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32): from here on the file system answers EIO, as if the disk had been pulled out."""
WITHOUT_FLUSHING_THE_JOURNAL = 2


def _run(*command: str) -> None:
    done = subprocess.run(
        [require_tool(command[0]), *command[1:]], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        pytest.skip(f"{' '.join(command)}: {done.stderr.strip()}")


def require_root() -> None:
    """Mounting is for root."""
    if os.geteuid():
        pytest.skip("only root may mount file systems")


@contextlib.contextmanager
def tiny(path: Path, mib: int) -> Iterator[Path]:
    """A file system with room for so many MiB."""
    require_root()
    path.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(path))
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True, timeout=60)


def grow(path: Path, mib: int) -> None:
    """More room on a tiny one."""
    _run("mount", "-o", f"remount,size={mib}m", str(path))


class LoopDisk:
    """ext4 in a file, mounted; its power can fail without what was not synced."""

    def __init__(self, image: Path, mount: Path, mib: int) -> None:
        require_root()
        self._image = image
        self.path = mount
        mount.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(mib << 20)
        _run("mkfs.ext4", "-q", "-F", str(image))
        self.attach()

    def attach(self) -> None:
        """Mount it; the journal is replayed."""
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def detach(self) -> None:
        """Nobody uses it any more."""
        subprocess.run(["umount", str(self.path)], check=True, timeout=60)

    def fail_power(self) -> None:
        """Everything that was not synced is gone."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, WITHOUT_FLUSHING_THE_JOURNAL.to_bytes(4, "little"))
        except OSError as error:
            pytest.skip(f"this system cannot shut a file system down: {error}")
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def loop_disk(folder: Path, mib: int = 256) -> Iterator[LoopDisk]:
    """Made, and taken away again."""
    disk = LoopDisk(folder / "image", folder / "mount", mib)
    try:
        yield disk
    finally:
        disk.detach()
