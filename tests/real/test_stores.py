"""Which files a node keeps state in, and what becomes of them when it chooses others."""

from pathlib import Path

import pytest

from cluster.errors import CorruptStorage, RefusedToStart
from cluster.processing.snapshot import NOTHING, Applied
from cluster.processing.work import StateChange
from cluster.real import stores
from cluster.real.stores import RealStores
from cluster.types import Index

ROWS = [(b"%d" % n, b"x" * 200_000) for n in range(9)]


def names(root: Path) -> list[str]:
    """The files of a task's directory."""
    return sorted(path.name for path in (root / "task").iterdir())


def filled(root: Path, kind: str) -> None:
    """State of two commits, the second of which is not flushed when the store is closed."""
    (root / "task").mkdir()
    store = RealStores(root, kind).open("task", "t/0")
    store.apply(Applied(Index(3), 1), [StateChange(store="s", key=key, value=value) for key, value in ROWS])
    store.flush()
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "other"), [("sqlite", "lmdb"), ("lmdb", "sqlite")])
def test_state_moves_with_the_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, other: str) -> None:
    """Nothing is lost, whatever ends in between; the old files go when the new ones have all of it."""
    pytest.importorskip("lmdb", reason="make extras")
    filled(tmp_path, kind)
    with monkeypatch.context() as broken:
        broken.setattr(stores, "decode_chunk", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            RealStores(tmp_path, other).open("task", "t/0")
    with monkeypatch.context() as broken:
        broken.setattr(stores, "_remove", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            RealStores(tmp_path, other).open("task", "t/0")
    for _ in range(2):
        store = RealStores(tmp_path, other).open("task", "t/0")
        assert (Applied(Index(3), 1), Index(3)) == (store.applied, store.flushed)
        assert ROWS == store.scan("s", b"", limit=100)
        assert set(names(tmp_path)) <= set(stores.FILES[other])
        store.close()
    assert 9 * 200_000 < RealStores(tmp_path, other).bytes_in("task") < 4 * 9 * 200_000
    RealStores(tmp_path, other).remove("task")
    assert [] == names(tmp_path)
    store = RealStores(tmp_path, kind).open("task", "t/0")
    assert NOTHING == store.applied
    store.close()


def test_another_tasks_state_is_not_moved(tmp_path: Path) -> None:
    """It is said whose it is, and stays."""
    pytest.importorskip("lmdb", reason="make extras")
    filled(tmp_path, "sqlite")
    with pytest.raises(CorruptStorage, match="t/0, not of t/1"):
        RealStores(tmp_path, "lmdb").open("task", "t/1")
    assert (tmp_path / "task" / "state.db").exists()


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that wants LMDB, or finds state in it, does not begin without it, nor without the state."""
    monkeypatch.setattr(stores, "find_spec", lambda _: None)
    with pytest.raises(RefusedToStart, match=r'processing\.store is "lmdb", and lmdb is not installed: .*\[lmdb\]'):
        RealStores(tmp_path, "lmdb")
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "state.mdb").write_bytes(b"")
    with pytest.raises(RefusedToStart, match=r"state\.mdb, and lmdb is not installed"):
        RealStores(tmp_path).open("task", "t/0")
