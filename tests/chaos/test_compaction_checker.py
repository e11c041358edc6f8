"""The rules of compaction: each bad history is caught by name, each good one passes."""

from collections.abc import Iterable

import pytest

from chaos.checkers.log import check_log
from chaos.history import History, Kind

TOMBSTONE_S = 10.0
LATE_S = 100.0
Record = tuple[int, str | None, str]

K0, J1, K2, J3, N4, K5 = (
    (0, "k", "k0"),
    (1, "j", "j1"),
    (2, "k", "k2"),
    (3, "j", "j3"),
    (4, None, "n4"),
    (5, "k", "k5"),
)
"""What `_sent` has sent: a record a second. j3 is a tombstone, n4 has no key."""


def _send(
    h: History, value: str, key: str | None, offset: int | None, *, at: float, kind: Kind = Kind.OK, gone: bool = False
) -> None:
    """`gone`: it is a tombstone."""
    extra = {"tombstone": True} if gone else {}
    number = h.invoke("p", "send", at, partition=0, key=key, value=value, **extra)
    h.end(number, "p", kind, "send", at + 0.5, **({} if offset is None else {"offset": offset}))


def _read(
    h: History, *records: Record, process: str = "final", at: float = LATE_S, start: int | None = None, first: int = 0
) -> None:
    """It takes half a second."""
    number = h.invoke(process, "read", at - 0.5, partition=0, **({} if start is None else {"start": start}))
    plain = [list(record) for record in records]
    h.end(number, process, Kind.OK, "read", at, partition=0, records=plain, **({"first": first} if first else {}))


def _sent() -> History:
    history = History()
    for offset, key, value in (K0, J1, K2, J3, N4, K5):
        _send(history, value, key, offset, at=float(offset), gone=value == "j3")
    return history


def _names(history: History, *, tombstone_s: float | None = TOMBSTONE_S, retention: bool = False) -> list[str]:
    found = check_log(history.events, compacted=True, tombstone_s=tombstone_s, retention=retention)
    return [anomaly.name for anomaly in found]


def _finally(*records: Record, at: float = LATE_S) -> list[str]:
    history = _sent()
    _read(history, *records, at=at)
    return _names(history)


@pytest.mark.parametrize(
    "records",
    [
        (K0, J1, K2, J3, N4, K5),
        (J1, J3, N4, K5),
        (J3, N4, K5),
        (N4, K5),
        (K0, N4, K5),
    ],
)
def test_a_final_read_may_lack_what_is_superseded_and_old_tombstones(records: Iterable[Record]) -> None:
    """From nothing to everything; what compaction has not come to yet is no anomaly."""
    assert [] == _finally(*records)


@pytest.mark.parametrize(
    ("records", "at", "name"),
    [
        ((K0, K2, N4), LATE_S, "unseen"),
        ((J3, K5), LATE_S, "lost write"),
        ((J1, N4, K5), LATE_S, "came back"),
        ((N4, K5), 12.9, "tombstone gone early"),
        ((K5, N4), LATE_S, "nonmonotonic poll"),
        ((N4, K5, (6, "k", "k0")), LATE_S, "duplicate"),
        ((N4, K5, (6, "k", "never")), LATE_S, "phantom read"),
        (((1, "k", "k0"), N4, K5), LATE_S, "inconsistent offsets"),
        (((4, "", "n4"), K5), LATE_S, "changed record"),
    ],
)
def test_each_anomaly_of_the_final_read_is_caught(records: Iterable[Record], at: float, name: str) -> None:
    """One wrong read each. A record without a key is never superseded, and no key is not the empty one."""
    assert name in _finally(*records, at=at)


def test_a_tombstone_stays_for_its_time() -> None:
    """From when it was sent, which is the earliest that it can have been appended. Without a time it may go at once."""
    assert [] == _finally(N4, K5, at=13.0)
    assert ["tombstone gone early"] == _finally(N4, K5, at=12.0)
    history = _sent()
    _read(history, N4, K5, at=12.0)
    assert [] == _names(history, tombstone_s=None)


def test_a_tombstone_that_is_superseded_may_go_at_once() -> None:
    """As any record; and what it had deleted may be there, since the key has a newer value."""
    history = _sent()
    _send(history, "j6", "j", 6, at=6.0)
    _read(history, J1, N4, K5, (6, "j", "j6"), at=8.0)
    assert [] == _names(history)


def test_a_key_that_an_older_tombstone_deletes_did_not_come_back() -> None:
    """Whoever reads this knows that it is deleted."""
    history = _sent()
    _send(history, "j6", "j", 6, at=6.0, gone=True)
    _read(history, J1, J3, N4, K5)
    assert [] == _names(history)


def test_an_empty_record_without_a_key_is_no_tombstone() -> None:
    """There is nothing that it could delete, and nothing that could supersede it."""
    history = History()
    _send(history, "n0", None, 0, at=0.0, gone=True)
    _send(history, "n1", None, 1, at=1.0, gone=True)
    _read(history, (1, None, "n1"))
    assert ["lost write"] == _names(history)


