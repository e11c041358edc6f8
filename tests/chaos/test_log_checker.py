"""The checker catches each anomaly in a hand-written bad history, and passes good ones."""

import io

import pytest

from chaos.checkers.anomaly import Anomaly
from chaos.checkers.log import check_log
from chaos.history import History, Kind, read_history


def _send(
    h: History, value: str, offset: int | None, kind: Kind = Kind.OK, at: float = 0.0, process: str = "p"
) -> None:
    number = h.invoke(process, "send", at, partition=0, key="k", value=value)
    h.end(number, process, kind, "send", at + 0.5, **({} if offset is None else {"offset": offset}))


def _read(h: History, *records: tuple[int, str], process: str = "final", key: str = "k") -> None:
    number = h.invoke(process, "read", 9.0, partition=0)
    h.end(
        number, process, Kind.OK, "read", 9.5, partition=0, records=[[offset, key, value] for offset, value in records]
    )


def _good() -> History:
    history = History()
    for place, value in enumerate("abc"):
        _send(history, value, place, at=float(place))
    _send(history, "unknown", None, Kind.INFO, at=3.0)
    _send(history, "refused", None, Kind.FAIL, at=4.0)
    _read(history, (0, "a"), (1, "b"), (2, "c"), (3, "unknown"))
    return history


def test_a_good_history_passes() -> None:
    """An unknown send may be there or not; a failed one is not."""
    assert [] == check_log(_good().events)


def test_a_history_survives_its_file() -> None:
    """What is read is what was written."""
    history, file = _good(), io.StringIO()
    history.write(file)

    assert history.events == list(read_history(file.getvalue().splitlines()))


@pytest.mark.parametrize(
    ("records", "name"),
    [
        ([(0, "a"), (1, "c")], "lost write"),
        ([(0, "a")], "unseen"),
        ([(0, "a"), (1, "b"), (2, "c"), (3, "b")], "duplicate"),
        ([(0, "b"), (1, "a"), (2, "c")], "inconsistent offsets"),
        ([(0, "a"), (1, "b"), (2, "c"), (3, "refused")], "aborted read"),
        ([(0, "a"), (1, "b"), (2, "c"), (3, "never")], "phantom read"),
        ([(0, "a"), (1, "b"), (2, "c"), (4, "unknown")], "poll skip"),
        ([(0, "a"), (2, "c"), (1, "b")], "nonmonotonic poll"),
    ],
)
def test_each_anomaly_of_reading_is_caught(records: list[tuple[int, str]], name: str) -> None:
    """One wrong read each, after the same sends."""
    history = History()
    for place, value in enumerate("abc"):
        _send(history, value, place, at=float(place))
    _send(history, "unknown", None, Kind.INFO, at=3.0)
    _send(history, "refused", None, Kind.FAIL, at=4.0)
    _read(history, *records)

    assert name in {anomaly.name for anomaly in check_log(history.events)}


def test_a_record_that_was_read_and_is_gone_is_caught() -> None:
    """Its producer never knew; a reader did."""
    history = History()
    _send(history, "seen", None, Kind.INFO, at=0.0)
    early = history.invoke("r0", "read", 1.0, partition=0)
    history.end(early, "r0", Kind.OK, "read", 1.0, partition=0, records=[[0, "k", "seen"]])
    _read(history)

    assert ["lost write"] == [anomaly.name for anomaly in check_log(history.events)]


def test_a_key_out_of_order_is_caught() -> None:
    """A process's own sends of one key stand in its order."""
    history = History()
    _send(history, "first", None, Kind.INFO, at=0.0)
    _send(history, "second", None, Kind.INFO, at=0.1)
    _read(history, (0, "second"), (1, "first"))

    assert ["nonmonotonic send"] == [anomaly.name for anomaly in check_log(history.events)]


def test_a_real_time_inversion_is_caught() -> None:
    """Acknowledged before the other began, and yet behind it."""
    history = History()
    _send(history, "early", 1, at=0.0, process="p")
    _send(history, "late", 0, at=5.0, process="q")
    _read(history, (0, "late"), (1, "early"))

    assert ["real-time inversion"] == [anomaly.name for anomaly in check_log(history.events)]


