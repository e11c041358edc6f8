"""The checker catches each anomaly in a hand-written bad history, and passes good ones."""

import io

import pytest

from chaos.checkers.anomaly import Anomaly
from chaos.checkers.log import check_log
from chaos.history import History, Kind, read_history
from tests.chaos.histories import names, read, send


def _good() -> History:
    history = History()
    for place, value in enumerate("abc"):
        send(history, value, place, at=float(place))
    send(history, "unknown", None, Kind.INFO, at=3.0)
    send(history, "refused", None, Kind.FAIL, at=4.0)
    read(history, (0, "a"), (1, "b"), (2, "c"), (3, "unknown"))
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
        ([(0, "a"), (2, "c")], "poll skip"),
        ([(0, "a"), (1, "b"), (2, "c"), (4, "unknown")], "offset gap"),
        ([(0, "a"), (2, "c"), (1, "b")], "nonmonotonic poll"),
    ],
)
def test_each_anomaly_of_reading_is_caught(records: list[tuple[int, str]], name: str) -> None:
    """One wrong read each, after the same sends."""
    history = History()
    for place, value in enumerate("abc"):
        send(history, value, place, at=float(place))
    send(history, "unknown", None, Kind.INFO, at=3.0)
    send(history, "refused", None, Kind.FAIL, at=4.0)
    read(history, *records)

    assert name in {anomaly.name for anomaly in check_log(history.events)}


def test_a_record_that_was_read_and_is_gone_is_caught() -> None:
    """Its producer never knew; a reader did."""
    history = History()
    send(history, "seen", None, Kind.INFO, at=0.0)
    early = history.invoke("r0", "read", 1.0, partition=0)
    history.end(early, "r0", Kind.OK, "read", 1.0, partition=0, records=[[0, "k", "seen"]])
    read(history)

    assert ["lost write"] == [anomaly.name for anomaly in check_log(history.events)]


def test_a_key_out_of_order_is_caught() -> None:
    """A process's own sends of one key stand in its order, also with another key in between."""
    history = History()
    send(history, "first", None, Kind.INFO, at=0.0)
    send(history, "second", None, Kind.INFO, at=0.1)
    read(history, (0, "second"), (1, "first"))
    assert ["nonmonotonic send", "key out of order"] == names(history)

    history = History()
    send(history, "first", None, Kind.INFO, at=0.0)
    send(history, "other", None, Kind.INFO, at=0.1, key="j")
    send(history, "second", None, Kind.INFO, at=0.2)
    read(history, (0, "other", "j"), (1, "second"), (2, "first"))
    assert ["nonmonotonic send", "key out of order"] == names(history)


def test_two_keys_in_another_order_are_caught() -> None:
    """What a process sends to one partition stands there in its order, whatever the keys; other processes' may not."""
    for process, anomalies in (("p", ["nonmonotonic send"]), ("q", [])):
        history = History()
        send(history, "first", None, Kind.INFO, at=0.0)
        send(history, "second", None, Kind.INFO, at=0.1, key="j", process=process)
        read(history, (0, "second", "j"), (1, "first"))
        assert anomalies == names(history)


def test_a_real_time_inversion_is_caught() -> None:
    """Acknowledged before the other began, and yet behind it."""
    history = History()
    send(history, "early", 1, at=0.0, process="p")
    send(history, "late", 0, at=5.0, process="q")
    read(history, (0, "late"), (1, "early"))

    assert ["real-time inversion"] == names(history)


def test_a_real_time_inversion_of_what_nobody_was_told_is_caught() -> None:
    """The one was read before the other began, and neither had an answer; at the same time it is none."""
    for at, anomalies in ((5.0, ["real-time inversion"]), (2.5, [])):
        history = History()
        send(history, "early", None, Kind.INFO, at=0.0, process="p")
        read(history, (1, "early"), process="r", at=2.0, start=1)
        send(history, "late", None, Kind.INFO, at=at, process="q")
        read(history, (0, "late"), (1, "early"))
        assert anomalies == names(history)


def test_a_changed_key_is_caught() -> None:
    """The record must come back as it was sent, each time."""
    history = History()
    send(history, "a", 0)
    read(history, (0, "a"), process="r")
    read(history, (0, "a", "other"))
    assert ["changed record"] == names(history)
    read(history, (0, "a", "other"), process="q")
    assert ["changed record"] * 2 == names(history)


def test_a_record_in_another_partition_is_caught() -> None:
    """A partition has what was sent to it."""
    history = History()
    send(history, "a", None, Kind.INFO)
    read(history, (0, "a"), partition=1)
    read(history)
    assert ["wrong partition"] == names(history)


def test_an_anomaly_says_which_operations_prove_it() -> None:
    """A report links them to their lines."""
    history = History()
    send(history, "a", 0)
    send(history, "b", 1)
    read(history, (0, "a"), process="r")
    read(history, (0, "a"), (2, "never"))
    found = {anomaly.name: anomaly.operations for anomaly in check_log(history.events)}
    assert {"lost write": (2, 4), "phantom read": (4,), "poll skip": (4,)} == found


