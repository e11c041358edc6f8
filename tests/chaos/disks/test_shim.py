"""The library before libc does what it is told to a program in C and to Python, below one directory, and counts it."""

import errno
import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.arenas.processes.disks.shim import BUILT, Control, library
from tests.conftest import require_tool

WRITES = ("write", "pwrite", "writev", "pwritev", "pwritev2")
ROOM = ("fallocate", "posix_fallocate")
NAMES = ("create", "unlink", "mkdir", "rename")
SYNCS = ("fsync", "fdatasync", "syncfs")
ALL = (*WRITES, *ROOM, "ftruncate", *SYNCS)


@functools.cache
def _program() -> Path:
    require_tool("cc")
    library()
    path = BUILT / "calls"  # nodes are started with the library by others: this is the tests' own
    source = Path(__file__).with_name("calls.c")
    subprocess.run(["cc", "-D_FILE_OFFSET_BITS=64", "-o", str(path), str(source)], check=True)
    return path


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    """Of everything below `tmp_path/data`."""
    require_tool("cc")
    (tmp_path / "data").mkdir()
    found = Control(tmp_path / "control")
    yield found
    found.close()


def _environment(control: Control, tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "LD_PRELOAD": str(library()), **control.environment(tmp_path / "data")}


def _call(control: Control, tmp_path: Path, *words: str, file: str = "data/file") -> dict[str, int]:
    """What each call came to; a negative errno if it failed."""
    command = [str(_program()), str(tmp_path / file), *words]
    done = subprocess.run(command, env=_environment(control, tmp_path), capture_output=True, text=True, check=True)
    return {word: int(number) for word, number in (line.split("=") for line in done.stdout.splitlines())}


def test_it_is_transparent_until_it_is_told_something(control: Control, tmp_path: Path):
    """Every call does what libc does, and the library is counted as loaded."""
    found = _call(control, tmp_path, *ALL, *NAMES)

    assert {word: 64 if word in WRITES else 0 for word in ALL} == {word: found[word] for word in ALL}
    assert 1 == control.counts()["loaded"]


def test_each_call_that_writes_can_fail(control: Control, tmp_path: Path):
    """EIO from whatever changes bytes, lengths and names; syncs go on."""
    _call(control, tmp_path)  # the file is there
    control.set(write_errno=errno.EIO, write_every=1)

    found = _call(control, tmp_path, *ALL, "create", "rename", "mkdir", "unlink")

    assert {word: 0 if word in SYNCS else -errno.EIO for word in found} == found
    assert len(found) - len(SYNCS) == control.counts()["writes_refused"]


def test_a_full_disk_refuses_what_takes_room(control: Control, tmp_path: Path):
    """ENOSPC where something grows or is made; cutting, and removing, is possible."""
    _call(control, tmp_path, "create")
    control.set(write_errno=errno.ENOSPC, write_every=1)

    found = _call(control, tmp_path, *WRITES, *ROOM, "ftruncate", "unlink", "create")

    refused = {*WRITES, *ROOM, "create"}
    assert {word: -errno.ENOSPC if word in refused else 0 for word in found} == found


def test_every_nth_write_fails(control: Control, tmp_path: Path):
    """One of three, counted over all calls of a process."""
    _call(control, tmp_path)
    control.set(write_errno=errno.EIO, write_every=3)

    found = _call(control, tmp_path, *WRITES)

    assert [64, 64, -errno.EIO, 64, 64] == [found[word] for word in WRITES]


def test_each_sync_can_fail(control: Control, tmp_path: Path):
    """fsync, fdatasync and syncfs answer EIO, and writes go on."""
    control.set(sync_errno=errno.EIO, sync_every=1)

    found = _call(control, tmp_path, *ALL)

    assert dict.fromkeys(SYNCS, -errno.EIO) == {word: found[word] for word in SYNCS}
    assert 64 == found["pwritev2"]
    assert 3 == control.counts()["syncs_refused"]


def test_writes_can_be_short(control: Control, tmp_path: Path):
    """Half of what was given, in buffers as well."""
    control.set(short_every=1)

    found = _call(control, tmp_path, *WRITES)

    assert dict.fromkeys(WRITES, 32) == found


def test_other_files_are_left_alone(control: Control, tmp_path: Path):
    """What lies elsewhere, under a name that begins alike, or does not hold the part of the path that is wanted."""
    (tmp_path / "data-2").mkdir()
    control.set(sync_errno=errno.EIO, sync_every=1)
    assert 0 == _call(control, tmp_path, "fsync", file="data-2/file")["fsync"]

    control.set(sync_errno=errno.EIO, sync_every=1, only="journal")
    assert 0 == _call(control, tmp_path, "fsync", file="data/file")["fsync"]
    assert -errno.EIO == _call(control, tmp_path, "fsync", file="data/journal")["fsync"]


def test_it_can_be_told_while_a_program_runs(control: Control, tmp_path: Path):
    """What Python writes, and SQLite: each of the calls that nodes make, before, while and after something is wrong."""
    program = Path(__file__).with_name("writing.py")
    process = subprocess.Popen(
        [sys.executable, str(program), str(tmp_path / "data")],
        env=_environment(control, tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def ask() -> dict[str, str]:
        process.stdin.write("\n")
        process.stdin.flush()
        return dict(word.split("=", 1) for word in process.stdout.readline().split())

    try:
        fine = ask()
        assert {"ok"} == set(fine.values())
        control.set(write_errno=errno.EIO, write_every=1)
        assert {**dict.fromkeys(fine, "EIO"), "fdatasync": "ok", "syncfs": "ok", "directory": "ok"} == ask()
        control.set(sync_errno=errno.EIO, sync_every=1)
        syncs = {"fdatasync": "EIO", "syncfs": "EIO", "directory": "EIO", "sqlite": "EIO"}
        assert {**dict.fromkeys(fine, "ok"), **syncs} == ask()
        control.set(write_errno=errno.ENOSPC, write_every=1)
        assert {"ENOSPC", "ok"} == set(ask().values())
        control.set(short_every=1)
        assert {**dict.fromkeys(fine, "ok"), "pwritev": "short"} == ask()
        control.set(sync_delay_ms=150)
        begin_s = time.perf_counter()
        assert fine == ask()
        assert 0.45 < time.perf_counter() - begin_s < 10
        control.set(sync_lie=1)
        assert fine == ask()
        control.clear()
        assert fine == ask()
        assert 4 <= control.counts()["syncs_lied"]
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