def test_without_compaction_a_hole_is_a_skip() -> None:
    """The topic's configuration decides what a reader is promised."""
    history = _sent()
    _read(history, K0, J1, K2, J3, K5)
    assert {"poll skip", "lost write"} == {anomaly.name for anomaly in check_log(history.events)}


def _followed(*pieces: tuple[float, tuple[Record, ...]]) -> list[str]:
    """A reader that goes on where it stopped, and a final read without fault."""
    history = _sent()
    for at, records in pieces:
        _read(history, *records, process="r", at=at)
    _read(history, N4, K5)
    return _names(history)


@pytest.mark.parametrize(
    "pieces",
    [
        ((1.0, (K0,)), (2.0, (J1,)), (5.0, (K2, J3, N4)), (6.0, (K5,))),
        ((6.0, (J3, N4, K5)),),
        ((1.2, (K0, J1)), (6.0, ()), (7.0, (J3, N4)), (8.0, (K5,))),
        ((5.0, (J3,)), (8.0, (N4, K5))),
        ((2.0, (J1,)), (9.0, (K2, J3, N4))),
        ((1.2, (K0, J1)), (50.0, (N4, K5))),
    ],
    ids=["all", "superseded", "nothing yet", "newest beyond the stop", "while it is sent", "too slow for a tombstone"],
)
def test_a_reader_that_follows_may_lack_the_same(pieces: Iterable[tuple[float, tuple[Record, ...]]]) -> None:
    """The last one goes on with a key that is deleted, as is documented."""
    assert [] == _followed(*pieces)


@pytest.mark.parametrize(
    ("pieces", "name"),
    [
        (((1.9, (J1,)),), "poll skip"),
        (((1.0, (K0,)), (4.9, (J1, J3, N4))), "poll skip"),
        (((1.2, (K0, J1)), (4.9, (J3, N4))), "poll skip"),
        (((6.0, (J3, K5)),), "poll skip"),
        (((6.0, (K0, J1, K2, N4, K5)),), "tombstone gone early"),
        (((1.2, (K0, J1)), (12.9, (N4, K5))), "tombstone gone early"),
    ],
    ids=["nothing newer yet", "within a piece", "between pieces", "no key", "tombstone", "tombstone between pieces"],
)
def test_what_a_reader_that_follows_must_be_given(
    pieces: Iterable[tuple[float, tuple[Record, ...]]], name: str
) -> None:
    """What it has passed, and nothing could have superseded when it did. What comes later is no excuse."""
    assert [name] == _followed(*pieces)


def test_what_one_reader_found_gone_another_may_find() -> None:
    """Its replica has not been compacted yet; what superseded it is there, too."""
    history = _sent()
    _read(history, N4, K5, process="a", at=20.0)
    _read(history, K0, J1, K2, J3, N4, K5, process="b", at=30.0)
    _read(history, J1, J3, N4, K5, at=40.0)
    assert [] == _names(history)


@pytest.mark.parametrize(("start", "names"), [(0, ["poll skip"]), (5, []), (None, ["poll skip"])])
def test_a_read_that_says_where_it_began_is_judged_from_there(start: int | None, names: list[str]) -> None:
    """One that does not say so begins at 0."""
    history = _sent()
    _read(history, K5, process="r", at=30.0, start=start)
    _read(history, N4, K5)
    assert names == _names(history)


def test_a_reader_that_begins_anew_says_so() -> None:
    """What lies before where it says that it began is not judged; one that went on has gone back."""
    history = _sent()
    _read(history, J3, N4, K5, process="r", at=6.0)
    _read(history, J3, N4, K5, process="r", at=30.0, start=3)
    _read(history, N4, K5)
    assert [] == _names(history)
    _read(history, N4, K5, process="r", at=31.0)
    assert ["nonmonotonic poll"] == _names(history)


def test_what_was_deleted_before_a_reader_came_is_not_missed() -> None:
    """It was told where the partition begins; between two records that it got this is no excuse."""
    history = _sent()
    _read(history, process="r", at=30.0, first=5)
    _read(history, K5, process="r", at=31.0)
    _read(history, K5, process="o", at=30.0, first=5)
    _read(history, K0, J1, process="q", at=30.0, first=5)
    _read(history, K5, process="q", at=31.0)
    _read(history, K5, first=5)
    assert [] == _names(history, retention=True)
    _read(history, J3, K5, process="s", at=32.0, first=5)
    assert ["deleted came back", "poll skip"] == _names(history, retention=True)


def test_the_first_record_of_a_partition_may_be_compacted_away() -> None:
    """Below the first offset nothing is; the newest of each key above it is."""
    history = _sent()
    _read(history, N4, K5, first=2)
    assert [] == _names(history, retention=True)
    history = _sent()
    _read(history, K0, N4, K5, first=2)
    assert ["wrong start"] == _names(history, retention=True)
    history = _sent()
    _read(history, K5, first=4)
    assert ["lost write"] == _names(history, retention=True)