def test_what_was_deleted_is_not_lost_though_nobody_knows_where_it_was() -> None:
    """A receipt without an offset: it may lie below the partition's beginning, unless somebody has seen it behind."""
    history = History()
    send(history, "a", None)
    number = history.invoke("d", "delete", 2.0, partition=0, before=1)
    history.end(number, "d", Kind.OK, "delete", 2.5, partition=0, before=1)
    read(history, first=1)
    assert [] == names(history)
    read(history, (1, "a"), process="r", start=1)
    assert ["lost write"] == names(history)


@pytest.mark.parametrize("kind", [Kind.OK, Kind.INFO])
@pytest.mark.parametrize(("place", "anomalies"), [(0, []), (1, ["broken condition"])])
def test_a_broken_condition_is_caught(kind: Kind, place: int, anomalies: list[str]) -> None:
    """Of an append that was acknowledged, and of one that its sender knows nothing of."""
    history = History()
    number = history.invoke("c", "send", 0.0, partition=0, key="k", value="first", expected_end=0)
    history.end(number, "c", kind, "send", 0.5, **({"offset": place} if kind is Kind.OK else {}))
    send(history, "other", 1 - place, Kind.INFO)
    read(history, (place, "first"), (1 - place, "other"))

    assert anomalies == [a.name for a in check_log(history.events) if a.name == "broken condition"]


def _deleted(
    *records: tuple[int, str], first: int, before: int, kind: Kind = Kind.OK, told: int | None = None
) -> list[Anomaly]:
    """Three records, a deletion that ended like that, a reader who may be told where it begins, and the final read."""
    history = History()
    for place, value in enumerate("abc"):
        send(history, value, place, at=float(place))
    number = history.invoke("d", "delete", 5.0, partition=0, before=before)
    history.end(number, "d", kind, "delete", 5.5, partition=0, before=before)
    read(history, process="r", at=6.0, first=told)
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


def _while_it_was_there(*records: tuple[int, str], began: float, first: int | None = None) -> list[str]:
    """Three records; what precedes 1 is deleted at 5 s, what precedes 2 at 20 s; a read in between, and the last."""
    history = History()
    for place, value in enumerate("abc"):
        send(history, value, place, at=float(place))
    number = history.invoke("d", "delete", 5.0, partition=0, before=1)
    if began < 5.5:
        reading = history.invoke("r", "read", began, partition=0, start=0)
    history.end(number, "d", Kind.OK, "delete", 5.5, partition=0, before=1, left=1)
    if began >= 5.5:
        reading = history.invoke("r", "read", began, partition=0, start=records[0][0] if records else 0)
    plain, told = [[offset, "k", value] for offset, value in records], {} if first is None else {"first": first}
    history.end(reading, "r", Kind.OK, "read", 8.0, partition=0, records=plain, **told)
    number = history.invoke("d", "delete", 20.0, partition=0, before=2)
    history.end(number, "d", Kind.OK, "delete", 20.5, partition=0, before=2, left=2)
    read(history, (2, "c"), at=30.0, first=2)
    return [f"{anomaly.name}: {anomaly.detail}" for anomaly in check_log(history.events)]


def test_each_read_finds_what_was_not_deleted_by_then() -> None:
    """What was acknowledged before it began is gone, and nothing else but what was asked for before it ended."""
    everything = (0, "a"), (1, "b"), (2, "c")
    assert [] == _while_it_was_there(*everything, began=5.2)
    assert [] == _while_it_was_there(began=5.2, first=1)
    assert [] == _while_it_was_there(*everything[1:], began=6.0, first=1)
    assert ["deleted came back: r got 0@0, which began at 1"] == _while_it_was_there(*everything, began=6.0)
    assert ["deleted came back: r got 0@0, which began at 1"] == _while_it_was_there(began=6.0, first=0)
    assert ["deleted too much: 0 begins at 2 for r, asked for 1"] == _while_it_was_there(began=6.0, first=2)


def test_what_a_reader_was_told_holds_for_the_next_one() -> None:
    """Whatever it was that deleted."""
    history = History()
    for place, value in enumerate("abc"):
        send(history, value, place, at=float(place))
    read(history, process="r", at=5.0, first=2)
    read(history, (1, "b"), (2, "c"), process="s", at=6.0, start=1)
    read(history, (2, "c"), at=9.0, first=2)
    assert ["deleted came back"] == [anomaly.name for anomaly in check_log(history.events, retention=True)]


def test_a_topic_with_limits_deletes_by_itself() -> None:
    """But only from the beginning: a record above the first one is lost."""
    history = History()
    for place, value in enumerate("abcd"):
        send(history, value, place, at=float(place))
    number = history.invoke("final", "read", 9.0, partition=0)
    history.end(number, "final", Kind.OK, "read", 9.5, partition=0, records=[[2, "k", "c"], [3, "k", "d"]], first=2)
    assert [] == check_log(history.events, retention=True)
    assert {"deleted too much"} == {anomaly.name for anomaly in check_log(history.events)}
    send(history, "e", 4, at=8.0)
    assert {"unseen"} == {anomaly.name for anomaly in check_log(history.events, retention=True)}
    read(history, (4, "e"), process="r")
    assert "lost write" in {anomaly.name for anomaly in check_log(history.events, retention=True)}
