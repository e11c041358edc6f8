"""A disk to look through: what is written is seen through it, and the one below has not changed."""

import random

import pytest

from cluster.node.recovery.overlay import Overlay
from cluster.sim.disk import SimDisk


def _below() -> SimDisk:
    disk = SimDisk(random.Random(1))
    disk.make_directory("a/b")
    for path, content in (("a/one", b"1111"), ("a/b/two", b"2222"), ("three", b"3333")):
        file = disk.open(path, create=True)
        file.write(0, [content])
        file.sync()
    return disk


def _content(disk: Overlay, path: str) -> bytes:
    file = disk.open(path)
    return file.read(0, file.size())


def test_what_is_written_is_seen_and_nothing_is_below() -> None:
    """Changed, made longer, cut, made anew, renamed and removed."""
    below = _below()
    before, operations = below.paths(), below.operations
    disk = Overlay(below)
    file = disk.open("a/one")
    file.write(6, [b"x", b"y"])
    assert b"1111\0\0xy" == _content(disk, "a/one") == file.read(0, 100)
    file.truncate(2)
    file.allocate(3)
    file.sync()
    file.close()
    assert b"11\0" == _content(disk, "a/one")
    disk.open("a/new", create=True).write(0, [b"n"])
    disk.rename("a/new", "a/b/two")
    assert b"n" == _content(disk, "a/b/two")
    assert (["b", "one"], ["two"]) == (disk.list("a"), disk.list("a/b"))
    disk.remove("a/b")
    assert ([], ["one"], ["a", "three"]) == (disk.list("a/b"), disk.list("a"), disk.list("."))
    with pytest.raises(FileNotFoundError):
        disk.open("a/b/two")
    disk.make_directory("a/b")
    disk.open("a/b/two", create=True)
    assert b"" == _content(disk, "a/b/two")
    assert (before, operations) == (below.paths(), below.operations)
    assert b"1111" == below.open("a/one").read(0, 9)
