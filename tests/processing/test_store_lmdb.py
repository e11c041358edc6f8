"""What is LMDB's own: long keys, maps that grow, what waits in memory, files that are not what they were."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.errors import CorruptStorage, DiskFailed, DiskFull, RefusedToStart
from cluster.processing.snapshot import BEFORE_ALL, NOTHING, Applied, decode_chunk
from cluster.processing.work import StateChange
from cluster.types import Index
from tests.processing.writing_store import changes_of, state_after

lmdb = pytest.importorskip("lmdb", reason="make extras")

from cluster.processing import store_lmdb  # noqa: E402  an extra
from cluster.processing.store_lmdb import KEY_BYTES, LmdbStore  # noqa: E402


def at(n: int) -> Applied:
    """A place in the log."""
    return Applied(Index(n), n)


def set_(key: bytes, value: bytes | None, store: str = "s") -> StateChange:
    """One change."""
    return StateChange(store=store, key=key, value=value)


LONG = b"k" * (KEY_BYTES - 4)
keys = st.builds(lambda cut, rest: LONG[cut:] + rest, st.sampled_from([0, 3, len(LONG)]), st.binary(max_size=6))


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commits=st.lists(st.lists(st.tuples(keys, st.none() | st.binary(max_size=3)), max_size=6), max_size=6))
def test_long_keys_are_as_good_as_short_ones(tmp_path_factory, commits) -> None:
    """Set, deleted, found, and in the order of bytes, on both sides of what LMDB takes as a key."""
    store = LmdbStore(str(tmp_path_factory.mktemp("long") / "s.mdb"), "t/0")
    expected: dict[bytes, bytes] = {}
    for n, changes in enumerate(commits, 1):
        store.apply(at(n), [set_(key, value) for key, value in changes])
        if n % 2:
            store.flush()
        for key, value in changes:
            expected.pop(key, None)
            if value is not None:
                expected[key] = value
    asked = sorted({key for changes in commits for key, _ in changes} | {LONG, LONG + b"none"})
    for _ in range(2):
        assert [expected.get(key) for key in asked] == store.get_many([("s", key) for key in asked])
        assert sorted(expected.items()) == store.scan("s", b"", limit=100)
        for after in asked:
            wanted = [row for row in sorted(expected.items()) if row[0] > after and row[0].startswith(LONG)]
            assert wanted[:2] == store.scan("s", LONG, after=after, limit=2)
        store.flush()
    snapshot, rows, place = store.snapshot(), [], BEFORE_ALL
    while not (chunk := decode_chunk(snapshot.chunk(place, 1))).last or chunk.rows:
        rows += chunk.rows
        place = chunk.upto
    assert [("s", *row) for row in sorted(expected.items())] == rows
    store.close()


def test_a_map_grows(tmp_path: Path) -> None:
    """But not while a snapshot reads from it: then there is no room, nothing has changed, and it is done afterwards."""
    store = LmdbStore(str(tmp_path / "s.mdb"), "t/0", map_bytes=256 * 1024)
    store.apply(at(1), [set_(b"%d" % n, bytes(10_000)) for n in range(100)])
    store.flush()
    snapshot = store.snapshot()
    store.apply(at(2), [set_(b"%d" % n, bytes(30_000)) for n in range(200)])
    with pytest.raises(DiskFull):
        store.flush()
    assert (Index(1), at(2)) == (store.flushed, store.applied)
    assert 100 == len(decode_chunk(snapshot.chunk(BEFORE_ALL, 1 << 30)).rows)
    snapshot.close()
    store.flush()

    assert (Index(2), 200) == (store.flushed, len(store.scan("s", b"", limit=1000)))
    store.close()
    again = LmdbStore(str(tmp_path / "s.mdb"), "t/0", map_bytes=256 * 1024)
    again.apply(at(3), [set_(b"x", bytes(20_000_000))])
    again.flush()
    assert 201 == len(again.scan("s", b"", limit=1000))
    again.close()


def test_what_waits_in_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it a commit flushes those before it."""
    monkeypatch.setattr(store_lmdb, "PENDING_BYTES_MAX", 5_000)
    store = LmdbStore(str(tmp_path / "s.mdb"), "t/0")
    flushed = []
    for n in range(1, 9):
        store.apply(at(n), [set_(b"%d" % n, bytes(1_900))])
        flushed.append(store.flushed)
    assert [0, 0, 0, 3, 3, 3, 6, 6] == flushed
    assert 8 == len(store.scan("s", b"", limit=100))
    store.close()


