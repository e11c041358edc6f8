"""A store's file after its process was killed, or the power failed: the state after some earlier commit, whole."""

import random
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cluster.errors import CorruptStorage, DiskFull, RefusedToStart
from cluster.processing.snapshot import BEFORE_ALL, Applied
from cluster.processing.store import Store
from cluster.processing.store_sqlite import SqliteStore
from cluster.processing.work import StateChange
from cluster.types import Index
from tests.processing.writing_store import changes_of, opened, state_after

ROOT = Path(__file__).parents[2]
SECTOR = 512
KINDS = ["sqlite", pytest.param("lmdb", marks=pytest.mark.skipif(find_spec("lmdb") is None, reason="make extras"))]


def state_of(store: Store) -> dict[bytes, bytes]:
    """All of it."""
    return dict(store.scan("s", b"", limit=1_000_000))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_process_leaves_a_whole_commit(tmp_path, kind):
    """It is killed ten times, at any moment, and goes on each time: nothing that it said it had flushed is lost.

    SQLite's loses nothing that was applied either.
    """
    path, chance, reached = tmp_path / "store.db", random.Random(7), 0
    for seed in range(10):
        program = [sys.executable, "-m", "tests.processing.writing_store", str(path), str(seed), kind]
        with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            lines, wanted = [("flushed", reached), ("applied", reached)], reached + chance.randint(1, 60)
            for line in child.stdout:
                lines.append((line.split()[0], int(line.split()[1])))
                if lines[-1][1] >= wanted:
                    break
            child.kill()
            lines += [(line.split()[0], int(line.split()[1])) for line in child.stdout if line.endswith("\n")]
        store = opened(kind, str(path))
        reached = store.applied.n
        kept, applied = (max(n for what, n in lines if what == name) for name in ("flushed", "applied"))
        assert (applied if kind == "sqlite" else kept) <= reached <= applied + 1
        assert Applied(Index(2 * reached), reached) == store.applied
        assert state_after(reached) == state_of(store)
        store.close()
    assert reached > 20


