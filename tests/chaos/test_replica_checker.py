"""Copies that differ, each named; and those that only begin elsewhere, end elsewhere or were compacted."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from chaos.checkers.replicas import Copy, Held, check_replicas
from chaos.history import History, Kind
from tests.chaos.histories import read, send

A, B, C, D = (Held(offset, "k", value, checksum=offset + 7) for offset, value in enumerate("abcd"))
ALL = (A, B, C)


def _history(first: int = 0) -> History:
    history = History()
    for offset, value in enumerate("abc"):
        send(history, value, offset, at=float(offset), synced=2)
    read(history, *((held.offset, held.value) for held in ALL[first:]), first=first)
    return history


def _judged(*copies: Sequence[Held] | tuple[int, Sequence[Held]], first: int = 0, **options: bool | int) -> list[str]:
    """Nodes 1, 2 and so on with these records, from the first one on, or from where they say."""
    plain = [copy if copy and isinstance(copy[0], int) else (0, copy) for copy in copies]
    made = [Copy(node=node, partition=0, first=begin, records=held) for node, (begin, held) in enumerate(plain, 1)]
    return [anomaly.name for anomaly in check_replicas(made, _history(first).events, **options)]


def test_equal_copies_pass() -> None:
    """Behind what the final read has seen one may have more, as long as no other has something else."""
    assert [] == _judged(ALL, ALL, ALL, replicas=3)
    assert [] == _judged(ALL, (*ALL, D), ALL)
    assert ["divergent"] == _judged(ALL, (*ALL, D), (*ALL, replace(D, value="e")))


@pytest.mark.parametrize(
    "wrong", [replace(B, key="j"), replace(B, value="x"), replace(B, checksum=1), replace(B, key=None)]
)
def test_another_record_at_an_offset_is_caught(wrong: Held) -> None:
    """Key, identity and bytes."""
    assert "divergent" in _judged(ALL, (A, wrong, C), ALL)


@pytest.mark.parametrize("there", [(A, B), (B, C), (A, C), ()])
def test_a_committed_record_that_a_copy_lacks_is_caught(there: tuple[Held, ...]) -> None:
    """At its end, its beginning, in between; all of it. The receipt had said that it is on a majority."""
    assert {"divergent"} == set(_judged(ALL, there, ALL))
    assert {"divergent", "receipt lied"} == set(_judged(ALL, there, ALL, replicas=3))


def test_all_copies_alike_may_lack_what_was_read() -> None:
    """Nothing differs between them, and it is gone all the same."""
    assert ["divergent"] * 3 == _judged((A, B), (A, B), (A, B))


def test_what_is_wrong_is_said_with_the_nodes() -> None:
    """And with the reader, where one proves it."""
    copies = [Copy(node=node, partition=0, first=0, records=ALL[: 4 - node]) for node in (1, 2)]
    (found,) = check_replicas(copies, _history().events)
    assert ("0@2 is c of k for final; node 2 lacks it", (4,)) == (found.detail, found.operations)


def test_copies_begin_where_they_were_trimmed() -> None:
    """What is below the highest beginning is not compared: a replica that lags trims later. But none trims too much."""
    assert [] == _judged((1, (B, C)), (0, ALL), (1, (B, C)), first=1)
    assert ["divergent"] == _judged((1, (B, C)), (0, ALL), (2, (C,)), first=1)
    assert [] == _judged((1, (B, C)), (0, ALL), (2, (C,)), first=1, retention=True)
    assert ["divergent"] == _judged((1, (B, C)), (0, ALL), (2, ()), first=1, retention=True)


def test_a_copy_that_was_trimmed_further_hides_no_other() -> None:
    """What the others have is compared with each other and with what was read, from where each of them begins."""
    trimmed = (3, ())
    assert [] == _judged(ALL, ALL, trimmed, retention=True)
    assert ["divergent", "divergent"] == _judged(ALL, (A, replace(B, value="x"), C), trimmed, retention=True)
    assert ["divergent"] == _judged(ALL, (1, (B,)), trimmed, retention=True)
    assert ["divergent", "receipt lied"] == _judged(ALL, (1, (B,)), trimmed, retention=True, replicas=3)


def test_a_missing_copy_is_caught() -> None:
    """Two of three are no majority's fault, but not what was asked for."""
    assert ["missing copy"] == _judged(ALL, ALL, replicas=3)
    assert [] == _judged(ALL, ALL)


def _compacted(*copies: Sequence[Held]) -> list[str]:
    """k0, j1, k2, a tombstone of j at 3, one without a key at 4; the final read has found all of it."""
    history = History()
    for held in COMPACTED:
        said = {"partition": 0, "key": held.key, "value": held.value, "tombstone": held.tombstone}
        number = history.invoke("p", "send", float(held.offset), **said)
        history.end(number, "p", Kind.OK, "send", held.offset + 0.5, offset=held.offset)
    number = history.invoke("final", "read", 9.0, partition=0)
    plain = [[held.offset, held.key, held.value] for held in COMPACTED]
    history.end(number, "final", Kind.OK, "read", 9.5, partition=0, records=plain)
    made = [Copy(node=node, partition=0, first=0, records=records) for node, records in enumerate(copies, 1)]
    return [anomaly.name for anomaly in check_replicas(made, history.events, compacted=True, replicas=len(copies))]


K0, J1, K2, J3, N4 = COMPACTED = (
    Held(0, "k", "k0"),
    Held(1, "j", "j1"),
    Held(2, "k", "k2"),
    Held(3, "j", "j3", tombstone=True),
    Held(4, None, "n4"),
)


def test_compacted_copies_add_up_to_the_same() -> None:
    """Superseded records may be here and gone there; a deleted key has none, with its tombstone or without."""
    assert [] == _compacted(COMPACTED, (K2, J3, N4), (K0, K2, N4))


def test_a_tombstone_behind_the_last_record_that_was_read_is_looked_at() -> None:
    """The leader had dropped it, and so the reader's last record was an older one (cluster seed 500004)."""
    records = (K0, J1, J3)
    for end, found in ((4, []), (2, ["divergent"])):
        history = History()
        read(history, (0, "k0"), end=end)
        copies = [Copy(node=1, partition=0, first=0, records=records)]
        assert found == [anomaly.name for anomaly in check_replicas(copies, history.events, compacted=True)]


@pytest.mark.parametrize(
    "wrong", [(K0, J3, N4), (K2, J3), (J1, K2, N4), (K2, J3, Held(4, None, "x")), (replace(K2, key="j"), J3, N4)]
)
def test_a_compacted_copy_that_adds_up_to_something_else_is_caught(wrong: tuple[Held, ...]) -> None:
    """The newest of a key is gone; one without a key; a deleted key is back; another value, or key."""
    assert {"divergent"} == set(_compacted(COMPACTED, wrong, COMPACTED))
    assert {"divergent"} == set(_compacted(wrong))
