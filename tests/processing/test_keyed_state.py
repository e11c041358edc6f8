"""Keyed state by itself: attempts, works, commits, and which values are taken."""

import datetime as dt
from typing import Any

import msgspec
import pytest

from cluster.processing import state
from cluster.processing.handles import State
from cluster.processing.state import KeyedState
from cluster.processing.work import StateChange


def test_what_is_not_committed_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many values all others go, and are read again when they are wanted."""
    monkeypatch.setattr(state, "CELLS_MAX", 2)
    reads: list[tuple[str, bytes]] = []

    def read(places):
        reads.extend(places)
        return [None] * len(places)

    keyed = KeyedState(read)
    store = keyed.store("total", int, int, State)
    for cell in store.hand_out([b"a", b"b", b"b", b"c"]):
        if cell.key != b"c":
            cell.value += 1
    keyed.settle()
    assert [StateChange("total", b"a", b"\x01"), StateChange("total", b"b", b"\x02")] == keyed.take_changes(1)

    keyed.committed(0)
    assert [1, 2, 0] == [cell.value for cell in store.hand_out([b"a", b"b", b"c"])]
    keyed.settle()
    assert [] == keyed.take_changes(2)
    keyed.committed(2)
    store.hand_out([b"a"])
    assert [b"a", b"b", b"c", b"c", b"a"] == [key for _, key in reads]


@pytest.mark.parametrize("kind", [int, int | None, float, list[int], dict[str, int], str])
def test_one_key_many_times_is_one_change(kind) -> None:
    """In several attempts, the last of which is taken back; whatever its type is."""
    keyed = KeyedState(lambda places: [None] * len(places))
    store = keyed.store("any", kind, lambda: None, State)
    value = msgspec.convert({list: [1], dict: {"a": 1}, str: "1"}.get(getattr(kind, "__origin__", kind), 1), kind)
    for kept in (True, True, False):
        first, second, other = store.hand_out([b"a", b"a", b"b"])
        assert first is second
        first.value = value if kept else None
        assert other.value is None
        if kept:
            keyed.settle()
        else:
            keyed.roll_back()
    assert value == store.cell(b"a").value
    assert [StateChange("any", b"a", msgspec.msgpack.encode(value))] == keyed.take_changes(1)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (int, [1, -(2**63), 2**64 - 1], [True, 1.5, None, "1"]),
        (float, [1.5, 1], [True, None]),
        (bool, [True], [1, None]),
        (int | None, [1, None], [True, 1.5]),
        (str, ["x"], [b"x", 1]),
        (bytes, [b"x"], ["?", 1]),
        (int | str, [1, "1"], [None, 1.5]),
        (dt.date | None, [dt.date(2026, 1, 1), None], ["soon", 1]),
        (list[int], [[1], (1,)], [["1"], None]),
    ],
)
def test_only_what_is_read_again_as_its_type_is_settled(kind: Any, good: list[object], bad: list[object]) -> None:
    """Among many values of the right type, too; and what was there before stays."""
    keyed = KeyedState(lambda places: [None] * len(places))
    store = keyed.store("any", kind, lambda: "nothing of it", State)
    for value in good:
        store.hand_out([b"a"])[0].value = value
        keyed.settle()
    for value in bad:
        first, second = store.hand_out([b"a", b"b"])
        first.value, second.value = good[0], value
        with pytest.raises(TypeError, match=r"state 'any' was given .*, which is not its type: "):
            keyed.settle()
        keyed.roll_back()
    assert [StateChange("any", b"a", msgspec.msgpack.encode(good[-1]))] == keyed.take_changes(1)