def torn(journal: bytes, synced: int, chance: random.Random) -> bytes:
    """What a disk may have of a file of which `synced` bytes were synced: of the rest, any sectors."""
    kept = bytearray(journal[: chance.randint(synced, len(journal))])
    for sector in range(-(-synced // SECTOR) * SECTOR, len(kept), SECTOR):
        if chance.random() < 0.1:
            kept[sector : sector + SECTOR] = bytes(len(kept[sector : sector + SECTOR]))
    return bytes(kept)


@pytest.mark.slow
@pytest.mark.parametrize("snapshot_is_open", [False, True])
def test_a_power_failure_leaves_a_whole_commit(tmp_path, snapshot_is_open):
    """Whatever of the journal's end reached the disk; what was flushed is there, also beside an open snapshot."""
    chance, lost = random.Random(3), 0
    for trial in range(15):
        path = tmp_path / f"{trial}.db"
        store, snapshot = SqliteStore(str(path), "t/0"), None
        last, flush_at = chance.randint(2, 40), chance.randint(1, 20)
        synced = 0
        for n in range(1, last + 1):
            store.apply(Applied(Index(n), n), changes_of(n))
            if snapshot_is_open and n == 1:
                snapshot = store.snapshot()
            if n == flush_at:
                store.flush()
                synced = Path(f"{path}-wal").stat().st_size
                before_flush = path.read_bytes()
        if last < flush_at:
            before_flush = path.read_bytes()
        begun_again = last > flush_at and snapshot is None  # the journal is written again from its start
        after = tmp_path / f"{trial}-after.db"
        after.write_bytes(before_flush)
        journal = Path(f"{path}-wal").read_bytes()
        Path(f"{after}-wal").write_bytes(torn(journal, 0 if begun_again else synced, chance))
        if snapshot is not None:
            assert {} != dict.fromkeys(snapshot.chunk(BEFORE_ALL, 100))
            snapshot.close()
        store.close()

        found = SqliteStore(str(after), "t/0")
        assert min(flush_at, last) * (flush_at <= last) <= found.applied.n <= last
        assert state_after(found.applied.n) == state_of(found)
        lost += found.applied.n < last
        found.close()
    assert lost > 3


def test_the_file_of_another_task_is_refused(tmp_path):
    """Its state is not this one's."""
    path = str(tmp_path / "store.db")
    SqliteStore(path, "t/0").close()
    with pytest.raises(CorruptStorage, match="t/0, not of t/1"):
        SqliteStore(path, "t/1")


def test_what_is_no_store_is_refused(tmp_path):
    """And the file stays as it is."""
    path = tmp_path / "store.db"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(CorruptStorage):
        SqliteStore(str(path), "t/0")
    assert b"something else" * 1000 == path.read_bytes()


def test_the_file_of_another_version_is_refused(tmp_path):
    """It is read by the version that wrote it."""
    path = tmp_path / "store.db"
    store = SqliteStore(str(path), "t/0")
    store._db.execute("PRAGMA user_version = 2")
    store.close()
    with pytest.raises(RefusedToStart, match="format 2"):
        SqliteStore(str(path), "t/0")


def test_a_flipped_bit_of_a_value_is_noticed(tmp_path):
    """It is never served."""
    path = tmp_path / "store.db"
    store = SqliteStore(str(path), "t/0")
    store.apply(Applied(Index(1), 1), [StateChange(store="s", key=b"key", value=b"a value of some length")])
    store.close()
    data = path.read_bytes()
    assert 1 == data.count(b"some length")
    path.write_bytes(data.replace(b"some length", b"come length"))
    store = SqliteStore(str(path), "t/0")
    with pytest.raises(CorruptStorage):
        store.get_many([("s", b"key")])
    with pytest.raises(CorruptStorage):
        store.scan("s", b"", limit=1)
    snapshot = store.snapshot()
    with pytest.raises(CorruptStorage):
        snapshot.chunk(BEFORE_ALL, 10)
    snapshot.close()
    store.close()


def test_a_full_disk_changes_nothing(tmp_path):
    """The commit is applied when there is room."""
    store = SqliteStore(str(tmp_path / "store.db"), "t/0")
    store.apply(Applied(Index(1), 1), [StateChange(store="s", key=b"a", value=b"1")])
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    large = [StateChange(store="s", key=b"a", value=b"2"), StateChange(store="s", key=b"b", value=bytes(100_000))]
    with pytest.raises(DiskFull):
        store.apply(Applied(Index(2), 2), large)
    assert ([b"1", None], Applied(Index(1), 1)) == (store.get_many([("s", b"a"), ("s", b"b")]), store.applied)
    store._db.execute("PRAGMA max_page_count = 100000")
    store.apply(Applied(Index(2), 2), large)
    assert [b"2"] == store.get_many([("s", b"a")])
    store.close()


def test_a_transfer_survives_a_crash(tmp_path):
    """The next process goes on behind the last chunk that reached the disk."""
    source, path = SqliteStore(str(tmp_path / "source.db"), "t/0"), tmp_path / "store.db"
    source.apply(Applied(Index(9), 3), [StateChange(store="s", key=b"%d" % n, value=b"x") for n in range(6)])
    store, snapshot = SqliteStore(str(path), "t/0"), source.snapshot()
    store.install(snapshot.chunk(BEFORE_ALL, 9))
    for name in ("store.db", "store.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / f"after-{name}")
    after = SqliteStore(str(tmp_path / "after-store.db"), "t/0")
    assert (Applied(Index(9), 3), ("s", b"2")) == after.installing
    assert after.install(snapshot.chunk(("s", b"2"), 100))
    assert state_of(source) == state_of(after)
    snapshot.close()
    for held in (source, store, after):
        held.close()