def test_a_key_whose_tombstone_was_deleted_did_not_come_back() -> None:
    """All below the first offset went with it."""
    history = _sent()
    _read(history, K0, J1, process="r", at=1.8)
    _read(history, N4, K5, first=4)
    assert [] == _names(history, retention=True)


def test_an_unknown_offset_may_be_a_hole() -> None:
    """A send of unknown outcome was appended there and superseded, or nothing ever was."""
    history = History()
    _send(history, "k0", "k", 0, at=0.0)
    _send(history, "k1", "k", None, at=1.0, kind=Kind.INFO)
    _send(history, "k2", "k", 2, at=2.0)
    _read(history, (0, "k", "k0"), (2, "k", "k2"), process="r", at=3.0)
    _read(history, (2, "k", "k2"))
    assert [] == _names(history)


@pytest.mark.parametrize(
    ("kind", "gone", "at", "names"),
    [
        (Kind.INFO, True, LATE_S, []),
        (Kind.INFO, True, 10.9, ["lost write"]),
        (Kind.INFO, False, LATE_S, ["lost write"]),
        (Kind.FAIL, True, LATE_S, ["lost write"]),
    ],
)
def test_at_the_end_only_an_unknown_tombstone_explains_a_key_that_is_gone(
    kind: Kind, *, gone: bool, at: float, names: list[str]
) -> None:
    """One that can be gone itself: anything else would have been read."""
    history = History()
    _send(history, "k0", "k", 0, at=0.0)
    _send(history, "k1", "k", None, at=1.0, kind=kind, gone=gone)
    _send(history, "j1", "j", 1, at=2.0)
    _read(history, (1, "j", "j1"), at=at)
    assert names == _names(history)


def test_an_unknown_tombstone_that_stands_before_a_record_does_not_explain_its_loss() -> None:
    """Somebody has read it there."""
    history = History()
    _send(history, "k0", "k", None, at=0.0, kind=Kind.INFO, gone=True)
    _send(history, "k1", "k", 1, at=1.0)
    _send(history, "j2", "j", 2, at=2.0)
    _read(history, (0, "k", "k0"), process="r", at=3.0)
    _read(history, (2, "j", "j2"))
    assert ["lost write"] == _names(history)


@pytest.mark.parametrize(
    ("kind", "at", "names"),
    [(Kind.INFO, 2.0, []), (Kind.FAIL, 2.0, ["poll skip"]), (Kind.INFO, 3.1, ["poll skip"])],
)
def test_a_reader_may_lack_what_an_unknown_send_superseded(kind: Kind, at: float, names: list[str]) -> None:
    """That one may stand beyond where the reader stopped, and be superseded in its turn before anybody reads it."""
    history = History()
    _send(history, "k0", "k", 0, at=0.0)
    _send(history, "j1", "j", 1, at=1.0)
    _send(history, "k2", "k", None, at=at, kind=kind)
    _read(history, (1, "j", "j1"), process="r", at=3.0)
    _send(history, "k3", "k", 3, at=4.0)
    _read(history, (1, "j", "j1"), (3, "k", "k3"))
    assert names == _names(history)


def test_what_was_acknowledged_before_supersedes_nothing() -> None:
    """A duplicate whose offset is not known any more stands before what was sent after its acknowledgement."""
    history = History()
    _send(history, "k0", "k", None, at=0.0, gone=True)
    _send(history, "k1", "k", 1, at=1.0)
    _send(history, "j2", "j", 2, at=2.0)
    _read(history, (2, "j", "j2"))
    assert ["lost write"] == _names(history)


@pytest.mark.parametrize(
    ("gone", "newer", "names"), [(False, False, ["lost write"]), (False, True, []), (True, False, [])]
)
def test_what_was_read_and_never_acknowledged_is_judged_alike(*, gone: bool, newer: bool, names: list[str]) -> None:
    """Its sender knows nothing; a reader has seen where it stands."""
    history = History()
    _send(history, "k0", "k", None, at=0.0, kind=Kind.INFO, gone=gone)
    _read(history, (0, "k", "k0"), process="r", at=1.0)
    records: list[Record] = []
    if newer:
        _send(history, "k1", "k", 1, at=2.0)
        records.append((1, "k", "k1"))
    _read(history, *records)
    assert names == _names(history)


def test_order_is_judged_of_what_is_gone_at_the_end_too() -> None:
    """By where anybody has seen it."""
    history = History()
    _send(history, "first", "k", None, at=0.0, kind=Kind.INFO)
    _send(history, "second", "k", None, at=1.0, kind=Kind.INFO)
    _read(history, (0, "k", "second"), (1, "k", "first"), process="r", at=2.0)
    _read(history, (1, "k", "first"))
    assert ["nonmonotonic send", "key out of order"] == _names(history)