def test_a_changed_key_is_caught() -> None:
    """The record must come back as it was sent."""
    history = History()
    _send(history, "a", 0)
    _read(history, (0, "a"), key="other")

    assert ["changed record"] == [anomaly.name for anomaly in check_log(history.events)]


@pytest.mark.parametrize("kind", [Kind.OK, Kind.INFO])
@pytest.mark.parametrize(("place", "anomalies"), [(0, []), (1, ["broken condition"])])
def test_a_broken_condition_is_caught(kind: Kind, place: int, anomalies: list[str]) -> None:
    """Of an append that was acknowledged, and of one that its sender knows nothing of."""
    history = History()
    number = history.invoke("c", "send", 0.0, partition=0, key="k", value="first", expected_end=0)
    history.end(number, "c", kind, "send", 0.5, **({"offset": place} if kind is Kind.OK else {}))
    _send(history, "other", 1 - place, Kind.INFO)
    _read(history, (place, "first"), (1 - place, "other"))

    assert anomalies == [a.name for a in check_log(history.events) if a.name == "broken condition"]


def _deleted(*records: tuple[int, str], first: int, before: int, kind: Kind = Kind.OK, told: int = 0) -> list[Anomaly]:
    """Three records, a deletion that ended like that, a reader who was told where it begins, and the final read."""
    history = History()
    for place, value in enumerate("abc"):
        _send(history, value, place, at=float(place))
    number = history.invoke("d", "delete", 5.0, partition=0, before=before)
    history.end(number, "d", kind, "delete", 5.5, partition=0, before=before)
    number = history.invoke("r", "read", 6.0, partition=0)
    history.end(number, "r", Kind.OK, "read", 6.5, partition=0, records=[], first=told)
    number = history.invoke("final", "read", 9.0, partition=0)
    plain = [[offset, "k", value] for offset, value in records]
    history.end(number, "final", Kind.OK, "read", 9.5, partition=0, records=plain, first=first)
    return check_log(history.events)


def test_what_was_deleted_is_not_lost() -> None:
    """All that was asked for, whether the answer came or not; also everything."""
    assert [] == _deleted((2, "c"), first=2, before=2, told=2)
    assert [] == _deleted((2, "c"), first=2, before=2, kind=Kind.INFO)
    assert [] == _deleted((0, "a"), (1, "b"), (2, "c"), first=0, before=2, kind=Kind.INFO)
    assert [] == _deleted(first=3, before=3)


@pytest.mark.parametrize(
    ("name", "anomalies"),
    [
        ("unseen", _deleted((1, "b"), first=1, before=1)),
        ("wrong start", _deleted((2, "c"), first=1, before=1)),
        ("not deleted", _deleted((1, "b"), (2, "c"), first=1, before=2)),
        ("deleted too much", _deleted((2, "c"), first=2, before=1)),
        ("deleted came back", _deleted((1, "b"), (2, "c"), first=1, before=2, kind=Kind.INFO, told=2)),
    ],
)
def test_what_is_wrong_about_a_deletion_is_named(name: str, anomalies: list[Anomaly]) -> None:
    """Above the first offset everything still has to be there."""
    assert name in {anomaly.name for anomaly in anomalies}


def test_a_topic_with_limits_deletes_by_itself() -> None:
    """But only from the beginning: a record above the first one is lost."""
    history = History()
    for place, value in enumerate("abcd"):
        _send(history, value, place, at=float(place))
    number = history.invoke("final", "read", 9.0, partition=0)
    history.end(number, "final", Kind.OK, "read", 9.5, partition=0, records=[[2, "k", "c"], [3, "k", "d"]], first=2)
    assert [] == check_log(history.events, retention=True)
    assert {"deleted too much"} == {anomaly.name for anomaly in check_log(history.events)}
    _send(history, "e", 4, at=8.0)
    assert {"unseen"} == {anomaly.name for anomaly in check_log(history.events, retention=True)}
    _read(history, (4, "e"), process="r")
    assert "lost write" in {anomaly.name for anomaly in check_log(history.events, retention=True)}
