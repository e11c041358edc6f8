"""One contract, three stores: a file of SQLite's or LMDB's, and memory with the same losses."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.errors import CorruptStorage, RefusedToStart, SnapshotRefused
from cluster.processing.snapshot import BEFORE_ALL, NOTHING, Applied, decode_chunk, encode_chunk
from cluster.processing.store import Store
from cluster.processing.store_memory import MemoryStore
from cluster.processing.work import StateChange
from cluster.types import Index
from tests.processing.test_store_crash import KINDS
from tests.processing.writing_store import opened

Crash = Callable[[Store], Store]


def set_(store: str, key: bytes, value: bytes | None) -> StateChange:
    """One change."""
    return StateChange(store=store, key=key, value=value)


def at(index: int, n: int | None = None) -> Applied:
    """A place in the log."""
    return Applied(Index(index), index if n is None else n)


@pytest.fixture(params=[*KINDS, "memory"])
def places(request, tmp_path) -> tuple[Callable[[], Store], Crash]:
    """How to make a store, and what a crash makes of it: nothing unflushed is left, as bad as it gets."""
    if request.param == "memory":

        def crash_memory(store: Store) -> Store:
            assert isinstance(store, MemoryStore)
            store.crash(0)
            return store

        return MemoryStore, crash_memory

    made: list[Path] = []

    def make() -> Store:
        made.append(tmp_path / f"{len(made)}.db")
        return opened(request.param, str(made[-1]))

    def crash(store: Store) -> Store:
        """What is on disk of the journal was synced by the last flush: nothing else of it is there."""
        assert not isinstance(store, MemoryStore)
        before = Path(store._path)
        after = tmp_path / f"after-{len(made)}.db"
        made.append(after)
        shutil.copy(before, after)  # all of the journal was copied into it by the last flush
        store.close()
        return opened(request.param, str(after))

    return make, crash


@pytest.fixture
def make(places) -> Callable[[], Store]:
    """Makes a store."""
    return places[0]


@pytest.fixture
def crash(places) -> Crash:
    """What a crash leaves of one."""
    return places[1]


def contents(store: Store) -> dict[tuple[str, bytes], bytes]:
    """All of it, by way of a snapshot."""
    snapshot = store.snapshot()
    rows, after, last = {}, BEFORE_ALL, False
    while not last:
        chunk = decode_chunk(snapshot.chunk(after, 20))
        rows |= {(name, key): value for name, key, value in chunk.rows}
        after, last = chunk.upto, chunk.last
    snapshot.close()
    return rows


def test_a_new_store_is_empty(make):
    """It is as of index 0."""
    store = make()
    assert (NOTHING, Index(0), [None]) == (store.applied, store.flushed, store.get_many([("s", b"k")]))
    assert {} == contents(store)


def test_values_are_set_replaced_and_deleted(make):
    """In their store; an empty value is a value."""
    store = make()
    store.apply(at(3, 1), [set_("s", b"a", b"1"), set_("s", b"b", b""), set_("t", b"a", b"3")])
    store.apply(at(7, 2), [set_("s", b"a", b"4"), set_("t", b"a", None), set_("t", b"never", None)])

    assert [b"4", b"", None, None] == store.get_many([("s", b"a"), ("s", b"b"), ("t", b"a"), ("s", b"")])
    assert at(7, 2) == store.applied


def test_a_scan_is_of_one_store_and_prefix_in_order(make):
    """With a limit, and from where the last one ended."""
    store = make()
    keys = [b"", b"a", b"a\x00", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff", b"\xff\xffz"]
    store.apply(
        at(1), [set_("s", key, b"v" + key) for key in reversed(keys)] + [set_("r", b"a", b"x"), set_("t", b"a", b"x")]
    )

    def found(prefix: bytes, after: bytes | None = None, limit: int = 100) -> list[bytes]:
        rows = store.scan("s", prefix, after=after, limit=limit)
        assert all(value == b"v" + key for key, value in rows)
        return [key for key, _ in rows]

    assert sorted(keys) == found(b"")
    assert [b"a", b"a\x00", b"a\xff", b"a\xff\xff"] == found(b"a")
    assert [b"a\xff", b"a\xff\xff"] == found(b"a\xff")
    assert [b"\xff", b"\xff\xff", b"\xff\xffz"] == found(b"\xff")
    assert [b"a", b"a\x00"] == found(b"a", limit=2)
    assert [b"a\xff", b"a\xff\xff"] == found(b"a", after=b"a\x00")
    assert [b"a", b"a\x00"] == found(b"a", after=b"", limit=2)
    assert [] == found(b"a", after=b"b")
    assert [] == found(b"c")


def test_what_was_not_flushed_is_lost_and_nothing_else(make, crash):
    """The state is that of the last flush."""
    store = make()
    store.apply(at(1), [set_("s", b"a", b"1"), set_("s", b"b", b"1")])
    store.apply(at(2), [set_("s", b"a", b"2")])
    store.flush()
    assert Index(2) == store.flushed
    store.apply(at(5, 3), [set_("s", b"a", b"3"), set_("s", b"b", None), set_("s", b"c", b"3")])
    assert (Index(2), at(5, 3)) == (store.flushed, store.applied)

    store = crash(store)

    assert at(2) == store.applied
    assert {("s", b"a"): b"2", ("s", b"b"): b"1"} == contents(store)
    store.apply(at(5, 3), [set_("s", b"c", b"3")])
    assert [b"3"] == store.get_many([("s", b"c")])


def test_a_snapshot_stays_as_it_is(make):
    """While the store goes on, and is flushed."""
    store = make()
    store.apply(at(1), [set_("s", bytes([n]), b"old") for n in range(10)])
    snapshot = store.snapshot()
    first = decode_chunk(snapshot.chunk(BEFORE_ALL, 12))
    store.apply(at(2), [set_("s", bytes([n]), b"new" if n % 2 else None) for n in range(12)])
    store.flush()
    rest = decode_chunk(snapshot.chunk(first.upto, 1 << 20))
    snapshot.close()

    assert (at(1), False, True) == (first.applied, first.last, rest.last)
    assert [("s", bytes([n]), b"old") for n in range(10)] == first.rows + rest.rows
    store.flush()
    assert Index(2) == store.flushed


def transfer(source: Store, target: Store, bytes_max: int = 10) -> int:
    """The state of one into the other; how many chunks it took."""
    snapshot = source.snapshot()
    pieces, after, done = 0, BEFORE_ALL, False
    while not done:
        chunk = snapshot.chunk(after, bytes_max)
        done = target.install(chunk)
        after = decode_chunk(chunk).upto
        pieces += 1
    snapshot.close()
    return pieces


def test_a_snapshot_replaces_the_state(make, crash):
    """All of it at once, durably; what was there before is gone."""
    source, target = make(), make()
    source.apply(at(9, 4), [set_("s", bytes([n]), b"new") for n in range(5)] + [set_("t", b"", b"t")])
    target.apply(at(2, 1), [set_("s", b"old", b"old")])
    assert 6 == transfer(source, target, 1)
    assert (at(9, 4), Index(9), None) == (target.applied, target.flushed, target.installing)
    target = crash(target)

    assert at(9, 4) == target.applied
    assert contents(source) == contents(target)
    target.apply(at(10, 5), [set_("s", b"z", b"z")])
    assert [(b"z", b"z")] == target.scan("s", b"z", limit=2)


def test_an_empty_snapshot_is_one(make):
    """All keys were deleted."""
    source, target = make(), make()
    source.apply(at(9, 4), [])
    target.apply(at(2, 1), [set_("s", b"old", b"old")])
    assert 1 == transfer(source, target)
    assert ({}, at(9, 4)) == (contents(target), target.applied)


def test_a_transfer_goes_on_where_it_was(make):
    """Until the last chunk the old state is there; chunks of another snapshot are refused, but for a first one."""
    source, target = make(), make()
    source.apply(at(5), [set_("s", bytes([n]), b"5") for n in range(6)])
    target.apply(at(1), [set_("s", b"old", b"old")])
    snapshot = source.snapshot()
    first = snapshot.chunk(BEFORE_ALL, 7)
    assert not target.install(first)
    upto = decode_chunk(first).upto
    assert (at(5), upto) == target.installing
    source.apply(at(6), [set_("s", b"six", b"6")])
    later = source.snapshot()
    with pytest.raises(SnapshotRefused):
        target.install(later.chunk(upto, 100))
    with pytest.raises(SnapshotRefused):
        target.install(snapshot.chunk(("s", b"\x03"), 100))
    assert [b"old"] == target.get_many([("s", b"old")])
    assert at(1) == target.applied
    assert target.install(snapshot.chunk(upto, 100))
    assert ([None], at(5)) == (target.get_many([("s", b"old")]), target.applied)
    source.apply(at(7), [])
    latest = source.snapshot()
    assert not target.install(later.chunk(BEFORE_ALL, 7))
    assert not target.install(latest.chunk(BEFORE_ALL, 7)), "a first one begins anew"
    with pytest.raises(SnapshotRefused):
        target.install(later.chunk(upto, 100))
    assert target.install(latest.chunk(upto, 100))
    assert (contents(source), at(7)) == (contents(target), target.applied)
    for held in (snapshot, later, latest):
        held.close()


def test_a_snapshot_does_not_lead_back(make):
    """The log says what comes after the state, not after an older one."""
    source, target = make(), make()
    source.apply(at(5), [set_("s", b"a", b"5")])
    target.apply(at(5), [set_("s", b"a", b"5")])
    with pytest.raises(SnapshotRefused):
        transfer(source, target)


def test_a_damaged_chunk_is_refused(make):
    """And one of another version is said to be that."""
    source, target = make(), make()
    source.apply(at(5), [set_("s", b"a", b"5")])
    snapshot = source.snapshot()
    chunk = snapshot.chunk(BEFORE_ALL, 10)
    snapshot.close()
    for position in range(1, len(chunk)):
        with pytest.raises(CorruptStorage):
            target.install(chunk[:position] + bytes([chunk[position] ^ 1]) + chunk[position + 1 :])
    with pytest.raises(CorruptStorage):
        target.install(b"")
    with pytest.raises(RefusedToStart, match="format 2"):
        target.install(b"\x02" + encode_chunk(decode_chunk(chunk))[1:])
    assert NOTHING == target.applied


CHANGES = st.lists(
    st.lists(
        st.builds(
            set_,
            st.sampled_from(["a", "b", "é"]),
            st.binary(max_size=2),
            st.one_of(st.none(), st.binary(max_size=3)),
        ),
        max_size=5,
    ),
    max_size=12,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commits=CHANGES, flushes=st.sets(st.integers(0, 12)), bytes_max=st.integers(1, 30), look=st.booleans())
def test_any_commits_give_what_a_dictionary_gives(make, crash, commits, flushes, bytes_max, look):
    """Now, after a transfer, and after a crash: then as of the last flush."""
    store, expected = make(), {}
    kept: tuple[dict[tuple[str, bytes], bytes], Applied] = ({}, NOTHING)
    for number, changes in enumerate(commits, 1):
        store.apply(at(number), changes)
        for change in changes:
            expected.pop((change.store, change.key), None)
            if change.value is not None:
                expected[change.store, change.key] = change.value
        if number in flushes:
            store.flush()
            kept = (dict(expected), store.applied)
    for name in ("a", "b", "é"):
        rows = sorted((key, value) for (of, key), value in expected.items() if of == name)
        assert rows == store.scan(name, b"", limit=1000)
        assert [row for row in rows if row[0][:1] == b"a"] == store.scan(name, b"a", limit=1000)
    if look:
        assert expected == contents(store)
        if commits:
            other = make()
            transfer(store, other, bytes_max)
            assert (expected, store.applied) == (contents(other), other.applied)
            other.close()
    if store.flushed == store.applied.index:  # a snapshot may have flushed it
        kept = (expected, store.applied)
    store = crash(store)
    assert kept == (contents(store), store.applied)
    store.close()