def test_a_flush_that_does_not_come_to_its_end_is_none(tmp_path: Path) -> None:
    """LMDB writes pages, syncs them, and only then one of two roots: without the second root the first one counts."""
    path = tmp_path / "s.mdb"
    store, seen = LmdbStore(str(path), "t/0"), []
    for n in range(1, 12):
        store.apply(at(n), changes_of(n))
        before = path.read_bytes()
        store.flush()
        after = bytearray(path.read_bytes())
        roots = 2 * store._env.stat()["psize"]
        assert before[:roots] != after[:roots]
        for name, content in (("all", after), ("no root", before[:roots] + after[roots:])):
            other = tmp_path / f"{n} {name}.mdb"
            other.write_bytes(content)
            found = LmdbStore(str(other), "t/0")
            assert state_after(found.applied.n) == dict(found.scan("s", b"", limit=1000))
            seen.append(n - found.applied.n)
            found.close()
    store.close()
    assert [0, 1] * 11 == seen


def test_a_transfer_survives_a_crash(tmp_path: Path) -> None:
    """The next process goes on behind the last chunk; what was here before is there until the last one."""
    source = LmdbStore(str(tmp_path / "source.mdb"), "t/0")
    source.apply(at(9), [set_(b"%d" % n, b"x") for n in range(6)])
    store, snapshot = LmdbStore(str(tmp_path / "s.mdb"), "t/0"), source.snapshot()
    store.apply(at(1), [set_(b"old", b"old")])
    store.flush()
    store.install(snapshot.chunk(BEFORE_ALL, 9))
    shutil.copy(tmp_path / "s.mdb", tmp_path / "after.mdb")
    after = LmdbStore(str(tmp_path / "after.mdb"), "t/0")
    assert (at(9), ("s", b"2")) == after.installing
    assert [(b"old", b"old")] == after.scan("s", b"", limit=100)
    assert after.install(snapshot.chunk(("s", b"2"), 100))
    assert source.scan("s", b"", limit=100) == after.scan("s", b"", limit=100)
    snapshot.close()
    for held in (source, store, after):
        held.close()


def test_files_that_are_none_of_its_own_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another task's, another version's, something else, and one that lost its end."""
    path = tmp_path / "s.mdb"
    store = LmdbStore(str(path), "t/0")
    store.apply(at(1), [set_(b"%d" % n, bytes(1_000)) for n in range(50)])
    store.flush()
    store.close()
    with pytest.raises(CorruptStorage, match="t/0, not of t/1"):
        LmdbStore(str(path), "t/1")
    (tmp_path / "short.mdb").write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(CorruptStorage, match="20000 bytes"):
        LmdbStore(str(tmp_path / "short.mdb"), "t/0")
    for content in (b"something else", b"something else" * 1000):
        (tmp_path / "else.mdb").write_bytes(content)
        with pytest.raises(CorruptStorage):
            LmdbStore(str(tmp_path / "else.mdb"), "t/0")
        assert content == (tmp_path / "else.mdb").read_bytes()
    monkeypatch.setattr(store_lmdb, "FORMAT", 2)
    with pytest.raises(RefusedToStart, match="format 1, not 2"):
        LmdbStore(str(path), "t/0")


@pytest.mark.parametrize("key", [b"key", LONG + b"key"])
def test_a_flipped_bit_of_a_value_is_noticed(tmp_path: Path, key: bytes) -> None:
    """It is never served."""
    path = tmp_path / "s.mdb"
    store = LmdbStore(str(path), "t/0")
    store.apply(at(1), [set_(key, b"a value of some length")])
    store.flush()
    store.close()
    data = path.read_bytes()
    assert 1 == data.count(b"some length")
    path.write_bytes(data.replace(b"some length", b"come length"))
    store = LmdbStore(str(path), "t/0")
    assert NOTHING != store.applied
    with pytest.raises(CorruptStorage):
        store.get_many([("s", key)])
    with pytest.raises(CorruptStorage):
        store.scan("s", b"", limit=1)
    snapshot = store.snapshot()
    with pytest.raises(CorruptStorage):
        snapshot.chunk(BEFORE_ALL, 10)
    snapshot.close()
    store.close()


def test_a_snapshot_ends_with_its_store(tmp_path: Path) -> None:
    """Whoever reads it is told, and may close it."""
    store = LmdbStore(str(tmp_path / "s.mdb"), "t/0")
    store.apply(at(1), [set_(b"a", b"1")])
    snapshot = store.snapshot()
    store.close()
    with pytest.raises(DiskFailed):
        snapshot.chunk(BEFORE_ALL, 10)
    snapshot.close()
    snapshot.close()
