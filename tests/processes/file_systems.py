"""File systems of a test's own: tiny ones that fill up, and one whose power can fail. Without root, a skip."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.arenas.processes.disks.loop import LoopDisk
from tests.conftest import require_tool


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


@contextlib.contextmanager
def loop_disk(folder: Path, mib: int = 256) -> Iterator[LoopDisk]:
    """Made, and taken away again."""
    require_root()
    require_tool("mkfs.ext4")
    try:
        disk = LoopDisk(folder / "image", folder / "mount", mib)
    except RuntimeError as error:
        pytest.skip(str(error))
    try:
        yield disk
    finally:
        disk.remove()
